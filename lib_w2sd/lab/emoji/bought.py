"""What W2SD buys on the emoji model: every way against what the user would do instead.

Plain with its CFG tuned (a sweep), plain with more steps, and strong against itself stand beside every way; all draw the
same prompts from the same seeds, and differences are paired by prompt. What is measured stands in results.py.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ...page.settings import Settings
from ..experiments.statistics import table
from ..figures import plots
from . import clip, grid, judge, lora, models, scores
from .draw import STEPS, draw
from .results import MEASURES, Results, difference, mean, measured

EACH = 4  # pictures of a prompt
AT_1 = ", at CFG 1"  # of the name of a table
LOW_CFGS = (1.25, 1.5)  # beside those tables: what a little guidance does instead
CFGS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
MORE_STEPS = (30, 40)
SAMPLERS = ("DPM++ 2M", "Euler a")
LAMBDAS = (STEPS // 2, STEPS // 4, STEPS - 1)
STRENGTHS = (0.5, 1.0, 0.25)
NOISY = ("re-sampling", "advanced-re-sampling")
WAYS = ("matched", "previous-gap", "auto-guidance", "paper")


def wanted() -> list:
    """The prompts: 24 of the trained combinations and 12 held-out ones, always the same."""
    return scores.asked(held_out=False)[:24] + scores.asked(held_out=True)[::9][:12]


@dataclass(frozen=True)
class Ground:
    """What all ways of one table have in common: sampler and picture's own model (strong, or weak: a fifth trained)."""

    sampler: str
    model: str = "strong"

    @property
    def key(self) -> str:
        return self.sampler if self.model == "strong" else f"{self.model}, {self.sampler}"

    @property
    def told(self) -> str:
        return self.sampler + (", the model at a fifth of its training" if self.model == "weak" else "")

    def asks(self, cfg: float) -> dict:
        return {"sampler": self.sampler, "model": self.model, "cfg": cfg}


GROUNDS = tuple(Ground(sampler, model) for sampler in SAMPLERS for model in ("strong", "weak"))


@dataclass(frozen=True)
class Gap:
    """A gap of the tables: its settings at a picture's CFG scale, and what else draw() is asked for."""

    title: str
    settings: Callable
    asks: dict = field(default_factory=dict)


def _guided(cfg: float) -> dict:
    return {"weak_cfg": cfg, "strong_cfg": cfg}


GAPS = {
    "guidance": Gap("Guidance gap (tuned CFG against weak CFG 0)", lambda cfg: {"weak_cfg": 0.0}),
    "checkpoint": Gap(
        "Checkpoint gap (against the model at a fifth of its training, both at CFG 1)",
        lambda cfg: {"weak_cfg": 1.0, "strong_cfg": 1.0},
        {"weak": "weak"},
    ),
    "LoRA": Gap(
        "LoRA gap (against the model with a LoRA that blurs, both at the tuned CFG)", _guided, {"weak": "blur"}
    ),
    "prompt": Gap(
        "Prompt gap (the whole caption against the name alone, both at the tuned CFG)",
        _guided,
        {"weak_text": lambda caption: caption.plain().text()},
    ),
}


def gaps_of(ground: Ground) -> list:
    """The weak model has none weaker."""
    return [name for name in GAPS if (ground.model, name) != ("weak", "checkpoint")]


@dataclass(frozen=True)
class Way:
    """One way of making a picture: `told` in the tables, `family` for the figure, and what draw() is asked for."""

    key: str
    family: str
    told: str
    asks: dict


def plain(ground: Ground, cfg: float, steps: int = STEPS) -> Way:
    told = f"plain, CFG {cfg:g}" + (f", {steps} steps" if steps != STEPS else "")
    family = "plain" if steps == STEPS else "plain, more steps"
    return Way(f"{ground.key}/plain/{cfg:g}/{steps}", family, told, {**ground.asks(cfg), "steps": steps})


def reflected(ground: Ground, cfg: float, gap: str, settings: Settings) -> Way:
    way, strength, lam = settings.inversion, settings.strength, settings.lambda_steps
    asks = {**ground.asks(cfg), "settings": settings, **(GAPS[gap].asks if gap in GAPS else {})}
    told = f"{way}, strength {strength:g}, lambda {lam}"
    if gap == "itself":
        told = f"strong against itself, {told}"
    key = f"{ground.key}/{gap}/{cfg:g}/{way}/{strength:g}/{lam}"
    return Way(key, way if gap != "itself" else "itself", told, asks)


def baseline(ground: Ground) -> list:
    return [plain(ground, cfg) for cfg in CFGS]


def against(ground: Ground, gap: str, cfg: float, lam: int, strength: float) -> list:
    """Every way of this gap; the picture's CFG is the tuned one."""
    asked = replace(grid.W2SD, lambda_steps=lam, strength=strength, **GAPS[gap].settings(cfg))
    return [reflected(ground, cfg, gap, replace(asked, inversion=way)) for way in WAYS]


def controls(ground: Ground, cfg: float, lam: int) -> list:
    itself = replace(grid.W2SD, lambda_steps=lam, weak_cfg=cfg, inversion="paper")
    noisy = replace(grid.W2SD, lambda_steps=lam, weak_cfg=0.0)
    return [
        reflected(ground, cfg, "itself", itself),
        *(reflected(ground, cfg, "guidance", replace(noisy, inversion=way)) for way in NOISY),
    ]


def without_guidance(ground: Ground, gap: str) -> list:
    """At CFG 1, as models are run that make a picture in few steps or were never taught to do without a prompt; all
    but the last step improved."""
    asked = replace(grid.W2SD, lambda_steps=STEPS - 1, **GAPS[gap].settings(1.0))
    itself = replace(asked, weak_cfg=1.0, strong_cfg=1.0, inversion="paper")
    ways = [replace(asked, strength=strength, inversion=way) for strength in (1.0, 2.0) for way in WAYS]
    return [reflected(ground, 1.0, "itself", itself), *(reflected(ground, 1.0, gap, settings) for settings in ways)]


CHOOSING = "choosing"
SECONDS = {
    "weak": "M2: a fifth of the training",
    "blur": "M2: with a LoRA that blurs",
    "faint": "M2: with 5 % of that LoRA",
}
# Which scores may choose. The judge also tells what came of it; the CLIP that ships for WebUIs, it never saw.
CHOOSERS = {"clip": clip.reward, "judge": judge.reward}


def chosen(ground: Ground) -> list:
    """Table 13 and Figure 24: two models each alone, each set against the other, and the strong side chosen by a score.
    The last M2 is so like M1 that there is nothing to choose, Figure 24 (c)."""
    asked = replace(grid.W2SD, lambda_steps=STEPS - 1, weak_cfg=1.0, strong_cfg=1.0, inversion="matched")
    first, found = {"sampler": ground.sampler, "cfg": 1.0, "settings": asked}, []
    for second, told in SECONDS.items():
        found.append(
            Way(f"{CHOOSING}/{second}", "plain", f"{told}, alone", {**first, "model": second, "settings": None})
        )
        for name, (strong, weak) in {"M1(M2 inv)": ("strong", second), "M2(M1 inv)": (second, "strong")}.items():
            asks = {**first, "model": strong, "weak": weak}
            found.append(Way(f"{CHOOSING}/{strong}/{weak}", "matched", f"{told}: {name}", asks))
        for name, reward in CHOOSERS.items():
            asks = {**first, "model": "strong", "weak": second, "reward": reward}
            asks["settings"] = replace(asked, reward=name)
            found.append(Way(f"{CHOOSING}/{second}/{name}", "choosing", f"{told}: chosen by the {name}", asks))
    return found


@functools.lru_cache
def _blurred(model: str, scale: float = 1.0):
    return lora.merged(models.load(model), "blur", scale)


def sides(asks: dict) -> dict:
    """`asks` of a way with models in place of the names that models.load does not know."""
    strong = asks.get("model", "strong")
    made = {"blur": lambda: _blurred(strong if strong in models.NAMES else "strong")}
    made["faint"] = lambda: _blurred("strong", 0.05)
    return {**asks, **{key: made[asks[key]]() for key in ("model", "weak") if asks.get(key) in made}}


def choices(path: Path, ground: Ground) -> Path:
    """Figure 24: every fifth prompt, nothing selected, by the ways of Table 13; its (a) with the LoRA, (c) with 5 % of it."""
    shown, captions = ("blur", "strong/blur", "blur/strong", "blur/clip", "faint/clip"), wanted()[::5]
    ways = {way.key: way for way in (plain(ground, 1.0), *chosen(ground))}
    found = {"M1": plain(ground, 1.0), **{name: ways[f"{CHOOSING}/{name}"] for name in shown}}
    labels = ("M1", "M2", "M1(M2 inv)", "M2(M1 inv)", "chosen (a)", "chosen (c)")
    texts, columns = [caption.text() for caption in captions], {}
    for label, way in zip(labels, found.values()):
        columns[label] = draw(texts, range(len(texts)), **sides(way.asks)).pictures
    grid.sheet(columns, texts, 1).save(path)
    return path


RULE = """## What the rule chooses

Of the ways of a gap, those that are not behind the one with the highest reward by more than the interval; of these the one
with the fewest network rows. A gap's preset takes it where nothing else speaks against it.

"""


def by_the_rule(results: Results, ways: list) -> "tuple[Way, Way]":
    """The way that the rule chooses, and the one with the highest reward."""
    best = max(ways, key=lambda way: mean(results.kept[way.key], "reward"))

    def as_good(way: Way) -> bool:
        behind, half = difference(results.kept[best.key], results.kept[way.key], "reward")
        return behind <= half

    good = [way for way in ways if as_good(way)]
    fewest = min(results.kept[way.key]["rows"] for way in good)
    cheap = [way for way in good if results.kept[way.key]["rows"] == fewest]
    return max(cheap, key=lambda way: mean(results.kept[way.key], "reward")), best


def ruled(results: Results, ground: Ground, sections: dict) -> list:
    """The lines of the rule's table for a ground; sections: {gap: ways that were measured}."""
    lines = []
    for gap, title in TITLES.items():
        ways = [way for way in sections.get(gap, ()) if way.family in WAYS]
        if len({way.family for way in ways}) < len(WAYS) or gap.startswith(CHOOSING):
            continue
        chosen, best = by_the_rule(results, ways)
        beside = plain(ground, 1.0 if gap.endswith(AT_1) else tuned(results, ground))
        gained, behind = (
            difference(results.of(one), results.of(other), "reward")
            for one, other in ((chosen, beside), (best, chosen))
        )
        told = [f"{by:+.4f} ± {half:.4f}" for by, half in (gained, behind)]
        rows = f"{results.of(chosen)['rows']:g} / {results.of(beside)['rows']:g}"
        lines.append([f"{ground.told}: {title.partition(' (')[0].partition(':')[0]}", chosen.told, rows, *told])
    return lines


def measure(way: Way) -> dict:
    """Kept of a way: what measured() says of its pictures, and the network rows of one."""
    torch.manual_seed(0)  # of the samplers that draw noise
    pictures, every, rows = scores.drawn(wanted(), EACH, **sides(way.asks))
    return {**measured(pictures, every, EACH), "rows": rows}


def tuned(results: Results, ground: Ground) -> float:
    """The CFG scale at which plain pictures have the highest reward: the user's own remedy, chosen on these very seeds."""
    return max(CFGS, key=lambda cfg: mean(results.of(plain(ground, cfg)), "reward"))


def plan(results: Results, grounds=GROUNDS) -> "list[tuple[Ground, str, list]]":
    """(ground, gap, ways) in the order in which they are measured: the most telling first."""
    found = []
    for ground in grounds:
        best = tuned(results, ground)
        found.append((ground, "plain", [*baseline(ground), *(plain(ground, best, steps) for steps in MORE_STEPS)]))
        found.append((ground, "controls", controls(ground, best, LAMBDAS[0])))
        if ground == GROUNDS[0]:
            found.append((ground, f"{CHOOSING}{AT_1}", chosen(ground)))
        for gap in gaps_of(ground):
            if ground == GROUNDS[0] and gap != "guidance":
                low = [plain(ground, cfg) for cfg in LOW_CFGS]
                found.append((ground, f"{gap}{AT_1}", [*low, *without_guidance(ground, gap)]))
            for lam in LAMBDAS:
                for strength in STRENGTHS:
                    found.append((ground, gap, against(ground, gap, best, lam, strength)))
    # Of every table its middle first.
    return sorted(found, key=lambda part: 0 if part[1] not in GAPS else _rank(part[2][0]))


def _rank(way: Way) -> int:
    settings = way.asks["settings"]
    return 1 + LAMBDAS.index(settings.lambda_steps) * len(STRENGTHS) + STRENGTHS.index(settings.strength)


def run(out: Path, minutes: "float | None" = None) -> Path:
    """Measure what is not there yet, for at most so long, and write the report of all that is."""
    results, begun = Results(out / "results.json", measure), time.monotonic()

    def in_time(way: Way) -> bool:
        if way.key not in results.kept and minutes is not None and time.monotonic() - begun > 60 * minutes:
            return False
        return bool(results.of(way))

    swept = [ground for ground in GROUNDS if all(in_time(way) for way in baseline(ground))]
    for _, _, ways in plan(results, swept):
        for way in ways:
            in_time(way)
    return write(out, results)


HEAD = """# What it buys, on the emoji model

`python -m lib_w2sd.lab.emoji report` writes this again; what stands in `results.json` is not measured again. The model is
ours (`lib_w2sd/lab/emoji`): Stable Diffusion's layout, 64 by 64 pixels, trained on emoji. {prompts} prompts ({held_out} of
them combinations that were never trained), {each} pictures of each, {steps} steps on the WebUI's Karras schedule. Every
difference is to plain pictures of the same seeds at the **tuned CFG**, the one of the sweep with the highest reward, with
its 95 % interval, paired by prompt; **bold** where the interval leaves zero out. The tuned CFG was chosen on these very
seeds, which favours it.

| measure | |
|---|---|
| reward | cosine of picture and prompt, by a judge that was trained apart from the model |
| name found | share of the pictures from which the judge finds the name again, among all names |
| Fréchet ↓ | distance of the judge's picture features to those of all real pictures, times 100: lower is better |
| variety | how unlike the pictures of one prompt are |
| rows | network rows a picture: what it costs |
"""


def write(out: Path, results: Results) -> Path:
    asked, parts, chosen_by_rule = wanted(), [], []
    swept = [ground for ground in GROUNDS if all(way.key in results.kept for way in baseline(ground))]
    planned = plan(results, swept)
    for ground in swept:
        best = tuned(results, ground)
        reference = results.of(plain(ground, best))
        parts.append(f"## {ground.told}: plain is best at CFG {best:g}\n")
        sections = {}
        for of, gap, ways in planned:
            if of == ground:
                sections.setdefault(gap, []).extend(way for way in ways if way.key in results.kept)
        for gap, title in TITLES.items():
            if sections.get(gap):
                beside = results.of(plain(ground, 1.0)) if gap.endswith(AT_1) else reference
                lines = [results.line(way.told, results.of(way), beside) for way in sections[gap]]
                parts.append(f"### {title}\n\n" + table(["", "rows", *MEASURES.values()], lines))
                if gap.startswith(CHOOSING):
                    parts.append("![Each alone, each against the other, chosen](choosing.png)\n\n" + FIGURE_24)
        chosen_by_rule += ruled(results, ground, sections)
        if any(sections.get(gap) for gap in GAPS):
            name = f"quality-{ground.key.lower().replace(',', '').replace(' ', '-').replace('+', 'p')}.png"
            figure(out / name, results, {gap: sections.get(gap, []) for gap in TITLES})
            parts.append(
                f"![Quality over rows]({name})\n\n*Reward over network rows, each way a mark; the line joins what "
                "nothing cheaper beats.*\n"
            )
    if swept:
        choices(out / "choosing.png", swept[0])
    held_out = sum(caption.held_out for caption in asked)
    text = HEAD.format(prompts=len(asked), held_out=held_out, each=EACH, steps=STEPS)
    path = out / "README.md"
    head = ["", "chosen", "rows / plain's", "reward over plain", "behind the best"]
    path.write_text("\n".join([text, *parts, RULE + table(head, chosen_by_rule)]), encoding="utf-8")
    return path


FIGURE_24 = """*Figure 24: every fifth prompt, nothing selected; chosen by the CLIP. M2 has the LoRA that blurs; in (c) 5 % of it.*
"""
TITLES = {
    "plain": "Plain: CFG and steps",
    "controls": "Controls: the method without a gap",
    **{name: gap.title for name, gap in GAPS.items()},
    f"{CHOOSING}{AT_1}": "The strong side chosen by a reward (Algorithm 2, Table 13), the picture itself at CFG 1: "
    "differences to M1 alone",
    **{
        f"{name}{AT_1}": f"{gap.title.partition(' (')[0]}, the picture itself at CFG 1: differences to plain at CFG 1"
        for name, gap in GAPS.items()
    },
}


def figure(path: Path, results: Results, sections: dict) -> None:
    """Reward over rows, one panel a gap, plain and the controls in each; the Pareto line drawn."""
    gaps = [gap for gap in GAPS if sections.get(gap)]
    chart, axes = plots.figure(1, len(gaps), width=6, height=4.2, sharey=True)
    for axis, gap in zip(axes[0], gaps):
        points, families = [], {}
        for way in [*sections["plain"], *sections["controls"], *sections[gap]]:
            one = results.of(way)
            points.append((one["rows"], mean(one, "reward")))
            families.setdefault(way.family, []).append(points[-1])
        for family, found in families.items():
            axis.plot(*zip(*found), "o" if family != "plain" else "s", label=family, alpha=0.8)
        line, best = [], float("-inf")
        for rows, value in sorted(points, key=lambda p: (p[0], -p[1])):
            if value > best:
                line.append((rows, value))
                best = value
        axis.plot(*zip(*line), "k-", linewidth=0.8)
        axis.set(title=TITLES[gap].partition(" (")[0], xlabel="network rows a picture")
    axes[0][0].set_ylabel("reward (cosine)")
    axes[0][-1].legend(fontsize=7)
    plots.save(chart, path)
