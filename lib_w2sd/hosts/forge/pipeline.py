"""The pipeline gap on Forge: what ControlNet and others add stands in a patcher around the UNet, and the weak side's
calls get another, without them. Nothing is merged anew; LoRAs stay."""

import functools
from contextlib import contextmanager

from modules import shared

from ...gaps.pipeline import EVERYTHING
from ..left_out import LeftOut
from ..swapped import swapped

# Of each part, what the module of its patches is called, as the host and its forks name their built-in extensions.
SOURCES = {
    "ControlNet": ("controlnet", "controllllite", "forge_reference"),
    "IP-Adapter": ("ipadapter", "ip_adapter"),
    "FreeU": ("freeu",),
    "SAG": ("forge_sag", "self_attention_guidance"),
    "PAG": ("perturbed_attention",),
    "HRFix": ("hrfix",),
    "StyleAlign": ("stylealign",),
}


class WithoutParts(LeftOut):
    """Overlay of a weak side: within on() the host's calls find a UNet without the parts."""

    @contextmanager
    def installed(self, unet):
        """Raises SettingError, see LeftOut.check."""
        whole = shared.sd_model.forge_objects.unet
        self.weak, found = without(whole, self.parts)
        self.check(found)
        yield

    @contextmanager
    def on(self):
        with swapped(shared.sd_model.forge_objects, "unet", self.weak):
            yield


def without(unet, parts) -> tuple:
    """A clone of a UNet patcher without the parts, and which of them it had."""
    if EVERYTHING in parts:
        bare = shared.sd_model.forge_objects_after_applying_lora.unet
        return bare, set(parts) if bare is not unet else set()
    found = set()
    words = {word: part for part in parts for word in SOURCES[part]}

    def kept(value):
        """Without the parts' patches, and without what was made to hold them."""
        if isinstance(value, dict):
            filtered = {key: kept(one) for key, one in value.items()}
            return {key: one for key, one in filtered.items() if one is not _GONE} or (_GONE if value else value)
        if isinstance(value, list):
            filtered = [one for one in map(kept, value) if one is not _GONE]
            return filtered if filtered or not value else _GONE
        part = next((part for word, part in words.items() if word in source(value)), None)
        if part is None:
            return value
        found.add(part)
        return _GONE

    clone = unet.clone()
    clone.model_options = {
        key: one for key, one in ((key, kept(one)) for key, one in unet.model_options.items()) if one is not _GONE
    }
    if "ControlNet" in parts and unet.controlnet_linked_list is not None:
        clone.controlnet_linked_list = None
        found.add("ControlNet")
    return clone, found


_GONE = object()


def source(patch) -> str:
    """Where a patch comes from: the name of its module, in lower case; "" of what is no function or object of one."""
    while isinstance(patch, functools.partial):
        patch = patch.func
    patch = getattr(patch, "__func__", patch)
    if isinstance(patch, (str, int, float, bool, tuple, type(None))):
        return ""
    return str(getattr(patch, "__module__", "") or type(patch).__module__).lower()
