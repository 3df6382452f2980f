"""Extensions that draw regions, each from its own part of the picture's prompt, whatever conds they are given.

They have taken the parts before a pass begins, and another text has not the same: beside them it is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ....errors import SettingError
from ....gaps.prompt import Prompt
from . import reading

BOTH = tuple(setting.name for setting in Prompt.settings)
PROMPT_ALONE = BOTH[:1]


@dataclass(frozen=True)
class Regional:
    """title  what the user knows it by
    is_on  is_on(script), at the beginning of a pass
    texts  the settings that it does not draw from
    """

    title: str
    is_on: Callable
    texts: tuple


# By the files of their always-on scripts.
REGIONAL = {
    "forge_couple.py": Regional("Forge Couple", lambda script: bool(getattr(script, "couples", None)), PROMPT_ALONE),
    "rp.py": Regional("Regional Prompter", lambda script: bool(getattr(script, "active", False)), BOTH),
    "tilediffusion.py": Regional(
        "Tiled Diffusion's region prompt control",
        lambda script: bool(getattr(getattr(script, "delegate", None), "custom_bboxes", None)),
        BOTH,
    ),
}


def is_off(listener) -> bool:
    """Of somebody who listens to the host's denoiser: whether it is such an extension, switched off. Regional Prompter
    goes on to listen for as long as the WebUI runs once it has drawn a picture."""
    script = getattr(listener, "__self__", None)
    regional = REGIONAL.get(reading.file_of(script))
    return regional is not None and not regional.is_on(script)


def refuse_another(p, other: "tuple[bool, bool]", anew: bool) -> None:
    """Raises SettingError beside such an extension, for the prompt or negative prompt that is `other` than the
    picture's own, and where these are to be encoded `anew`."""
    for script in p.scripts.alwayson_scripts:
        regional = REGIONAL.get(reading.file_of(script))
        if regional is None or not regional.is_on(script):
            continue
        for setting, is_other in zip(Prompt.settings, other):
            if is_other and setting.name in regional.texts:
                raise SettingError(
                    f"W2SD: {setting.name} ({setting.label}) was given a text of its own, which {regional.title} does "
                    f"not draw from: its regions have the picture's prompt; allowed beside it is {setting.default}."
                )
        if anew:
            raise SettingError(
                f"W2SD: the weak side's LoRA scales were asked for in the text encoder too, but {regional.title} has "
                "read its regions' prompts with the picture's own; allowed is one of the two."
            )


def cautions(files: set, other: "tuple[bool, bool]") -> list:
    """Before the click, in sentences: `files` of the always-on scripts that there are."""
    said = []
    for file in sorted(files & set(REGIONAL)):
        regional = REGIONAL[file]
        named = [
            s.label.lower() for s, is_other in zip(Prompt.settings, other) if is_other and s.name in regional.texts
        ]
        if named:
            said.append(f"With {regional.title} on, another {' and '.join(named)} is refused: its regions have yours.")
    return said
