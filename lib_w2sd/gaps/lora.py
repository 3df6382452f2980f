"""The LoRA gap: the same LoRAs at other scales, or others (paper, 4.1, Tables 3 and 10)."""

from dataclasses import replace

from ..errors import SettingError
from ..setting import Setting
from . import lora_scales
from .gap import NEGATIVE_GAIN, Gap, Preset
from .prompt import check_tags


def weak_lora_tags(settings) -> list:
    """The LoRAs that have a weak scale of their own; the field beside the offset has the last word."""
    return lora_scales.tags(settings.weak_prompt) + lora_scales.tags(settings.weak_loras)


def has_lora_gap(settings) -> bool:
    """Whether any LoRA scale may differ from the picture's own, on either side."""
    return bool(settings.weak_lora_offset or settings.strong_lora_offset or weak_lora_tags(settings))


def check_loras(setting: Setting, text: str) -> str:
    """Refuse what is not LoRAs one after the other, with nothing but space and commas between."""
    check_tags(setting, text)
    if lora_scales.TAG.sub("", text).strip(" ,\n\t"):
        setting.refuse(text)
    return text


_OFFSET = {"minimum": -5.0, "maximum": 5.0, "step": 0.05}


class Lora(Gap):
    name = "loras"
    switch = "other LoRA scales"
    ability = "lora"
    settings = (
        Setting(
            "weak_lora_offset",
            0.0,
            "Weak LoRA offset",
            "How much less of your LoRAs the weak version has: added to the scale of each. The more below 0, the more "
            "the picture is pushed towards what they do. The paper's is -2.3 (0.8 against -1.5), both CFG scales at 1.",
            "W2SD weak LoRA offset",
            **_OFFSET,
        ),
        Setting(
            "strong_lora_offset",
            0.0,
            "LoRA offset of the good version",
            "The same for the good version, while a step is improved. The step itself keeps your scales.",
            "W2SD strong LoRA offset",
            **_OFFSET,
        ),
        Setting(
            "weak_loras",
            "",
            "Weak LoRAs",
            "Scales of single LoRAs in the weak version, as in a prompt: <lora:name:-1.5>; the offset does not count "
            "for them. One that your prompt does not use acts in the weak version only.",
            "W2SD weak LoRAs",
            pattern=r"^(\s|,|<lora:[^<>]*>)*$",
            allows="nothing but <lora:name:scale>, also <lora:name:te=0:unet=-1.5>, one after the other",
            checked=check_loras,
        ),
        Setting(
            "weak_lora_text_encoder",
            False,
            "Weak LoRA scales in the text encoder",
            "The weak version reads its prompt with the weak scales too. Otherwise both versions read with your own, "
            "and only the drawing differs.",
            "W2SD weak LoRA text encoder",
        ),
    )
    given = {"weak_lora_offset": -2.3}

    def presets(self):
        return (
            Preset(
                "More of my LoRA",
                "Pushes towards what a LoRA in your prompt does: <lora:name:0.8> against the same at -1.5; the paper's "
                "LoRA gap.",
                self.given,
                needs="prompt",
                ask="Put a LoRA into your prompt, as <lora:name:0.8>.",
            ),
        )

    def differs(self, settings, picture):
        return bool(weak_lora_tags(settings)) or (has_lora_gap(settings) and picture.loras)

    def touched(self, settings, picture):
        return self.differs(settings, picture) or settings.weak_lora_text_encoder

    def cautions(self, settings, picture):
        said = []
        weak, strong = settings.weak_lora_offset, settings.strong_lora_offset
        if (weak or strong) and not picture.loras:
            said.append("A LoRA offset has no effect: the prompt has no LoRA.")
        elif weak > strong:
            said.append(f"The weak side's LoRA offset {weak:g} is above the strong side's {strong:g}: {NEGATIVE_GAIN}.")
        return said

    def sides(self, settings, host, strong, weak):
        """Raises SettingError for a LoRA that is not there."""
        if not (has_lora_gap(settings) or settings.weak_checkpoint_loras):
            return strong, weak
        loras = host.able(self.ability)
        used = loras.used()
        overrides = _weak_scales(settings, loras)
        for_strong = lora_scales.scaled(used, settings.strong_lora_offset)
        # A weak checkpoint is as its file is, but for the LoRAs that are asked for.
        on_weak = () if settings.weak_checkpoint and not settings.weak_checkpoint_loras else used
        for_weak = lora_scales.scaled(on_weak, settings.weak_lora_offset, overrides)
        for name, offset, side in (
            ("strong_lora_offset", settings.strong_lora_offset, used),
            ("weak_lora_offset", settings.weak_lora_offset, on_weak),
        ):
            if offset and not side:
                host.comment(f"W2SD: {name} has no effect: that side has none of the picture's LoRAs.")
        if settings.weak_lora_text_encoder and not lora_scales.same_text_encoder(used, for_weak):
            weak = replace(weak, encoding=loras.text_encoder(for_weak))
        overlay = () if lora_scales.same_unet(used, for_strong) else (loras.overlay(for_strong),)
        strong = replace(strong, overlays=strong.overlays + overlay)
        if settings.weak_checkpoint:
            return strong, replace(weak, loras=for_weak)
        if not lora_scales.same_unet(for_strong, for_weak):
            overlay = () if lora_scales.same_unet(used, for_weak) else (loras.overlay(for_weak),)
        # Else the same object: rows are then shared.
        return strong, replace(weak, overlays=weak.overlays + overlay)


def _weak_scales(settings, loras) -> dict:
    """The single scales of the weak side, by file."""
    tags = {}
    for tag in weak_lora_tags(settings):
        file = loras.find(tag.name)
        if file is None:
            known = ", ".join(loras.names()) or "none"
            raise SettingError(f"W2SD: the weak side's LoRA {tag.name!r} is not there; the WebUI has: {known}.")
        tags[file] = tag
    return tags
