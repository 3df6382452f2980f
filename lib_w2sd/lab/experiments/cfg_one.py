"""Pictures at CFG 1, as models of few steps are run: what a guidance gap does there, beside what else a user could do."""

from pathlib import Path

from ..emoji.draw import SIGMA_MAX, SIGMA_MIN
from ..sampling import karras
from . import negatives
from .results import MEASURES, NotMeasured, Results, marked, mean
from .statistics import table
from .ways import EACH, SAMPLERS, Ground, Way, asked, plain, reflected, wanted

GROUND = Ground(SAMPLERS[0])
STEPS = (4, 8, 20)  # in the order in which they are measured
FEW = 2  # steps that the presets for few steps improve
CFGS = (1.25, 1.5, 2.0)
FAMILIES = ("previous-gap", "auto-guidance", "matched")
STRENGTHS = (0.5, 1.0)
EARLY = (1.25, 1.5)  # CFG scales in the first half of the steps


def early(cfg: float, steps: int) -> Way:
    """Guidance in the first half of the steps only: the host's "Negative Guidance minimum sigma", in all steps."""
    one, half = plain(GROUND, cfg, steps), steps // 2
    told = f"plain, CFG {cfg:g} in the first {half} steps, then 1"
    return Way(f"{one.key}/first {half}", "early", told, {**one.asks, "guided": half})


def pushed(steps: int, family: str, lam: int, strength: float) -> Way:
    return reflected(GROUND, 1.0, "guidance", asked("guidance", 1.0, family, strength, lam), steps)


def lambdas(steps: int) -> tuple:
    return tuple(dict.fromkeys((FEW, steps // 2)))


def gaps(steps: int, lam: int) -> "list[Way]":
    return [pushed(steps, family, lam, strength) for strength in STRENGTHS for family in FAMILIES]


def one_more(steps: int) -> "list[Way]":
    """The first step has none before it: as many are pushed as the other ways do in FEW."""
    return [pushed(steps, "previous-gap", FEW + 1, strength) for strength in STRENGTHS]


def all_gaps(steps: int) -> "list[Way]":
    few = one_more(steps) if steps in STEPS[:2] else []
    return [*few, *(way for lam in reversed(lambdas(steps)) for way in gaps(steps, lam))]


def plains(steps: int) -> "list[Way]":
    return [plain(GROUND, cfg, steps) for cfg in (1.0, *CFGS)]


def ways(steps: int) -> "list[Way]":
    """The plain picture first."""
    return [*plains(steps), *(early(cfg, steps) for cfg in EARLY), *all_gaps(steps)]


def plan(results: Results, of_negatives: Results) -> "list[tuple[Results, Way]]":
    """What is measured, and where it is kept; the most telling first."""
    *few, many = STEPS
    pushes = [pushed(many, family, many // 2, 1.0) for family in FAMILIES[:2]]
    found = [(results, [*plains(steps), *all_gaps(steps)]) for steps in few]
    found += [(of_negatives, negatives.first_ways(steps)) for steps in few]
    found += [(results, [*plains(many), *pushes]), (of_negatives, negatives.first_ways(many))]
    found += [(results, ways(steps)) for steps in STEPS]
    found += [(of_negatives, negatives.ways(steps)) for steps in STEPS]
    return [(kept, way) for kept, every in found for way in every]


def section(out: Path, results: Results) -> str:
    """Measure what is not there yet, while there is time, and tell all that is. Raises NotMeasured."""
    own = negatives.results(out, results)
    missing = [way.key for kept, way in plan(results, own) if not kept.has(way)]
    first = plain(GROUND, 1.0, STEPS[0])
    if first.key in missing:
        raise NotMeasured(first.key)
    parts = [HEAD.format(prompts=len(wanted()), each=EACH), ways_told(results), preset_told(results)]
    parts += [steps_told(results, steps) for steps in STEPS]
    return "\n".join([*parts, negatives.section(own)])


HEAD = """# Pictures at CFG 1

`python -m lib_w2sd.lab cfg-1` writes this again; what stands in `results.json` and `negatives.json` is not measured again. Models of
few steps, and models that take their guidance as an input, are run at CFG 1: the prompt alone, one row a step. Weak CFG 0 is the
negative prompt alone, so a guidance gap asks for one row more in a step that it improves. Our model (DPM++ 2M, Karras) stands for
these: it was *not* made for few steps, and at CFG 1 its pictures are those of a model without guidance.

## Guidance in some of the steps

{prompts} prompts, {each} pictures of each, measures as in [What it buys](buys.md); 95 % intervals of the difference, paired by prompt, **bold** where they leave
zero out. To first order, a guidance gap of strength *s* at CFG 1 pushes as CFG 1 + *s* does, in the steps that it improves; *auto-guidance* is that very
sum, so nothing but rounding is between it and the same CFG scale in the same steps. Hosts have the latter, too: in A1111, Forge and Forge Neo it is
a CFG scale above 1 with *Negative Guidance minimum sigma*, *in all steps*.
"""


def left_out(count: int) -> str:
    return f"\nNot measured yet: {count} more ways (`python -m lib_w2sd.lab cfg-1` goes on).\n" if count else ""


def minimum_sigma(steps: int) -> float:
    """Of the host's option, for guidance in the first half of the steps: between the two sigmas there."""
    sigmas = karras(steps, SIGMA_MIN, SIGMA_MAX)
    return float(sigmas[steps // 2 - 1] * sigmas[steps // 2]) ** 0.5


def ways_told(results: Results) -> str:
    """previous-gap and matched against auto-guidance, which is guidance in these steps and nothing else."""
    lines = []
    for steps in STEPS:
        for lam in lambdas(steps):
            for strength in STRENGTHS:
                previous, exact, matched = every = [pushed(steps, family, lam, strength) for family in FAMILIES]
                if not all(way.key in results.kept for way in every):
                    continue
                rows = " / ".join(f"{results.of(way)['rows']:g}" for way in every)
                gained = (both(results, one, exact) for one in (previous, matched))
                lines.append([steps, f"lambda {lam}, strength {strength:g}", rows, *gained])
    head = ["steps", "", f"rows: {' / '.join(FAMILIES)}", "previous-gap to auto-guidance", "matched to auto-guidance"]
    return f"### The ways against each other\n\nReward; Fréchet ↓.\n\n{table(head, lines)}"


def both(results: Results, one: Way, other: Way) -> str:
    return "; ".join(marked(*results.gain(one, other, name)) for name in ("reward", "distance"))


# What the presets of few steps were until this was measured: a gentle push in the first two, by the way that is exact.
FORMER = ("matched", FEW, 0.5)


def pushes() -> "list[tuple]":
    """What a preset of few steps may be: way, lambda, strength."""
    found = [(family, FEW, strength) for strength in STRENGTHS for family in FAMILIES]
    return found + [("previous-gap", FEW + 1, strength) for strength in STRENGTHS]


def for_few_steps(results: Results) -> tuple:
    """The cheapest push whose reward is not behind FORMER's, with 4 steps nor with 8; of equally cheap ones the one with the
    highest reward."""

    def as_good(push: tuple, steps: int) -> bool:
        behind, half = results.gain(pushed(steps, *FORMER), pushed(steps, *push), "reward")
        return behind <= half

    def worth(push: tuple) -> tuple:
        found = [results.of(pushed(steps, *push)) for steps in STEPS[:2]]
        return -sum(one["rows"] for one in found), sum(mean(one, "reward") for one in found)

    return max((push for push in pushes() if all(as_good(push, steps) for steps in STEPS[:2])), key=worth)


def preset_told(results: Results) -> str:
    chosen = for_few_steps(results)
    lines = []
    for steps in STEPS[:2]:
        one = pushed(steps, *chosen)
        others = [pushed(steps, *FORMER), *plains(steps), *(early(cfg, steps) for cfg in EARLY)]
        for other in (way for way in others if way.key in results.kept):
            rows = " / ".join(f"{results.of(way)['rows']:g}" for way in (one, other))
            told = other.told.removesuffix(f", {steps} steps").replace(f", {steps} steps", "")
            lines.append(
                [steps, told, rows, *(marked(*results.gain(one, other, name)) for name in ("reward", "distance"))]
            )
    way, lam, strength = chosen
    return (
        f"### The presets of few steps\n\nUntil this was measured they were *{FORMER[0]}*, lambda {FORMER[1]}, strength {FORMER[2]:g}. Of all pushes in "
        f"the first {FEW + 1} steps, the cheapest whose reward is behind that beyond the interval neither with {STEPS[0]} steps nor with {STEPS[1]} is *{way}*, lambda {lam}, "
        f"strength {strength:g} (the first step has none before it, so {lam - 1} are pushed). It minus the others:\n\n"
        + table(["steps", "the other", "rows / the other's", "reward", "Fréchet ↓"], lines)
    )


def steps_told(results: Results, steps: int) -> str:
    def label(way: Way) -> str:
        return way.told.replace(f", {steps} steps", "")

    base, shown = results.of(plain(GROUND, 1.0, steps)), [way for way in ways(steps) if way.key in results.kept]
    lines = [results.line(label(way), results.of(way), base) for way in shown]
    instead = [way for way in shown if not way.asks.get("settings")][1:]
    against = [
        [label(way), f"{results.of(way)['rows']:g}", *(both(results, way, other) for other in instead)]
        for way in shown
        if way.family in FAMILIES
    ]
    head = [
        "",
        "rows",
        *(f"to {label(other).removeprefix('plain, ')} ({results.of(other)['rows']:g})" for other in instead),
    ]
    return (
        f"### {steps} steps\n\nDifferences to plain at CFG 1. Guidance in the first {steps // 2} steps is *Negative Guidance minimum sigma* {minimum_sigma(steps):.2f} here.\n\n"
        + table(["", "rows", *MEASURES.values()], lines)
        + left_out(len(ways(steps)) - len(shown))
        + (
            f"\nThe gaps against what else one could do: reward; Fréchet ↓.\n\n{table(head, against)}"
            if against
            else f"\n{negatives.MISSING}"
        )
    )
