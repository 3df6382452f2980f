"""LoRAs and their scales: the prompt's syntax, and what a side of the gap makes of the request's own.

No host and no tensors; how a change of scale reaches the UNet is in layers.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

_TAG = re.compile(r"<lora:([^>]*)>")
_NETWORK = re.compile(r"<\w+:[^>]*>")  # of any kind


class Tag(NamedTuple):
    """`<lora:name:te:unet:dyn>` or `<lora:name:te=1:unet=1:dyn=8>`, read as the hosts read it: the UNet's scale is
    the text encoder's unless it is given, both are 1 unless one is. `dyn`: use only the first ranks (A1111)."""

    name: str
    te: float
    unet: float
    dyn: "int | None"


@dataclass(frozen=True)
class Use:
    """A LoRA at its scales. `file` says which one it is; `handle` is the host's own object, None if not loaded."""

    file: str
    te: float
    unet: float
    dyn: "int | None" = None
    handle: Any = None


def _until_last(text: str) -> "tuple[str, str]":
    """`text` up to its last >, and the rest, in which no tag ends: to look for that end at every < would take time that
    goes with the text's square."""
    end = text.rfind(">") + 1
    return text[:end], text[end:]


def tags(text: str) -> list:
    """The Tags in a text. Raises ValueError, with the tag's text, for one that the hosts cannot read."""
    return [_tag(found) for found in _TAG.finditer(_until_last(text)[0])]


def has_tags(text: str) -> bool:
    return bool(_TAG.search(_until_last(text)[0]))


def _taken_out(pattern: re.Pattern, text: str) -> str:
    before, rest = _until_last(text)
    return pattern.sub("", before) + rest


def without_tags(text: str) -> str:
    return _taken_out(_TAG, text).strip() if has_tags(text) else text


def without_networks(text: str) -> str:
    """Without extra networks of any kind, LoRAs among them."""
    return _taken_out(_NETWORK, text)


def _tag(found: re.Match) -> Tag:
    items = found.group(1).split(":")
    named = dict(item.split("=", 1) for item in items if "=" in item)
    name, *scales = [item for item in items if "=" not in item] or [""]
    try:
        if not name.strip() or len(scales) > 3 or not set(named) <= {"te", "unet", "dyn"}:
            raise ValueError
        te = float(named.get("te", scales[0] if scales else 1.0))
        unet = float(named.get("unet", scales[1] if len(scales) > 1 else te))
        dyn = named.get("dyn", scales[2] if len(scales) > 2 else None)
        # Not a number, and scales that no half precision holds
        if not (abs(te) <= 1000 and abs(unet) <= 1000):
            raise ValueError
        return Tag(name.strip(), te, unet, None if dyn is None else int(dyn))
    except ValueError:
        raise ValueError(found.group(0)) from None


def scaled(used, offset: float, overrides: "dict[str, tuple[Tag, ...]] | None" = None) -> tuple:
    """The Uses of one side: each scale of the request plus `offset`, or what `overrides` (by file) says instead.

    However often the request has a LoRA, `overrides` says all that the side has of it. One that only `overrides` names
    comes last; its handle is None.
    """
    overrides, uses, said = overrides or {}, [], set()
    for use in used:
        if use.file not in overrides:
            uses.append(replace(use, te=use.te + offset, unet=use.unet + offset))
        elif use.file not in said:
            said.add(use.file)
            uses += [
                replace(use, te=tag.te, unet=tag.unet, dyn=use.dyn if tag.dyn is None else tag.dyn)
                for tag in overrides[use.file]
            ]
    return tuple(uses) + tuple(
        Use(file, *tag[1:]) for file, tags in overrides.items() if file not in said for tag in tags
    )


def same_unet(a, b) -> bool:
    """Whether two tuples of Uses make the same UNet."""

    def counting(uses):
        return [(use.file, use.unet, use.dyn) for use in uses if use.unet]

    return counting(a) == counting(b)


def same_text_encoder(a, b) -> bool:
    def counting(uses):
        return [(use.file, use.te, use.dyn) for use in uses if use.te]

    return counting(a) == counting(b)
