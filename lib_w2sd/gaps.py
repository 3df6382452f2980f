"""The gap: what differs between a strong and a weak evaluation of the same latent.

Five gaps, alone or together: guidance (another CFG scale), distilled guidance (another scale of the guidance that Flux
takes as an input), prompt (other conds), LoRA (other scales) and checkpoint (another UNet).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from .lora import tags, without_tags
from .settings import NEGATIVE_PROMPT, PROMPT, Settings


class Overlay(Protocol):
    """What is changed in the UNet around the evaluations of one side: other weights, a LoRA difference."""

    def as_dict(self) -> dict:
        """What the trace says of it, after the run."""

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
    distilled_cfg distilled guidance scale (paper, E.6)
    """

    cfg_scale: "float | None" = None
    cond: Any = None
    uncond: Any = None
    overlays: "tuple[Overlay, ...]" = ()
    distilled_cfg: "float | None" = None


def fill_in(text: str, prompts: list, negative_prompts: list) -> list:
    """`text` for each picture of a batch, with the placeholders replaced by the picture's own prompts."""
    return [
        # One pass each, so that a placeholder inside a picture's own prompt stays what it is.
        negative.join(part.replace(PROMPT, prompt) for part in text.split(NEGATIVE_PROMPT))
        for prompt, negative in zip(prompts, negative_prompts)
    ]


def has_prompt_gap(settings: Settings) -> "tuple[bool, bool]":
    """Whether the weak side's prompt, and its negative prompt, are others than the picture's."""
    return without_tags(settings.weak_prompt) != PROMPT, settings.weak_negative_prompt != NEGATIVE_PROMPT


def weak_lora_tags(settings: Settings) -> list:
    """The LoRAs that have a weak scale of their own; the field beside the offset has the last word."""
    return tags(settings.weak_prompt) + tags(settings.weak_loras)


def has_lora_gap(settings: Settings) -> bool:
    """Whether any LoRA scale may differ from the picture's own, on either side."""
    return bool(settings.weak_lora_offset or settings.strong_lora_offset or weak_lora_tags(settings))


def gap(
    settings: Settings, weak_cond=None, weak_uncond=None, weak_overlays: tuple = (), strong_overlays: tuple = ()
) -> "tuple[Side, Side]":
    """The strong and the weak side that the settings ask for."""
    return (
        Side(settings.strong_cfg, overlays=strong_overlays, distilled_cfg=settings.strong_distilled_cfg),
        Side(settings.weak_cfg, weak_cond, weak_uncond, weak_overlays, settings.weak_distilled_cfg),
    )


def without_effect(settings: Settings) -> list:
    """What the user asked for that cannot count, in words for the user."""
    weak_prompt, weak_negative = has_prompt_gap(settings)
    notes = []
    if weak_prompt and settings.weak_cfg == 0:
        notes.append("W2SD: the weak prompt has no effect at weak CFG 0, which asks for the negative prompt alone.")
    if weak_negative and settings.weak_cfg == 1:
        notes.append("W2SD: the weak negative prompt has no effect at weak CFG 1, which asks for the prompt alone.")
    if settings.weak_checkpoint_loras and not settings.weak_checkpoint:
        notes.append("W2SD: LoRAs on the weak checkpoint have no effect: no weak checkpoint is chosen.")
    return notes
