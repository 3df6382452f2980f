"""The pipeline gap on AUTOMATIC1111's WebUI: its ControlNet is an extension (Mikubill's sd-webui-controlnet, 1.1) that
keeps what it applies on an object of its own. A weak side's calls find fewer units there, and nothing else is touched.

Its step window is looked at in a callback before every call, unit by unit: those that are left out are not there then.
"""

import sys
from contextlib import contextmanager

from modules import extensions, shared

from ...gaps.pipeline import EVERYTHING
from ..models.pipeline_parts import LeftOut, units_named

TITLE = "ControlNet"

if not any("controlnet" in extension.name.lower() for extension in extensions.active()):
    raise ImportError("the extension sd-webui-controlnet")


def units_of(p) -> "tuple[object, list]":
    """The extension's object for this request, and its units; (None, []) where there is none."""
    for script in p.scripts.alwayson_scripts:
        hook = getattr(script, "latest_network", None)
        if script.title() == TITLE and hook is not None:
            return hook, list(hook.control_params or ())
    return None, []


def part_of(unit) -> str:
    return "IP-Adapter" if unit.control_model_type.name == "IPAdapter" else "ControlNet"


def window_of(unit):
    """Whether a unit acts at a reflected step, as the extension reckons it."""

    def acts(entry: dict) -> bool:
        # The WebUI tells the number of the step before, by its own callback after each.
        done = max(entry["step"] - 1, 0) / max(shared.state.sampling_steps, 1)
        return unit.start_guidance_percent <= done <= unit.stop_guidance_percent

    return acts


class WithoutUnits(LeftOut):
    """Overlay of a weak side: within on() the units that it does without are not there, or weigh less."""

    @contextmanager
    def installed(self, unet):
        """Raises SettingError, see LeftOut.check and no_weight."""
        hook, units = units_of(self.host.p)
        nets = [unit for unit in units if part_of(unit) == "ControlNet"]
        adapters = [unit for unit in units if part_of(unit) == "IP-Adapter"]
        found = units_named(len(nets)) | ({"IP-Adapter"} if adapters else set()) | ({EVERYTHING} if units else set())
        self.check(found)
        nets = nets if EVERYTHING in self.parts else self.wanted(nets)
        wanted = adapters if {EVERYTHING, "IP-Adapter"} & set(self.parts) else []
        self.windows += [window_of(unit) for unit in (*nets, *wanted)]
        layers = list(hook.model.modules()) if hook is not None else ()
        self.swaps += self._of_lllite(layers, nets)
        if self.share:
            self.swaps += [(unit.control_model, "weight", self._less(unit.control_model.weight)) for unit in wanted]
            self.swaps += [(unit, "weight", self._less_of(unit)) for unit in nets]
        elif hook is not None:
            # An IP-Adapter stands in the layers, which ask no unit.
            self.swaps += self._without_adapters(layers, wanted, adapters)
            self.swaps.append(
                (hook, "control_params", [u for u in units if not any(u is one for one in (*nets, *wanted))])
            )
        yield

    def _without_adapters(self, layers, wanted: list, adapters: list) -> list:
        """Swaps of the layers' lists of IP-Adapters; where none is left, of the forward that reads the list, too: it
        is another attention than the WebUI's, which tells in the last digits."""
        swaps = []
        for layer in layers:
            if not (hacks := getattr(layer, "ipadapter_hacks", ())):
                continue
            # One for each unit, in their order.
            kept = [hack for unit, hack in zip(adapters, hacks) if not any(unit is one for one in wanted)]
            swaps.append((layer, "ipadapter_hacks", kept))
            before = _module_of(adapters[0].control_model).all_hacks.get(layer)
            # Not if another extension has put its own over it since.
            if not kept and before is not None and getattr(layer.forward, "__name__", "") == "attn_forward_hacked":
                swaps.append((layer, "forward", before))
        return swaps

    def _of_lllite(self, layers, units: list) -> list:
        """Swaps of the layers' lists of ControlLLLite: (weight, start, end, module), where the module is a unit's."""
        ours = {
            id(module)
            for unit in units
            if unit.control_model_type.name == "Controlllite"
            for module in unit.control_model.modules.values()
        }
        swaps = []
        for layer in layers if ours else ():
            entries = getattr(layer, "lllite_list", ())
            if any(id(entry[-1]) in ours for entry in entries):
                less = [
                    (self._less(weight), *more) if id(more[-1]) in ours else (weight, *more)
                    for weight, *more in entries
                ]
                kept = [entry for entry in entries if id(entry[-1]) not in ours]
                swaps.append((layer, "lllite_list", less if self.share else kept))
        return swaps

    def _less(self, weight):
        """A share of a weight, which may be one for each layer."""
        if isinstance(weight, dict):
            return {layer: of * self.share for layer, of in weight.items()}
        return weight * self.share

    def _less_of(self, unit) -> float:
        if getattr(unit, "advanced_weighting", None) is not None:
            self.no_weight("a ControlNet with weights for its layers")
        return self._less(unit.weight)


def _module_of(thing):
    return sys.modules[type(thing).__module__]
