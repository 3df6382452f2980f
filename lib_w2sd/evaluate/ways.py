"""What is compared: ways of making the same picture, the first of which is what the others are set against."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ..errors import SettingError
from ..page import presets
from ..page.settings import parse

MATCHES = ("push", "time")


@dataclass(frozen=True)
class Way:
    """One way.

    w2sd     W2SD's settings; None: off
    request  what of the request is another: {"steps": 30}
    like     the name of a way before it, whose push (CFG scale) or time (steps) this plain picture is given
    match    push or time
    """

    name: str
    w2sd: "dict | None" = None
    request: dict = field(default_factory=dict)
    like: str = ""
    match: str = ""

    def as_dict(self) -> dict:
        return {name: value for name, value in vars(self).items() if value not in ("", None, {})}


# What the user could do instead, by the name of the way: the match.
BESIDE = {"plain, same push": "push", "plain, same time": "time"}


def beside(like: str, names=BESIDE) -> "list[Way]":
    return [Way(name, like=like, match=BESIDE[name]) for name in names]


def usual(w2sd: dict) -> "tuple[Way, ...]":
    """W2SD against plain, beside what the user could do instead."""
    return (Way("plain"), Way("W2SD", w2sd), *beside("W2SD"))


def read(path: Path) -> "tuple[Way, ...]":
    """Ways from a JSON file: a list of objects with a Way's fields, and preset for the name of one of W2SD's own.

    Raises SettingError, which names the way, for what it cannot be.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"Ways were given {str(path)!r}: {error}; allowed is a JSON file.") from error
    if not isinstance(given, list) or len(given) < 2:
        raise SettingError(f"Ways in {path}: allowed is a list of at least two.")
    found: dict = {}
    for one in given:
        way = _way(one, found)
        found[way.name] = way
    return tuple(found.values())


def _way(one, before: dict) -> Way:
    known = {"name", "preset", "w2sd", "request", "like", "match"}
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not one["name"].strip():
        raise SettingError(f"Ways: {one!r} was given; allowed is an object with a name.")
    name, w2sd = one["name"].strip(), one.get("w2sd")

    def wrong(what: str) -> SettingError:
        return SettingError(f"Way {name!r}: {what}")

    if unknown := set(one) - known:
        raise wrong(f"{', '.join(sorted(unknown))} was given; allowed is {', '.join(sorted(known))}.")
    if name in before:
        raise wrong("this name is given twice.")
    if "preset" in one:
        built_in = presets.built_in()
        if one["preset"] not in built_in:
            raise wrong(f"preset {one['preset']!r} was given; allowed is {', '.join(built_in)}.")
        w2sd = {**built_in[one["preset"]].fields, **(w2sd or {})}
    if w2sd is not None:
        try:
            parse([{**w2sd, "enabled": True}])
        except SettingError as error:
            raise wrong(str(error)) from error
    like, match = one.get("like", ""), one.get("match", "")
    if bool(like) != bool(match) or (match and match not in MATCHES):
        raise wrong(
            f"like {like!r} and match {match!r} were given; allowed is both, match one of {', '.join(MATCHES)}."
        )
    if like and (like not in before or before[like].w2sd is None):
        raise wrong(f"like {like!r} was given; allowed is a way with W2SD that stands before it.")
    if like and w2sd is not None:
        raise wrong("a way that is like another is a plain one: w2sd is not allowed.")
    return Way(name, w2sd, dict(one.get("request") or {}), like, match)


def matched(way: Way, request: dict, made: dict) -> "dict | None":
    """The request of a plain way that is like another, of the same pair; None where the run does not tell how.

    made  of the other way: rows_ratio (its network rows over the plain step's), effective_cfg or None
    """
    if way.match == "time":
        return {**request, "steps": max(1, round(request["steps"] * made["rows_ratio"]))}
    if made["effective_cfg"] is None:
        return None
    return {**request, "cfg_scale": round(made["effective_cfg"], 2)}


def facts_of(passes: list) -> dict:
    """What a run's trace says for `matched`: rows (but for those only measured), rows_ratio and effective_cfg."""
    rows = {"step": 0, "measure": 0, "other": 0}
    for run in passes:
        for asked in run["evaluations"]:
            rows[asked["kind"] if asked["kind"] in rows else "other"] += asked["rows"]
    scales = [r["effective_cfg"] for run in passes for r in run["reflections"] if r.get("effective_cfg") is not None]
    counted = rows["step"] + rows["other"]
    return {
        "rows": counted,
        "rows_ratio": counted / rows["step"] if rows["step"] else 1.0,
        "effective_cfg": median(scales) if scales else None,
    }
