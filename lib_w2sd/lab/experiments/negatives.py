"""A negative prompt at CFG 1: how often what it names is still in the picture, and what that costs.

At CFG 1 a picture is drawn from its prompt alone. Weak CFG 0 is the negative prompt, so a guidance gap reads it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..emoji import captions, judge, scores
from ..emoji.captions import Caption
from .results import Results, rounded
from .ways import SAMPLERS, Ground, Way, asked, plain, reflected

GROUND = Ground(SAMPLERS[0])
EACH, OF_A_KIND = 2, 24  # pictures of a prompt; prompts of a kind
WORDS = {"style": "{} style", "who": "a {}", "color": "{}"}  # of each kind, as people type it
KINDS = {"style": "styles", "who": "man or woman", "color": "colours"}
NAMED = "named ↓"
MEASURES = {"named": NAMED, "reward": "reward", "name": "name found"}
FAMILIES = ("previous-gap", "auto-guidance", "matched")
CFGS = (1.5, 2.0)
LAMBDAS = {8: (2, 4, 7), 20: (2, 4, 10)}  # by the picture's steps
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
                value
                for value in judge.values(caption.name, kind)
                if not replace(caption, **{kind: value}).held_out
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


def pushed(steps: int, way: str, lam: int, strength: float = 1.0) -> Way:
    return reflected(GROUND, 1.0, "guidance", asked("guidance", 1.0, way, strength, lam), steps)


def ways(steps: int) -> "Iterator[Way]":
    """The plain picture first; then what else one could do, W2SD, and what both do without a negative prompt."""
    lambdas = LAMBDAS[steps]
    yield _named(plain(GROUND, 1.0, steps))
    for cfg in CFGS:
        yield _named(plain(GROUND, cfg, steps))
    for lam in reversed(lambdas):
        for family in FAMILIES:
            yield _named(pushed(steps, family, lam))
    for family in FAMILIES[:2]:
        yield _named(pushed(steps, family, lambdas[0], 2.0))
    yield _named(pushed(steps, "auto-guidance", lambdas[-1], 0.5))
    yield _named(plain(GROUND, CFGS[-1], steps), negative=False)
    yield _named(pushed(steps, "auto-guidance", lambdas[-1]), negative=False)


def results(out: Path, of: Results) -> Results:
    """Kept apart from the other ways', whose prompts are others; with the same end."""
    own = Results(out / "negatives.json", measure, MEASURES)
    own.end = of.end
    return own
