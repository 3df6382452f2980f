"""Lists of prompts: one a line, behind a tab the weak side's, if it has one; a line that begins with # tells what
follows."""

from pathlib import Path

from ..errors import SettingError
from ..page.settings import SETTINGS

OURS = Path(__file__).with_name("prompts.txt")


def listed(text: str) -> "list[str]":
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def weak_of(line: str) -> str:
    return line.partition("\t")[2].strip()


def settings_of(line: str) -> dict:
    """W2SD's settings that the line gives, by name."""
    weak = weak_of(line)
    return {setting.name: weak for setting in SETTINGS if setting.of_a_prompt and weak}


def strong_of(line: str) -> str:
    return line.partition("\t")[0].strip()


def with_behind(line: str, behind: str) -> str:
    """A line of a list with the same words behind both of its prompts."""
    return "\t".join(f"{prompt.strip()}, {behind}" for prompt in line.split("\t", 1))


def read(path: Path) -> "list[str]":
    """Raises SettingError if there is none."""
    found = listed(path.read_text(encoding="utf-8"))
    if not found:
        raise SettingError(f"Prompts in {path}: there is none; allowed is one a line.")
    return found
