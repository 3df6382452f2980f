"""The LoRA gap: the same LoRAs at other scales, or others (paper, 4.1, Tables 3 and 10)."""

import difflib
from dataclasses import replace
from pathlib import Path

from ..errors import SettingError, W2SDError, is_out_of_memory
from ..setting import Setting
from . import lora_scales
from .gap import FEW_STEPS, NEGATIVE_GAIN, Gap, Preset, few_steps
from .prompt import PROMPT, Prompt, check_tags


def weak_lora_tags(settings) -> list:
    """The LoRAs that have a weak scale of their own; the field beside the offset has the last word."""
    return lora_scales.tags(settings.weak_prompt) + lora_scales.tags(settings.weak_loras)


def has_lora_gap(settings) -> bool:
    """Whether any LoRA scale may differ from the picture's own, on either side."""
    return bool(settings.weak_lora_offset or settings.strong_lora_offset or weak_lora_tags(settings))


def check_loras(setting: Setting, text: str) -> str:
    """Refuse what is not LoRAs one after the other, with nothing but space and commas between."""
    check_tags(setting, text)
    if lora_scales.without_tags(text).strip(" ,\n\t"):
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
            line="Lower: it has less of your LoRAs.",
            **_OFFSET,
        ),
        Setting(
            "strong_lora_offset",
            0.0,
            "LoRA offset of the good version",
            "The same for the good version, while a step is improved. The step itself keeps your scales.",
            "W2SD strong LoRA offset",
            line="The same for the good version.",
            **_OFFSET,
        ),
        Setting(
            "weak_loras",
            "",
            "Weak LoRAs",
            "Scales of single LoRAs in the weak version, as in a prompt: <lora:name:-1.5>; the offset does not count "
            "for them. One that your prompt does not use acts in the weak version only.",
            "W2SD weak LoRAs",
            line="Single ones, as in a prompt: <lora:name:-1.5>.",
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
            line="On: the weak version reads its prompt with its own scales.",
        ),
    )
    given = {"weak_lora_offset": -2.3}

    def presets(self):
        asks = {"needs": "prompt", "ask": "Put a LoRA into your prompt, as <lora:name:0.8>."}
        return (
            Preset(
                "More of my LoRA",
                "Towards what your LoRA does. Its own scale does as much, for nothing.",
                self.given,
                worth=15,
                **asks,
            ),
            Preset(
                "Few steps: more of my LoRA",
                "For few steps at CFG 1. On our own model it did not show.",
                {"weak_lora_offset": -1.0, **FEW_STEPS},
                worth=6,
                unsuited=few_steps,
                **asks,
            ),
        )

    def differs(self, settings, picture):
        return bool(weak_lora_tags(settings)) or (has_lora_gap(settings) and picture.loras)

    def moves_strong(self, settings):
        return bool(settings.strong_lora_offset)

    def touched(self, settings, picture):
        return has_lora_gap(settings) or settings.weak_lora_text_encoder

    def cautions(self, settings, picture):
        said = []
        weak, strong = settings.weak_lora_offset, settings.strong_lora_offset
        if (weak or strong) and not picture.loras:
            said.append("A LoRA offset has no effect: the prompt has no LoRA.")
        elif weak > strong:
            said.append(f"The weak side's LoRA offset {weak:g} is above the strong side's {strong:g}: {NEGATIVE_GAIN}.")
        return said

    def sides(self, settings, host, strong, weak):
        """Raises SettingError for a LoRA that is not there, cannot be read, or makes no gap."""
        if settings.weak_prompt != PROMPT:
            # Those in force are those of the text as the host reads it: a comment's are not, a wildcard's are.
            settings = replace(settings, weak_prompt=host.read(settings.weak_prompt, False)[0])
            check_tags(Prompt.settings[0], settings.weak_prompt)
        if not (has_lora_gap(settings) or settings.weak_checkpoint_loras):
            # Another checkpoint has none of the picture's.
            known = settings.weak_checkpoint and host.has(self.ability)
            return (replace(strong, loras=host.able(self.ability).used()) if known else strong), weak
        loras = host.able(self.ability)
        used = loras.used()
        named = _named(settings, loras)
        overrides = {file: tuple(loras.summed(tags)) for file, (_, tags) in named.items()}
        for_strong = lora_scales.scaled(used, settings.strong_lora_offset)
        # A weak checkpoint is as its file is, but for the LoRAs that are asked for.
        on_weak = () if settings.weak_checkpoint and not settings.weak_checkpoint_loras else used
        for_weak = lora_scales.scaled(on_weak, settings.weak_lora_offset, overrides)
        for_weak = tuple(_opened(use, named, loras) for use in for_weak)
        for name, offset, side in (
            ("strong_lora_offset", settings.strong_lora_offset, used),
            ("weak_lora_offset", settings.weak_lora_offset, on_weak),
        ):
            if offset and not side:
                host.comment(f"W2SD: {name} has no effect: that side has none of the picture's LoRAs.")
        if host.acts:
            _refuse_what_does_not_count(settings, loras, named, used, on_weak, for_weak)
        if settings.weak_lora_text_encoder and not lora_scales.same_text_encoder(used, for_weak):
            weak = replace(weak, encoding=loras.text_encoder(for_weak))
        overlay = () if lora_scales.same_unet(used, for_strong) else (loras.overlay(for_strong),)
        strong = replace(strong, overlays=strong.overlays + overlay)
        if settings.weak_checkpoint:
            return replace(strong, loras=for_strong), replace(weak, loras=for_weak)
        if not lora_scales.same_unet(for_strong, for_weak):
            overlay = () if lora_scales.same_unet(used, for_weak) else (loras.overlay(for_weak),)
        # Else the same object: rows are then shared.
        return strong, replace(weak, overlays=weak.overlays + overlay)


def _named(settings, loras) -> dict:
    """file -> (the setting that names it for the weak side, its tags there). The field beside the offset has the last
    word on a LoRA; what stands twice in one text adds up, as in a prompt."""
    found = {}
    for setting in (Prompt.settings[0], Lora.settings[2]):
        here = {}
        for tag in lora_scales.tags(getattr(settings, setting.name)):
            file = loras.find(tag.name)
            if file is None:
                known = loras.names()
                near = difflib.get_close_matches(tag.name, known, 3) or known[:20]
                _refuse(setting, tag, f"but the WebUI has no LoRA {tag.name!r}; it has: {', '.join(near) or 'none'}")
            here.setdefault(file, (setting, []))[1].append(tag)
        found.update(here)
    for file, (setting, tags) in found.items():
        why = loras.unreadable(file)
        if why:
            _refuse(setting, tags[0], f"{why} The file {Path(file).name} is left as it is")
    return found


def _refuse(setting: Setting, given, why: str):
    given = f"{given:g}" if isinstance(given, float) else f"<lora:{given.name}>"
    raise SettingError(f"W2SD: {setting.name} ({setting.label}) was given {given}, {why}.")


def _opened(use, named: dict, loras):
    """With the host's own object, where that is only now read from its file."""
    if use.file not in named:
        return use
    try:
        return loras.opened(use)
    except Exception as error:
        if isinstance(error, W2SDError) or is_out_of_memory(error):
            raise
        setting, tags = named[use.file]
        why = f"but the WebUI cannot make a LoRA of its file {Path(use.file).name} ({type(error).__name__}: {error})"
        raise SettingError(f"W2SD: {setting.name} ({setting.label}) was given <lora:{tags[0].name}>, {why}.") from error


NO_GAP = "between strong and weak side it would be no gap"


def _refuse_what_does_not_count(settings, loras, named: dict, used, on_weak, for_weak) -> None:
    """A LoRA of which the host understands nothing is, to the host, a line in its log: it goes on without."""

    def counts(use, with_text_encoder):
        unet, te = loras.understood(use)
        return bool(unet or (te and with_text_encoder)), bool(te)

    def why(file, has_te):
        if has_te:
            more = "turn weak_lora_text_encoder on, or " if not settings.weak_lora_text_encoder else ""
            return (
                f"whose file {file} has nothing for the UNet, only for the text encoder: {NO_GAP}; {more}choose another"
            )
        return (
            f"of whose file {file} this WebUI understands nothing with the loaded checkpoint: {NO_GAP}; allowed are "
            "LoRAs of the loaded checkpoint's kind"
        )

    for file, (setting, tags) in named.items():
        use = next(use for use in for_weak if use.file == file)
        does, has_te = counts(use, settings.weak_lora_text_encoder)
        if not does:
            _refuse(setting, tags[0], why(Path(file).name, has_te))
    for setting, side, rest, with_te in (
        (Lora.settings[1], used, set(), False),
        (Lora.settings[0], on_weak, set(named), settings.weak_lora_text_encoder),
    ):
        offset = getattr(settings, setting.name)
        moved = [use for use in side if use.file not in rest]
        if offset and moved:
            told = [counts(use, with_te) for use in moved]
            if not any(does for does, _ in told):
                files = ", ".join(dict.fromkeys(Path(use.file).name for use in moved))
                _refuse(setting, offset, f"for the picture's LoRAs, {why(files, any(te for _, te in told))}")
