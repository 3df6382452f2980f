import inspect

import torch
from modules import sd_models, shared
from modules import sd_samplers_timesteps_impl as timesteps
from modules.flavour import NEO
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, setup_img2img_steps

samplers_timesteps = [
    ("DDIM", timesteps.ddim, [], {}),
    ("DDIM CFG++", timesteps.ddim_cfgpp, [], {}),
    ("PLMS", timesteps.plms, [], {}),
    *([] if NEO else [("UniPC", timesteps.unipc, [], {})]),
]


class CFGDenoiserTimesteps(CFGDenoiser):
    timesteps = True

    @property
    def inner_model(self):
        if self.model_wrap is None:
            self.model_wrap = sd_models.in_timesteps(shared.sd_model)
        return self.model_wrap


class CompVisSampler(Sampler):
    default_eta = 0.0

    def __init__(self, func):
        super().__init__(func)
        self.model_wrap_cfg = CFGDenoiserTimesteps(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def arguments(self, p, timesteps):
        arguments = self.initialize(p)
        if "is_img2img" in inspect.signature(self.func).parameters:
            arguments["is_img2img"] = True
        return {**arguments, "timesteps": timesteps}

    def get_timesteps(self, steps):
        return (torch.arange(0, 1000, 1000 // steps) + 1).clip(0, 999)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        # The caller's noise itself is the first state.
        steps = steps or p.steps
        arguments = self.arguments(p, self.get_timesteps(steps))
        return self.run(p, x, steps, conditioning, unconditional_conditioning, image_conditioning, **arguments)

    def sample_img2img(
        self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None
    ):
        steps, t_enc = setup_img2img_steps(p, steps)
        timesteps = self.get_timesteps(steps)
        abar = shared.sd_model.alphas_cumprod[timesteps[t_enc]]
        noised = abar**0.5 * x + (1 - abar) ** 0.5 * noise
        arguments = self.arguments(p, timesteps[:t_enc])
        self.model_wrap_cfg.init_latent = x
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self.run(p, noised, t_enc + 1, *conds, **arguments)
