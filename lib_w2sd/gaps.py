"""The gap: what differs between a strong and a weak evaluation of the same latent.

Two gaps so far, alone or together: guidance (another CFG scale) and prompt (other conds).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from .settings import NEGATIVE_PROMPT, PROMPT, Settings


class Overlay(Protocol):
    """What is changed in the UNet around the evaluations of one side: other weights, a LoRA difference."""

    def installed(self, unet) -> AbstractContextManager:
        """Around the use of one UNet in a sampling run: prepare, and in the end leave the UNet as it was."""

    def on(self) -> AbstractContextManager:
        """Around one evaluation; it is entered and left at every reflected step, so well under a millisecond."""


@dataclass(frozen=True)
class Side:
    """One side of a gap. None stands for what the sampling pass itself uses.

    cfg_scale     classifier-free guidance scale (paper, 4.2)
    cond, uncond  the host's own cond objects
    overlays      changes of the UNet, switched on around this side's evaluations
    """

    cfg_scale: "float | None" = None
    cond: Any = None
    uncond: Any = None
    overlays: "tuple[Overlay, ...]" = ()


def fill_in(text: str, prompts: list, negative_prompts: list) -> list:
    """`text` for each picture of a batch, with the placeholders replaced by the picture's own prompts."""
    return [
        # One pass each, so that a placeholder inside a picture's own prompt stays what it is.
        negative.join(part.replace(PROMPT, prompt) for part in text.split(NEGATIVE_PROMPT))
        for prompt, negative in zip(prompts, negative_prompts)
    ]


def has_prompt_gap(settings: Settings) -> "tuple[bool, bool]":
    """Whether the weak side's prompt, and its negative prompt, are others than the picture's."""
    return settings.weak_prompt != PROMPT, settings.weak_negative_prompt != NEGATIVE_PROMPT


def gap(settings: Settings, weak_cond=None, weak_uncond=None) -> "tuple[Side, Side]":
    """The strong and the weak side that the settings ask for."""
    return Side(settings.strong_cfg), Side(settings.weak_cfg, weak_cond, weak_uncond)


def without_effect(settings: Settings) -> list:
    """What the user asked for that cannot count, in words for the user."""
    weak_prompt, weak_negative = has_prompt_gap(settings)
    notes = []
    if weak_prompt and settings.weak_cfg == 0:
        notes.append("W2SD: the weak prompt has no effect at weak CFG 0, which asks for the negative prompt alone.")
    if weak_negative and settings.weak_cfg == 1:
        notes.append("W2SD: the weak negative prompt has no effect at weak CFG 1, which asks for the prompt alone.")
    return notes
