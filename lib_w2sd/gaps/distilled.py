"""The distilled guidance gap: another scale of the guidance that Flux takes as an input (paper, E.6)."""

from dataclasses import replace

from ..errors import SettingError
from ..setting import Setting
from .gap import NEGATIVE_GAIN, Gap, Preset

INPUT = "guidance"  # what conds call it
_SCALE = {"minimum": 0.0, "maximum": 30.0, "step": 0.1, "optional": True}


class Distilled(Gap):
    name = "distilled"
    switch = "less distilled CFG (Flux)"
    ability = "distilled"
    settings = (
        Setting(
            "weak_distilled_cfg",
            None,
            "Distilled CFG of the weak version",
            "Flux' own guidance in the weak version; empty: your Distilled CFG Scale.",
            "W2SD weak distilled CFG",
            line="Empty: your Distilled CFG Scale.",
            **_SCALE,
        ),
        Setting(
            "strong_distilled_cfg",
            None,
            "Distilled CFG of the good version",
            "The same in the good version, while a step is improved; empty: your own. The paper has 2 against 1, both "
            "CFG scales at 1. Only for checkpoints that have it (Flux on Forge).",
            "W2SD strong distilled CFG",
            line="In the improved steps. Empty: your own.",
            **_SCALE,
        ),
    )
    given = {"strong_distilled_cfg": 2.0, "weak_distilled_cfg": 1.0}

    def presets(self):
        return (
            Preset(
                "Flux: follow the prompt more",
                "Flux' own guidance at 2 against 1, in the first 10 of about 28 steps.",
                {"lambda_steps": 10, **self.given},
                worth=30,
            ),
        )

    def differs(self, settings, picture):
        return settings.strong_distilled_cfg != settings.weak_distilled_cfg

    def moves_strong(self, settings):
        return settings.strong_distilled_cfg is not None

    def offered(self, picture):
        return picture.flux

    def cautions(self, settings, picture):
        if not self.differs(settings, picture):
            return []
        if not picture.flux:
            return ["Distilled CFG will be refused unless the checkpoint has it (Flux on Forge)."]

        def scale(value):
            return picture.distilled_cfg if value is None else value

        weak, strong = scale(settings.weak_distilled_cfg), scale(settings.strong_distilled_cfg)
        if None not in (weak, strong) and weak > strong:
            return [f"The weak side's distilled CFG is above the strong side's: {NEGATIVE_GAIN}."]
        return []

    def sides(self, settings, host, strong, weak):
        """Raises SettingError where the loaded checkpoint takes no such scale."""
        sides = []
        for setting, side in zip(reversed(self.settings), (strong, weak)):
            value = getattr(settings, setting.name)
            if value is not None and host.acts and not (host.has(self.ability) and host.able(self.ability)()):
                raise SettingError(
                    f"W2SD: {setting.name} ({setting.label}) was given {value:g}, but the loaded checkpoint has no "
                    "distilled guidance (Flux on Forge has); allowed is nothing."
                )
            sides.append(side if value is None else replace(side, inputs={**side.inputs, INPUT: value}))
        return tuple(sides)
