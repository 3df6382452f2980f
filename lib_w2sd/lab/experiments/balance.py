"""Figures 7 and 18: two kinds of which the models have seen few of one (appendix E.1), and the roles exchanged."""

from dataclasses import replace
from pathlib import Path

import torch

from ..emoji import grid, judge, scores
from ..emoji.captions import STYLES
from ..emoji.draw import STEPS, draw
from ..figures import model_plots
from .results import Results
from .statistics import interval, table
from .ways import Way

SHADED, FLAT = STYLES["google"], STYLES["twitter"]
SEEDS, COUNT = 8, 40  # repetitions, and pictures of each
SHOWN = 3  # repetitions in the figure
STRONG, WEAK = "strong+mostly-shaded@1", "strong+nearly-all-shaded@1"
AT_CFG_1 = replace(grid.W2SD, lambda_steps=-1, strong_cfg=1.0, weak_cfg=1.0)
# Model, weak side, way, CFG. S2WD as in the paper: the roles exchanged altogether.
WAYS = {
    "weak": (WEAK, None, None, 1.0),
    "strong": (STRONG, None, None, 1.0),
    "strong, CFG 2": (STRONG, None, None, 2.0),
    "strong against itself": (STRONG, STRONG, "paper", 1.0),
    "W2SD": (STRONG, WEAK, "paper", 1.0),
    "W2SD, matched": (STRONG, WEAK, "matched", 1.0),
    "S2WD": (WEAK, STRONG, "paper", 1.0),
    "S2WD, matched": (WEAK, STRONG, "matched", 1.0),
}
MAPPED = ("weak", "strong", "W2SD", "S2WD")


def asked(count: int) -> list:
    """Captions that say no style, always the same."""
    found = list(dict.fromkeys(replace(caption, style="") for caption in scores.asked(held_out=False)))
    return (found * -(-count // len(found)))[:count]


def drawn(way: str, seeds: int = SEEDS, count: int = COUNT) -> "tuple[torch.Tensor, float]":
    """Pictures [seeds * count, 3, 64, 64], and network rows a picture."""
    model, weak, inversion, cfg = WAYS[way]
    settings = inversion and replace(AT_CFG_1, inversion=inversion)
    texts, pictures, rows = [caption.text() for caption in asked(count)], [], 0
    for start in range(0, seeds * count, count):
        run = draw(texts, range(start, start + count), settings, model=model, weak=weak, cfg=cfg, sampler="Euler")
        pictures.append(run.pictures)
        rows += run.rows
    return torch.cat(pictures), rows / (seeds * count)


def flat(pictures: torch.Tensor, count: int) -> torch.Tensor:
    """Which are in the style that few were in, says the judge, who knows the rest of the prompt: [N]."""
    wanted = [replace(caption, style=FLAT) for caption in asked(count)] * (len(pictures) // count)
    return torch.tensor(judge.retrieved(pictures, wanted)["style"]).double()


def measured_of(seeds: int, count: int):
    """measure(way) for Results: the rare kind's share at each seed."""

    def measure(way: Way) -> dict:
        pictures, rows = drawn(way.key, seeds, count)
        return {"share": flat(pictures, count).view(seeds, count).mean(1).tolist(), "rows": rows}

    return measure


def section(out: Path, results: Results, seeds: int = SEEDS, count: int = COUNT) -> str:
    own = Results(out / "balance.json", measured_of(seeds, count), {"share": "share"})
    own.end = results.end
    found = {way: own.of(Way(way, way, way, {})) for way in WAYS}
    shares = {way: interval(one["share"]) for way, one in found.items()}
    shown = {}
    for way in MAPPED:
        pictures, _ = drawn(way, min(seeds, SHOWN), count)
        shown[way] = pictures, judge.features(pictures), flat(pictures, count), shares[way]
    model_plots.balance(shown, out / "balance.png")
    order = [shares[way].mean for way in ("S2WD", "weak", "strong", "W2SD")]
    held = "yes" if order == sorted(order) and order[3] <= 0.6 else "no"
    lines = [[way, shares[way].show(), f"{one['rows']:g}"] for way, one in found.items()]
    return (
        "## Figures 7 and 18: the balance of two kinds\n\n![two styles](balance.png)\n\n`python -m lib_w2sd.lab balance`. "
        f"Prompts that say no style; two LoRAs on our model, strong trained on 2 *{SHADED}* pictures for each *{FLAT}* one, weak on 10 (as the paper's horses and "
        f"cars). Euler, T = {STEPS}, lambda {STEPS - 1}, CFG 1, {seeds} seeds of {count} pictures, 95 % intervals; the judge says which style a picture "
        "has. The map is t-SNE of the judge's features, as Figure 18's of CLIP's.\n\n"
        + table(["", f"share of {FLAT} pictures (truth 0.5)", "rows a picture"], lines)
        + "\nThe paper: W2SD brings the rare kind close to 1:1, S2WD makes it rarer still. Held here (in the order "
        f"S2WD, weak, strong, W2SD): {held}.\n"
    )
