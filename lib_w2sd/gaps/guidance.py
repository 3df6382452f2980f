"""The guidance gap: another CFG scale on the weak side (paper, 4.2, Table 5). At weak CFG 0 it is Z-Sampling."""

from dataclasses import replace

from ..setting import Setting
from .gap import FEW_STEPS, NEGATIVE_GAIN, UNTESTED, Gap, Preset


def scales(settings, picture_cfg: float) -> "tuple[float, float]":
    """The CFG scales of the strong and the weak side, for a picture drawn at `picture_cfg`."""
    return picture_cfg if settings.strong_cfg is None else settings.strong_cfg, settings.weak_cfg


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
                "Follow the prompt more (Z-Sampling)",
                "Pushes away from what the model draws without guidance, and takes no time: from what the step before "
                "has shown. For CFG scales of 5 to 7; the paper's guidance gap.",
                self.given,
            ),
            Preset(
                "Few steps: follow the prompt more",
                f"Pushes away from what the model draws without your prompt. {UNTESTED}",
                {**self.given, **FEW_STEPS},
            ),
        )

    def differs(self, settings, picture):
        strong, weak = scales(settings, picture.cfg)
        return strong != weak

    def other_rows(self, settings, picture):
        """CFG 0 asks for the negative prompt's rows alone and CFG 1 for the prompt's; else both ask for some of one
        cond/uncond pair."""
        return set(scales(settings, picture.cfg)) == {0.0, 1.0}

    def touched(self, settings, picture):
        return self.differs(settings, picture)

    def cautions(self, settings, picture):
        strong, weak = scales(settings, picture.cfg)
        said = []
        if weak > strong:
            said.append(f"Weak CFG {weak:g} is above the strong side's {strong:g}: {NEGATIVE_GAIN}.")
        if picture.flux and picture.cfg == strong == 1 and weak != 1:
            said.append(
                "Flux at CFG 1 has no CFG guidance to take away, weak CFG only asks for the negative prompt: "
                'the preset "Flux: follow the prompt more" is for it.'
            )
        return said

    def sides(self, settings, host, strong, weak):
        return replace(strong, cfg_scale=settings.strong_cfg), replace(weak, cfg_scale=settings.weak_cfg)
