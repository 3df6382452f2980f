"""Pictures at CFG 1, as models of few steps are run: what a guidance gap does there, beside what else a user could do."""

from pathlib import Path

from ..emoji.draw import SIGMA_MAX, SIGMA_MIN
from ..sampling import karras
from . import negatives
from .bought import by_the_rule
from .results import MEASURES, NotMeasured, Results, marked
from .statistics import table
from .ways import EACH, SAMPLERS, Ground, Way, asked, plain, reflected, wanted

GROUND = Ground(SAMPLERS[0])
STEPS = (4, 8, 20)  # in the order in which they are measured
FEW = 2  # steps that the presets for few steps improve
CFGS = (1.25, 1.5, 2.0)
FAMILIES = ("previous-gap", "auto-guidance", "matched")
STRENGTHS = (0.5, 1.0)
EARLY = (1.25, 1.5)  # CFG scales in the first half of the steps
PAIRED = ("reward", "distance")  # measures of the shorter tables


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
    found = [(results, [*plains(steps), *all_gaps(steps), *ways(steps)]) for steps in few]
    found.append((of_negatives, negatives.ways(few[-1])))
    found.append((results, [*plains(many), *gaps(many, many // 2)]))
    found.append((of_negatives, negatives.ways(many)))
    found.append((results, ways(many)))
    return [(kept, way) for kept, every in found for way in every]


def section(out: Path, results: Results) -> str:
    """Measure what is not there yet, while there is time, and tell all that is. Raises NotMeasured."""
    own = negatives.results(out, results)
    missing = [way.key for kept, way in plan(results, own) if not kept.has(way)]
    first = plain(GROUND, 1.0, STEPS[0])
    if first.key in missing:
        raise NotMeasured(first.key)
    parts = [HEAD.format(prompts=len(wanted()), each=EACH), pairs_told(results), rule_told(results)]
    parts += [steps_told(results, steps) for steps in STEPS]
    return "\n".join([*parts, negatives.section(out, own)])


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


def minimum_sigma(steps: int) -> float:
    """Of the host's option, for guidance in the first half of the steps: between the two sigmas there."""
    sigmas = karras(steps, SIGMA_MIN, SIGMA_MAX)
    return float(sigmas[steps // 2 - 1] * sigmas[steps // 2]) ** 0.5


def pairs(steps: int) -> "list[tuple[str, Way, Way]]":
    """(what the first is, to what), of which the difference is told."""
    half, found = steps // 2, []
    for lam in lambdas(steps):
        for strength in STRENGTHS:
            exact = pushed(steps, "auto-guidance", lam, strength)
            at = f"lambda {lam}, strength {strength:g}"
            for other in ("previous-gap", "matched"):
                found.append((f"*{other}* to *auto-guidance*, {at}", pushed(steps, other, lam, strength), exact))
    for cfg in EARLY:
        if cfg - 1 in STRENGTHS:
            exact = pushed(steps, "auto-guidance", half, cfg - 1)
            found.append(
                (f"CFG {cfg:g} in the first {half} steps to *auto-guidance*, lambda {half}", early(cfg, steps), exact)
            )
    for strength in STRENGTHS:
        exact, guided = pushed(steps, "auto-guidance", half, strength), plain(GROUND, 1 + strength, steps)
        found.append(
            (f"*auto-guidance*, lambda {half}, strength {strength:g} to plain at CFG {1 + strength:g}", exact, guided)
        )
    return found


def pairs_told(results: Results) -> str:
    lines = []
    for steps in STEPS:
        for told, one, other in pairs(steps):
            if not (results.kept.keys() >= {one.key, other.key}):
                continue
            rows = " / ".join(f"{results.of(way)['rows']:g}" for way in (one, other))
            lines.append([steps, told, rows, *(marked(*results.gain(one, other, name)) for name in PAIRED)])
    return "### Against each other\n\n" + table(["steps", "", "rows", *(MEASURES[name] for name in PAIRED)], lines)


def chosen(results: Results, steps: int, strength: float) -> Way:
    """What the rule of docs/paper/buys.md takes for the presets of few steps: of one lambda and strength, the cheapest way
    that is not behind."""
    return by_the_rule(results, [pushed(steps, family, FEW, strength) for family in FAMILIES])[0]


def rule_told(results: Results) -> str:
    lines = []
    for steps in STEPS:
        base = plain(GROUND, 1.0, steps)
        every, best = by_the_rule(results, all_gaps(steps))
        choices = [(f"lambda {FEW}, strength {strength:g}", chosen(results, steps, strength)) for strength in STRENGTHS]
        for told, way in [*choices, ("all", every), ("the highest reward", best)]:
            rows = f"{results.of(way)['rows']:g} / {results.of(base)['rows']:g}"
            gains = (marked(*results.gain(way, base, name)) for name in PAIRED)
            lines.append([steps, told, way.told.removesuffix(f", {steps} steps"), rows, *gains])
    head = ["steps", "of", "the cheapest that is not behind", "rows / plain's", *(MEASURES[name] for name in PAIRED)]
    return f"### What [the rule](buys.md#what-the-rule-chooses) chooses\n\nDifferences to plain at CFG 1.\n\n{table(head, lines)}"


def steps_told(results: Results, steps: int) -> str:
    base = results.of(plain(GROUND, 1.0, steps))
    lines = [results.line(way.told.removesuffix(f", {steps} steps"), results.of(way), base) for way in ways(steps)]
    sigma = minimum_sigma(steps)
    return (
        f"### {steps} steps\n\nGuidance in the first {steps // 2} steps is *Negative Guidance minimum sigma* {sigma:.2f} here.\n\n"
        + table(["", "rows", *MEASURES.values()], lines)
    )
