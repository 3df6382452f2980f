"""W2SD (sampler), W2SD (model), W2SD (last run). Settings, words and limits are page/settings' own."""

import copy
import math

import comfy.samplers
from comfy.patcher_extension import WrappersMP

from ...errors import SettingError
from ...page.settings import BY_NAME, parse
from . import last_run
from .nested import check_latents, check_sampler, has_one_scale, reflected
from .sides import KEY
from .widgets import COMMON, NO_PRESET, PRESETS, SCALES, needed_by, widgets


class ReflectingSampler(comfy.samplers.Sampler):
    def __init__(self, sampler, weak, settings):
        self.sampler, self.weak, self.settings = sampler, weak, settings

    def sample(self, model_wrap, *args, **kwargs):
        return _reflected(self.sampler, self.weak, self.settings, model_wrap, *args, **kwargs)


def _reflected(
    sampler,
    weak,
    settings,
    model_wrap,
    sigmas,
    extra_args,
    callback,
    noise,
    latent_image=None,
    denoise_mask=None,
    disable_pbar=False,
):
    given = (sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar)
    return reflected(sampler, weak, settings, model_wrap, *given)


class Sampler:
    """W2SD (sampler): for SamplerCustomAdvanced, whose guider is the strong side."""

    CATEGORY, FUNCTION, RETURN_TYPES = "sampling/custom_sampling/W2SD", "sampler", ("SAMPLER",)
    DESCRIPTION = (
        "Pushes the first steps from a weak version of your model towards the good one. The good one is the guider of "
        "SamplerCustomAdvanced, the weak one this guider: another CFG scale, prompt, LoRA, checkpoint, no ControlNet."
    )

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"sampler": ("SAMPLER",), "weak_guider": ("GUIDER",), **widgets(*COMMON)}}

    def sampler(self, sampler, weak_guider, **given):
        if isinstance(sampler, ReflectingSampler):
            raise SettingError("W2SD: sampler was given one with W2SD; allowed is one without.")
        check_sampler(sampler)
        return (ReflectingSampler(sampler, weak_guider, parse([{"enabled": True, **given}])),)


class Model:
    """W2SD (model): for every node that samples, KSampler too."""

    CATEGORY, FUNCTION, RETURN_TYPES = "sampling/custom_sampling/W2SD", "model", ("MODEL",)
    DESCRIPTION = (
        "Pushes the first steps from a weak version of your model towards the good one, whichever node samples. The "
        "weak version has weak_cfg, and what is connected here: another model (checkpoint, LoRA), other conditioning."
    )

    @classmethod
    def INPUT_TYPES(cls):
        about = {"default": NO_PRESET, "tooltip": "Any but none takes the place of what it names below."}
        return {
            "required": {
                "model": ("MODEL",),
                "preset": ([NO_PRESET, *PRESETS], about),
                **widgets(*SCALES, *COMMON),
            },
            "optional": {
                "weak_model": ("MODEL", {"tooltip": "The weak version's; yours without."}),
                "weak_positive": ("CONDITIONING", {"tooltip": "The weak version's; yours without."}),
                "weak_negative": ("CONDITIONING", {"tooltip": "The weak version's; yours without."}),
            },
        }

    def model(self, model, preset, weak_model=None, weak_positive=None, weak_negative=None, **given):
        if preset != NO_PRESET:
            given.update({name: value for name, value in PRESETS[preset].fields.items() if name in given})
            needed = needed_by(preset)
            if needed and {"weak_model": weak_model, "weak_positive": weak_positive}[needed] is None:
                raise SettingError(f"W2SD: preset was given {preset!r}; allowed is that with {needed} connected.")
        if weak_model is not None:
            check_weak(model, weak_model, weak_positive=weak_positive, weak_negative=weak_negative)
        weak = Weak(weak_model, weak_positive, weak_negative, parse([{"enabled": True, **given}]))
        made = model.clone()
        made.remove_wrappers_with_key(WrappersMP.SAMPLER_SAMPLE, KEY)
        made.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, weak.around)
        return (made,)


def check_weak(model, weak_model, **conds) -> None:
    """Raises SettingError for a weak ModelPatcher whose latents are others, or which cannot read the model's text.

    conds  of its own, by the names of their inputs; None for one that is not connected
    """
    check_latents(model, weak_model)
    # ComfyUI derives a variant (for inpainting, of another size) of what it varies: those read the same.
    ours, theirs = (type(patcher.model.model_config) for patcher in (model, weak_model))
    missing = [name for name, given in conds.items() if given is None]
    if missing and not issubclass(ours, theirs) and not issubclass(theirs, ours):
        raise SettingError(
            f"W2SD: {missing[0]} was given nothing, with a weak_model of another kind ({theirs.__name__}, not "
            f"{ours.__name__}), which does not read your text; allowed is its own text encoder's."
        )


class Weak:
    """The weak side as it differs from whatever guider samples."""

    def __init__(self, model, positive, negative, settings):
        self.patcher, self.settings = model, settings
        self.conds = {"positive": positive, "negative": negative}

    def around(self, executor, model_wrap, *args, **kwargs):
        """In the place of the sampling node's sampler."""
        sampler = executor.class_obj
        if isinstance(sampler, ReflectingSampler):
            raise SettingError("W2SD: both W2SD (model) and W2SD (sampler) were given; allowed is one of the two.")
        if not self.settings.acts_in(False):
            return executor(model_wrap, *args, **kwargs)
        rest = Continued(executor, sampler)
        return _reflected(rest, self.of(model_wrap), self.settings, model_wrap, *args, **kwargs)

    def of(self, strong):
        """The weak guider beside a strong one."""
        weak = copy.copy(strong)
        weak.model_patcher = self.patcher or strong.model_patcher
        weak.model_options = weak.model_patcher.model_options
        weak.original_conds = dict(strong.original_conds)
        weak.inner_set_conds({key: conds for key, conds in self.conds.items() if conds is not None})
        if not has_one_scale(weak):
            raise SettingError(
                f"W2SD (model) was given a {type(strong).__name__}, which has no single CFG scale; allowed are those "
                "with one. W2SD (sampler) takes any."
            )
        for name, scale in (("weak_cfg", self.settings.weak_cfg), ("strong_cfg", self.settings.strong_cfg)):
            if scale not in (None, 1.0) and not weak.original_conds.get("negative"):
                BY_NAME[name].refuse(scale, ", with a guider without a negative prompt (there allowed is 1)")
        weak.set_cfg(self.settings.weak_cfg)
        return weak


class Continued:
    """The sampler as the next wrapper has it."""

    def __init__(self, executor, sampler):
        self.executor, self.sampler = executor, sampler

    @property
    def sampler_function(self):
        return getattr(self.sampler, "sampler_function", None)

    @sampler_function.setter
    def sampler_function(self, func):
        self.sampler = copy.copy(self.sampler)
        self.sampler.sampler_function = func

    def sample(self, *args, **kwargs):
        following = copy.copy(self.executor)
        following.original, following.class_obj = self.sampler.sample, self.sampler
        return following(*args, **kwargs)


class LastRun:
    """W2SD (last run)"""

    CATEGORY, FUNCTION = "sampling/custom_sampling/W2SD", "last_run"
    RETURN_TYPES = ("LATENT", "IMAGE", "STRING")
    RETURN_NAMES = ("latent", "plots", "words")
    OUTPUT_NODE = True
    DESCRIPTION = "What W2SD did in the latest run: its time, steps, the push as a CFG scale, and plots of it."

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"latent": ("LATENT", {"tooltip": "What was sampled; it is handed on as it is."})}}

    @classmethod
    def IS_CHANGED(cls, **kwargs):
        return math.nan

    def last_run(self, latent):
        words = last_run.words()
        return {"ui": {"text": (words,)}, "result": (latent, last_run.image(), words)}


NODE_CLASS_MAPPINGS = {"W2SDSampler": Sampler, "W2SDModel": Model, "W2SDLastRun": LastRun}
NODE_DISPLAY_NAME_MAPPINGS = {
    "W2SDSampler": "W2SD (sampler)",
    "W2SDModel": "W2SD (model)",
    "W2SDLastRun": "W2SD (last run)",
}
