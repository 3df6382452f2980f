"""The prompt gap: another prompt on the weak side (paper, 4.2, Table 6)."""

import re
from contextlib import nullcontext
from dataclasses import replace

from ..setting import Setting
from . import lora_scales
from .gap import FEW_STEPS, Gap, Preset, few_steps

PROMPT, NEGATIVE_PROMPT = "{prompt}", "{negative_prompt}"


def fill_in(text: str, prompts: list, negative_prompts: list) -> list:
    """`text` for each picture of a batch, with the placeholders replaced by the picture's own prompts."""
    return [
        # One pass each, so that a placeholder inside a picture's own prompt stays what it is.
        negative.join(part.replace(PROMPT, prompt) for part in text.split(NEGATIVE_PROMPT))
        for prompt, negative in zip(prompts, negative_prompts)
    ]


def has_prompt_gap(settings) -> "tuple[bool, bool]":
    """Whether the weak side's prompt, and its negative prompt, are others than the picture's."""
    prompt = lora_scales.without_tags(settings.weak_prompt).strip() != PROMPT
    return prompt, settings.weak_negative_prompt.strip() != NEGATIVE_PROMPT


def check_tags(setting: Setting, text: str) -> None:
    """Refuse a LoRA tag that the hosts cannot read."""
    try:
        lora_scales.tags(text)
    except ValueError as error:
        setting.refuse(text, f", in which {str(error)[:200]} is no LoRA with its scale")


def without_comments(text: str) -> str:
    """`text` without whatever some host takes for a comment: which is one, only a host can say. One pass: a pattern
    would look for the end of every /* that has none."""
    kept, at, open_end = [], 0, text.rfind("*/")
    for found in re.finditer(r"/\*|#|//", text):
        if found.start() < at or (found.group() == "/*" and found.end() > open_end):
            continue
        kept.append(text[at : found.start()])
        end, closing = ("*/", 2) if found.group() == "/*" else ("\n", 0)
        stop = text.find(end, found.end())
        at = len(text) if stop < 0 else stop + closing
    return "".join(kept) + text[at:]


def check_prompt(setting: Setting, text: str) -> str:
    r"""Refuse a prompt whose ( ) or [ ] do not pair up (\( and the like are literal), or that names an extra network
    other than LoRAs. In a negative prompt every host leaves these standing as words; what is a comment is not read."""
    pairs, stack = {")": "(", "]": "["}, []
    rest = without_comments(text)
    if setting.name == "weak_prompt":
        check_tags(setting, rest)
        rest = lora_scales.without_tags(rest)
    for c in re.sub(r"\\.", "", rest, flags=re.DOTALL):
        if c in pairs.values():
            stack.append(c)
        elif c in pairs and (not stack or stack.pop() != pairs[c]):
            setting.refuse(text, f", in which a {c} closes nothing (write \\{c} for the character itself)")
    if stack:
        setting.refuse(text, f", in which a {stack[-1]} is never closed (write \\{stack[-1]} for the character itself)")
    if setting.name == "weak_prompt" and lora_scales.without_networks(rest) != rest:
        setting.refuse(text, ", which names an extra network; the weak side always uses the picture's own")
    return text


_TEXT = {"allows": "a text with balanced brackets", "checked": check_prompt, "prompt": True}


class Prompt(Gap):
    name = "prompt"
    switch = "another prompt"
    settings = (
        Setting(
            "weak_prompt",
            PROMPT,
            "Weak prompt",
            "What the picture is pushed away from: a shorter, plainer version of your prompt. {prompt} stands for your "
            "own, {negative_prompt} for your negative; <lora:name:scale> sets that LoRA's scale here. No effect at "
            "weak CFG 0.",
            "W2SD weak prompt",
            line="A shorter, plainer one. {prompt} stands for your own.",
            of_a_prompt=True,
            **_TEXT,
        ),
        Setting(
            "weak_negative_prompt",
            NEGATIVE_PROMPT,
            "Weak negative prompt",
            "The negative prompt of the weak version, with the same placeholders. No effect at weak CFG 1.",
            "W2SD weak negative prompt",
            line="{negative_prompt} stands for your own.",
            **_TEXT,
        ),
    )

    def presets(self):
        asks = {
            "stays": ("weak_prompt", "weak_negative_prompt"),
            "needs": "weak_prompt",
            "ask": "Write a shorter, plainer version of your prompt as the weak prompt.",
        }
        return (
            Preset(
                "More of my prompt's detail",
                "Away from a plain prompt, written below. On our own model it did not show.",
                {},
                worth=10,
                **asks,
            ),
            Preset(
                "Few steps: more of my prompt's detail",
                "For few steps at CFG 1. On our own model it did not show.",
                FEW_STEPS,
                worth=5,
                unsuited=few_steps,
                **asks,
            ),
        )

    def differs(self, settings, picture):
        """The negative prompt alone is asked at CFG 0, the prompt alone at CFG 1."""
        prompt, negative = has_prompt_gap(settings)
        return (prompt and settings.weak_cfg != 0) or (negative and settings.weak_cfg != 1)

    def touched(self, settings, picture):
        return any(has_prompt_gap(settings))

    def without_effect(self, settings):
        prompt, negative = has_prompt_gap(settings)
        notes = []
        if prompt and settings.weak_cfg == 0:
            notes.append("The weak prompt has no effect at weak CFG 0, which asks for the negative prompt alone.")
        if negative and settings.weak_cfg == 1:
            notes.append("The weak negative prompt has no effect at weak CFG 1, which asks for the prompt alone.")
        return notes

    def sides(self, settings, host, strong, weak):
        prompt, negative = has_prompt_gap(settings)
        if not (prompt or negative or weak.encoding):
            return strong, weak
        texts = host.read(settings.weak_prompt, False), host.read(settings.weak_negative_prompt, True)
        anew = bool(weak.encoding)
        with weak.encoding or nullcontext():
            *texts, overlays = host.read_by_others(*texts, (prompt, negative), anew)
            cond, uncond = (
                host.encode(text, is_negative) if other or anew else None
                for text, is_negative, other in zip(texts, (False, True), (prompt, negative))
            )
        return strong, replace(weak, cond=cond, uncond=uncond, overlays=weak.overlays + overlays)
