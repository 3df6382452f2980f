"""Haoming02's Forge Neo, seen with a copy of August 2026 (sd-webui-forge-neo-v3, 5692d2d).

Forge's calls, with other families of networks behind them (latents of five dimensions, texts of any length) and another
way of keeping LoRAs. What is asked of a signature is in the Forge class already.
"""

import torch
from modules import sd_samplers_common, shared

from ..forge import Forge
from ..sampling.swapped import swapped

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
        "backend.patcher.base:ModelPatcher.add_patches",
        "backend.patcher.base:ModelPatcher.patch_weight_to_device",
        "backend.patcher.base:LowVramPatch.__init__",
    )

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

    def call(self, x, t, ask, own=False):
        ask = ask if own else _without_reading_along(ask)
        if ask["cond_scale"] != 0 or ask.get("model_options") or self.company().tells_rows_apart:
            return super().call(x, t, ask, own)
        if shared.opts.skip_early_cond or ask["s_min_uncond"]:
            return self.with_scale(x, t, ask)  # under which the host may ask for the cond after all
        # Not the uncond in the cond's place, as on Forge: where both have a call in common the host repeats the shorter
        # text to the other's length, and a transformer answers something else then.
        unet = self.unet()
        with swapped(unet, "apply_model", uncond_alone(unet.apply_model)):
            return self.with_scale(x, t, ask)


def _without_reading_along(kwargs: dict) -> dict:
    options = kwargs.get("model_options")
    if not options or not set(options) <= READ_ALONG:
        return kwargs
    if not all("k_diffusion" in f.__module__ for f in options.get("sampler_post_cfg_function", ())):
        return kwargs
    return {name: value for name, value in kwargs.items() if name != "model_options"}


def uncond_alone(network):
    """`network` asked for its uncond rows only; the cond's, which count for nothing, are zeros."""

    def apply_model(x, t, **c):
        options = c["transformer_options"]
        rows = options["uncond_indices"]
        if not rows:
            return torch.zeros_like(x)
        if len(rows) == x.shape[0]:
            return network(x, t, **c)
        at, n = slice(rows[0], rows[-1] + 1), x.shape[0]
        told = {
            **options,
            "cond_or_uncond": [1],
            "cond_mark": options["cond_mark"][at],
            "cond_indices": [],
            "uncond_indices": list(range(len(rows))),
        }
        picked = {name: _rows(value, at, n) for name, value in c.items() if name != "transformer_options"}
        out = torch.zeros_like(x)
        out[at] = network(x[at], t[at], **picked, transformer_options=told)
        return out

    return apply_model


def _rows(value, at: slice, n: int):
    return value[at] if isinstance(value, torch.Tensor) and value.ndim and value.shape[0] == n else value
