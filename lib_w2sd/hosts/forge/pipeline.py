"""The pipeline gap on Forge: what ControlNet and others add stands in a patcher around the UNet, and the weak side's
calls get another, without them. Nothing is merged anew; LoRAs stay."""

import copy
import functools
from contextlib import contextmanager

import torch
from modules import shared

from ...gaps.pipeline import EVERYTHING
from ..models.pipeline_parts import LeftOut, units_named

# Of each part, what the module of its patches is called, as the host and its forks name their built-in extensions.
SOURCES = {
    # Some preprocessors patch the UNet, too: tile_colorfix, inpaint_only, revision.
    "ControlNet": ("controlnet", "controllllite", "forge_reference", "preprocessor_", "fooocus_inpaint"),
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
        """Raises SettingError, see LeftOut.check and no_weight."""
        whole = shared.sd_model.forge_objects.unet
        weak, found = self._everything_off(whole) if EVERYTHING in self.parts else self._without(whole)
        self.check(found)
        self.swaps.append((shared.sd_model.forge_objects, "unet", weak))
        yield

    def _everything_off(self, unet) -> tuple:
        if self.share:
            self.no_weight(EVERYTHING)
        bare = shared.sd_model.forge_objects_after_applying_lora.unet
        return bare, set(self.parts) if bare is not unet else set()

    def _without(self, unet) -> tuple:
        """A clone of a UNet patcher for the weak side, and which of the parts it had."""
        weak, found = unet.clone(), set()
        kept = self._kept(unet.model_options, found)
        weak.model_options = {} if kept is _GONE else kept
        units = chain(unet)
        wanted = self.wanted(units)
        self.windows += [self._window_of(unit) for unit in wanted]
        if self.share:
            self.swaps += [(unit, "strength", unit.strength * self.share) for unit in wanted]
        else:
            self._relink(weak, [unit for unit in units if not any(unit is one for one in wanted)])
        return weak, found | units_named(len(units))

    def _relink(self, weak, units: list) -> None:
        """ControlNet units are a chain, and `weak` keeps the last: within on() it has these links."""
        weak.controlnet_linked_list = units[-1] if units else None
        for before, unit in zip([None, *units], units):
            if getattr(unit, "previous_controlnet", None) is not before:
                self.swaps.append((unit, "previous_controlnet", before))

    def _kept(self, value, found: set):
        """Options without the parts' patches, and without what was made to hold them."""
        if isinstance(value, dict):
            filtered = {key: self._kept(one, found) for key, one in value.items()}
            return {key: one for key, one in filtered.items() if one is not _GONE} or (_GONE if value else value)
        if isinstance(value, list):
            filtered = [one for one in (self._kept(one, found) for one in value) if one is not _GONE]
            return filtered if filtered or not value else _GONE
        part = next((part for part in self.parts for word in SOURCES.get(part, ()) if word in source(value)), None)
        if part is None:
            return value
        found.add(part)
        self.windows += self._windows_of(value)
        return self._fainter(part, value) if self.share else _GONE

    def _windows_of(self, patch) -> list:
        """Of a patch's own windows of steps, whether it acts: an IP-Adapter's has one for each unit, in sigmas."""
        if isinstance(getattr(patch, "sigma_start", None), list):
            return [self._between(*window) for window in zip(patch.sigma_start, patch.sigma_end)]
        if layers := lllite_layers(patch):
            first, end = layers[0].start_step, layers[0].end_step
            return [lambda entry: first <= entry["step"] < end]
        return [lambda entry: True]  # as far as is known

    def _window_of(self, unit):
        start, end = unit.timestep_percent_range
        to_sigma = self.host.webui.unet().predictor.percent_to_sigma
        return self._between(to_sigma(start), to_sigma(end))

    def _between(self, most: float, least: float):
        """Whether a reflected step's sigma is in between."""

        def acts(entry: dict) -> bool:
            t = torch.as_tensor(entry["t"]).flatten()[:1]
            signal, noise = self.host.coordinates.levels(t, t)
            sigma = noise if self.host.webui.is_flow() else noise / signal
            return bool(least <= sigma <= most)

        return acts

    def _fainter(self, part: str, patch):
        """An IP-Adapter's patch, which has the weights of all units, with a share of them; ControlLLLite's itself, with
        one in each of its layers."""
        if layers := lllite_layers(patch):
            self.swaps += [(layer, "multiplier", layer.multiplier * self.share) for layer in layers]
            return patch
        if not isinstance(getattr(patch, "weights", None), list):
            self.no_weight(part)
        fainter = copy.copy(patch)
        fainter.weights = [weight * self.share for weight in patch.weights]
        return fainter


_GONE = object()


def chain(unet) -> list:
    """The ControlNet units (T2I adapters too) of a UNet patcher, in their order."""
    found, unit = [], unet.controlnet_linked_list
    while unit is not None:
        found.append(unit)
        unit = getattr(unit, "previous_controlnet", None)
    return found[::-1]


def lllite_layers(patch) -> list:
    """What a ControlLLLite's patch has for each layer; none of another's."""
    layers = getattr(patch, "modules", None)
    return [one for one in layers.values() if hasattr(one, "current_step")] if isinstance(layers, dict) else []


def source(patch) -> str:
    """Where a patch comes from: the name of its module, in lower case; "" of what is no function or object of one."""
    while isinstance(patch, functools.partial):
        patch = patch.func
    patch = getattr(patch, "__func__", patch)
    if isinstance(patch, (str, int, float, bool, tuple, type(None))):
        return ""
    return str(getattr(patch, "__module__", "") or type(patch).__module__).lower()
