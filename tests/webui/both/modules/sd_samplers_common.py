import inspect

import k_diffusion.sampling
import torch
from modules import sd_models, shared
from modules.flavour import FORGE, NEO
from modules.shared import opts, state


class InterruptedException(BaseException):
    pass


class SamplerData:
    def __init__(self, name, constructor, options):
        self.name, self.constructor, self.options = name, constructor, options

    def total_steps(self, steps):
        return steps * 2 if self.options.get("second_order") else steps


def store_latent(decoded):
    state.current_latent = decoded
    state.previews += 1


def samples_to_images_tensor(sample, approximation=None, model=None):
    """From -1 to 1; the same for every way of decoding."""
    return sample[:, :3].tanh()


def setup_img2img_steps(p, steps=None):
    """Steps of the whole schedule, and where in it the picture enters."""
    if steps is not None or opts.img2img_fix_steps:
        wanted = steps or p.steps
        return int(wanted / min(p.denoising_strength, 0.999)), wanted - 1
    return p.steps, int(min(p.denoising_strength, 0.999) * p.steps)


class TorchWithSeeds:
    """k-diffusion's torch: the noise of each picture comes from its own seed."""

    def __init__(self, p):
        self.p = p

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn_like(self, x):
        return self.p.rng.next()


def _progress(denoiser, sigma):
    if FORGE or opts.refiner_switch_by_sample_steps:
        return denoiser.step / denoiser.total_steps
    schedule = getattr(denoiser.inner_model, "sigmas", None)
    timestep = sigma.max() if schedule is None else (schedule - sigma.max()).abs().argmin()
    return (999 - int(timestep)) / 1000


def apply_refiner(cfg_denoiser, sigma=None):
    """The refiner takes over inside a model call: other weights, and other conds for the calls that follow."""
    p = cfg_denoiser.p
    if p.refiner_checkpoint is None or _progress(cfg_denoiser, sigma) < p.refiner_switch_at:
        return False
    if shared.sd_model.sd_checkpoint_info.name == p.refiner_checkpoint:
        return False
    if p.enable_hr and (opts.hires_fix_refiner_pass == "second pass") != p.is_hr_pass:
        return False
    p.extra_generation_params["Refiner"] = p.refiner_checkpoint
    p.extra_generation_params["Refiner switch at"] = p.refiner_switch_at
    sd_models.load(p.refiner_checkpoint)
    p.setup_conds()
    cfg_denoiser.update_inner_model()
    return True


if NEO:
    _switched = apply_refiner

    def apply_refiner(cfg_denoiser, x, sigma):
        return _switched(cfg_denoiser, sigma)


class Sampler:
    def __init__(self, func):
        self.func = func
        self.config = self.last_latent = self.p = self.model_wrap_cfg = self.sampler_extra_args = None

    def callback_state(self, d):
        state.sampling_step = d["i"]

    def launch_sampling(self, steps, func):
        self.model_wrap_cfg.steps = steps
        self.model_wrap_cfg.total_steps = self.config.total_steps(steps)
        state.sampling_steps, state.sampling_step = steps, 0
        try:
            return func()
        except InterruptedException:
            return self.last_latent

    def initialize(self, p) -> dict:
        """Tell the denoiser of the picture; keywords for the sampling function, as far as it has them."""
        self.p = p
        d = self.model_wrap_cfg
        d.p, d.mask, d.nmask, d.step = p, p.mask, p.nmask, 0
        k_diffusion.sampling.torch = TorchWithSeeds(p)
        offers = {"eta": p.eta if p.eta is not None else self.default_eta, "s_churn": opts.s_churn}
        return {name: offers[name] for name in inspect.signature(self.func).parameters if name in offers}

    def run(self, p, x, steps, conditioning, unconditional_conditioning, image_conditioning, **arguments):
        self.last_latent = x
        self.sampler_extra_args = {
            "cond": conditioning,
            "image_cond": image_conditioning,
            "uncond": unconditional_conditioning,
            "cond_scale": p.cfg_scale,
            "s_min_uncond": opts.s_min_uncond,
        }

        def sample():
            return self.func(
                self.model_wrap_cfg,
                x,
                extra_args=self.sampler_extra_args,
                disable=True,
                callback=self.callback_state,
                **arguments,
            )

        return self.launch_sampling(steps, sample)
