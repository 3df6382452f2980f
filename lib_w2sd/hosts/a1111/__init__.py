"""AUTOMATIC1111's WebUI, seen with 1.10.1."""

import math
import sys

from modules import devices, sd_samplers_cfg_denoiser, sd_samplers_common, shared

from ..sampling import isolation
from ..sampling.conds import multicond, only_uncond
from ..sampling.swapped import swapped
from ..sampling.webui import ANSWERS, CALLS, Company, WebUI, listened_to
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

    def is_one_video(self):
        return bool(motion.layers(shared.sd_model.model.diffusion_model))

    def cfg_scale(self, kwargs=None):
        # The host multiplies by it, and a script may have put an object there that gives another number each time.
        return super().cfg_scale() if kwargs is None else isolation.used(kwargs["cond_scale"])

    def apply_refiner(self, x, t):
        sd_samplers_common.apply_refiner(self.denoiser, t)

    def has_room(self, shape):
        model = shared.sd_model
        # A UNet with a forward of its own is another extension's, which may count on the host's order of rows.
        plain = "forward" not in vars(model.model.diffusion_model)
        return shared.opts.batch_cond_uncond and plain and not getattr(model, "lowvram", False)

    def encode(self, built, texts, negative):
        with devices.autocast():
            conds = super().encode(built, texts, negative)
        # ControlNet (Mikubill's, 1.1) writes into each cond whether it is a prompt or a negative one, before this hook.
        controlnet = sys.modules.get("scripts.hook")
        own = self.p.hr_uc if self.hires_pass else self.p.uc
        if controlnet and any(map(controlnet.prompt_context_is_marked, _tensors(own))):
            controlnet.mark_prompt_context(conds, positive=not negative)
        return conds

    def call(self, x, t, ask, own=False):
        with motion.prompted(ask["cond"], self.sampler.sampler_extra_args["cond"]):
            return self.denoiser(x, t, **ask) if own else self.rows_that_count(x, t, ask)

    def rows_that_count(self, x, t, ask):
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

    def rows_are_separable(self):
        """Not beside an extension that is told which is which; nor with InstructPix2Pix, where three kinds of rows
        count, nor with inpainting and image variation checkpoints, whose image conditions the host does not shorten
        along with the rows."""
        if self.company().tells_rows_apart:
            return False
        model = shared.sd_model
        return model.cond_stage_key != "edit" and model.model.conditioning_key == "crossattn"

    def company(self):
        host = sd_samplers_cfg_denoiser.CFGDenoiser
        guides = type(self.denoiser).combine_denoised is not host.combine_denoised
        before, after = listened_to(*CALLS, is_idle=motion.is_idle), listened_to(ANSWERS, is_idle=motion.is_idle)
        return Company(guides, tells_rows_apart=before or guides, listens=before or after)


def _scaled(cond, scale):
    return multicond([[(part.schedules, part.weight * scale) for part in parts] for parts in cond.batch])


def _tensors(uncond) -> list:
    """The prompt tensors of an uncond, [tokens, width] each."""
    conds = [schedule.cond for schedules in uncond for schedule in schedules]
    return [cond["crossattn"] if isinstance(cond, dict) else cond for cond in conds]
