"""The checkpoint gap: another checkpoint's UNet on the weak side (paper, 4.1, Table 2)."""

from dataclasses import replace

from ..errors import CheckpointError, UnfitCheckpoint
from ..setting import CHECKPOINTS, Setting
from ..weights import names
from . import lora_scales
from .gap import Gap, Preset


def _short(name: str) -> str:
    """A checkpoint's name without its folder and its hash."""
    return names.titled(name)[0].replace("\\", "/").rpartition("/")[2]


class Checkpoint(Gap):
    name = "checkpoint"
    switch = "another checkpoint"
    ability = "checkpoint"
    settings = (
        Setting(
            "weak_checkpoint",
            "",
            "Weak checkpoint",
            "A plainer checkpoint of the same architecture, from which the picture is pushed away, as SD1.5 for a "
            "model fine-tuned from it. Only its UNet is used; it takes the memory of a second one. The paper has both "
            "CFG scales at 1.",
            "W2SD weak checkpoint",
            line="A plainer one of the same architecture.",
            listed=CHECKPOINTS,
            in_memory="the weak checkpoint",
            allows="a whole name, title or hash of one of the WebUI's checkpoints, or nothing",
        ),
        Setting(
            "weak_checkpoint_loras",
            False,
            "LoRAs on the weak checkpoint too",
            "Off: the weak checkpoint is as its file is, but for weak LoRAs named above. On: your LoRAs are on it as "
            "well, at their scale plus the weak LoRA offset.",
            "W2SD weak checkpoint LoRAs",
            line="Off: it is as its file is.",
        ),
        Setting(
            "weak_refiner_checkpoint",
            "",
            "Weak checkpoint for the refiner",
            "Where a refiner takes over (the low-noise model of a Wan pair), it is set against this one. Empty: the "
            "same as before.",
            "W2SD weak refiner checkpoint",
            line="Where a refiner takes over. Empty: the same as before.",
            listed=CHECKPOINTS,
            only_with="weak_checkpoint",
            allows="a whole name, title or hash of one of the WebUI's checkpoints, or nothing",
        ),
    )
    experts = ("weak_refiner_checkpoint",)

    def presets(self):
        return (
            Preset(
                "More of my checkpoint",
                "Against a habit that yours has from a plainer checkpoint, chosen below.",
                {},
                worth=70,
                stays=("weak_checkpoint",),
                needs="weak_checkpoint",
                ask="Choose a plainer checkpoint of the same architecture as the weak one.",
            ),
        )

    def same(self, settings, picture) -> bool:
        loaded = picture.checkpoint
        return bool(loaded and settings.weak_checkpoint) and _short(settings.weak_checkpoint) == _short(loaded)

    def differs(self, settings, picture):
        return bool(settings.weak_checkpoint) and not self.same(settings, picture)

    def without_effect(self, settings):
        told = {
            "LoRAs on the weak checkpoint have": settings.weak_checkpoint_loras,
            "A weak checkpoint for the refiner has": settings.weak_refiner_checkpoint,
        }
        given = [what for what, asked in told.items() if asked and not settings.weak_checkpoint]
        return [f"{what} no effect: no weak checkpoint is chosen." for what in given]

    def cautions(self, settings, picture):
        if self.same(settings, picture):
            return ["The weak checkpoint is the loaded one: between them nothing differs."]
        return []

    def sides(self, settings, host, strong, weak):
        """Raises CheckpointError where it does not fit, or is none."""
        if not (settings.weak_checkpoint and host.acts):
            return strong, weak
        with self.settings[0].named():
            return self._sides(settings, host, strong, weak)

    def _sides(self, settings, host, strong, weak):
        weak_checkpoint = host.able(self.ability)(host.p, settings, weak.loras)
        # The same file with other LoRAs is a gap: with those of the picture against without, say.
        if weak_checkpoint.is_the_loaded_one() and lora_scales.same_unet(strong.loras, weak.loras):
            if host.begun:
                host.comment("W2SD: the weak checkpoint is the one loaded there: from there on it makes no gap.")
                return strong, replace(weak, overlays=strong.overlays)
            if not settings.weak_alone:
                raise CheckpointError(
                    settings.weak_checkpoint,
                    "which is the loaded checkpoint itself: between strong and weak side it would be no gap. Choose "
                    "another, or nothing.",
                )
        try:
            overlay = weak_checkpoint.opened()
            overlay.named = self.settings[0].named
        except UnfitCheckpoint as error:
            if not host.has("architecture"):
                raise
            other = "A model of another architecture goes under weak_model (another architecture)."
            raise UnfitCheckpoint(settings.weak_checkpoint, f"{error.why.rstrip('.')}. {other}") from error
        return strong, replace(weak, overlays=(*weak.overlays, overlay))
