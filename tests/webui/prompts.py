"""Prompts with a timetable: `[before:after:when]` and `one AND another:weight`, without nesting."""

import re
from typing import NamedTuple

import torch

EDIT = re.compile(r"\[([^][:]*):(?:([^][:]*):)?\s*([\d.]+)\s*\]")


class Scheduled(NamedTuple):
    end_at_step: int
    cond: object


class SdConditioning(list):
    def __init__(self, prompts, is_negative_prompt=False, width=None, height=None, copy_from=None):
        super().__init__(prompts)
        like = prompts if copy_from is None else copy_from
        self.is_negative_prompt = is_negative_prompt or getattr(like, "is_negative_prompt", False)
        self.width = width or getattr(like, "width", None)
        self.height = height or getattr(like, "height", None)


class ComposableScheduledPromptConditioning:
    def __init__(self, schedules, weight=1.0):
        self.schedules, self.weight = schedules, weight


class MulticondLearnedConditioning:
    def __init__(self, shape, batch):
        self.shape, self.batch = shape, batch


def timetable(text, steps, hires_steps=None):
    """[(last step, text until then)]; a hires pass counts whole steps on from the first pass's, fractions from 1."""
    first, whole, fraction = (0, steps, 0.0) if hires_steps is None else (steps, hires_steps, 1.0)

    def when(number):
        at = (float(number) - fraction) * whole if "." in number else int(number) - first
        return min(whole, int(at))

    edits = [when(found[3]) for found in EDIT.finditer(text)]
    ends = sorted({at for at in edits if at >= 1} | {whole})

    def at_step(step):
        def chosen(found):
            before, after = ("", found[1]) if found[2] is None else (found[1], found[2])
            return before if step <= when(found[3]) else after

        return EDIT.sub(chosen, text)

    return [(end, at_step(end)) for end in ends]


def get_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    schedules = []
    for prompt in prompts:
        table = timetable(prompt, steps, hires_steps)
        conds = model.get_learned_conditioning(type(prompts)([text for _, text in table], copy_from=prompts))
        schedules.append([Scheduled(end, cond) for (end, _), cond in zip(table, conds)])
    return schedules


def get_multicond_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    batch = []
    for prompt in prompts:
        parts = []
        for part in re.split(r"\bAND\b", prompt):
            text, weight = re.fullmatch(r"(.*?)(?::(-?[\d.]+))?\s*", part, re.DOTALL).groups()
            texts = type(prompts)([text], copy_from=prompts)
            (schedules,) = get_learned_conditioning(model, texts, steps, hires_steps, use_old_scheduling)
            parts.append(ComposableScheduledPromptConditioning(schedules, float(weight or 1)))
        batch.append(parts)
    return MulticondLearnedConditioning(shape=(len(prompts),), batch=batch)


def _at(schedules, step):
    return next((s.cond for s in schedules if step <= s.end_at_step), schedules[0].cond)


def _stacked(conds):
    """Shorter prompts are filled up with their last vector."""
    longest = max(len(cond) for cond in conds)
    return torch.stack([torch.cat([c, c[-1:].expand(longest - len(c), -1)]) for c in conds])


def reconstruct_cond_batch(c, current_step):
    """Negative prompts of one batch are not filled up: they have to be of one length."""
    return torch.stack([_at(schedules, current_step) for schedules in c])


def reconstruct_multicond_batch(c, current_step):
    """For each picture [(row, weight)], and the rows' conds."""
    conds, indices = [], []
    for parts in c.batch:
        indices.append([(len(conds) + k, part.weight) for k, part in enumerate(parts)])
        conds += [_at(part.schedules, current_step) for part in parts]
    return indices, _stacked(conds)
