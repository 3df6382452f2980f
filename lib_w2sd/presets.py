"""Settings by name: the paper's (appendices C.1 and E.6, section 5), and the user's own, kept in one JSON file."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import SettingError
from .settings import FIELDS, NEGATIVE_PROMPT, PROMPT, check

# On or off is the accordion's, and a comparison is asked for, not a part of how a picture is made.
NOT_KEPT = ("enabled", "comparison")
KEPT = tuple(f.name for f in FIELDS if f.name not in NOT_KEPT)

# Names are the keys of one file, never a path; what can be typed into a list and read there is enough.
NAME = re.compile(r"[^\W_][\w .,()+-]{0,59}")


@dataclass(frozen=True)
class Preset:
    """`about`: one sentence of what it is for. `fields`: the settings it fills; the others stay as they are."""

    name: str
    about: str
    fields: dict
    halves_steps: bool = False  # the page's steps too, and lambda with them


# Both sides the same. CFG scales of 1 "to eliminate influence from guidance gaps" (C.1).
SAME = {
    "strength": 1.0,
    "inversion": "paper",
    "strong_cfg": 1.0,
    "weak_cfg": 1.0,
    "weak_prompt": PROMPT,
    "weak_negative_prompt": NEGATIVE_PROMPT,
    "weak_lora_offset": 0.0,
    "strong_lora_offset": 0.0,
    "weak_loras": "",
    "weak_lora_text_encoder": False,
    "weak_checkpoint": "",
    "weak_checkpoint_loras": False,
    "weak_alone": False,
    "strong_distilled_cfg": None,
    "weak_distilled_cfg": None,
}
_GUIDANCE = {"strong_cfg": None, "weak_cfg": 0.0}


def _paper(stays: tuple = (), lambda_steps: int = -1, **fields) -> dict:
    """C.1: lambda = T - 1. `stays`: what the user has chosen already and the preset cannot know."""
    filled = {"lambda_steps": lambda_steps, **SAME, **fields}
    return {name: value for name, value in filled.items() if name not in stays}


GUIDANCE_GAP = "Guidance gap (Z-Sampling)"
SAME_TIME = "Same time as before"
BUILT_IN = {
    preset.name: preset
    for preset in (
        Preset(
            GUIDANCE_GAP,
            "The prompt is followed better: your CFG scale (the paper's is 5.5) against none.",
            _paper(**_GUIDANCE),
        ),
        Preset(
            "LoRA gap",
            "More of what a LoRA does: your prompt's <lora:name:0.8> against the same LoRA at -1.5.",
            _paper(weak_lora_offset=-2.3),
        ),
        Preset(
            "Checkpoint gap",
            "More of what a fine-tuned checkpoint does: the loaded one against the plainer one that you choose below.",
            _paper(stays=("weak_checkpoint",)),
        ),
        Preset(
            "Prompt gap",
            "More of your prompt's detail: your rich prompt against the short, plain one that you write below.",
            _paper(stays=("weak_prompt", "weak_negative_prompt")),
        ),
        Preset(
            "Cumulative",
            "Two gaps at once: your CFG scale against none, the loaded checkpoint against the one you choose below.",
            _paper(stays=("weak_checkpoint",), **_GUIDANCE),
        ),
        Preset(
            "Flux guidance",
            "For Flux on Forge: distilled CFG 2 against 1 in the first 10 of about 28 steps.",
            _paper(lambda_steps=10, strong_distilled_cfg=2.0, weak_distilled_cfg=1.0),
        ),
        Preset(
            SAME_TIME,
            "As long as without W2SD: half of your steps, half of those reflected. The gap stays as it is.",
            {"inversion": "paper"},
            halves_steps=True,
        ),
    )
}


def lambda_for_same_time(steps: int) -> int:
    """Section 5, Time Efficiency: T_w2s = T_std / 2 and lambda = T_w2s / 2. `steps`: T_w2s."""
    return max(int(steps) // 2, 1)


class PresetError(ValueError):
    """What cannot be saved, deleted or read, in words for the user."""


class Store:
    """The user's own presets: {name: {setting: value}} in a JSON file."""

    def __init__(self, path):
        self.path = Path(path)

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
        return [*BUILT_IN, *sorted((name for name in own if name not in BUILT_IN), key=str.casefold)]

    def find(self, name: str) -> "Preset | None":
        """Raises PresetError for a preset of the file that is none (any more)."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        own = self.read()
        if name not in own:
            return None
        try:
            fields = {key: check(key, value) for key, value in own[name].items() if key in KEPT}
        except SettingError as error:
            raise PresetError(f"The preset {name!r} cannot be used. {error}") from error
        return Preset(name, "Your own.", fields)

    def save(self, name: str, values: dict) -> str:
        """Keep `values` (settings by name; those of KEPT count) and return the name as kept. Raises PresetError."""
        name = (name or "").strip()
        if not NAME.fullmatch(name):
            raise PresetError("A preset's name is 1 to 60 letters, digits, spaces and . , ( ) + - and starts with one.")
        if name in BUILT_IN:
            raise PresetError(f"{name!r} is a built-in preset: choose another name.")
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
        draft.write_text(json.dumps(own, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
        os.replace(draft, self.path)
