"""Figures 7 and 18: two kinds of which the models have seen few of one (appendix E.1), and the roles exchanged."""

from dataclasses import replace
from pathlib import Path

import torch

from ..emoji import judge, scores
from ..emoji.captions import STYLES
from ..emoji.draw import STEPS, draw
from ..figures import model_plots
from .results import Results, marked, rounded
from .statistics import interval, table
from .ways import SAMPLERS, Ground, Way, asked, plain, reflected

SHADED, FLAT = STYLES["google"], STYLES["twitter"]
SEEDS, COUNT = 8, 40  # repetitions, and pictures of each
SHOWN = 3  # repetitions in the figure
STRONG, WEAK = "strong+mostly-shaded@1", "strong+nearly-all-shaded@1"


def of_the_paper(name: str, model: str, weak: "str | None" = None, inversion: str = "", cfg: float = 1.0) -> Way:
    asks = {"sampler": "Euler", "model": model, "cfg": cfg, "settings": None}
    if inversion:
        asks |= {"weak": weak, "settings": asked("", 1.0, inversion, 1.0, STEPS - 1, weak_cfg=1.0, strong_cfg=1.0)}
    return Way(name, inversion or "plain", name, asks)


# S2WD as in the paper: the roles exchanged altogether.
WAYS = {
    way.key: way
    for way in (
        of_the_paper("weak", WEAK),
        of_the_paper("strong", STRONG),
        of_the_paper("strong, CFG 2", STRONG, cfg=2.0),
        of_the_paper("strong against itself", STRONG, STRONG, "paper"),
        of_the_paper("W2SD", STRONG, WEAK, "paper"),
        of_the_paper("W2SD, matched", STRONG, WEAK, "matched"),
        of_the_paper("S2WD", WEAK, STRONG, "paper"),
        of_the_paper("S2WD, matched", WEAK, STRONG, "matched"),
    )
}
MAPPED = ("weak", "strong", "W2SD", "S2WD")
GROUND = Ground(SAMPLERS[0], STRONG)  # the WebUI's own sampler
CFGS = (1.0, 2.0)  # of the picture; both sides are asked at 1 in reflection, as the presets have it
PUSHES = (  # way, strength, lambda
    ("paper", 1.0, STEPS - 1),
    ("matched", 1.0, STEPS - 1),
    ("auto-guidance", 1.0, STEPS - 1),
    ("previous-gap", 1.0, STEPS - 1),
    ("previous-gap", 0.5, STEPS - 1),
    ("previous-gap", 1.0, STEPS // 2),
    ("previous-gap", 0.5, STEPS // 2),
)


def swept(cfg: float) -> "list[Way]":
    """What a user may choose, at the picture's CFG scale; the plain picture first."""
    pushed = [asked("", cfg, *push, weak_cfg=1.0, strong_cfg=1.0) for push in PUSHES]
    return [plain(GROUND, cfg), *(reflected(GROUND, cfg, "balance", settings, weak=WEAK) for settings in pushed)]


def wanted(count: int) -> list:
    """Captions that say no style, always the same."""
    found = list(dict.fromkeys(replace(caption, style="") for caption in scores.asked(held_out=False)))
    return (found * -(-count // len(found)))[:count]


def drawn(way: Way, seeds: int = SEEDS, count: int = COUNT) -> "tuple[torch.Tensor, float]":
    """Pictures [seeds * count, 3, 64, 64], and network rows a picture."""
    texts, pictures, rows = [caption.text() for caption in wanted(count)], [], 0
    for start in range(0, seeds * count, count):
        run = draw(texts, range(start, start + count), **way.asks)
        pictures.append(run.pictures)
        rows += run.rows
    return torch.cat(pictures), rows / (seeds * count)


def flat(pictures: torch.Tensor, count: int) -> torch.Tensor:
    """Which are in the style that few were in, says the judge, who knows the rest of the prompt: [N]."""
    captions = [replace(caption, style=FLAT) for caption in wanted(count)] * (len(pictures) // count)
    return torch.tensor(judge.retrieved(pictures, captions)["style"]).double()


def measured_of(seeds: int, count: int):
    """measure(way) for Results, at each seed: the rare kind's share, and the reward for the prompts, which say no style."""

    def measure(way: Way) -> dict:
        pictures, rows = drawn(way, seeds, count)
        share = flat(pictures, count).view(seeds, count).mean(1)
        reward = (
            judge.reward(pictures, [caption.text() for caption in wanted(count)] * seeds).view(seeds, count).mean(1)
        )
        return {"share": share.tolist(), "reward": rounded(reward), "rows": rows}

    return measure


def section(out: Path, results: Results, seeds: int = SEEDS, count: int = COUNT) -> str:
    own = Results(out / "balance.json", measured_of(seeds, count), {"share": "share"})
    own.end = results.end
    found = {name: own.of(way) for name, way in WAYS.items()}
    shares = {way: interval(one["share"]) for way, one in found.items()}
    shown = {}
    for way in MAPPED:
        pictures, _ = drawn(WAYS[way], min(seeds, SHOWN), count)
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
        f"S2WD, weak, strong, W2SD): {held}.\n\n{choices(own)}"
    )


def choices(own: Results) -> str:
    """What a user may choose against the bias, and what it costs."""
    lines = []
    for cfg in CFGS:
        first, *rest = swept(cfg)
        start = own.of(first)
        lines.append([first.told, interval(start["share"]).show(), "", f"{start['rows']:g}", "(the reference)"])
        for way in rest:
            one = own.of(way)
            # Of so few repetitions the interval is Student's, as the shares' own.
            by, reward = (
                marked(*interval(a - b for a, b in zip(one[name], start[name]))) for name in ("share", "reward")
            )
            told = f"CFG {cfg:g}: {way.told}"
            lines.append([told, interval(one["share"]).show(), by, f"{one['rows']:g}", reward])
    return (
        f"With {GROUND.sampler}, the same pair, at the picture's CFG 1 and 2, the model's tuned one; both sides at CFG 1 in "
        "reflection, as the preset *More of my checkpoint* has it (which is *previous-gap* at strength 0.5 and the highest "
        "lambda). Differences are to the plain picture at that CFG, paired by seed; the reward is for the prompt, by the "
        "judge: what setting the balance right costs.\n\n"
        + table(["", f"share of {FLAT} pictures (truth 0.5)", "difference", "rows a picture", "reward"], lines)
    )
