"""Run by the WebUI, in a process of its own, at every start. Nothing to install: a word only if the host is too old,
or none of those that W2SD works in."""

from importlib.util import find_spec
from pathlib import Path


def defines(module: str, name: str) -> bool:
    """Whether a module of the host mentions `name`. Read, not imported: that would load torch at every start."""
    found = find_spec(module)
    return found is not None and name in Path(found.origin).read_text(encoding="utf8")


def is_unfit() -> bool:
    return not (
        defines("modules.scripts", "def process_before_every_sampling")
        and defines("modules.infotext_utils", "class PasteField")
        and defines("modules.sd_samplers_cfg_denoiser", "class CFGDenoiser")
    )


if __name__ == "__main__":
    try:
        if is_unfit():
            print(
                "W2SD needs AUTOMATIC1111's WebUI 1.10 or newer, Forge of August 2024 or newer, Forge Neo, "
                "ersatzForge or reForge: please update the WebUI if it is one of these; in others, such as SD.Next, it "
                "cannot work."
            )
    except ModuleNotFoundError:
        print("W2SD: this is not the folder of a WebUI; nothing to install.")
