"""Pictures at CFG 1, as models of few steps are run: what a guidance gap does there, beside what else a user could do."""

from collections.abc import Iterator
from pathlib import Path

from . import negatives
from .results import Results
from .ways import SAMPLERS, Ground, Way, asked, plain, reflected

GROUND = Ground(SAMPLERS[0])
STEPS = (4, 8, 20)  # in the order in which they are measured
CFGS = (1.25, 1.5, 2.0)
FAMILIES = ("previous-gap", "auto-guidance", "matched")
STRENGTHS = (0.5, 1.0)
EARLY = (1.25, 1.5)  # CFG scales in the first half of the steps


def early(cfg: float, steps: int) -> Way:
    """Guidance in the first half of the steps only: the host's "Negative Guidance minimum sigma", in all steps."""
    one, half = plain(GROUND, cfg, steps), steps // 2
    return Way(f"{one.key}/first {half}", "early", f"{one.told}, guidance in the first {half} only", {**one.asks, "guided": half})


def pushed(steps: int, family: str, lam: int, strength: float) -> Way:
    return reflected(GROUND, 1.0, "guidance", asked("guidance", 1.0, family, strength, lam), steps)


def lambdas(steps: int) -> tuple:
    return tuple(dict.fromkeys((2, steps // 2)))


def ways(steps: int) -> "Iterator[Way]":
    """The plain picture first."""
    for cfg in (1.0, *CFGS):
        yield plain(GROUND, cfg, steps)
    for lam in reversed(lambdas(steps)):
        for strength in STRENGTHS:
            for family in FAMILIES:
                yield pushed(steps, family, lam, strength)
    for cfg in EARLY:
        yield early(cfg, steps)


def plan(results: Results, of_negatives: Results) -> "Iterator[tuple[Results, Way]]":
    """What is measured, the most telling first."""
    for steps in STEPS:
        for way in ways(steps):
            yield results, way
        for way in negatives.ways(steps) if steps in negatives.LAMBDAS else ():
            yield of_negatives, way


def section(out: Path, results: Results) -> str:
    own = negatives.results(out, results)
    for kept, way in plan(results, own):
        kept.has(way)
    return ""
