"""Figures 12, 14, 19 and 20: the gap's size and sign, what the same time buys, and the share of reflected steps."""

from dataclasses import dataclass
from pathlib import Path

from ..emoji.draw import STEPS
from ..figures import model_plots
from .results import Results, difference, marked
from .statistics import table
from .ways import INKED, SAMPLERS, Ground, Way, asked, itself, plain, reflected, tuned

GROUND = Ground(SAMPLERS[0])
TRIED = ("paper", "matched")
WEAK_CFGS = (-2.0, 0.0, 3.0)
WEAK_SCALES = (-1.5, 0.0, 1.5)  # of the style's LoRA; the picture's own is 0.8
BUDGETS = (16, 40)


@dataclass(frozen=True)
class Axis:
    """Of Figure 12: what the weak side has instead of `same`, the strong side's; better: how the measure should move."""

    title: str
    gap: str
    same: float
    values: tuple
    measure: str
    label: str
    better: int


def axes(cfg: float) -> tuple:
    return (
        Axis(f"weak CFG (picture's: {cfg:g})", "guidance", cfg, WEAK_CFGS, "reward", "reward", 1),
        Axis("weak LoRA scale (picture's: 0.8)", "style", 0.8, WEAK_SCALES, "ink", "away from ink ↓", -1),
    )


def reference(axis: Axis, cfg: float) -> Way:
    return plain(GROUND, cfg, model=INKED if axis.gap == "style" else "")


def moved(axis: Axis, cfg: float, way: str, value: float) -> Way:
    """W2SD with this on the weak side; 0 is where Tables 3 and 5 are."""
    if axis.gap == "guidance":
        settings = asked("guidance", cfg, way, weak_cfg=value)
        return reflected(GROUND, cfg, "guidance", settings, note="" if value == 0 else f"weak CFG {value:g}")
    note = "" if value == 0 else f"weak scale {value:g}"
    return reflected(
        GROUND, cfg, "style", asked("style", cfg, way), note=note, **({"weak": f"strong+ink@{value:g}"} if note else {})
    )


def without(results: Results, axis: Axis, cfg: float, way: str) -> "tuple[float, float]":
    """What no gap at all changes: nothing, to the bit, but for the error of the paper's inversion."""
    if way != "paper":
        return 0.0, 0.0
    same = itself(GROUND, cfg, STEPS // 2, model=INKED if axis.gap == "style" else "")
    return results.gain(same, reference(axis, cfg), axis.measure)


def gap_size_section(out: Path, results: Results) -> str:
    cfg, lines, claims, panels = tuned(results, GROUND), [], [], []
    for axis in axes(cfg):
        base, curves = results.of(reference(axis, cfg)), {}
        for way in TRIED:
            found = [(value, results.of(moved(axis, cfg, way, value))) for value in axis.values]
            gains = [(value, *difference(one, base, axis.measure)) for value, one in found]
            curves[way] = [*gains, (axis.same, *without(results, axis, cfg, way))]
            above, below, held = _signs(gains, axis)
            claims.append([axis.title, way, axis.label, above, marked(*without(results, axis, cfg, way)), below, held])
            for (value, one), (_, by, half) in zip(found, gains):
                other = marked(*difference(one, base, "distance" if axis.gap == "guidance" else "reward"))
                lines.append([axis.title, way, f"{value:g}", marked(by, half), other])
        panels.append((axis, curves))
    model_plots.gap_size(panels, out / "gap-size.png")
    head = ["axis", "way", "measure", "gap > 0: better / worse / undecided", "no gap", "gap < 0", "held"]
    return (
        "## Figure 12: the gap's size and sign\n\n![gap size](gap-size.png)\n\n`python -m lib_w2sd.lab gap-size`. "
        f"{GROUND.told}, CFG {cfg:g}, T = {STEPS}, lambda {STEPS // 2}, differences to the plain picture. The paper (a figure, HPS v2; weak "
        "LoRA scale -3.5 to 3.5 against 0.8, weak CFG -10 to 15 against 5.5): a positive gap helps, none changes nothing, a "
        "negative one harms. Held: for gaps > 0 something better and nothing worse, for gaps < 0 the opposite.\n\n"
        + table(head, claims)
        + "\n"
        + table(["axis", "way", "weak value", "reward, or away from ink ↓", "Fréchet ↓, or reward"], lines)
    )


def _signs(gains: list, axis: Axis) -> list:
    """Better / worse / undecided for gaps above and below zero, and whether the claim held."""
    above, below = ([g for g in gains if (g[0] < axis.same) == positive] for positive in (True, False))
    tallies = [_tally([(by * axis.better, half) for _, by, half in part]) for part in (above, below)]
    (better, worse, _), (harmless, harmful, _) = tallies
    claim = better and not worse and harmful and not harmless
    return [*(" / ".join(map(str, tally)) for tally in tallies), "yes" if claim else "no"]


def _tally(gains: list) -> tuple:
    """(better, worse, undecided) of [(gain, half)], more being better."""
    better, worse = (sum(sign * by > half for by, half in gains) for sign in (1, -1))
    return better, worse, len(gains) - better - worse


def equal_time_section(out: Path, results: Results) -> str:
    cfg, lines, panels = tuned(results, GROUND), [], []
    for gap in ("guidance", "checkpoint"):
        curves = {way: [] for way in TRIED}
        for T in BUDGETS:
            base = plain(GROUND, cfg, T)
            for way in TRIED:
                settings = asked(gap, cfg, way, lam=T // 4)
                half = reflected(GROUND, cfg, gap, settings, steps=T // 2)
                gain = results.gain(half, base, "reward")
                curves[way].append((T, *gain))
                rows = [f"{results.of(one)['rows']:g}" for one in (base, half)]
                lines.append([gap, T, way, *rows, marked(*gain), marked(*results.gain(half, base, "distance"))])
        panels.append((gap, curves))
    model_plots.equal_time(panels, out / "equal-time.png")
    wins = sum(line[5].startswith("**+") for line in lines)
    loses = sum(line[5].startswith("**-") for line in lines)
    head = ["gap", "T", "way", "rows, plain", "rows, W2SD", "reward, W2SD minus plain", "Fréchet ↓, likewise"]
    return (
        "## Figure 14: equal time\n\n![equal time](equal-time.png)\n\n`python -m lib_w2sd.lab equal-time`. "
        f"{GROUND.told}, CFG {cfg:g}. T plain steps against T/2 steps of which T/4 are reflected. The paper (a figure, HPS v2): W2SD wins "
        f"at every T. Here its reward is higher in {wins}, lower in {loses} of {len(lines)}. Held: {'yes' if wins == len(lines) else 'no'}.\n\n"
        + table(head, lines)
    )


def share_section(out: Path, results: Results) -> str:
    """The checkpoint gap at CFG 1, where nothing but the gap pushes."""
    lines, curves, claims = [], {}, []
    for T, counts in ((8, (2, 4, 7)), (STEPS, (STEPS // 4, STEPS // 2, STEPS - 1))):
        base = plain(GROUND, 1.0, T)
        for way in TRIED:
            points = [base]
            for lam in counts:
                settings = asked("checkpoint", 1.0, way, lam=lam)
                points.append(reflected(GROUND, 1.0, "checkpoint", settings, steps=T))
            gains = [results.gain(one, base, "reward") for one in points[1:]]
            curves[T, way] = [(0.0, 0.0, 0.0), *((lam / T, *gain) for lam, gain in zip(counts, gains))]
            steps = [results.gain(more, less, "reward") for less, more in zip(points, points[1:])]
            tally = _tally(steps)
            rises = "yes" if tally[0] == len(steps) else "no"
            claims.append([T, way, " / ".join(map(str, tally)), rises])
            for lam, one, gain in zip(counts, points[1:], gains):
                lines.append([T, way, lam, f"{results.of(one)['rows']:g}", marked(*gain)])
    model_plots.share(curves, out / "share.png")
    return (
        "## Figures 19 and 20: the share of reflected steps\n\n![share](share.png)\n\n`python -m lib_w2sd.lab share`. "
        f"{GROUND.told}, checkpoint gap at CFG 1. The paper (figures, HPS v2): the score rises with lambda at T = 8 and at T = 20.\n\n"
        + table(["T", "way", "each lambda against the next less: better / worse / undecided", "held"], claims)
        + "\n"
        + table(["T", "way", "lambda", "rows", "reward minus plain's"], lines)
    )
