"""AUTOMATIC1111's WebUI, seen with 1.10.1."""

import math
import sys
from contextlib import contextmanager

from modules import devices, prompt_parser, sd_samplers_cfg_denoiser, sd_samplers_common, shared

from ..sampling.conds import multicond, only_uncond
from ..sampling.sampling_pass import WebUI
from ..sampling.swapped import swapped
from . import motion


class _EveryOther(int):
    """The step counter of a call that the host may answer from the cond rows alone.

    The host drops the uncond rows where `step % 2` and sigma is under s_min_uncond (its "NGMS"); everything else
    that it does with the counter has to stay as it is.
    """

    def __mod__(self, other):
        return 1


class A1111(WebUI):
    name = "a1111"
    ABILITIES = {
        "lora": "a1111.lora",
        "checkpoint": "a1111.checkpoint:A1111Checkpoint",
        "pipeline": "a1111.pipeline:WithoutUnits",
    }
    RELIES_ON = WebUI.RELIES_ON + (
        "modules.sd_samplers_cfg_denoiser:CFGDenoiser.combine_denoised",
        "modules.sd_models_xl:apply_model",
        "modules.devices:autocast",
    )

    @classmethod
    def refusal(cls, p):
        return motion.refusal(p)

    def unet(self):
        return shared.sd_model

    def is_flow(self):
        return bool(getattr(shared.sd_model, "is_sd3", False))

    def is_idle(self, listener):
        return motion.is_idle(listener)

    def is_one_video(self):
        return bool(motion.layers(shared.sd_model.model.diffusion_model))

    def apply_refiner(self, x, t):
        sd_samplers_common.apply_refiner(self.denoiser, t)

    def has_room(self, shape):
        model = shared.sd_model
        # A UNet with a forward of its own is another extension's, which may count on the host's order of rows.
        plain = "forward" not in vars(model.model.diffusion_model)
        return shared.opts.batch_cond_uncond and plain and not getattr(model, "lowvram", False)

    def conditioning(self, texts, negative):
        p = self.p
        size = (p.hr_upscale_to_x, p.hr_upscale_to_y) if self.hires_pass else (p.width, p.height)
        return prompt_parser.SdConditioning(texts, is_negative_prompt=negative, width=size[0], height=size[1])

    def encode(self, texts, negative, model=None):
        with devices.autocast():
            conds = super().encode(texts, negative, model)
        # ControlNet (Mikubill's, 1.1) writes into each cond whether it is a prompt or a negative one, before this hook.
        controlnet = sys.modules.get("scripts.hook")
        own = self.p.hr_uc if self.hires_pass else self.p.uc
        if controlnet and any(map(controlnet.prompt_context_is_marked, _tensors(own))):
            controlnet.mark_prompt_context(conds, positive=not negative)
        return conds

    def call(self, x, t, ask):
        """The host always evaluates cond and uncond rows; where one of them counts for nothing it is left out.

        denoised = uncond + sum_i w_i * scale * (cond_i - uncond), so uncond counts unless scale * sum_i w_i = 1
        for every picture, and cond unless scale = 0.
        """
        d = self.denoiser
        scale = ask["cond_scale"] * d.cond_scale_miltiplier
        only = None
        if self.rows_are_separable():
            if scale == 0:
                only = only_uncond(ask["uncond"])
            elif all(math.isclose(scale * sum(part.weight for part in parts), 1.0) for parts in ask["cond"].batch):
                only = _scaled(ask["cond"], scale)
        if only is None:
            return d(x, t, **ask)
        with swapped(d, "step", _EveryOther(d.step)):
            return d(x, t, **{**ask, "cond": only, "s_min_uncond": math.inf})

    def step_call(self, x, t, ask):
        return self.denoiser(x, t, **ask)

    @contextmanager
    def switched_on(self, side):
        own = self.sampler.sampler_extra_args["cond"]
        with super().switched_on(side), motion.prompted(side.cond, own):
            yield

    def rows_are_separable(self):
        """Not beside an extension that is told which is which; nor with InstructPix2Pix, where three kinds of rows
        count, nor with inpainting and image variation checkpoints, whose image conditions the host does not shorten
        along with the rows."""
        if self.rows_are_told_apart():
            return False
        model = shared.sd_model
        return model.cond_stage_key != "edit" and model.model.conditioning_key == "crossattn"

    def guidance_is_another_extensions(self):
        host = sd_samplers_cfg_denoiser.CFGDenoiser
        return type(self.denoiser).combine_denoised is not host.combine_denoised


def _scaled(cond, scale):
    return multicond([[(part.schedules, part.weight * scale) for part in parts] for parts in cond.batch])


def _tensors(uncond) -> list:
    """The prompt tensors of an uncond, [tokens, width] each."""
    conds = [schedule.cond for schedules in uncond for schedule in schedules]
    return [cond["crossattn"] if isinstance(cond, dict) else cond for cond in conds]
