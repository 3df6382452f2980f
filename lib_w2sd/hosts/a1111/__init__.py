"""AUTOMATIC1111's WebUI, seen with 1.10.1."""

import math
import sys

from modules import devices, sd_samplers_common, shared

from ...gaps.pipeline import EVERYTHING, OF_CONTROLNET
from ..sampling import isolation
from ..sampling.isolation.whose import is_a_hosts_own
from ..sampling.rows.one_kind import NEGATIVE, PROMPT, InOrder, answered
from ..sampling.webui import AFTER, BEFORE, GUIDED, Company, WebUI
from . import motion


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

    PARTS = (*OF_CONTROLNET, EVERYTHING)

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

    def call(self, x, t, ask, own=False, whole=False):
        with motion.prompted(ask["cond"], self.sampler.sampler_extra_args["cond"]):
            kept = None if own or whole else self.kind_that_counts(ask)
            if kept is None:
                return self.denoiser(x, t, **ask)
            parts = [len(parts) for parts in ask["cond"].batch]
            first = [sum(parts[:i]) for i in range(len(parts))]
            shape = (sum(parts) + len(parts), *x.shape[1:])
            return answered(self, lambda: self.denoiser(x, t, **ask), kept, InOrder(sum(parts)), first, shape)

    def kind_that_counts(self, ask: dict) -> "int | None":
        """The host always evaluates cond and uncond rows; where one of them counts for nothing it is left out.

        denoised = uncond + sum_i w_i * scale * (cond_i - uncond), so uncond counts unless scale * sum_i w_i = 1
        for every picture, and cond unless scale = 0. Not beside an extension that is told which is which; nor with
        InstructPix2Pix, where three kinds of rows count.
        """
        if self.company().tells_rows_apart or shared.sd_model.cond_stage_key == "edit":
            return None
        scale = ask["cond_scale"] * self.denoiser.cond_scale_miltiplier
        if scale == 0:
            return NEGATIVE
        alone = (math.isclose(scale * sum(part.weight for part in parts), 1.0) for parts in ask["cond"].batch)
        return PROMPT if all(alone) else None

    def unread(self):
        """The host hands image conditions to every checkpoint, of other rows where it has left some out."""
        model = shared.sd_model
        inpaints = model.model.conditioning_key != "crossattn" or getattr(model, "is_sdxl_inpaint", False)
        return frozenset() if inpaints else frozenset({"c_concat"})

    def company(self):
        guides = not is_a_hosts_own(self.denoiser.combine_denoised)
        apart = guides or self.listened_to(AFTER)
        return Company(guides, tells_rows_apart=apart, listens=self.listened_to(BEFORE, AFTER, GUIDED))


def _tensors(uncond) -> list:
    """The prompt tensors of an uncond, [tokens, width] each."""
    conds = [schedule.cond for schedules in uncond for schedule in schedules]
    return [cond["crossattn"] if isinstance(cond, dict) else cond for cond in conds]
