"""Settings and presets as inputs of nodes. Their words and limits are page/settings' own."""

from ...gaps import GAPS
from ...page.presets import built_in
from ...page.settings import BY_NAME

COMMON = "lambda_steps strength inversion rounds first_step every weak_alone measure".split()
SCALES = ["weak_cfg", "strong_cfg"]
# What has to be connected for a gap
INPUT = {"guidance": "", "checkpoint": "weak_model", "loras": "weak_model"}
INPUT.update(prompt="weak_positive", pipeline="weak_positive")
ON_MODEL = "IP-Adapter"  # what its packs change is the model, and no conditioning
NO_PRESET = "none"
PRESETS = {name: p for name, p in built_in([g for g in GAPS if g.name in INPUT]).items() if not p.halves_steps}
_GAP = {preset.name: gap.name for gap in GAPS for preset in gap.presets()}
_KINDS = {"boolean": "BOOLEAN", "integer": "INT", "number": "FLOAT"}


def needed_by(preset: str) -> str:
    """The input that has to be connected for it; "" for none. What is of several gaps has a checkpoint's among them."""
    if PRESETS[preset].fields.get("weak_without") == ON_MODEL:
        return "weak_model"
    return INPUT[_GAP.get(preset, "checkpoint")]


def widget(name: str) -> tuple:
    """A setting as an input of a node: (type, options)."""
    setting = BY_NAME[name]
    about = {"default": setting.default, "tooltip": f"{setting.label}. {setting.whole}"}
    if setting.choices:
        return list(setting.choices), about
    if setting.optional:  # a number, or nothing
        return "STRING", {**about, "default": ""}
    if setting.minimum is not None:
        about.update(min=setting.minimum, max=setting.maximum, step=setting.step)
    return _KINDS[setting.kind], about


def widgets(*names: str) -> dict:
    return {name: widget(name) for name in names}
