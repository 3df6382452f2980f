"""What W2SD buys on the emoji model: every way against what the user would do instead.

Plain with its CFG tuned (a sweep), plain with more steps, and strong against itself stand beside every way.
"""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..emoji import clip, grid, judge
from ..emoji.draw import STEPS
from ..figures import plots
from .results import MEASURES, NotMeasured, Results, difference, marked, mean
from .statistics import table
from .ways import (
    BLURRED,
    CFGS,
    EACH,
    GAPS,
    SAMPLERS,
    Ground,
    Way,
    asked,
    itself,
    looked_at,
    plain,
    reflected,
    tuned,
    wanted,
)

AT_1 = ", at CFG 1"  # of the name of a table
LOW_CFGS = (1.25, 1.5)  # beside those tables: what a little guidance does instead
MORE_STEPS = (30, 40)
LAMBDAS = (STEPS // 2, STEPS // 4, STEPS - 1)
STRENGTHS = (0.5, 1.0, 0.25)
MIDDLE = (LAMBDAS[0], STRENGTHS[0])
NOISY = ("re-sampling", "advanced-re-sampling")
WAYS = ("matched", "previous-gap", "auto-guidance", "paper")


GROUNDS = tuple(Ground(sampler, model) for sampler in SAMPLERS for model in ("strong", "weak"))
SWEPT = ("guidance", "checkpoint", "LoRA", "prompt")


def gaps_of(ground: Ground) -> list:
    """The weak model has none weaker."""
    return [name for name in SWEPT if (ground.model, name) != ("weak", "checkpoint")]


def baseline(ground: Ground) -> list:
    return [plain(ground, cfg) for cfg in CFGS]


def against(ground: Ground, gap: str, cfg: float, lam: int, strength: float) -> list:
    """Every way of this gap; the picture's CFG is the tuned one."""
    return [reflected(ground, cfg, gap, asked(gap, cfg, way, strength, lam)) for way in WAYS]


def controls(ground: Ground, cfg: float, lam: int) -> list:
    noisy = [reflected(ground, cfg, "guidance", asked("guidance", cfg, way, lam=lam)) for way in NOISY]
    return [itself(ground, cfg, lam), *noisy]


def without_guidance(ground: Ground, gap: str) -> list:
    """At CFG 1, as models are run that make a picture in few steps or were never taught to do without a prompt; all
    but the last step improved."""
    ways = [asked(gap, 1.0, way, strength, STEPS - 1) for strength in (1.0, 2.0) for way in WAYS]
    return [itself(ground, 1.0, STEPS - 1), *(reflected(ground, 1.0, gap, settings) for settings in ways)]


CHOOSING = "choosing"
SECONDS = {
    "weak": ("weak", "M2: a fifth of the training"),
    "blur": (BLURRED, "M2: with a LoRA that blurs"),
    "faint": ("strong+blur@0.05", "M2: with 5 % of that LoRA"),
}
# Which scores may choose. The judge also tells what came of it; the CLIP that ships for WebUIs, it never saw.
CHOOSERS = {"clip": clip.reward, "judge": judge.reward}


def chosen(ground: Ground) -> list:
    """Table 13 and Figure 24: two models each alone, each set against the other, and the strong side chosen by a score.
    The last M2 is so like M1 that there is nothing to choose, Figure 24 (c)."""
    matched = replace(grid.W2SD, lambda_steps=STEPS - 1, weak_cfg=1.0, strong_cfg=1.0, inversion="matched")
    first, found = {"sampler": ground.sampler, "cfg": 1.0, "settings": matched}, []
    for second, (model, told) in SECONDS.items():
        found.append(
            Way(f"{CHOOSING}/{second}", "plain", f"{told}, alone", {**first, "model": model, "settings": None})
        )
        for name, one, other in (("M1(M2 inv)", "strong", second), ("M2(M1 inv)", second, "strong")):
            pair = {"model": "strong", "weak": model} if one == "strong" else {"model": model, "weak": "strong"}
            found.append(Way(f"{CHOOSING}/{one}/{other}", "matched", f"{told}: {name}", {**first, **pair}))
        for name, reward in CHOOSERS.items():
            asks = {**first, "model": "strong", "weak": model, "reward": reward}
            asks["settings"] = replace(matched, reward=name)
            found.append(Way(f"{CHOOSING}/{second}/{name}", "choosing", f"{told}: chosen by the {name}", asks))
    return found


def choices(path: Path, ground: Ground) -> Path:
    """Figure 24: every fifth prompt, nothing selected, by the ways of Table 13; its (a) with the LoRA, (c) with 5 % of it."""
    shown = ("blur", "strong/blur", "blur/strong", "blur/clip", "faint/clip")
    ways = {way.key: way for way in (plain(ground, 1.0), *chosen(ground))}
    found = {"M1": plain(ground, 1.0), **{name: ways[f"{CHOOSING}/{name}"] for name in shown}}
    labels = ("M1", "M2", "M1(M2 inv)", "M2(M1 inv)", "chosen (a)", "chosen (c)")
    return looked_at(path, dict(zip(labels, found.values())))


RULE = f"""## What the rule chooses

Of the ways of a gap, those that are not behind the one with the highest reward by more than the interval; of these the
ones with the fewest network rows; and of these, which neither reward nor cost tell apart, the nearest to the middle of what was
swept (lambda {MIDDLE[0]}, strength {MIDDLE[1]:g}): less would hardly be seen, more takes variety. The defaults are the
guidance gap's, and these gaps' presets have its way and strength too. Their lambda stays the paper's: this reward does not see all that
a gap is for, and what it does not see grows with lambda (the balance of two kinds, in the [report](README.md)).

"""


def by_the_rule(results: Results, ways: list) -> "tuple[Way, Way]":
    """The way that the rule chooses, and the one with the highest reward."""
    best = max(ways, key=lambda way: mean(results.of(way), "reward"))

    def as_good(way: Way) -> bool:
        behind, half = difference(results.of(best), results.of(way), "reward")
        return behind <= half

    good = [way for way in ways if as_good(way)]
    fewest = min(results.of(way)["rows"] for way in good)
    cheap = [way for way in good if results.of(way)["rows"] == fewest]
    return max(cheap, key=lambda way: (-_from_the_middle(way), mean(results.of(way), "reward"))), best


def _from_the_middle(way: Way) -> float:
    """In the sweep's own steps: doublings of the strength and of lambda."""
    return sum(abs(math.log2(one / middle)) for one, middle in zip(_asked(way), MIDDLE))


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
    # Of every table its middle first; of the weak model no more than that.
    swept = [part for part in found if part[0].model == "strong" or part[1] not in SWEPT or not _rank(part)]
    return sorted(swept, key=lambda part: (part[0].model == "weak", _rank(part)))


def _rank(part: tuple) -> int:
    """0 of what is measured first: every strength at half of the steps and every lambda at the paper's strength, then
    the rest of the square."""
    if part[1] not in SWEPT:
        return 0
    settings = part[2][0].asks["settings"]
    along, across = LAMBDAS.index(settings.lambda_steps), STRENGTHS.index(settings.strength)
    beside = bool(along) and settings.strength != 1.0
    return (beside * len(LAMBDAS) + along) * len(STRENGTHS) + across


def section(out: Path, results: Results) -> str:
    """Measure what is not there yet, while there is time, and tell all that is."""
    if not all(results.has(way) for way in baseline(GROUNDS[0])):
        raise NotMeasured(GROUNDS[0].told)
    swept = [ground for ground in GROUNDS if all(results.has(way) for way in baseline(ground))]
    for _, _, ways in plan(results, swept):
        for way in ways:
            results.has(way)
    return report(out, results)


HEAD = """# What it buys, on the emoji model

`python -m lib_w2sd.lab buys` writes this again; what stands in `results.json` is not measured again. The model is
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


def report(out: Path, results: Results) -> str:
    parts, chosen_by_rule, in_all = [], [], Counter()
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
        for gap in SWEPT:
            sections.get(gap, []).sort(key=_asked)
        for gap, title in TITLES.items():
            if sections.get(gap):
                beside = results.of(plain(ground, 1.0)) if gap.endswith(AT_1) else reference
                every = table(
                    ["", "rows", *MEASURES.values()],
                    [results.line(way.told, results.of(way), beside) for way in sections[gap]],
                )
                if gap in SWEPT:
                    found = beyond(results, sections[gap], reference)
                    in_all += found
                    every = f"{told(found)} {swept_over(results, sections[gap], reference)}{FOLDED.format(every=every)}"
                parts.append(f"### {title}\n\n{every}")
                if gap.startswith(CHOOSING):
                    parts.append("![Each alone, each against the other, chosen](choosing.png)\n\n" + FIGURE_24)
        chosen_by_rule += ruled(results, ground, sections)
        if any(sections.get(gap) for gap in SWEPT):
            name = f"quality-{ground.key.lower().replace(',', '').replace(' ', '-').replace('+', 'p')}.png"
            figure(out / name, results, {gap: sections.get(gap, []) for gap in TITLES})
            parts.append(
                f"![Quality over rows]({name})\n\n*Reward over network rows, each way a mark; the line joins what "
                "nothing cheaper beats.*\n"
            )
    if swept:
        choices(out / "choosing.png", swept[0])
    held_out = sum(caption.held_out for caption in wanted())
    text = HEAD.format(prompts=len(wanted()), held_out=held_out, each=EACH, steps=STEPS)
    head = ["", "chosen", "rows / plain's", "reward over plain", "behind the best"]
    summed = f"## All gaps, samplers and models\n\n{told(in_all)}\n"
    return "\n".join([text, *parts, summed, RULE + table(head, chosen_by_rule)])


FIGURE_24 = """*Figure 24: every fifth prompt, nothing selected; chosen by the CLIP. M2 has the LoRA that blurs; in (c) 5 % of it.*
"""
TITLES = {
    "plain": "Plain: CFG and steps",
    "controls": "Controls: the method without a gap",
    **{name: GAPS[name].title for name in SWEPT},
    f"{CHOOSING}{AT_1}": "The strong side chosen by a reward (Algorithm 2, Table 13), the picture itself at CFG 1: "
    "differences to M1 alone",
    **{
        f"{name}{AT_1}": f"{GAPS[name].title.partition(' (')[0]}, the picture itself at CFG 1: differences to plain at CFG 1"
        for name in SWEPT
    },
}


FOLDED = """
<details><summary>every way</summary>

{every}
</details>
"""
SHOWN = "previous-gap"  # the cheapest of all ways, and within a sweep's point they differ little


def swept_over(results: Results, ways: list, reference: dict) -> str:
    """A sweep at once: over lambda and strength, the differences of the way SHOWN."""
    of = {_asked(way): results.of(way) for way in ways if way.family == SHOWN}
    rows = []
    for lam in sorted(LAMBDAS):
        cells = []
        for strength in sorted(STRENGTHS):
            one = of.get((lam, strength))
            moved = [marked(*difference(one, reference, name)) for name in ("reward", "distance")] if one else [""]
            cells.append("; ".join(moved))
        rows.append([f"lambda {lam}", *cells])
    return f"With *{SHOWN}*, reward; Fréchet ↓:\n\n" + table(
        ["", *(f"strength {strength:g}" for strength in sorted(STRENGTHS))], rows
    )


def beyond(results: Results, ways: list, reference: dict) -> Counter:
    """Of so many ways how many are better or worse than plain, beyond the interval of the difference."""
    found = Counter(ways=len(ways))
    for way in ways:
        for name in ("reward", "distance"):
            by, half = difference(results.of(way), reference, name)
            found[name, by > 0] += abs(by) > half
    return found


def told(found: Counter) -> str:
    return (
        f"Of {found['ways']} ways, the reward is beyond its interval above plain's in {found['reward', True]} and below it "
        f"in {found['reward', False]}; the distance is smaller in {found['distance', False]} and larger in "
        f"{found['distance', True]}."
    )


def _asked(way: Way) -> "tuple[int, float]":
    return way.asks["settings"].lambda_steps, way.asks["settings"].strength


def figure(path: Path, results: Results, sections: dict) -> None:
    """Reward over rows, one panel a gap, plain and the controls in each; the Pareto line drawn."""
    gaps = [gap for gap in SWEPT if sections.get(gap)]
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
