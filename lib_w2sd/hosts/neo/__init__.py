"""Haoming02's Forge Neo, seen with a copy of August 2026 (sd-webui-forge-neo-v3, 5692d2d).

Forge's calls, with other families of networks behind them (latents of five dimensions, texts of any length) and another
way of keeping LoRAs. What is asked of a signature is in the Forge class already.
"""

from modules import sd_samplers_common

from ..forge import Forge
from . import references

# What a CFG++ sampler has put into its calls' options to read the unconditional half; it guides nothing.
READ_ALONG = {"sampler_post_cfg_function", "disable_cfg1_optimization"}


class Neo(Forge):
    name = "neo"
    ABILITIES = {
        **Forge.ABILITIES,
        "lora": "neo.lora",
        "checkpoint": "neo.checkpoint:NeoCheckpoint",
        "architecture": "neo.second:NeoSecondModel",
    }
    RELIES_ON = Forge.RELIES_ON + (
        "modules.sd_samplers_common:apply_refiner(sigma)",
        "backend.patcher.base:ModelPatcher.add_patches(patches, strength_patch, strength_model, filename, online_mode)",
        "backend.patcher.base:ModelPatcher.patch_weight_to_device",
        "backend.patcher.base:LowVramPatch.__init__(key, patches)",
    )

    @classmethod
    def unguided(cls):
        return {**super().unguided(), "early_after": 1}

    @classmethod
    def before_encoding(cls, p):
        references.remember(p)

    def encode(self, built, texts, negative):
        with references.given_again(self.p):
            return super().encode(built, texts, negative)

    def apply_refiner(self, x, t):
        sd_samplers_common.apply_refiner(self.denoiser, x, self.sigma_of(t))

    def sigma_of(self, t):
        """The sigma of a call, of its first picture; timestep samplers name a timestep."""
        d = self.denoiser
        if not d.classic_ddim_eps_estimation:
            return t[0]
        abar = d.inner_model.inner_model.alphas_cumprod
        sigmas = ((1 - abar) / abar) ** 0.5
        return sigmas[t.round().long().clip(0, len(sigmas) - 1)][0]

    def checkpoint(self):
        """The refiner's too where the host has put its weights into the same network (option refiner_fast_sd)."""
        fast = getattr(sd_samplers_common, "ORIGINAL_CHECKPOINT", None) is not None
        refiner = getattr(self.p, "refiner_checkpoint_info", None)
        return refiner if fast and refiner is not None else super().checkpoint()

    def call(self, x, t, ask, own=False, whole=False):
        return super().call(x, t, ask if own else _without_reading_along(ask), own, whole)


def _without_reading_along(kwargs: dict) -> dict:
    options = kwargs.get("model_options")
    if not options or not set(options) <= READ_ALONG:
        return kwargs
    if not all("k_diffusion" in f.__module__ for f in options.get("sampler_post_cfg_function", ())):
        return kwargs
    return {name: value for name, value in kwargs.items() if name != "model_options"}
