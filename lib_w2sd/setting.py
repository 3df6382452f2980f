"""What a setting is: its name, its values and its words, once. Accordion, API, infotext and XYZ follow from it."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .errors import CheckpointError, SettingError

NONE = "None"  # a list's entry for no choice
# The host's lists of names.
CHECKPOINTS, REWARDS = "checkpoints", "rewards"
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True)
class Setting:
    """One thing that a user can choose.

    name           in the API
    default        its type is the setting's (None: a number that may be left empty, see optional)
    label          on the page
    help           what it is, whole: in the guide, in the schema, and where the mouse rests on it
    line           the same on the page, where two lines are all the room that a narrow window has; empty: help
    of_each        of choices: what each is, in a line beside it on the page
    infotext       its key in a picture's infotext
    minimum, maximum, step   of a number
    choices        of a text: its values, no others
    several        of a text: the names it may be a list of, separated by commas
    optional       a number for which empty text stands for None
    listed         of a name, the host's list that it is on (CHECKPOINTS, REWARDS); empty text or "None" for none
    in_memory      what stays in memory of the one chosen, in words for the button that frees it
    pattern        of a text, for the schema
    allows         what a text may be, in words for messages
    checked        checked(setting, text) -> the text as it is used; raises SettingError (see refuse)
    prompt         a text that the WebUI reads as a prompt, in which there may be comments
    always         written into the infotext even where it is the default, which may change some day
    kept           a part of how a picture is made, which a preset keeps
    only_with      the setting that it counts with alone: its name, where that is given; (name, value) for one value
    of_a_prompt    a list of prompts may give it for each prompt, behind a tab
    grid           grid(steps) -> its values in the ready grid, where it is one of the grid's two axes
    """

    name: str
    default: Any
    label: str
    help: str
    infotext: str
    minimum: "float | None" = None
    maximum: "float | None" = None
    step: "float | None" = None
    choices: tuple = ()
    several: tuple = ()
    optional: bool = False
    listed: str = ""
    in_memory: str = ""
    pattern: str = ""
    allows: str = "a text"
    checked: "Callable[[Setting, str], str]" = lambda setting, text: text
    prompt: bool = False
    always: bool = False
    kept: bool = True
    line: str = ""
    of_each: dict = field(default_factory=dict, hash=False)
    only_with: "str | tuple[str, Any]" = ""
    of_a_prompt: bool = False
    grid: "Callable[[int], list] | None" = None

    @property
    def kind(self) -> str:
        """boolean, integer, number or string: the type in JSON schema's words."""
        return "number" if self.optional else _KINDS[type(self.default)]

    @property
    def whole(self) -> str:
        """All that is to be said of it."""
        return " ".join((self.help, *(f"{choice}: {words}" for choice, words in self.of_each.items())))

    @property
    def on_the_page(self) -> str:
        return self.line or self.help

    @property
    def searched(self) -> bool:
        """A text of any kind, which an XYZ axis searches and replaces in."""
        return self.kind == "string" and not (self.listed or self.choices or self.several)

    @property
    def hashed(self) -> str:
        """The key of a checkpoint's hash in the infotext, beside its name; "" for what names none."""
        return f"{self.infotext} hash" if self.listed == CHECKPOINTS else ""

    def counts(self, settings) -> bool:
        """Whether it has anything to say beside the other settings, see only_with."""
        name, *value = (self.only_with,) if isinstance(self.only_with, str) else self.only_with
        return not name or (getattr(settings, name) in value if value else bool(getattr(settings, name)))

    @contextmanager
    def named(self):
        """Within, a file that cannot be used is said to be this setting's."""
        try:
            yield
        except CheckpointError as error:
            error.setting = f"{self.name} ({self.label})"
            raise

    @property
    def allowed(self) -> str:
        """What it accepts, for messages and documents."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.several:
            return f"any of {', '.join(self.several)}, or nothing"
        if self.minimum is not None:
            number = "a whole number" if self.kind == "integer" else "a number"
            return f"{number} from {self.minimum:g} to {self.maximum:g}" + (", or nothing" if self.optional else "")
        return "true or false" if self.kind == "boolean" else self.allows

    def refuse(self, value, why: str = ""):
        """Raises SettingError: what was given (`why`: what is wrong with it), and what is allowed."""
        shown = repr(value)
        shown = shown if len(shown) <= 200 else shown[:200] + "…"
        raise SettingError(f"W2SD: {self.name} ({self.label}) was given {shown}{why}; allowed is {self.allowed}.")

    def check(self, value):
        """`value` in the setting's own type, or SettingError."""
        given = value
        if self.optional:
            if value is None or (isinstance(value, str) and not value.strip()):
                return None
            if isinstance(value, str):  # its control is a text box, and its infotext is text
                try:
                    value = float(value)
                except ValueError:
                    self.refuse(given)
        if self.kind == "boolean":
            return value if isinstance(value, bool) else self.refuse(value)
        if self.several:
            names = self.names_in(value)
            if names is None or not set(names) <= set(self.several):
                self.refuse(value)
            return ", ".join(name for name in self.several if name in names)
        if self.kind == "string":
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                self.refuse(value)
            if self.choices:
                return value
            text = value.strip()
            return self.checked(self, "" if self.listed and text == NONE else text)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(given)
        # NaN is in no range; an integer too large for a float still compares.
        if not self.minimum <= value <= self.maximum or (self.kind == "integer" and value != int(value)):
            self.refuse(given)
        return int(value) if self.kind == "integer" else float(value)

    def names_in(self, value) -> "tuple | None":
        """The names of a list, or of a text with commas (or +, where a comma separates an axis' values)."""
        if isinstance(value, str):
            value = [name.strip() for name in value.replace("+", ",").split(",") if name.strip()]
        if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
            return None
        return tuple(value)

    def schema(self) -> dict:
        """Its entry in the JSON schema (draft 2020-12) of the settings."""
        entry = {"title": self.label, "description": self.whole, "type": self.kind, "default": self.default}
        if self.optional:
            entry["type"] = [entry["type"], "null"]
        if self.choices:
            entry["enum"] = list(self.choices)
        if self.several:
            name = f"(?:{'|'.join(map(re.escape, self.several))})"
            text = rf"^[\s,+]*(?:{name}(?:\s*[,+][\s,+]*{name})*)?[\s,+]*$"
            entry.update(type=["string", "array"], items={"enum": list(self.several)}, pattern=text)
        for key in ("minimum", "maximum", "pattern"):
            if getattr(self, key) not in (None, ""):
                entry[key] = getattr(self, key)
        return entry
