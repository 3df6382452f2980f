"""Run by the WebUI, in a process of its own, at every start. Nothing to install: a word only if the host is too old."""

from importlib.util import find_spec
from pathlib import Path


def defines(module: str, name: str) -> bool:
    """Whether a module of the host mentions `name`. Read, not imported: that would load torch at every start."""
    found = find_spec(module)
    return found is not None and name in Path(found.origin).read_text(encoding="utf8")


def is_too_old() -> bool:
    return not (
        defines("modules.scripts", "def process_before_every_sampling")
        and defines("modules.infotext_utils", "class PasteField")
    )


if __name__ == "__main__":
    try:
        if is_too_old():
            print(
                "W2SD needs AUTOMATIC1111's WebUI 1.10 or newer, or Forge of August 2024 or newer. "
                "Please update the WebUI."
            )
    except ModuleNotFoundError:
        print("W2SD: this is not the folder of a WebUI; nothing to install.")
