"""Table 12 at our scale: clips, by the strong and the weak model with one motion module, and W2SD across both gaps.

As in appendix D.1: strong at CFG 3, weak at CFG 1, both with the module. VBench's columns are vbench.py's; image quality
is the judge's reward and the Fréchet distance, here to frames of real emoji that move as those of the training do.
"""

import functools
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from ..emoji import animation, grid, judge, lora, models, motion, scores, vbench, weights
from ..emoji.animation import FRAMES
from ..emoji.draw import STEPS
from ..figures import plots
from .results import NotMeasured, Results, mean, measured, rounded
from .statistics import table
from .ways import SAMPLERS, Ground, Way, asked, itself, plain, reflected, wanted

CFG, WEAK_CFG = 3.0, 1.0  # appendix D.1
OTHER_CFGS = (1.0, 2.0, 4.0, 6.0)
HIGH = OTHER_CFGS[-1]
GROUND = Ground(SAMPLERS[0])
HALF, FEW = STEPS // 2, STEPS // 4
MEASURES = {
    "subject": "subject consistency",
    "background": "background consistency",
    "smooth": "motion smoothness",
    "dynamic": "dynamic degree",
    "speed": "speed, pixels a frame",
    "reward": "reward",
    "distance": "Fréchet ↓",
}
PERCENT = ("subject", "background", "smooth", "dynamic")
# Rows of the paper's table (AnimateDiff on VBench's prompts), percent.
PAPER = {
    "SDXL (weak)": (91.4152, 95.8491, 94.1647, 45.0),
    "Juggernaut-XL (strong)": (96.0820, 97.5463, 96.8834, 13.0653),
    "W2SD": (97.1398, 97.9386, 96.8706, 8.0),
}
STILL = "no motion module"


def prompts() -> list:
    """Three quarters of the other tables', of trained combinations and of held-out ones: one clip of each."""
    return [caption for i, caption in enumerate(wanted()) if i % 4]


def both(way: str, strength: float = 1.0, lam: int = HALF) -> Way:
    """The paper's setting: another checkpoint and another CFG on the weak side."""
    return reflected(GROUND, CFG, "both", asked("both", CFG, way, strength, lam, weak_cfg=WEAK_CFG))


WEAK = replace(plain(Ground(GROUND.sampler, "weak"), WEAK_CFG), told=f"the weak side alone, CFG {WEAK_CFG:g}")
STRONG = plain(GROUND, CFG)


def ways() -> list:
    """The first is what the others are set against."""
    alone = plain(GROUND, CFG)
    guidance = asked("guidance", CFG, "matched", weak_cfg=WEAK_CFG)
    found = [
        STRONG,
        WEAK,
        replace(alone, key=f"{alone.key}/{STILL}", told=f"{alone.told}, {STILL}"),
        *(plain(GROUND, cfg) for cfg in OTHER_CFGS),
        itself(GROUND, CFG, HALF),
        *(
            both(way, strength, lam)
            for way in ("matched", "paper")
            for strength, lam in ((1.0, HALF), (0.5, HALF), (1.0, FEW))
        ),
    ]
    one_gap = {
        "checkpoint gap alone": reflected(GROUND, CFG, "checkpoint", asked("checkpoint", CFG, "matched")),
        "guidance gap alone": reflected(GROUND, CFG, "guidance", guidance),
    }
    return found + [replace(way, told=f"{told}, {way.told}") for told, way in one_gap.items()]


@functools.cache
def _moving(name: str) -> models.Model:
    return motion.moving(lora.model(name))


def drawn(way: Way, captions: list) -> "tuple[torch.Tensor, list, float]":
    """Frames [N * FRAMES, 3, 64, 64], the Caption of each, and network rows a frame. Frames have noise of their own."""
    asks = dict(way.asks)
    if STILL not in way.key:
        asks |= {side: _moving(asks[side]) for side in ("model", "weak") if side in asks}
    torch.manual_seed(0)  # of the samplers that draw noise
    return scores.drawn(captions, FRAMES, **asks)


def of_clips(frames: torch.Tensor) -> dict:
    """VBench's measures of frames [N * FRAMES, 3, 64, 64]: a number a clip."""
    clips = frames.unflatten(0, (-1, FRAMES))
    speeds = vbench.speed(clips)
    found = {
        "subject": vbench.subject_consistency(clips),
        "background": vbench.background_consistency(clips),
        "smooth": vbench.smoothness(clips),
        "dynamic": vbench.dynamic(speeds, clips.shape[-1]),
        "speed": speeds.mean(1),
    }
    return {name: rounded(values) for name, values in found.items()}


@functools.cache
def _real(seed: int) -> "tuple[torch.Tensor, list]":
    """Frames of the 128 real pictures that ship, moved as the training's were, and the Caption of each."""
    latents, told = zip(*(models.real(held_out) for held_out in (False, True)))
    pictures = models.decode(torch.cat(latents))
    frames = animation.animated(pictures, torch.Generator().manual_seed(seed)).flatten(0, 1)
    return frames, [caption for part in told for caption in part for _ in range(FRAMES)]


@functools.cache
def _real_features() -> dict:
    """What judge.frechet asks for."""
    unit = F.normalize(judge.features(_real(0)[0]).double(), dim=1)
    return {"mean": unit.mean(0), "covariance": unit.T.cov()}


REAL = Way("real", "real", "real emoji, moved as in training", {})


def measure(way: Way) -> dict:
    """measured(), with the distance to frames of real emoji that move, and VBench's measures."""
    if way is REAL:  # as many clips as of the others
        frames, every, rows = *(part[: len(prompts()) * FRAMES] for part in _real(1)), 0.0
    else:
        frames, every, rows = drawn(way, prompts())
    return {**measured(frames, every, FRAMES, _real_features()), **of_clips(frames), "rows": rows}


def shown(one: dict, name: str) -> str:
    value = mean(one, name)
    return f"{100 * value:.1f} %" if name in PERCENT else f"{value:.3f}"


def table_12(results: Results) -> str:
    """The paper's rows beside ours."""
    lines = [[f"paper: {told}", *(f"{value:.1f} %" for value in row), "", "", ""] for told, row in PAPER.items()]
    ours = {
        REAL.told: REAL,
        "weak, CFG 1": WEAK,
        f"strong, CFG 3, {STILL}": next(way for way in ways() if STILL in way.key),
        "strong, CFG 3": STRONG,
        "W2SD, `paper`": both("paper"),
        "W2SD, `matched`": both("matched"),
    }
    have = {told: results.of(way) for told, way in ours.items() if results.has(way)}
    lines += [[told, *(shown(one, name) for name in MEASURES)] for told, one in have.items()]
    return table(["", *MEASURES.values()], lines)


HEAD = """# Table 12: clips

`python -m lib_w2sd.lab video` writes this again. The strong and the weak emoji model, each with [one motion
module](../../lib_w2sd/lab/emoji/motion.py), as AnimateDiff's, that was trained on the strong one with clips of {frames} frames of real emoji
which [shift, turn, grow, bounce or swing](../../lib_w2sd/lab/emoji/animation.py). Nothing in the prompt tells the motion: the text encoder knows no
word for it. As in the paper's appendix D.1, strong is at CFG {cfg:g} and weak at CFG {weak:g}, so that both gaps count at once. {prompts} prompts, one clip
of each, T = {steps}, {sampler}.

The columns are VBench's, with [other networks in the place of its own](../../lib_w2sd/lab/emoji/vbench.py). A clip counts as dynamic where its fastest pixels
go further than {threshold:g} pixels in two or more frames; *speed* is the mean of the same without the threshold. For the quality of the frames stand the
judge's reward and the Fréchet distance to frames of real emoji that move as the training's do.

**What it says** (November 2026). W2SD has the paper's signs: consistency and smoothness rise a little, and motion falls, dynamic degree from 75 % to
about 50 %, speed by a fifth (`matched`) or a quarter (`paper`; the authors' table: 13 to 8 %). That is less a gain than a trade: real emoji that move are less consistent and faster than the
plain clip at CFG {cfg:g} already, and the Fréchet distance to them rises. A plain clip at CFG {high:g} makes the same trade for {plain_rows} rows instead of
{rows}; what W2SD has over it is a slightly higher reward. A third to a half of what `paper` does to consistency and motion, it does with
strong against itself, without any gap. Who wants motion takes a lower CFG, or strength 0.5.

How far that carries: one sampler, {prompts} clips a way, and a module of 600 training steps. What it draws sways and swells rather than crosses the frame, and
the weak model, on which it was not trained, falls apart with it (reward {weak_reward:.2f}; its pictures without it 0.57, on the prompts of the other tables).

![Clips, moving](video.gif)

![The same clips, frame by frame](video.png)

*Every fifth prompt, nothing selected. W2SD: both gaps, lambda {half}, strength 1.*

![Consistency and reward over motion](video-motion.png)

*Left is less motion. Squares, joined, are plain clips at rising CFG scales (from right to left); the star is what real emoji are, moved as in training.*

## Beside the paper's

{table}

*The first of our rows is what there is to reach. Without the module, frames are {frames} pictures of one prompt: as these prompts leave little open they are
much alike, and what counts as their motion is flicker; of the columns only smoothness tells them from a clip. The weak clips' motion is none either.*

## Against the plain clip

Differences to the strong model at CFG {cfg:g}, paired by prompt (and seed), with 95 % intervals; **bold** where the interval leaves zero out. *Rows* are the network's for one frame.

"""
AGAINST_CFG = """
## Against a higher CFG

The user's own remedy, at no cost: the same with the plain clip at CFG {cfg:g} as the reference, which moves about as little.

"""


def section(out: Path, results: Results) -> str:
    """`results`: how long may be measured; what was, this report keeps in a file of its own."""
    if not (weights.FOLDER / motion.FILE).exists():
        raise NotMeasured("video, and the motion module: python -m lib_w2sd.lab.emoji train motion")
    own = Results(out / "video.json", measure, MEASURES)
    own.end = results.end
    have = [way for way in ways() if own.has(way)]
    head = HEAD.format(
        frames=FRAMES,
        cfg=CFG,
        weak=WEAK_CFG,
        prompts=len(prompts()),
        steps=STEPS,
        sampler=GROUND.sampler,
        threshold=vbench.THRESHOLD * 64,
        half=HALF,
        high=HIGH,
        weak_reward=mean(own.of(WEAK), "reward"),
        plain_rows=f"{own.of(STRONG)['rows']:g}",
        rows=f"{own.of(both('matched'))['rows']:g}",
        table=table_12(own).strip(),
    )
    motion_plot(out / "video-motion.png", own)
    sheets(out)
    columns, high = ["", "rows", *MEASURES.values()], plain(GROUND, HIGH)
    text = head + table(columns, [own.line(way.told, own.of(way), own.of(STRONG)) for way in have])
    if high not in have:
        return text
    rivals = [high, *(way for way in have if "/both/" in way.key)]
    lines = [own.line(way.told, own.of(way), own.of(high)) for way in rivals]
    return text + AGAINST_CFG.format(cfg=HIGH) + table(columns, lines)


SHOWN = {
    "weak, CFG 1": WEAK,
    "strong, CFG 3": STRONG,
    "W2SD, paper": both("paper"),
    "W2SD, matched": both("matched"),
}


def motion_plot(path: Path, results: Results) -> None:
    """What each way makes of motion: consistency and reward over speed, of what is measured."""
    families = {}
    for way in (REAL, *ways()):
        plain_clip = way.family == "plain" and way is not WEAK and STILL not in way.key
        family = "plain, by CFG" if plain_clip else way.told if way.family in ("plain", "real") else way.family
        if way is not WEAK and results.has(way):
            families.setdefault(family, []).append(results.of(way))
    chart, axes = plots.figure(1, 2, width=6, height=4.2)
    for axis, name in zip(axes[0], ("subject", "reward")):
        for family, found in families.items():
            found = sorted(found, key=lambda one: mean(one, "speed"))
            mark = {"plain, by CFG": "s-", REAL.told: "k*"}.get(family, "o")
            x, y = ([mean(one, key) for one in found] for key in ("speed", name))
            axis.plot(x, y, mark, label=family, alpha=0.8)
        axis.set(xlabel=MEASURES["speed"], ylabel=MEASURES[name])
    axes[0][0].legend(fontsize=7)
    plots.save(chart, path)


def sheets(out: Path) -> None:
    """The same clips twice: video.png frame by frame, video.gif moving."""
    captions = prompts()[::5]
    told = [caption.text() for caption in captions]
    columns = {label: drawn(way, captions)[0].unflatten(0, (-1, FRAMES)) for label, way in SHOWN.items()}
    lines = torch.stack(list(columns.values()), dim=1).flatten(0, 2)
    labels = [f"{text}\n{label}" for text in told for label in columns]
    grid.sheet({f"{FRAMES} frames": lines}, labels, FRAMES, zoom=1).save(out / "video.png")
    frames = [grid.sheet({k: v[:, i] for k, v in columns.items()}, told, 1, zoom=2) for i in range(FRAMES)]
    frames = [frame.quantize(64, Image.Quantize.MEDIANCUT) for frame in frames]
    frames[0].save(out / "video.gif", save_all=True, append_images=frames[1:], duration=125, loop=0)
