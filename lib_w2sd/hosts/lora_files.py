"""What the hosts have in common about LoRAs: the files that they know, and the gap that the settings make of them."""

import sys
from contextlib import AbstractContextManager
from typing import NamedTuple

from .. import lora
from ..errors import SettingError
from ..gaps import has_lora_gap, weak_lora_tags


def networks():
    """The module of the host's built-in LoRA extension, None where that is switched off."""
    return sys.modules.get("networks")


def find(name: str) -> "str | None":
    """The file of the LoRA that a prompt means by `name`, None if there is none."""
    host = networks()
    if not host:
        return None

    def entry():
        by_name = name.lower() in host.forbidden_network_aliases  # an alias that several files claim
        return (host.available_networks if by_name else host.available_network_aliases).get(name)

    if entry() is None:
        host.list_available_networks()
    found = entry()
    return found and found.filename


def names() -> list:
    return sorted(networks().available_networks) if networks() else []


class LoraGap(NamedTuple):
    """What the settings make of the LoRAs.

    strong, weak   overlays of the two sides
    on_checkpoint  the weak side's Uses, to be merged into a weak checkpoint; `weak` is then empty
    text_encoder   context in which the weak prompts are encoded, None: as the picture's own
    """

    strong: tuple = ()
    weak: tuple = ()
    on_checkpoint: tuple = ()
    text_encoder: "AbstractContextManager | None" = None


def lora_gap(p, settings, host_loras) -> LoraGap:
    """The LoRA gap of a sampling pass of `p`.

    host_loras  host_loras() -> a1111_lora or forge_lora; not asked where LoRAs make no difference between the sides
    Raises SettingError for a LoRA that is not there.
    """
    if not (has_lora_gap(settings) or settings.weak_checkpoint_loras):
        return LoraGap()
    loras = host_loras()
    used = loras.used()
    overrides = _weak_scales(settings, loras)
    strong = lora.scaled(used, settings.strong_lora_offset)
    # A weak checkpoint is as its file is, but for the LoRAs that are asked for.
    on_weak = () if settings.weak_checkpoint and not settings.weak_checkpoint_loras else used
    weak = lora.scaled(on_weak, settings.weak_lora_offset, overrides)
    for name, offset, side in (
        ("strong_lora_offset", settings.strong_lora_offset, used),
        ("weak_lora_offset", settings.weak_lora_offset, on_weak),
    ):
        if offset and not side:
            p.comment(f"W2SD: {name} has no effect: that side has none of the picture's LoRAs.")
    other_text_encoder = settings.weak_lora_text_encoder and not lora.same_text_encoder(used, weak)
    text_encoder = loras.text_encoder(weak) if other_text_encoder else None
    strong_overlays = () if lora.same_unet(used, strong) else (loras.overlay(strong),)
    if settings.weak_checkpoint:
        return LoraGap(strong_overlays, (), weak, text_encoder)
    if lora.same_unet(strong, weak):
        weak_overlays = strong_overlays  # the same object: rows are then shared
    else:
        weak_overlays = () if lora.same_unet(used, weak) else (loras.overlay(weak),)
    return LoraGap(strong_overlays, weak_overlays, (), text_encoder)


def _weak_scales(settings, loras) -> dict:
    """The single scales of the weak side, by file."""
    tags = {}
    for tag in weak_lora_tags(settings):
        file = loras.find(tag.name)
        if file is None:
            known = ", ".join(loras.names()) or "none"
            raise SettingError(f"W2SD: the weak side's LoRA {tag.name!r} is not there; the WebUI has: {known}.")
        tags[file] = tag
    return tags
