from k_diffusion import sampling
from modules import sd_samplers_timesteps_impl as timesteps
from modules.flavour import FORGE
from modules.sd_samplers_common import SamplerData
from modules.sd_samplers_kdiffusion import KDiffusionSampler
from modules.sd_samplers_timesteps import CompVisSampler

from tests import samplers as added

TWO, BROWNIAN = {"second_order": True}, {"brownian_noise": True}
K_DIFFUSION = {
    "Euler": (sampling.sample_euler, {}),
    "Euler a": (sampling.sample_euler_ancestral, {}),
    "LMS": (sampling.sample_lms, {}),
    "Heun": (sampling.sample_heun, TWO),
    "DPM2": (sampling.sample_dpm_2, {**TWO, "scheduler": "karras"}),
    "DPM2 a": (sampling.sample_dpm_2_ancestral, {**TWO, "scheduler": "karras"}),
    "DPM++ 2M": (sampling.sample_dpmpp_2m, {"scheduler": "karras"}),
    "DPM++ 2S a": (sampling.sample_dpmpp_2s_ancestral, {**TWO, "scheduler": "karras"}),
    "DPM++ SDE": (sampling.sample_dpmpp_sde, {**TWO, **BROWNIAN, "scheduler": "karras"}),
    "DPM++ 2M SDE": (sampling.sample_dpmpp_2m_sde, BROWNIAN),
    "DPM++ 2M SDE Heun": (sampling.sample_dpmpp_2m_sde, {**BROWNIAN, "solver_type": "heun"}),
    "DPM++ 3M SDE": (sampling.sample_dpmpp_3m_sde, BROWNIAN),
    "DPM fast": (sampling.sample_dpm_fast, {}),
    "DPM adaptive": (sampling.sample_dpm_adaptive, {}),
    "Restart": (added.restart_sampler, {**TWO, "scheduler": "karras"}),
    "LCM": (added.sample_lcm, {}),
    **({"HeunPP2": (added.sample_heunpp2, {})} if FORGE else {}),
}
TIMESTEPS = {
    "DDIM": timesteps.ddim,
    "DDIM CFG++": timesteps.ddim_cfgpp,
    "PLMS": timesteps.plms,
    "UniPC": timesteps.unipc,
}


def _data(name, kind, func, options):
    return SamplerData(name, lambda: kind(func), options)


all_samplers = [_data(name, KDiffusionSampler, *how) for name, how in K_DIFFUSION.items()]
all_samplers += [_data(name, CompVisSampler, func, {}) for name, func in TIMESTEPS.items()]
all_samplers_map = {data.name: data for data in all_samplers}


def find_sampler_config(name):
    return all_samplers_map[name]


def create_sampler(name, model):
    sampler = find_sampler_config(name).constructor()
    sampler.config = find_sampler_config(name)
    return sampler
