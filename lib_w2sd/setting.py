"""What a setting is: its name, its values and its words, once. Accordion, API, infotext and XYZ follow from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import SettingError

NONE = "None"  # a list's entry for no choice
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True)
class Setting:
    """One thing that a user can choose.

    name           in the API
    default        its type is the setting's (None: a number that may be left empty, see optional)
    label, help    on the page
    infotext       its key in a picture's infotext
    minimum, maximum, step   of a number
    choices        of a text: its values, no others
    optional       a number for which empty text stands for None
    listed         a name that the host has a list of; empty text or "None" for none of them
    pattern        of a text, for the schema
    allows         what a text may be, in words for messages
    checked        checked(setting, text) -> the text as it is used; raises SettingError (see refuse)
    always         written into the infotext even where it is the default, which may change some day
    kept           a part of how a picture is made, which a preset keeps
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
    optional: bool = False
    listed: bool = False
    pattern: str = ""
    allows: str = "a text"
    checked: "Callable[[Setting, str], str]" = lambda setting, text: text
    always: bool = False
    kept: bool = True

    @property
    def kind(self) -> str:
        """boolean, integer, number or string: the type in JSON schema's words."""
        return "number" if self.optional else _KINDS[type(self.default)]

    @property
    def searched(self) -> bool:
        """A text of any kind, which an XYZ axis searches and replaces in."""
        return self.kind == "string" and not self.listed and not self.choices

    @property
    def allowed(self) -> str:
        """What it accepts, for messages and documents."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
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

    def schema(self) -> dict:
        """Its entry in the JSON schema (draft 2020-12) of the settings."""
        entry = {"title": self.label, "description": self.help, "type": self.kind, "default": self.default}
        if self.optional:
            entry["type"] = [entry["type"], "null"]
        if self.choices:
            entry["enum"] = list(self.choices)
        for key in ("minimum", "maximum", "pattern"):
            if getattr(self, key) not in (None, ""):
                entry[key] = getattr(self, key)
        return entry
