"""Lists of prompts: one a line; a line that begins with # tells what follows."""

from pathlib import Path

from ..errors import SettingError

OURS = Path(__file__).with_name("prompts.txt")


def listed(text: str) -> "list[str]":
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read(path: Path) -> "list[str]":
    """Raises SettingError if there is none."""
    found = listed(path.read_text(encoding="utf-8"))
    if not found:
        raise SettingError(f"Prompts in {path}: there is none; allowed is one a line.")
    return found
