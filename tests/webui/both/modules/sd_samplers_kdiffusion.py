import inspect

import k_diffusion.sampling
import torch
from k_diffusion import sampling
from modules import sd_models, shared
from modules.flavour import FORGE, NEO
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, setup_img2img_steps

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
    **({"Kohaku LoNyu Yog": (added.sample_Kohaku_LoNyu_Yog, {}), "UniPC": (added.sample_unipc, {})} if NEO else {}),
}
# The hosts' own form of the list: label, function, aliases, options.
samplers_k_diffusion = [(label, func, [], options) for label, (func, options) in K_DIFFUSION.items()]


class CFGDenoiserKDiffusion(CFGDenoiser):
    @property
    def inner_model(self):
        if self.model_wrap is None:
            self.model_wrap = sd_models.in_sigma(shared.sd_model)
        return self.model_wrap


class KDiffusionSampler(Sampler):
    default_eta = 1.0

    def __init__(self, func):
        super().__init__(func)
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_sigmas(self, p, steps):
        limits = self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()
        if self.config.options.get("scheduler") == "karras" and not sd_models.is_flow(shared.sd_model):
            return k_diffusion.sampling.get_sigmas_karras(steps, *limits)
        return self.model_wrap.get_sigmas(steps)

    def arguments(self, p, x, sigmas):
        arguments = self.initialize(p)
        offers = {
            "sigmas": sigmas,
            "n": len(sigmas) - 1,
            "sigma_min": sigmas[-2].item(),
            "sigma_max": sigmas[0].item(),
        }
        if self.config.options.get("brownian_noise"):
            ends = sigmas[sigmas > 0].min(), sigmas.max()
            offers["noise_sampler"] = k_diffusion.sampling.BrownianTreeNoiseSampler(x, *ends, seed=p.seeds)
        if "solver_type" in self.config.options:
            offers["solver_type"] = self.config.options["solver_type"]
        wanted = inspect.signature(self.func).parameters
        return {**arguments, **{name: value for name, value in offers.items() if name in wanted}}

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        steps = steps or p.steps
        sigmas = self.get_sigmas(p, steps)
        x = sd_models.noised(shared.sd_model, torch.zeros_like(x), x, sigmas[0])
        arguments = self.arguments(p, x, sigmas)
        return self.run(p, x, steps, conditioning, unconditional_conditioning, image_conditioning, **arguments)

    def sample_img2img(
        self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None
    ):
        steps, t_enc = setup_img2img_steps(p, steps)
        sigmas = self.get_sigmas(p, steps)[steps - t_enc - 1 :]
        noised = sd_models.noised(shared.sd_model, x, noise, sigmas[0])
        arguments = self.arguments(p, x, sigmas)
        self.model_wrap_cfg.init_latent = x
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self.run(p, noised, t_enc + 1, *conds, **arguments)
