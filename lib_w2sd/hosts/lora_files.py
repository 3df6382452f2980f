"""What the hosts have in common about LoRAs: the files that they know, and the gap that the settings make of them."""

import sys

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


def lora_gap(settings, host_loras) -> tuple:
    """(overlays of the strong side, of the weak side, context in which the weak prompts are encoded or None).

    host_loras  host_loras() -> a1111_lora or forge_lora; not asked where there is no such gap
    Raises SettingError for a LoRA that is not there.
    """
    if not has_lora_gap(settings):
        return (), (), None
    loras = host_loras()
    used = loras.used()
    strong = lora.scaled(used, settings.strong_lora_offset)
    weak = lora.scaled(used, settings.weak_lora_offset, _weak_scales(settings, loras))
    strong_overlays, weak_overlays = (
        () if lora.same_unet(used, uses) else (loras.overlay(uses),) for uses in (strong, weak)
    )
    if lora.same_unet(strong, weak):
        weak_overlays = strong_overlays  # the same object: rows are then shared
    other_text_encoder = settings.weak_lora_text_encoder and not lora.same_text_encoder(used, weak)
    return strong_overlays, weak_overlays, loras.text_encoder(weak) if other_text_encoder else None


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
