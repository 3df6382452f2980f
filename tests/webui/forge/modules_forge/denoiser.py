import torch
from backend.sampling.sampling_function import sampling_function
from modules import prompt_parser, sd_samplers_common
from modules.flavour import NEO
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoiserParams,
    cfg_after_cfg_callback,
    cfg_denoiser_callback,
)
from modules.shared import opts, state


class CFGDenoiser(torch.nn.Module):
    """Timestep samplers are served in k-diffusion's coordinates, and get eps back."""

    timesteps = False

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler
        self.p = self.model_wrap = self.mask = self.nmask = self.init_latent = None
        self.steps = self.total_steps = self.last_noise_uncond = self.image_cfg_scale = None
        self.step = 0
        self.need_last_noise_uncond = self.padded_cond_uncond = self.padded_cond_uncond_v0 = False

    def update_inner_model(self):
        self.model_wrap = None
        extra_args = self.sampler.sampler_extra_args
        extra_args["cond"], extra_args["uncond"] = self.p.get_conds()

    def scale(self, sigma, cond_scale, s_min_uncond):
        if self.p.is_hr_pass:
            cond_scale = self.p.hr_cfg
        done = self.step / self.total_steps
        if opts.skip_early_cond and (done > 0 or not NEO) and done <= opts.skip_early_cond:
            self.p.extra_generation_params["Skip Early CFG"] = opts.skip_early_cond
            return 1.0
        if (self.step % 2 or opts.s_min_uncond_all) and 0 < s_min_uncond and sigma[0] < s_min_uncond:
            self.p.extra_generation_params["NGMS"] = s_min_uncond
            return 1.0
        return cond_scale

    def noisy_original(self, sigma):
        predictor = self.inner_model.inner_model.forge_objects.unet.model.predictor
        noise = torch.randn_like(self.init_latent)  # new in every call, from the global generator
        return predictor.noise_scaling(sigma, noise, self.init_latent)

    def denoised(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond, **more):
        if state.interrupted or state.skipped:
            raise sd_samplers_common.InterruptedException
        if self.timesteps:
            abar = self.inner_model.inner_model.alphas_cumprod[sigma.round().long()]
            sigma = ((1 - abar) / abar) ** 0.5
            x = x * ((1 + sigma**2) ** 0.5)[:, None, None, None]
        if sd_samplers_common.apply_refiner(self, *((x, sigma[0]) if NEO else (x,))):
            cond, uncond = (self.sampler.sampler_extra_args[name] for name in ("cond", "uncond"))
        composition, text_cond = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        text_uncond = None if uncond is None else prompt_parser.reconstruct_cond_batch(uncond, self.step)
        if self.mask is not None:
            x = x * self.nmask + self.noisy_original(sigma) * self.mask

        params = CFGDenoiserParams(
            x=x,
            image_cond=image_cond,
            sigma=sigma,
            sampling_step=state.sampling_step,
            total_sampling_steps=state.sampling_steps,
            text_cond=text_cond,
            text_uncond=text_uncond,
            denoiser=self,
        )
        cfg_denoiser_callback(params)
        scale = self.scale(sigma, cond_scale, s_min_uncond)
        ask = {"cond_scale": scale, "cond_composition": composition, **more}
        denoised, _, of_uncond = sampling_function(self, params, **ask)
        if self.need_last_noise_uncond:
            self.last_noise_uncond = (x - of_uncond) / sigma[:, None, None, None]
        if self.mask is not None:
            denoised = denoised * self.nmask + self.init_latent * self.mask

        self.sampler.last_latent = denoised
        sd_samplers_common.store_latent(denoised)
        after = AfterCFGCallbackParams(x=denoised)
        cfg_after_cfg_callback(after)
        self.step += 1
        return (x - after.x) / sigma[:, None, None, None] if self.timesteps else after.x
