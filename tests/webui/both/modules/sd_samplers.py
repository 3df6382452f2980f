from modules.sd_samplers_common import SamplerData
from modules.sd_samplers_kdiffusion import KDiffusionSampler, samplers_k_diffusion
from modules.sd_samplers_timesteps import CompVisSampler, samplers_timesteps


def _data(name, kind, func, options):
    return SamplerData(name, lambda: kind(func), options)


all_samplers = [_data(name, KDiffusionSampler, func, options) for name, func, _, options in samplers_k_diffusion]
all_samplers += [_data(name, CompVisSampler, func, options) for name, func, _, options in samplers_timesteps]
all_samplers_map = {data.name: data for data in all_samplers}


def find_sampler_config(name):
    return all_samplers_map[name]


def create_sampler(name, model):
    sampler = find_sampler_config(name).constructor()
    sampler.config = find_sampler_config(name)
    return sampler
