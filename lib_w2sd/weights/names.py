"""Which file a user means by a name or a hash: the whole name, or none. No host."""

import difflib
import re
from typing import NamedTuple

_HASH = re.compile(r"[0-9a-fA-F]+")
NEAREST = 3  # names offered in a refusal


class Known(NamedTuple):
    """A file that there is.

    name    with its folder and its ending, as it is shown
    others  what else it is called
    hashes  of its contents, whole or shortened, in lower case; none, if they are not known
    """

    name: str
    others: "tuple[str, ...]" = ()
    hashes: "tuple[str, ...]" = ()

    def has_hash(self, given: str) -> bool:
        """`given`: any of its hashes, or the first digits (8 or more) of a longer one."""
        given = given.lower()
        return any(one == given or (len(given) >= 8 and one.startswith(given)) for one in self.hashes)


def titled(given: str) -> "tuple[str, str]":
    """Name and hash of a title, "name [hash]"; the hash of a mere name is ""."""
    name, bracket, digits = given.strip().rpartition("[")
    if bracket and digits.endswith("]") and _HASH.fullmatch(digits[:-1]):
        return name.rstrip(), digits[:-1]
    return given.strip(), ""


class NotMeant(LookupError):
    """None, or more than one, is called so; the text goes on from "was given ...,"."""


def meant(given: str, known: "list[Known]") -> Known:
    """The one of `known` that `given` names: its name with or without folder and ending, its title ("name [hash]"), or
    one of its hashes. Raises NotMeant; a part of a name is none."""
    name, digits = titled(given)
    found = _called(name, known)
    if not digits:
        found = found or [one for one in known if one.has_hash(name)]
        if not found:
            raise NotMeant(f"which is none of the WebUI's checkpoints{_nearest(name, known)}")
        return _the_one(found)
    by_hash = [one for one in known if one.has_hash(digits)]
    fitting = [one for one in found if one in by_hash] or [one for one in found if not one.hashes]
    if not fitting and found:
        own = " or ".join(f"{one.name} [{min(one.hashes, key=_as_in_titles)}]" for one in found)
        whose = "".join(f"; [{digits}] is {one.name}" for one in by_hash)
        raise NotMeant(f"but the WebUI has {own}, another file than that of the hash{whose}")
    if not (fitting or by_hash):
        raise NotMeant(f"which is none of the WebUI's checkpoints, by name or by hash{_nearest(name, known)}")
    return _the_one(fitting or by_hash)


def _as_in_titles(digits: str) -> int:
    return abs(len(digits) - 10)


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/")


def _stem(name: str) -> str:
    return re.sub(r"\.(safetensors|ckpt|pth?|gguf|sft)$", "", name, flags=re.IGNORECASE)


def _called(given: str, known: "list[Known]") -> "list[Known]":
    """Those that are called so, in the closest of these ways that any is: as it stands, without the ending, without
    the folder, by another name, in other capitals."""
    given = _plain(given)
    if not given:
        return []
    ways = (
        lambda one: {_plain(one.name)},
        lambda one: {_stem(_plain(one.name))},
        lambda one: {_plain(one.name).rpartition("/")[2]},
        lambda one: {_stem(_plain(one.name).rpartition("/")[2])},
        lambda one: set(one.others),
    )
    for same in (str, str.casefold):
        for way in ways:
            found = [one for one in known if same(given) in map(same, way(one))]
            if found:
                return found
    return []


def _the_one(found: "list[Known]") -> Known:
    if len(found) > 1:
        raise NotMeant(
            f"which is more than one file: {', '.join(sorted(one.name for one in found))}; give the folder too"
        )
    return found[0]


def _nearest(given: str, known: "list[Known]") -> str:
    """In words, the names that come closest: those that `given` is a part of, and those spelled alike."""
    stems = {_stem(_plain(one.name)).rpartition("/")[2].casefold(): one.name for one in known}
    given = _stem(_plain(given)).rpartition("/")[2].casefold()
    near = sorted((stem for stem in stems if given and given in stem), key=len)
    near += difflib.get_close_matches(given, stems, NEAREST, cutoff=0.5)
    names = [stems[stem] for stem in dict.fromkeys(near)][:NEAREST]
    return f"; the nearest: {', '.join(names)}" if names else ""
