"""Two architectures: the weak side is a model with another kind of network and autoencoder (paper, E.5, Figure 31)."""

from dataclasses import replace

from ..errors import SettingError
from ..setting import CHECKPOINTS, Setting
from .gap import Gap, Preset

# Beside it nothing can be told of the weak side, which has layers, prompts and inputs of its own.
NOT_WITH = ("weak_checkpoint", "reward", "weak_alone")
# Each step more costs six pictures through autoencoders; so was it measured (docs/paper/README.md, Figure 31).
FIRST = {"lambda_steps": 3, "strength": 1.0, "inversion": "matched"}
LAMBDA = FIRST["lambda_steps"]


class Architecture(Gap):
    name = "architecture"
    switch = "another architecture"
    ability = "architecture"
    settings = (
        Setting(
            "weak_model",
            "",
            "Weak model of another architecture",
            "An older kind of model, from whose picture yours is pushed away: SD1.5 for SDXL, SDXL for Flux. It reads "
            "the prompt with its own text encoders; the two meet in pixels. Needs the memory of a second model, and at "
            "each improved step the time of drawing with it and of decoding and encoding the picture three times.",
            "W2SD weak model",
            line="An older kind, as SD1.5 for SDXL. Takes its memory.",
            listed=CHECKPOINTS,
            in_memory="the weak model",
            allows="a whole name, title or hash of one of the WebUI's checkpoints, or nothing",
        ),
        Setting(
            "weak_model_modules",
            "",
            "Its VAE and text encoders",
            "Names of files as in the WebUI's own list of these, separated by commas; for models whose checkpoint has "
            "none inside, as Flux. Empty for SD1.5 and SDXL.",
            "W2SD weak model modules",
            line="As the WebUI lists them, with commas. Empty for SD1.5 and SDXL.",
            only_with="weak_model",
            allows="names from the WebUI's list of VAEs and text encoders, separated by commas, or nothing",
        ),
    )

    def presets(self):
        return (
            Preset(
                "More than an older kind of model",
                "Away from what an older kind of model, chosen below, would draw.",
                FIRST,
                worth=20,
                stays=("weak_model", "weak_model_modules"),
                needs="weak_model",
                ask="Choose a weak model of another architecture.",
            ),
        )

    def differs(self, settings, picture):
        return bool(settings.weak_model)

    def through_pixels(self, settings):
        return settings.weak_model

    def without_effect(self, settings):
        if settings.weak_model_modules and not settings.weak_model:
            return ["The weak model's VAE and text encoders have no effect: no weak model is chosen."]
        if not settings.weak_model:
            return []
        told = {
            "LoRA scales": settings.weak_lora_offset or settings.weak_loras or settings.weak_lora_text_encoder,
            "a distilled CFG scale": settings.weak_distilled_cfg is not None,
            "what is left out": settings.weak_without,
        }
        named = [name for name, given in told.items() if given]
        return [f"A weak model of another architecture has no part in {' and '.join(named)}."] if named else []

    def cautions(self, settings, picture):
        if settings.weak_model and settings.lambda_steps > 2 * LAMBDA:
            return [
                f"Each of {settings.lambda_steps} steps decodes and encodes the picture three times: try {LAMBDA} "
                "steps to improve first."
            ]
        return []

    def check(self, settings):
        for name in NOT_WITH if settings.weak_model else ():
            if given := getattr(settings, name):
                raise SettingError(
                    f"W2SD: {name} was given {given!r}, with weak_model {settings.weak_model!r}; allowed is one of the "
                    "two."
                )

    def sides(self, settings, host, strong, weak):
        """Raises W2SDError where the model cannot be loaded."""
        if not (settings.weak_model and host.acts):
            return strong, weak
        with self.settings[0].named():
            model = host.able(self.ability)(host, settings)
        model.read(host.read(settings.weak_prompt, False), host.read(settings.weak_negative_prompt, True))
        return strong, replace(weak, cond=None, uncond=None, overlays=(), inputs={}, model=model)
