"""Panchovix' reForge, seen with main of March 2026. Haoming02's Forge Classic of February 2025 was only read.

Forge as it was before August 2024: its patcher and its options for extensions, on `ldm_patched` and A1111's denoiser.
"""

from contextlib import ExitStack, contextmanager

from modules import devices, shared

from ..forge import Forge
from ..sampling.isolation.swapped import swapped
from ..sampling.webui import WebUI


class ReForge(Forge):
    name = "reforge"
    ABILITIES = {"checkpoint": "reforge.checkpoint:ReForgeCheckpoint"}
    RELIES_ON = WebUI.RELIES_ON + (
        "ldm_patched.modules.samplers:sampling_function",
        "ldm_patched.modules.model_base:BaseModel.apply_model",
    )

    def is_flow(self):
        return self.unet().model_type.name.startswith(("FLOW", "FLUX"))

    def load_unet(self):
        from ldm_patched.modules import model_management

        model_management.load_models_gpu([shared.sd_model.forge_objects.unet])

    def combining(self):
        from ldm_patched.modules import samplers

        return [samplers.sampling_function]

    def cfg_scale(self, kwargs=None):
        return self.p.hr_cfg if self.has_hires_scale() else WebUI.cfg_scale(self, kwargs)

    def has_hires_scale(self) -> bool:
        """Forge Classic has none: there the hires pass has the picture's own."""
        return self.hires_pass and hasattr(self.p, "hr_cfg")

    def has_room(self, shape):
        from ldm_patched.modules import model_management

        unet = shared.sd_model.forge_objects.unet
        return unet.memory_required(list(shape)) < model_management.get_free_memory(unet.load_device)

    def encode(self, built, texts, negative):
        with devices.autocast():
            return WebUI.encode(self, built, texts, negative)

    def conds(self, kwargs, side):
        """The option "dynamic clip skip" has the denoiser take other conds than it is given: those of the step."""
        schedule = getattr(self.p, "dynamic_clip_skip_schedule", None)
        if schedule:
            clip_skip = schedule[min(self.denoiser.step, len(schedule) - 1)]
            cond, uncond = self.p.dynamic_clip_skip_sets.get(clip_skip) or (kwargs["cond"], kwargs["uncond"])
            kwargs = {**kwargs, "cond": cond, "uncond": uncond}
        return super().conds(kwargs, side)

    def call(self, x, t, ask, own=False, whole=False):
        with ExitStack() as stack:
            if not own:
                stack.enter_context(with_guidance())
            if getattr(self.p, "dynamic_clip_skip_schedule", None):
                stack.enter_context(swapped(self.p, "dynamic_clip_skip_schedule", None))
            return super().call(x, t, ask, own, whole)


@contextmanager
def with_guidance():
    """reForge's "negative guidance minimum sigma" is read from the options, whatever the denoiser is given."""
    options = getattr(shared.opts, "data", {})
    before = options.get("s_min_uncond")
    if not before:
        yield
        return
    options["s_min_uncond"] = 0.0
    try:
        yield
    finally:
        options["s_min_uncond"] = before
