"""The pipeline gap on AUTOMATIC1111's WebUI: its ControlNet is an extension (Mikubill's sd-webui-controlnet, 1.1) that
keeps what it applies on an object of its own. A weak side's calls find fewer units there, and nothing else is touched.

Its step window is looked at in a callback before every call, unit by unit: those that are left out are not there then.
"""

from contextlib import ExitStack, contextmanager

from modules import extensions

from ...errors import SettingError
from ...gaps.pipeline import EVERYTHING
from ..left_out import SETTING, LeftOut
from ..swapped import swapped

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
    """Overlay of a weak side: within on() the units that it does without are not there."""

    @contextmanager
    def installed(self, unet):
        """Raises SettingError, see LeftOut.check."""
        self.hook, units = units_of(self.host.p)
        left_out = [unit for unit in units if EVERYTHING in self.parts or part_of(unit) in self.parts]
        if lite := [unit for unit in left_out if unit.control_model_type.name == "Controlllite"]:
            # It stands in the UNet's layers, which ask no unit.
            raise SettingError(
                f"W2SD: {SETTING.name} cannot leave out ControlLLLite here, which {len(lite)} units are."
            )
        found = {EVERYTHING} if left_out else set()
        found.update(map(part_of, left_out))
        self.check(found)
        self.kept = [unit for unit in units if unit not in left_out]
        self.silenced = [unit.control_model for unit in left_out if part_of(unit) == "IP-Adapter"]
        yield

    @contextmanager
    def on(self):
        with ExitStack() as stack:
            if self.hook is not None:
                stack.enter_context(swapped(self.hook, "control_params", self.kept))
            for adapter in self.silenced:  # these stand in the layers, too, and look at their own weight
                stack.enter_context(swapped(adapter, "weight", 0.0))
            yield
