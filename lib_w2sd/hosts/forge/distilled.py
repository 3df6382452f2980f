"""Scales that a network takes as an input: Flux' distilled guidance, a part of Forge's conds."""

import torch
from modules import shared

from ..sampling.prompts.conds import multicond


def has_distilled_guidance() -> bool:
    """Whether the loaded checkpoint takes a guidance scale as an input."""
    return bool(shared.sd_model.use_distilled_cfg_scale)


def with_inputs(ask: dict, inputs: dict) -> dict:
    """The denoiser's keywords with other scales in their conds. Set there they need no new encoding, and may be 0."""
    cond = multicond(
        [[(_scaled(part.schedules, inputs), part.weight) for part in parts] for parts in ask["cond"].batch]
    )
    uncond = ask["uncond"] and [_scaled(schedules, inputs) for schedules in ask["uncond"]]
    return {**ask, "cond": cond, "uncond": uncond}


def _scaled(schedules, inputs: dict):
    def put(cond):
        return {**cond, **{name: torch.full_like(cond[name], scale) for name, scale in inputs.items()}}

    return [s._replace(cond=put(s.cond)) for s in schedules]
