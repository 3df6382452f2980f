"""A host's own parts of the gaps: modules in its folder, looked for only when a gap asks, and named where they lack
something."""

import importlib

from ...errors import LacksError, SettingError
from . import requirements

HOSTS = __package__.rpartition(".")[0]


class Abilities:
    name: str
    # What this host does for a gap, by the gap's `ability`: "module" of its folder, or "module:name".
    ABILITIES: dict = {}

    @classmethod
    def has(cls, ability: str) -> bool:
        return ability in cls.ABILITIES and not cls.lacks(ability)

    @classmethod
    def lacks(cls, ability: str) -> list:
        """What this host lacks for a gap, which reaches further into it than the rest: names, and what the room that
        makes it has tried (its `lacking`)."""
        room = cls.ABILITIES[ability].partition(":")[0]
        lacking = requirements.missing(requirements.BY_ROOM.get(room, ()))
        try:
            return lacking or getattr(importlib.import_module(f"{HOSTS}.{room}"), "lacking", list)()
        except Exception as error:  # whatever it is: the other gaps do not need it
            return [f"what {room} needs ({error})"]

    @classmethod
    def able(cls, ability: str):
        """This host's own part of a gap. Raises SettingError where it has none, LacksError where that cannot be."""
        if ability not in cls.ABILITIES:
            raise SettingError(f"W2SD: this WebUI ({cls.name}) cannot make the {ability} gap.")
        lacking = cls.lacks(ability)
        if lacking:
            missing = requirements.listed(lacking)
            raise LacksError(f"W2SD cannot make a {ability} gap in this WebUI, which lacks {missing}.")
        room, _, name = cls.ABILITIES[ability].partition(":")
        found = importlib.import_module(f"{HOSTS}.{room}")
        return getattr(found, name) if name else found
