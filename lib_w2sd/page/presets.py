"""Settings by name: the paper's (appendices C.1 and E.6, section 5), and the user's own, kept in one JSON file."""

import json
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import SettingError
from ..gaps import GAPS
from ..gaps.gap import Preset
from ..setting import NONE
from .settings import BY_NAME, SETTINGS, check

KEPT = tuple(s.name for s in SETTINGS if s.kept)

# Names are the keys of one file, never a path; what can be typed into a list and read there is enough. What a list
# calls nothing, or the program a preset of its own, is in any capitals no name for another.
NAME = re.compile(r"[^\W_][\w .,()+-]{0,59}")


# Both sides the same in every gap.
SAME = {
    # The paper's own are others: docs/paper/buys.md, the rule at its end.
    "strength": BY_NAME["strength"].default,
    "inversion": BY_NAME["inversion"].default,
    "weak_alone": False,
    **{name: value for gap in GAPS for name, value in gap.off.items()},
}


def _whole(preset: Preset) -> Preset:
    """A gap's preset with everything else as it is where there is no gap. C.1: lambda = T - 1."""
    filled = {"lambda_steps": -1, **SAME, **preset.fields}
    return replace(preset, fields={name: value for name, value in filled.items() if name not in preset.stays})


def _together(name: str, about: str, *presets: Preset, worth: int) -> Preset:
    """Several gaps' own presets as one, which asks for what the last of them needs."""
    fields = {key: value for preset in presets for key, value in preset.fields.items()}
    stays = tuple(key for preset in presets for key in preset.stays)
    return Preset(name, about, fields, stays=stays, needs=presets[-1].needs, ask=presets[-1].ask, worth=worth)


SAME_TIME = Preset(
    "Same time as before",
    "Half of your steps, half of those improved: no longer than before.",
    {"inversion": "matched"},  # which takes the half of the time that is saved
    halves_steps=True,
)


CUMULATIVE = "Follow the prompt more, and more of my checkpoint"


def built_in(gaps=GAPS) -> "dict[str, Preset]":
    """The paper's settings for `gaps`, by name, and what goes with any of them; first what pays most."""
    own = {gap.name: gap.presets() for gap in gaps}
    found = [_whole(preset) for presets in own.values() for preset in presets]
    if {"guidance", "checkpoint"} <= set(own):
        both = _together(
            CUMULATIVE,
            "Both: against no guidance, and against a plainer checkpoint, chosen below.",
            next(preset for preset in own["guidance"] if "lambda_steps" not in preset.fields),  # in all steps
            own["checkpoint"][0],
            worth=35,
        )
        found.append(_whole(both))
    in_order = sorted((*found, SAME_TIME), key=lambda preset: -preset.worth)
    return {preset.name: preset for preset in in_order}


BUILT_IN = built_in()
TAKEN = {NONE.casefold(): "no preset", **{name.casefold(): "a built-in preset" for name in BUILT_IN}}


def lambda_for_same_time(steps: int) -> int:
    """Section 5, Time Efficiency: T_w2s = T_std / 2 and lambda = T_w2s / 2. `steps`: T_w2s."""
    return half(steps)


def in_force(preset: Preset, settings, steps: int, had_steps: "int | None" = None) -> bool:
    """Whether the settings, and the page's steps, are as the preset leaves them.

    had_steps  the page's steps before a preset halved them, or None
    """
    fields = dict(preset.fields)
    if preset.halves_steps:
        if not had_steps or steps != half(had_steps):
            return False
        fields["lambda_steps"] = lambda_for_same_time(steps)
    return all(getattr(settings, name) == value for name, value in fields.items())


def half(steps: int) -> int:
    return max(int(steps) // 2, 1)


class PresetError(ValueError):
    """What cannot be saved, deleted or read, in words for the user."""


class Store:
    """The built-in presets, and the user's own: {name: {setting: value}} in a JSON file."""

    def __init__(self, path, built_in: "dict[str, Preset] | None" = None):
        self.path = Path(path)
        self.built_in = BUILT_IN if built_in is None else built_in

    def read(self) -> dict:
        """Raises PresetError where the file is there and not such a table."""
        try:
            given = json.loads(self.path.read_text(encoding="utf8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PresetError(f"The presets' file {self.path.name} cannot be read: {error}") from error
        if not isinstance(given, dict) or not all(isinstance(fields, dict) for fields in given.values()):
            raise PresetError(f"The presets' file {self.path.name} is not a table of presets.")
        return given

    def names(self) -> list:
        """The built-in ones, then the user's own."""
        try:
            own = self.read()
        except PresetError:
            own = {}
        return [*self.built_in, *sorted((name for name in own if name not in self.built_in), key=str.casefold)]

    def find(self, name: str) -> "Preset | None":
        """Raises PresetError for a preset of the file that is none (any more)."""
        if name in self.built_in:
            return self.built_in[name]
        own = self.read()
        if name not in own:
            return None
        try:
            fields = {key: check(key, value) for key, value in own[name].items() if key in KEPT}
        except SettingError as error:
            raise PresetError(f"The preset {name!r} cannot be used. {error}") from error
        return Preset(name, "Your own.", fields)

    def has(self, name: str) -> bool:
        """Whether it is one of the user's own. Raises PresetError."""
        return (name or "").strip() in self.read()

    @staticmethod
    def kept_as(name: str) -> str:
        """The name that a preset would have. Raises PresetError where it may not be one's."""
        name = (name or "").strip()
        if not NAME.fullmatch(name):
            raise PresetError("A preset's name is 1 to 60 letters, digits, spaces and . , ( ) + - and starts with one.")
        if name.casefold() in TAKEN:
            raise PresetError(f"{name!r} is what the list calls {TAKEN[name.casefold()]}: choose another name.")
        return name

    def save(self, name: str, values: dict) -> str:
        """Keep `values` (settings by name; those of KEPT count) and return the name as kept. Raises PresetError."""
        name = self.kept_as(name)
        try:
            fields = {key: check(key, values[key]) for key in KEPT if key in values}
        except SettingError as error:
            raise PresetError(str(error)) from error
        self._write({**self.read(), name: fields})
        return name

    def delete(self, name: str) -> None:
        """Raises PresetError for one that is not the user's own."""
        own = self.read()
        if name not in own:
            raise PresetError(
                f"{name!r} is built-in and stays." if name in BUILT_IN else f"There is no preset {name!r}."
            )
        del own[name]
        self._write(own)

    def _write(self, own: dict) -> None:
        # In one move, so that a full disk or a crash leaves the old file.
        draft = self.path.with_name(self.path.name + ".new")
        try:
            draft.write_text(json.dumps(own, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
            os.replace(draft, self.path)
        except OSError as error:  # read-only, full, away
            with suppress(OSError):
                draft.unlink()
            why = error.strerror or type(error).__name__
            raise PresetError(
                f"The presets' file {self.path} cannot be written: {why}. Nothing was changed."
            ) from error
