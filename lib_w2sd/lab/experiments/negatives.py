"""A negative prompt at CFG 1: how often what it names is still in the picture, and what that costs.

At CFG 1 a picture is drawn from its prompt alone. Weak CFG 0 is the negative prompt, so a guidance gap reads it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..emoji import captions, judge, models, scores
from ..emoji.captions import Caption
from .results import Results, marked, mean, rounded
from .statistics import table
from .ways import SAMPLERS, Ground, Way, asked, plain, reflected

GROUND = Ground(SAMPLERS[0])
EACH, OF_A_KIND = 2, 16  # pictures of a prompt; prompts of a kind
WORDS = {"style": "{} style", "who": "a {}", "color": "{}"}  # of each kind, as people type it
KINDS = {"style": "styles", "who": "man or woman", "color": "colours"}
NAMED = "named ↓"
MEASURES = {"named": NAMED, "reward": "reward", "name": "name found"}
CHEAP, DEAR = ("previous-gap", "auto-guidance"), ("matched",)
FAMILIES = CHEAP + DEAR
CFGS = (1.5, 2.0)
TOLD = "previous-gap", 2.0  # way and strength of the preset
LAMBDAS = {4: (3, 2), 8: (4, 2, 3), 20: (10, 4, 2)}  # by the picture's steps
EMPTY = "no negative prompt"


@dataclass(frozen=True)
class Asked:
    """A prompt that leaves one attribute open, and a negative prompt that names a value of it.

    caption  says everything but `kind`
    """

    caption: Caption
    kind: str
    named: str

    def text(self) -> str:
        return self.caption.text()

    def negative(self) -> str:
        return WORDS[self.kind].format(self.named)

    def with_it(self) -> Caption:
        """Of the picture that shows what the negative prompt names."""
        return replace(self.caption, **{self.kind: self.named})


def wanted(of_a_kind: int = OF_A_KIND) -> "list[Asked]":
    """Always the same: of each kind so many trained combinations, and each value named in turn."""
    found = []
    for kind in WORDS:
        opened = {replace(one, **{kind: ""}) for one in captions.every() if getattr(one, kind) and not one.held_out}
        chosen = random.Random(0).sample(sorted(opened, key=Caption.text), of_a_kind)
        for place, caption in enumerate(chosen):
            known = [
                value for value in judge.values(caption.name, kind) if not replace(caption, **{kind: value}).held_out
            ]
            found.append(Asked(caption, kind, known[place % len(known)]))
    return found


def shown(pictures: torch.Tensor, every: "list[Asked]") -> "list[bool]":
    """Whether each picture shows what its negative prompt names, says the judge: of all values of that attribute, which is
    it, the rest as the prompt has it."""
    return [judge.retrieved(one[None], [asks.with_it()])[asks.kind][0] for one, asks in zip(pictures, every)]


def measure(way: Way, wanted_: "list | None" = None, each: int = EACH) -> dict:
    """By prompt: the share of pictures that show what the negative prompt names, the reward for the prompt itself, and
    the share from which its name is found again."""
    pictures, every, rows = scores.drawn(wanted_ or wanted(), each, **way.asks)
    own = [asks.caption for asks in every]
    found = {
        "named": torch.tensor(shown(pictures, every)).double(),
        "reward": judge.reward(pictures, [caption.text() for caption in own]),
        "name": torch.tensor(judge.retrieved(pictures, own)["name"]).double(),
    }
    return {**{name: rounded(values.view(-1, each).mean(1)) for name, values in found.items()}, "rows": rows}


def _named(way: Way, negative: bool = True) -> Way:
    asks = {**way.asks, "text": Asked.text, **({"negative_text": Asked.negative} if negative else {})}
    told = way.told if negative else f"{way.told}, {EMPTY}"
    return Way(f"negatives/{way.key}" + ("" if negative else f"/{EMPTY}"), way.family, told, asks)


def pushed(steps: int, family: str, lam: int, strength: float = 1.0) -> Way:
    return reflected(GROUND, 1.0, "guidance", asked("guidance", 1.0, family, strength, lam), steps)


def early(steps: int, family: str, strength: float, negative: bool = True) -> Way:
    """A gap in the first steps, as a preset has it."""
    return _named(pushed(steps, family, LAMBDAS[steps][0], strength), negative)


def plains(steps: int) -> "list[Way]":
    """At CFG 1, and what one could do instead."""
    return [_named(plain(GROUND, cfg, steps)) for cfg in (1.0, *CFGS)]


def first_ways(steps: int) -> "list[Way]":
    """The most telling ones."""
    found = [early(steps, *TOLD, negative) for negative in (True, False)]
    return [*plains(steps), *found, early(steps, "auto-guidance", 1.0)]


def ways(steps: int) -> "list[Way]":
    """The plain picture first; what else one could do; W2SD, the cheap ways first; and what they do without a negative
    prompt."""
    found = [pushed(steps, family, lam) for families in (CHEAP, DEAR) for lam in LAMBDAS[steps] for family in families]
    strong = [early(steps, family, 2.0) for family in CHEAP]
    unasked = [early(steps, *push, negative=False) for push in (TOLD, ("auto-guidance", 1.0))]
    unasked.append(_named(plain(GROUND, CFGS[-1], steps), negative=False))
    return [*plains(steps), *map(_named, found), *strong, *unasked]


def results(out: Path, of: Results) -> Results:
    """Kept apart from the other ways', whose prompts are others; with the same end."""
    own = Results(out / "negatives.json", measure, MEASURES)
    own.end = of.end
    return own


HEAD = """## A negative prompt

Each prompt says all but one thing of a picture (its style; man or woman; its colour), and the negative prompt names a value of that: "a
police officer with yellow skin, shaded style" and "a woman". {prompts} such prompts, {of_a_kind} of each kind, {each} pictures of each. ***named*** is the share of
the pictures that show what the negative prompt names, says the judge: given the picture and the prompt completed by each value that such a thing can
have, it finds that one the most like it. On real pictures it is right in {right}. The reward is for the prompt as it was asked, which leaves the
attribute open. Differences are to plain at CFG 1, to which a negative prompt does nothing; 95 % intervals, paired by prompt.
"""


def right() -> dict:
    """{kind: how often the judge is right about it on the real pictures that ship}."""
    found = {kind: [] for kind in WORDS}
    for held_out in (False, True):
        latents, told = models.real(held_out)
        seen = judge.retrieved(models.decode(latents), told)
        for kind, every in found.items():
            every += seen[kind]
    return {kind: sum(every) / len(every) for kind, every in found.items()}


def section(own: Results) -> str:
    """Of what was measured."""
    told = ", ".join(f"{100 * share:.0f} % ({KINDS[kind]})" for kind, share in right().items())
    parts = [HEAD.format(prompts=len(WORDS) * OF_A_KIND, of_a_kind=OF_A_KIND, each=EACH, right=told)]
    for steps in LAMBDAS:
        there = {way.key for way in first_ways(steps)} <= own.kept.keys()
        parts.append(steps_told(own, steps) if there else f"### With {steps} steps\n\n{MISSING}")
    return "\n".join(parts)


MISSING = "Not measured yet: `python -m lib_w2sd.lab cfg-1` goes on.\n"


def steps_told(own: Results, steps: int) -> str:
    base, lines = own.of(ways(steps)[0]), []
    for way in (one for one in ways(steps) if one.key in own.kept):
        one, told = own.of(way), way.told.replace(f", {steps} steps", "")
        shares = (f"{sum(part) / len(part):.2f}" for part in by_kind(one["named"]))
        lines.append([*own.line(told, one, base), *shares])
    way, strength = TOLD
    against = (
        f"{marked(*own.gain(early(steps, *TOLD), other, 'named'))} to {told}"
        for told, other in (
            ("plain at CFG 1", plains(steps)[0]),
            ("itself without a negative prompt", early(steps, *TOLD, negative=False)),
            *((f"plain at CFG {cfg:g}", other) for cfg, other in zip(CFGS, plains(steps)[1:])),
        )
    )
    return (
        f"### With {steps} steps\n\n"
        + table(["", "rows", *MEASURES.values(), *(f"named: {told}" for told in KINDS.values())], lines)
        + f"\n*{way}*, strength {strength:g}, lambda {LAMBDAS[steps][0]}, of what is named: {', '.join(against)}. Held, that a negative prompt "
        f"counts with it (less than in either of the first two, the reward not lower): {held(own, steps)}.\n"
    )


def by_kind(values: list) -> "Iterator[list]":
    for start in range(0, len(values), len(values) // len(WORDS)):
        yield values[start : start + len(values) // len(WORDS)]


FEW = tuple(LAMBDAS)[:2]


def for_negatives(own: Results) -> tuple:
    """Way and strength of the gap for a preset: of those that are cheap, and lower the reward beyond the interval neither with
    4 steps nor with 8, the one with the least of what is named."""

    def kept(push: tuple) -> bool:
        gains = [own.gain(early(steps, *push), plains(steps)[0], "reward") for steps in FEW]
        return all(by >= -half for by, half in gains)

    every = [(family, strength) for strength in (1.0, 2.0) for family in CHEAP]
    there = [push for push in every if all(early(steps, *push).key in own.kept for steps in FEW)]
    return min(filter(kept, there), key=lambda push: sum(mean(own.of(early(steps, *push)), "named") for steps in FEW))


def held(own: Results, steps: int) -> str:
    """Of TOLD: less of what is named than in plain at CFG 1, and than without a negative prompt, and the reward not lower."""
    way, alone = (early(steps, *TOLD, negative) for negative in (True, False))
    less = [by < -half for by, half in (own.gain(way, other, "named") for other in (plains(steps)[0], alone))]
    by, half = own.gain(way, plains(steps)[0], "reward")
    return "no" if not all(less) else "in part, the reward falls" if by < -half else "yes"
