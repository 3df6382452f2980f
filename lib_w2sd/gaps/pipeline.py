"""The pipeline gap: the weak side is drawn without ControlNet, IP-Adapter or another addition (paper, 4.3, Figures 10
and 11)."""

from dataclasses import replace

from ..setting import Setting
from .gap import Gap, Picture, Preset, no_words

EVERYTHING = "everything"
# Single ControlNet units, of those that are on, in their order.
UNITS = ("1st ControlNet", "2nd ControlNet", "3rd ControlNet")
# What a weak side can do without, by the names that users know.
PARTS = ("ControlNet", "IP-Adapter", *UNITS, "FreeU", "SAG", "PAG", "HRFix", "StyleAlign", EVERYTHING)
# Appendix C.1: "the guidance scale for both M^s and M^w are set to 0.5".
CFG = 0.5
# As close as the reflection brings it, for two thirds of its rows (docs/paper/pipeline.md).
WAY = {"inversion": "auto-guidance", "strength": 1.0}
# What each brought on our own model, the same report.
ABOUT = {
    "ControlNet": "Closer to its edges or pose; the prompt is kept better than by more weight.",
    "IP-Adapter": "Closer to the reference picture than any weight of the unit gets.",
}
OF_CONTROLNET = ("ControlNet", "IP-Adapter", *UNITS)


def _with_controlnet(picture: Picture) -> str:
    return "ControlNet is on" if picture.controlnet else ""


class Pipeline(Gap):
    name = "pipeline"
    switch = "no ControlNet, IP-Adapter or the like"
    ability = "pipeline"
    settings = (
        Setting(
            "weak_without",
            "",
            "The weak version is drawn without",
            "The picture comes closer to what this adds: the edges or the pose of ControlNet, the reference picture of "
            "IP-Adapter. Only what is on in your picture counts.",
            "W2SD weak without",
            line="The picture comes closer to what is ticked. It has to be on in your picture.",
            several=PARTS,
        ),
        Setting(
            "weak_weight",
            0.0,
            "Or only weaker: this share of its weight",
            "0: the weak version has nothing of it. 0.3: a ControlNet or IP-Adapter of weight 1 has 0.3 there.",
            "W2SD weak weight",
            line="0: nothing of it. 1: as much as yours.",
            only_with="weak_without",
            minimum=0.0,
            maximum=1.0,
            step=0.05,
        ),
    )
    given = {"weak_without": "ControlNet"}

    def presets(self):
        return tuple(
            Preset(
                f"Closer to my {part}",
                about,
                {**WAY, "weak_cfg": CFG, "strong_cfg": CFG, "weak_without": part},
                worth=90 - i,
                first=_with_controlnet if i == 0 else no_words,
            )
            for i, (part, about) in enumerate(ABOUT.items())
        )

    def differs(self, settings, picture):
        return bool(settings.weak_without) and settings.weak_weight < 1

    def cautions(self, settings, picture):
        parts = self.settings[0].names_in(settings.weak_without)
        if picture.controlnet is False and self.differs(settings, picture):
            off = [part for part in parts if part in OF_CONTROLNET]
            if off:
                return [f"No ControlNet unit is on, so the weak version cannot be without {' and '.join(off)}."]
        return []

    def sides(self, settings, host, strong, weak):
        """Raises SettingError where this host has nothing to leave out; what the picture itself has not, is said at the
        first step, when everything has been put on."""
        if not settings.weak_without or not host.acts:
            return strong, weak
        parts = self.settings[0].names_in(settings.weak_without)
        overlay = host.able(self.ability)(host, parts, settings.weak_weight)
        return strong, replace(weak, overlays=(*weak.overlays, overlay))
