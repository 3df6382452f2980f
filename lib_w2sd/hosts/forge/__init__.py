"""lllyasviel's Forge, seen with commit dfdcbab6 (June 2025), and its forks that keep its shape: ersatzForge, seen with
commit fca12a2 (August 2026), and chromaforge, which was only read (bce26ac, August 2026)."""

import sys
from contextlib import contextmanager, nullcontext

from modules import prompt_parser, sd_samplers_cfg_denoiser, sd_samplers_common, shared

from ...method.rows import HOSTS_OWN
from ..sampling import isolation
from ..sampling.isolation.swapped import swapped
from ..sampling.isolation.whose import is_a_hosts_own
from ..sampling.rows.one_kind import NEGATIVE, PROMPT, answered, in_chunks
from ..sampling.webui import AFTER, BEFORE, GUIDED, Company, WebUI
from .distilled import with_inputs

# What an extension puts into the UNet's options to guide in its own way.
GUIDANCE = (
    "sampler_pre_cfg_function",
    "sampler_cfg_function",
    "sampler_post_cfg_function",
    "conditioning_modifiers",
    "sampler_calc_cond_batch_function",  # reForge
    "apg_enabled",  # chromaforge
)


class Forge(WebUI):
    name = "forge"
    ABILITIES = {
        "lora": "forge.lora",
        "checkpoint": "forge.checkpoint:ForgeCheckpoint",
        "distilled": "forge.distilled:has_distilled_guidance",
        "pipeline": "forge.pipeline:WithoutParts",
        "architecture": "forge.second:SecondModel",
    }
    skips_uncond = True
    RELIES_ON = WebUI.RELIES_ON + (
        "backend.sampling.sampling_function:sampling_function",
        "backend.modules.k_model:KModel.apply_model",
        "backend.modules.k_prediction:AbstractPrediction.__init__",
    )

    @classmethod
    def pairs(cls):
        return super().pairs() - {1.0}  # the host leaves the negative prompt's out by itself

    def unet(self):
        return shared.sd_model.forge_objects.unet.model

    def is_flow(self):
        return self.unet().predictor.prediction_type == "const"

    def load_unet(self, shape=None):
        from backend import memory_management

        unet = shared.sd_model.forge_objects.unet
        models = [unet, *unet.extra_model_patchers_during_sampling]
        if unet.controlnet_linked_list is not None:
            models += unet.controlnet_linked_list.get_models()
        needed = {} if shape is None else {"memory_required": unet.memory_required([2 * shape[0], *shape[1:]])}
        memory_management.load_models_gpu(models, **needed)

    def cfg_scale(self, kwargs=None):
        # The host's denoiser does not look at cond_scale in the hires pass.
        return isolation.plain(self.p.hr_cfg) if self.hires_pass else super().cfg_scale(kwargs)

    def apply_refiner(self, x, t):
        sd_samplers_common.apply_refiner(self.denoiser, x)

    def company(self):
        unet = shared.sd_model.forge_objects.unet
        options = unet.model_options
        guides = any(options.get(name) for name in GUIDANCE) or not all(map(is_a_hosts_own, self.combining()))
        patched = set(options.get("transformer_options") or ()) - HOSTS_OWN or options.get("model_function_wrapper")
        apart = bool(patched) or unet.controlnet_linked_list is not None or guides or self.listened_to(AFTER)
        listens = self.listened_to(BEFORE, AFTER, GUIDED)
        return Company(guides, tells_rows_apart=apart, listens=listens, reads_along=guides and bool(patched))

    def combining(self) -> list:
        """The host's functions that put cond and uncond together."""
        from backend.sampling import sampling_function as own

        named = [getattr(where, "sampling_function", None) for where in (own, sd_samplers_cfg_denoiser)]
        return [f for f in (*named, getattr(own, "sampling_function_inner", None)) if f is not None]

    def has_room(self, shape):
        from backend import memory_management

        unet = shared.sd_model.forge_objects.unet
        return unet.memory_required(shape) < memory_management.get_free_memory(unet.load_device)

    def encode(self, built, texts, negative):
        (width, height), p = self.size, self.p
        distilled = p.hr_distilled_cfg if self.hires_pass else p.distilled_cfg_scale
        return built(
            prompt_parser.SdConditioning(
                texts, is_negative_prompt=negative, width=width, height=height, distilled_cfg_scale=distilled
            )
        )

    def conds(self, kwargs, side):
        found = super().conds(kwargs, side)
        return with_inputs(found, side.inputs) if side.inputs else found

    def call(self, x, t, ask, own=False, whole=False):
        """At CFG 1 the host leaves the uncond rows out by itself; at CFG 0 they alone are asked for.

        Where both have a call in common, the host repeats the shorter text to the other's length: a prompt is asked for
        as it is beside its negative prompt, if the picture's own calls have one.
        """
        company, own_scale, scale = self.company(), self.cfg_scale(), ask["cond_scale"]
        weighted = any(sum(part.weight for part in parts) != 1 for parts in ask["cond"].batch)
        alone = not whole and not company.tells_rows_apart and not ask.get("model_options")
        if scale == 0 and alone and not (own and self.may_leave_out(ask)):
            return self.of_one_kind(x, t, ask, NEGATIVE)
        if scale == 1 and alone and not weighted and own_scale != 1 and not own:
            options = shared.sd_model.forge_objects.unet.model_options
            with put(options, "disable_cfg1_optimization", True):
                return self.of_one_kind(x, t, ask, PROMPT)
        if scale == 1 and (weighted or (company.guides and own_scale != 1)):
            # Weights of AND, or another extension's guidance: the uncond counts even at CFG 1, and the host would take
            # it for zero.
            ask = {
                **ask,
                "cond_scale": 1 + 1e-6,
                "uncond": self.prompts.uncond() if ask["uncond"] is None else ask["uncond"],
            }
        return self.with_scale(x, t, ask)

    def may_leave_out(self, ask: dict) -> bool:
        """Whether an option of the host's may leave the negative prompt out of this call."""
        return bool(shared.opts.skip_early_cond or ask["s_min_uncond"])

    def of_one_kind(self, x, t, ask, kept: int):
        return answered(self, lambda: self.with_scale(x, t, ask), kept, in_chunks, list(range(len(x))))

    def with_scale(self, x, t, ask):
        """The host's own call, at the scale asked for in the hires pass too."""
        with swapped(self.p, "hr_cfg", ask["cond_scale"]) if self.hires_pass else nullcontext():
            return self.denoiser(x, t, **ask)


@contextmanager
def put(options: dict, name: str, value):
    """Within, the option has the value."""
    before = dict(options)
    options[name] = value
    try:
        yield
    finally:
        options.clear()
        options.update(before)


def momentum() -> list:
    """chromaforge's adaptive projected guidance keeps a running average of what it has seen."""
    guidance = sys.modules.get("backend.sampling.apg")
    buffer = getattr(guidance.get_apg_context(), "buffer", None) if guidance else None
    return [] if buffer is None else [buffer]


def options() -> list:
    """What extensions have put there is called with the network: ControlLLLite counts its calls, layer by layer."""
    return [shared.sd_model.forge_objects.unet.model_options]


Forge.KEEPS = (momentum, options)
