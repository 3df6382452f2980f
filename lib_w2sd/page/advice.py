"""Which preset the settings are, and what to try first for the picture as it is."""

from ..gaps.gap import Picture, Preset
from . import presets
from .settings import BY_NAME, Settings


def named(facts, settings: Settings, picture: Picture, box: str, was: str, had_steps: "int | None") -> dict:
    """The preset that the settings are.

    box, was  what stands in the box of presets, and what was named last
    returns
        name  of the preset in force; "" where there is none
        keep  whether the box is left as it is: a new name is typed there
        said  what the preset is for, or which one it was before it was changed
    """
    given = [found for found in map(_finder(facts), dict.fromkeys((box, was))) if found]
    for preset in (*given, *facts.presets.values()):
        told = preset in given or not preset.needs or _has(preset, settings)
        if told and presets.in_force(preset, settings, picture.steps, had_steps):
            return {"name": preset.name, "keep": _is_new(facts, box), "said": preset.about}
    changed = f"Changed from {given[0].name!r}." if given else ""
    return {"name": "", "keep": _is_new(facts, box), "said": changed}


def _finder(facts):
    def find(name: str) -> "Preset | None":
        try:
            return facts.find_preset(name) if name else None
        except presets.PresetError:  # said where it is chosen
            return None

    return find


def _is_new(facts, box: str) -> bool:
    return bool(box) and _finder(facts)(box) is None


def _has(preset: Preset, settings: Settings) -> bool:
    """Whether what the preset needs is there: without it, it is as much another's as its own."""
    return preset.needs == "prompt" or getattr(settings, preset.needs) != BY_NAME[preset.needs].default


def start(facts, picture: Picture, name: str) -> str:
    """What to try first for a picture like this, in a sentence. `name`: of the preset in force."""
    for preset in facts.presets.values():
        if why := preset.first(picture):
            do = "Generate as it is" if name == preset.name else f"choose {preset.name!r}"
            return f"Start here ({why}): {do}."
    return ""
