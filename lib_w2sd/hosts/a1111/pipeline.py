"""The pipeline gap on AUTOMATIC1111's WebUI: its ControlNet is an extension (Mikubill's sd-webui-controlnet, 1.1) that
keeps what it applies on an object of its own. A weak side's calls find fewer units there, and nothing else is touched.

Its step window is looked at in a callback before every call, unit by unit: those that are left out are not there then.
"""

from contextlib import contextmanager

from modules import extensions

from ...errors import SettingError
from ...gaps.pipeline import EVERYTHING
from ..left_out import PARTS, LeftOut, units_named

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
        adapters = adapters if {EVERYTHING, "IP-Adapter"} & set(self.parts) else []
        if lite := [unit for unit in nets if unit.control_model_type.name == "Controlllite"]:
            # It stands in the UNet's layers, which ask no unit.
            raise SettingError(f"W2SD: {PARTS.name} cannot leave out ControlLLLite here, which {len(lite)} units are.")
        # IP-Adapters stand in the layers, too, and look at their own weight.
        self.swaps += [(unit.control_model, "weight", self._less(unit.control_model.weight)) for unit in adapters]
        if self.share:
            self.swaps += [(unit, "weight", self._less_of(unit)) for unit in nets]
        elif hook is not None:
            self.swaps.append(
                (hook, "control_params", [u for u in units if not any(u is one for one in (*nets, *adapters))])
            )
        yield

    def _less(self, weight):
        """A share of a weight, which may be one for each layer."""
        if isinstance(weight, dict):
            return {layer: of * self.share for layer, of in weight.items()}
        return weight * self.share

    def _less_of(self, unit) -> float:
        if getattr(unit, "advanced_weighting", None) is not None:
            self.no_weight("a ControlNet with weights for its layers")
        return self._less(unit.weight)
