"""Settings to and from the picture's infotext ("PNG info")."""

import json
import re

from .settings import BY_NAME, SETTINGS, Settings

MARK = BY_NAME["lambda_steps"].infotext
# Said beside a checkpoint's name, and read back as a title: another file of that name is then refused.
HASHES = {s.name: s.hashed for s in SETTINGS if s.hashed}
LABELS = (*(f.infotext for f in SETTINGS if f.name != "enabled"), *HASHES.values())


def write(settings: Settings, params: dict, hashes: "dict | None" = None) -> None:
    """Put the settings into the host's `extra_generation_params`, or take them out when W2SD is off.

    hashes  {setting: hash} of those that name a checkpoint, where it is known

    An XYZ grid hands the same dictionary to all of its cells: each one has to be set or removed every time.
    """
    for label in LABELS:
        params.pop(label, None)
    if not settings.enabled:
        return
    for f in SETTINGS:
        value = getattr(settings, f.name)
        if f.name == "enabled" or value is None or (not f.always and value == f.default) or not f.counts(settings):
            continue
        params[f.infotext] = _text(f, value)
    for name, label in HASHES.items():
        if getattr(settings, name) and (found := (hashes or {}).get(name)):
            params[label] = found


def _text(f, value) -> str:
    if f.kind == "boolean":
        return str(value)
    return _quoted(value) if f.kind == "string" else number(value)


def number(value) -> str:
    """As short as it can be read back; a pasted picture has to be the same picture."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _quoted(text: str) -> str:
    """The host quotes what has a comma, colon or line break. Nothing at all it cannot read back, and a text that
    starts with a quotation mark of its own it would take for quoted: these two are quoted here."""
    needs_ours = not text or (text[0] == '"' and not re.search(r"[,:\n]", text))
    return json.dumps(text, ensure_ascii=False) if needs_ours else text


def is_on(params: dict) -> bool:
    return MARK in params


def read(name: str, params: dict):
    """What to put into a setting's control on paste; None leaves it as it is (the picture was made without W2SD)."""
    if not is_on(params):
        return None
    f = BY_NAME[name]
    label = f.infotext
    # The host splits any value that looks like a picture size.
    size = params.get(f"{label}-1"), params.get(f"{label}-2")
    text = params.get(label, None if None in size else f"{size[0]}x{size[1]}")
    if f.several:
        return [name for name in f.names_in(text or f.default) if name in f.several]
    if text is None:
        return "" if f.default is None else f.default
    if f.kind == "boolean":
        return text == "True"
    if name in HASHES and HASHES[name] in params:
        return f"{text} [{params[HASHES[name]]}]"
    if f.kind == "string" or f.optional:
        return text
    return {"integer": int, "boolean": bool, "number": float}[f.kind](float(text))
