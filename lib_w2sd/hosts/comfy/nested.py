"""The weak guider opened within the strong one's sampling: its model loaded, its conds prepared for this latent, by the
host itself, through its own sample(), which is given a sampler that runs the strong one's."""

import contextlib
import copy
import functools

import comfy.k_diffusion.sampling
import comfy.model_management
import comfy.samplers
from comfy.model_patcher import create_model_options_clone
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP

from ...errors import SamplerError, SettingError
from ...method import sampling
from ...method.trace import Trace
from ...page.settings import BY_NAME
from .sides import KEY, GuiderSides, Side

# Caches of the host's own that go by the order of calls
REMEMBERS = {"easycache": "EasyCache or LazyCache"}


def check_sampler(sampler) -> None:
    if not callable(getattr(sampler, "sampler_function", None)):
        raise SamplerError(
            f"W2SD: sampler was given {type(sampler).__name__}, which is no function of k-diffusion's kind; allowed "
            "are KSamplerSelect's and those of the nodes Sampler..."
        )


def reflected(sampler, weak, settings, strong, sigmas, extra_args, callback, noise, latent, mask, disable_pbar):
    """What `sampler` makes of all that its sample() was given, pushed from `weak`.

    strong, weak  guiders; the strong one is open
    """
    if len(sigmas) < 2 or not settings.acts_in(False):
        return sampler.sample(strong, sigmas, extra_args, callback, noise, latent, mask, disable_pbar)
    check_sampler(sampler)
    weak = beside(strong, weak)
    check_fit(strong, weak)
    if settings.measure and not (has_one_scale(strong) and strong.original_conds.get("negative")):
        BY_NAME["measure"].refuse(True, ", with a guider without CFG scale or negative prompt (where allowed is false)")
    given = (sigmas, extra_args, callback, noise, latent, mask, disable_pbar)
    nested = Nested(sampler, settings, strong, given)
    if latent is not None and latent.any():
        latent = strong.inner_model.process_latent_out(latent)  # the weak guider does the reverse
    weak.sample(noise, latent, nested, sigmas, denoise_mask=mask, disable_pbar=True, seed=extra_args.get("seed"))
    return nested.result


class Nested(comfy.samplers.Sampler):
    """The weak guider's sampler: while that is open, the strong one's `sampler` runs with both.

    given  what the strong one's was to be called with
    """

    def __init__(self, sampler, settings, strong, given: tuple):
        self.sampler, self.settings, self.strong, self.given = sampler, settings, strong, given

    def sample(
        self, weak, sigmas, weak_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        if self.settings.weak_alone:
            Trace.last = Trace(said="Drawn with the weak version alone: nothing was improved.")
            callback, disable_pbar = self.given[2], self.given[-1]
            given = (sigmas, weak_args, callback, noise, latent_image, denoise_mask, disable_pbar)
            self.result = self.sampler.sample(weak, *given)
        else:
            self.result = self._both(weak, {**weak_args, "denoise_mask": denoise_mask}, noise.shape)
        return self.result

    def _both(self, weak, weak_args: dict, shape):
        trace, strong_args = Trace(), self.given[1]

        @contextlib.contextmanager
        def open_sides(model, arguments):
            weak_model = copy.copy(model)
            weak_model.inner_model = weak
            strong = Side(self.strong, model, strong_args)
            sides = GuiderSides(self.settings, strong, Side(weak, weak_model, weak_args), shape)
            try:
                yield sides
            finally:
                sides.close()

        def reflecting(func):
            return sampling.reflecting(func, self.settings, open_sides, functools.partial(trace.add, name="sampling"))

        one = copy.copy(self.sampler)
        one.sampler_function = function_of(self.sampler.sampler_function, reflecting)
        try:
            return one.sample(self.strong, *self.given)
        except comfy.model_management.InterruptProcessingException:
            for run in trace.passes:
                run.ended = "interrupted"
            raise


def function_of(func, reflecting):
    """`func`, a sampler's function here, as `reflecting` makes it: of one that knows k-diffusion's names of arguments.

    DPM fast and DPM adaptive are hidden in functions that work their arguments out of the schedule.
    """
    known = comfy.k_diffusion.sampling
    if func.__name__ == "dpm_fast_function":
        inner = reflecting(known.sample_dpm_fast)
        return lambda model, x, sigmas, **more: inner(model, x, _lowest(sigmas), sigmas[0], len(sigmas) - 1, **more)
    if func.__name__ == "dpm_adaptive_function":
        inner = reflecting(known.sample_dpm_adaptive)
        return lambda model, x, sigmas, **more: inner(model, x, _lowest(sigmas), sigmas[0], **more)
    if func.__name__ in ("sample_unipc", "sample_unipc_bh2"):

        def sample_unipc(model, x, sigmas, extra_args=None, callback=None, disable=None):
            return func(model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable)

        return reflecting(sample_unipc)
    return reflecting(func)


def _lowest(sigmas):
    return sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]


# ---------------------------------------------------------------- the two beside each other


def beside(strong, weak):
    """A copy of the weak guider that may be open while the strong one is: nodes of equal inputs hand out one object."""
    weak, one_model = copy.copy(weak), weak.model_patcher.model is strong.model_patcher.model
    if one_model or weak.model_patcher.get_wrappers(WrappersMP.SAMPLER_SAMPLE, KEY):
        # Hooks stand in a patcher; those of two open guiders in one would overwrite each other.
        options = weak.model_patcher.model_options
        weak.model_patcher = weak.model_patcher.clone()
        # A clone has copies of the objects in them (IP-Adapter's patches), and would not be like its original.
        weak.model_patcher.model_options = create_model_options_clone(options)
        weak.model_patcher.remove_wrappers_with_key(WrappersMP.SAMPLER_SAMPLE, KEY)
    if not one_model:
        # What a ControlNet prepares for a run is for one model.
        copies = {}
        weak.original_conds = {
            key: [
                {**cond, "control": copied_control(cond["control"], copies)} if "control" in cond else cond
                for cond in conds
            ]
            for key, conds in weak.original_conds.items()
        }
    return weak


def copied_control(control, copies: dict):
    if control not in copies:
        copies[control] = one = control.copy()
        if control.previous_controlnet is not None:
            one.set_previous_controlnet(copied_control(control.previous_controlnet, copies))
    return copies[control]


def has_one_scale(guider) -> bool:
    """Whether its `cfg` is how it puts prompt and negative prompt together."""
    return type(guider).set_cfg is comfy.samplers.CFGGuider.set_cfg


def check_fit(strong, weak) -> None:
    """Raises SettingError where the two cannot meet in one latent."""
    for guider in (strong, weak):
        for name, called in REMEMBERS.items():
            if name in guider.model_options.get("transformer_options", {}):
                raise SettingError(f"W2SD: the model was given with {called}; allowed is one of the two.")
    check_latents(strong.model_patcher, weak.model_patcher)
    flows = [isinstance(guider.model_patcher.get_model_object("model_sampling"), CONST) for guider in (strong, weak)]
    if flows[0] != flows[1]:
        kinds = ["a flow" if flow else "noise" for flow in flows]
        raise SettingError(
            f"W2SD: the weak model was given, which predicts {kinds[1]}; allowed is what predicts {kinds[0]}, as the "
            "sampled one."
        )


def check_latents(strong, weak) -> None:
    """Raises SettingError where the latents of two ModelPatchers are of different kinds."""
    ours, theirs = (patcher.get_model_object("latent_format") for patcher in (strong, weak))
    if type(ours) is not type(theirs):
        raise SettingError(
            f"W2SD: the weak model was given with latents of {type(theirs).__name__}; allowed are those of the sampled "
            f"one, {type(ours).__name__}."
        )
