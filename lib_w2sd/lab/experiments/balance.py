"""Figures 7 and 18: two classes of which the models have seen few of one (appendix E.1), and the roles exchanged."""

from dataclasses import replace
from pathlib import Path

import torch

from ..figures import model_plots
from ..models import drawing as models
from ..models import scores
from ..models.data import CLASSES
from ..models.drawing import Gap, Network, reflected
from .statistics import interval, table

MAJORITY, MINORITY = CLASSES.index("sneaker"), CLASSES.index("bag")
COUNT = 60  # pictures a seed
PAIR = Gap(Network("biased-strong"), Network("biased-weak"))
# S2WD as in the paper: the roles exchanged altogether; and in the reflection alone, the strong model taking the steps.
EXCHANGED = Gap(Network("biased-weak"), Network("biased-strong"))
WAYS = {
    "weak": (EXCHANGED, None),
    "strong": (PAIR, None),
    "W2SD": (PAIR, "paper"),
    "W2SD, matched": (PAIR, "matched"),
    "S2WD": (EXCHANGED, "paper"),
    "S2WD, matched": (EXCHANGED, "matched"),
}


def draw(way: str, steps: int, lambda_steps: int, seeds: int, count: int, step=None) -> "tuple[torch.Tensor, float]":
    """Pictures [seeds, count, 1, 16, 16] without a prompt, and rows a picture."""
    gap, inversion = WAYS[way]
    settings = inversion and reflected(replace(gap), lambda_steps, inversion=inversion)
    x, rows = [], 0
    for seed in range(seeds):
        run = models.draw(gap, [""] * count, models.noise(seed, count), steps, settings or None, step=step)
        x.append(run.x)
        rows += run.rows
    return torch.stack(x), rows / (seeds * count)


def minority_share(x) -> list:
    """Of each seed's pictures, the share of the minority among the two classes."""
    found = []
    for pictures in x:
        share = scores.shares(pictures)
        found.append(float(share[MINORITY] / (share[MAJORITY] + share[MINORITY]).clamp(min=1e-9)))
    return found


def measure(steps: int, lambda_steps: int, seeds: int, count: int, ways=tuple(WAYS), step=None) -> dict:
    """{way: (pictures, interval of the minority's share, interval of neither class' share, rows)}."""
    found = {}
    for way in ways:
        x, rows = draw(way, steps, lambda_steps, seeds, count, step)
        neither = []
        for pictures in x:
            share = scores.shares(pictures)
            neither.append(float(1 - share[MAJORITY] - share[MINORITY]))
        found[way] = x, interval(minority_share(x)), interval(neither), rows
    return found


def rows_of(found: dict) -> list:
    return [[way, share.show(), neither.show(), f"{rows:g}"] for way, (_, share, neither, rows) in found.items()]


HEAD = ["", "share of bags (truth 0.5)", "neither class", "rows a picture"]


def section(out: Path, cells, steps: int = 20) -> str:
    found = measure(steps, steps - 1, cells.seeds, COUNT if cells.seeds > 2 else 20)
    model_plots.balance(found, out / "balance.png")
    order = [found[way][1].mean for way in ("S2WD", "weak", "strong", "W2SD")]
    held = "yes" if order == sorted(order) and order[3] <= 0.6 else "no"
    return (
        "## Figures 7 and 18: class balance\n\n![two classes](balance.png)\n\n`python -m lib_w2sd.lab balance`. "
        "Without a prompt; strong has seen 5000 sneakers and 2500 bags, weak 5000 and 500 (as the paper's horses and "
        f"cars). T = {steps}, lambda {steps - 1}, {cells.seeds} seeds of {found['strong'][0].shape[1]} pictures, 95 % intervals. "
        "The map is t-SNE of the classifier's features, as Figure 18's of CLIP's.\n\n"
        + table(HEAD, rows_of(found))
        + f"\nThe paper: W2SD brings the rare class close to 1:1, S2WD makes it rarer still. Held here (in the order "
        f"S2WD, weak, strong, W2SD): {held}.\n"
    )
