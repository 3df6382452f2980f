"""The guidance gap: another CFG scale on the weak side (paper, 4.2, Table 5). At weak CFG 0 it is Z-Sampling."""

from dataclasses import replace

from ..setting import Setting
from .gap import FEW_STEPS, NEGATIVE_GAIN, Gap, Picture, Preset, few_steps

AT_FIRST = 10  # steps to improve, as the settings are at the start
USUAL = 3.0, 10.0  # CFG scales at which the paper's preset is worth a try; its own are 5 to 7


def weak_at(cfg: float) -> dict:
    """The settings by which the weak side has this CFG scale: the picture's own, where guidance is to be no gap."""
    return {"weak_cfg": cfg}


def scales(settings, picture_cfg: float) -> "tuple[float, float]":
    """The CFG scales of the strong and the weak side, for a picture drawn at `picture_cfg`."""
    return picture_cfg if settings.strong_cfg is None else settings.strong_cfg, settings.weak_cfg


def _without_guidance(picture: Picture) -> str:
    if picture.cfg > 1:
        return ""
    return f'At CFG {picture.cfg:g} there is no guidance to take away; "{FEW_NAME}" is for pictures like this.'


def _with_guidance(picture: Picture) -> str:
    if picture.cfg <= 1:
        return ""
    return "CFG above 1"


def _counts_already(picture: Picture) -> str:
    if picture.cfg == 1:
        return ""
    return f"At CFG {picture.cfg:g} a negative prompt counts as it is; this preset is for CFG 1."


def _unusual(picture: Picture) -> str:
    if USUAL[0] <= picture.cfg <= USUAL[1]:
        return ""
    return _without_guidance(picture) or f"This preset is for CFG scales of about 5 to 7; yours is {picture.cfg:g}."


FEW_NAME = "Few steps: follow the prompt more"
# What was measured (docs/paper/cfg-1.md): half of 8 steps, all but the last of 4.
NEGATIVE = {"lambda_steps": 4, "strength": 2.0, "inversion": "previous-gap"}


class Guidance(Gap):
    name = "guidance"
    switch = "less guidance"
    settings = (
        Setting(
            "weak_cfg",
            0.0,
            "Guidance of the weak version (weak CFG)",
            "How closely the weak version follows your prompt. The further below your CFG scale, the more the picture "
            "is pushed to follow it. 0: not at all. May be negative.",
            "W2SD weak CFG",
            line="Below your own. 0: it ignores your prompt.",
            minimum=-30.0,
            maximum=30.0,
            step=0.5,
            always=True,
            # Below what a picture's own usually is (paper, Figure 12).
            grid=lambda steps: [-2.0, 0.0, 1.0, 3.0],
        ),
        Setting(
            "strong_cfg",
            None,
            "Guidance of the good version (strong CFG)",
            "CFG scale of the good version while a step is improved; empty: your own. With 1 here and 1 above, "
            "guidance plays no part and only what else differs counts.",
            "W2SD strong CFG",
            line="Its CFG scale in the improved steps. Empty: your own.",
            minimum=-30.0,
            maximum=30.0,
            step=0.5,
            optional=True,
        ),
    )
    experts = ("strong_cfg",)
    given = {"weak_cfg": 0.0, "strong_cfg": None}
    # Both at 1 "to eliminate influence from guidance gaps" (appendix C.1).
    off = {"weak_cfg": 1.0, "strong_cfg": 1.0}

    def presets(self):
        return (
            Preset(
                "Follow the prompt a little more",
                "Gently, in the first half of the steps. A higher CFG scale does more.",
                {**self.given, "lambda_steps": AT_FIRST},
                worth=50,
                first=_with_guidance,
                unsuited=_without_guidance,
            ),
            Preset(
                "Follow the prompt more (Z-Sampling)",
                "In all steps, for CFG 5 to 7. It did what a higher CFG scale does.",
                self.given,
                worth=40,
                unsuited=_unusual,
            ),
            Preset(
                FEW_NAME,
                "Few steps at CFG 1. With 4, our own model followed the prompt as at 1.25.",
                {**self.given, **FEW_STEPS},
                worth=60,
                first=lambda picture: "CFG 1" if picture.cfg == 1 else "",
                unsuited=few_steps,
            ),
            Preset(
                "At CFG 1: let the negative prompt count",
                "By itself it does nothing there. On our own model less of it was left.",
                {**self.given, **NEGATIVE},
                worth=55,
                stays=("weak_negative_prompt",),
                needs="weak_negative_prompt",
                ask="Write what you do not want as the negative prompt; where your WebUI locks that at CFG 1, as the "
                "weak negative prompt.",
                unsuited=_counts_already,
            ),
        )

    def differs(self, settings, picture):
        strong, weak = scales(settings, picture.cfg)
        return strong != weak

    def touched(self, settings, picture):
        return self.differs(settings, picture)

    def cautions(self, settings, picture):
        strong, weak = scales(settings, picture.cfg)
        said = []
        if weak > strong:
            said.append(f"Weak CFG {weak:g} is above the strong side's {strong:g}: {NEGATIVE_GAIN}.")
        if picture.flux and picture.cfg == strong == 1 and weak != 1:
            said.append(
                "Flux at CFG 1 has no CFG guidance to take away, weak CFG only asks for the negative prompt. To follow "
                'the prompt more there is the preset "Flux: follow the prompt more".'
            )
        return said

    def sides(self, settings, host, strong, weak):
        return replace(strong, cfg_scale=settings.strong_cfg), replace(weak, cfg_scale=settings.weak_cfg)
