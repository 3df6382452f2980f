"""The verdict on inversion: `paper`, `matched` and `fixed-point`, for each gap, number of steps and lambda."""

import math
from pathlib import Path

from ...method.reflection import INVERSIONS
from ..figures import model_plots
from ..models.drawing import GAPS, reflected
from ..models.scores import LABELS, direction, marked
from .cells import Cells, NotMeasured
from .statistics import table

# The numbers of steps tried for each gap.
PLAN = dict.fromkeys(("checkpoint", "guidance", "prompt", "LoRA"), (20, 12, 8, 30, 50))
# What users of a WebUI take, which is what the setting's default is for.
USUAL = (20, 30)
# Beside the distance: what the gap is there for.
PURPOSE = {
    "checkpoint": "accuracy",
    "guidance": "accuracy",
    "prompt": "attribute",
    "LoRA": "stripes",
    "experts": "accuracy",
}


def lambdas(steps: int) -> dict:
    return {"T/2": steps // 2, "T-1": steps - 1}


def measure(cells: Cells, plan: dict = PLAN) -> dict:
    """{(gap, T, lambda's name or None, inversion or None): Scores}; None: strong alone."""
    found = {}
    for gap, steps in plan.items():
        for T in steps:
            try:
                found.update(_measure(cells, gap, T))
            except NotMeasured:
                continue
    return found


def _measure(cells: Cells, gap: str, T: int) -> dict:
    found = {(gap, T, None, None): cells.get(gap, T)}
    for told, count in lambdas(T).items():
        for inversion in INVERSIONS:
            found[gap, T, told, inversion] = cells.get(gap, T, reflected(GAPS[gap], count, inversion=inversion))
    return found


def _gap_table(found: dict, gap: str, steps) -> str:
    purpose = PURPOSE[gap]
    head = ["T", "lambda", "inversion", LABELS["distance"], LABELS[purpose], "rows a picture",
            "distance minus paper's", f"{purpose} minus paper's"]  # fmt: skip
    rows = []
    for T in sorted(steps):
        plain = found[gap, T, None, None]
        rows.append([T, "", "strong alone", plain.show("distance"), plain.show(purpose), f"{plain.rows:g}", "", ""])
        for told in lambdas(T):
            for inversion in INVERSIONS:
                one = found[gap, T, told, inversion]
                line = [T, told, inversion, one.show("distance"), one.show(purpose), f"{one.rows:g}"]
                if inversion == "paper":
                    rows.append([*line, "", ""])
                else:
                    base = found[gap, T, told, "paper"]
                    rows.append([*line, *(marked(one.gain(base, name), name) for name in ("distance", purpose))])
    return table(head, rows)


def tally(found: dict, inversion: str, against: "str | None", purpose: bool, gaps: tuple) -> tuple:
    """(better, worse, undecided): in how many cells the interval of the difference says so.

    against  another inversion; None: the strong model alone
    purpose  count the gap's purpose rather than the distance
    """
    counts = [0, 0, 0]
    for (gap, T, told, kind), one in found.items():
        if kind != inversion or gap not in gaps:
            continue
        name = PURPOSE[gap] if purpose else "distance"
        base = found[gap, T, told if against else None, against]
        counts[direction(one.gain(base, name), name)] += 1
    return tuple(counts)


def tally_table(found: dict) -> str:
    every = tuple(dict.fromkeys(gap for gap, *_ in found))
    alone = [("paper", None), ("matched", None), ("fixed-point", None)]
    pairs = [("matched", "paper"), ("fixed-point", "paper"), ("fixed-point", "matched")]
    wanted = [("all", every, pair) for pair in alone + pairs]
    wanted += [(gap, (gap,), pair) for gap in every for pair in (alone[0], alone[1], pairs[0])]
    rows = []
    for name, gaps, (inversion, against) in wanted:
        shown = [" / ".join(map(str, tally(found, inversion, against, purpose, gaps))) for purpose in (False, True)]
        rows.append([name, inversion, against or "strong alone", *shown])
    return table(["gap", "", "against", "distance: better / worse / undecided", "the gap's purpose: likewise"], rows)


def summary_table(found: dict) -> str:
    """Per lambda and inversion, over all gaps and T: how often it has the least distance, and what it does on average."""
    rows = []
    for told in ("T/2", "T-1"):
        places = [(gap, T) for gap, T, at, inversion in found if at == told and inversion == "paper"]
        mean = lambda key, name: found[key].interval(name).mean
        least = [min(INVERSIONS, key=lambda i: mean((*place, told, i), "distance")) for place in places]
        for inversion in INVERSIONS:
            change, purpose, cost = [], [], []
            for gap, T in places:
                one, strong = (gap, T, told, inversion), (gap, T, None, None)
                change.append(math.log(max(mean(one, "distance"), 1.0) / max(mean(strong, "distance"), 1.0)))
                purpose.append(mean(one, PURPOSE[gap]) - mean(strong, PURPOSE[gap]))
                cost.append(found[one].rows / found[strong].rows)
            average = lambda values: sum(values) / len(values)
            rows.append([told, inversion, f"{least.count(inversion)} of {len(places)}", f"{math.exp(average(change)):.2f}",
                         f"{average(purpose):+.3f}", f"{average(cost):.2f}"])  # fmt: skip
    head = ["lambda", "inversion", "has the least distance in", "distance, share of strong's (geometric mean)",
            "purpose minus strong's (mean)", "cost, share of strong's"]  # fmt: skip
    return table(head, rows)


def verdict(found: dict) -> "tuple[str, str]":
    """The inversion that the setting's default should be, and why, from the cells at USUAL numbers of steps.

    First no harm: worse than strong alone in the fewest cells, by distance. Of equals the cheapest.
    """
    usual = {key: one for key, one in found.items() if key[1] in USUAL}
    gaps = tuple(dict.fromkeys(gap for gap, *_ in usual))
    alone = {inversion: tally(usual, inversion, None, False, gaps) for inversion in INVERSIONS}
    cost = {inversion: sum(one.rows for key, one in usual.items() if key[3] == inversion) for inversion in INVERSIONS}
    best = min(INVERSIONS, key=lambda inversion: (alone[inversion][1], cost[inversion]))
    words = lambda counts: f"better in {counts[0]}, worse in {counts[1]}, undecided in {counts[2]}"
    steps = " and ".join(map(str, sorted({key[1] for key in usual})))
    lines = [f"`{inversion}` {words(alone[inversion])}" for inversion in INVERSIONS]
    text = (
        f"**The default is `{best}`.** Users of a WebUI take {USUAL[0]} to {USUAL[-1]} steps. At T = {steps} ({', '.join(gaps)} gap; "
        f"{sum(alone[best])} cells of gap, T and lambda), by the Fréchet distance and against the strong model alone: "
        f"{'; '.join(lines)}. The rule: first no harm (worse in the fewest cells), and of equals the cheapest. "
    )
    pairs = [
        f"`{one}` against `{other}`: distance {words(tally(usual, one, other, False, gaps))}; the gap's purpose "
        f"{words(tally(usual, one, other, True, gaps))}; {cost[one] / cost[other]:.2f} times the network rows"
        for one, other in (("matched", "paper"), ("fixed-point", "paper"), ("fixed-point", "matched"))
    ]
    return best, text + "Between them: " + ". ".join(pairs) + (
        ". All this is at CFG 1; above it a pure guidance gap takes `matched` one row a reflected step less.\n"
    )


def section(out: Path, cells: Cells, plan: dict = PLAN) -> str:
    found = measure(cells, plan)
    if not found:
        raise NotMeasured("checkpoint")
    plan = {gap: [T for T in steps if (gap, T, None, None) in found] for gap, steps in plan.items()}
    model_plots.inversion(found, {gap: sorted(steps) for gap, steps in plan.items()}, PURPOSE, out / "inversion.png")
    text = (
        "## The verdict on inversion\n\n![distance and purpose](inversion.png)\n\n"
        "`python -m lib_w2sd.lab inversion`. Euler on Karras' schedule; every cell is "
        f"{cells.seeds} seeds of {20 * cells.each} pictures. The distance is taken over all of a cell's pictures, its "
        "95 % interval by jackknife over the seeds; differences are paired by seed.\n\n"
        + (verdict(found)[1] if any(T in USUAL for _, T, *_ in found) else "")
        + "\nOver all numbers of steps:\n\n"
        + summary_table(found)
        + "\nIn how many cells (T and lambda) the "
        "interval of the difference leaves 0 out:\n\n" + tally_table(found)
    )
    left = [f"{gap} at T = {T}" for gap in PLAN for T in sorted(PLAN[gap]) if T not in plan.get(gap, ())]
    if left:
        text += f"\nNot measured yet: {', '.join(left)}.\n"
    text += "\nIn the tables below: bold, better than `paper`; a star, worse.\n"
    for gap, steps in plan.items():
        text += f"\n### {gap} gap\n\n" + _gap_table(found, gap, steps)
    return text
