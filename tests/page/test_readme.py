"""README.md says of the settings what their definition says."""

from pathlib import Path

from lib_w2sd.page.settings import SETTINGS

README = Path(__file__).parents[2] / "README.md"


def table() -> str:
    def cells(f):
        default = "empty" if f.default is None else f"`{str(f.default).lower() if f.kind == 'boolean' else f.default}`"
        infotext = f.infotext if f.name != "enabled" else ""
        return f"`{f.name}`", f.label, f.help, f.allowed, default, infotext

    return "\n".join("| " + " | ".join(cells(f)) + " |" for f in SETTINGS)


def test_table_of_settings():
    assert table() in README.read_text(encoding="utf8"), f"the table should read\n{table()}"
