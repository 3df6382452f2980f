"""`python -m lib_w2sd.page.guide`: the tables of docs/guide/settings.md, from the definitions."""

import re
from pathlib import Path

from .presets import BUILT_IN
from .settings import SETTINGS

FILE = Path(__file__).parents[2] / "docs" / "guide" / "settings.md"


def _table(head: tuple, rows) -> str:
    lines = "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
    return lines.replace("<", "\\<")  # or Markdown takes a LoRA's tag for an address


def _value(value) -> str:
    return "empty" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def settings() -> str:
    def cells(s):
        infotext = s.infotext if s.name != "enabled" else ""
        return f"`{s.name}`", s.label, s.whole, s.allowed, _value(s.default), infotext

    return _table(("API name", "label", "what it does", "allowed", "default", "infotext"), map(cells, SETTINGS))


def presets() -> str:
    """Of what a preset fills, what is not the setting's default."""
    default = {s.name: s.default for s in SETTINGS}

    def cells(preset):
        filled = {name: value for name, value in preset.fields.items() if value != default[name]}
        told = ", ".join(f"`{name}` {_value(value)}" for name, value in filled.items())
        return preset.name, preset.about, told, preset.ask

    return _table(("preset", "what it does", "sets, other than the defaults", "needs"), map(cells, BUILT_IN.values()))


def filled(text: str) -> str:
    """settings.md with its tables as they should be."""
    for name, table in (("presets", presets()), ("settings", settings())):
        text = re.sub(
            rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.S
        )
    return text


if __name__ == "__main__":
    FILE.write_text(filled(FILE.read_text(encoding="utf8")), encoding="utf8")
