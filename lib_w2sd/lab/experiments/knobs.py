"""Figures 12, 14, 19 and 20: the gap's size and sign, strength, lambda, and what the same time buys."""

from dataclasses import replace
from pathlib import Path

from ..figures import model_plots
from ..models.drawing import GAPS, reflected
from ..models.scores import LABELS, counted, direction, held, marked
from .cells import Cells
from .statistics import table

TRIED = ("paper", "matched")


def gap_size(cells: Cells, T: int = 20) -> dict:
    """Figure 12. {(axis, inversion): [(value, Scores)]}, lambda T/2; the strong side's own value is in the axis' name."""
    found = {}
    for inversion in TRIED:
        for axis, gap, values in (
            ("weak CFG (strong 1)", "guidance", (-1.0, 0.0, 1.0, 2.0)),
            ("weak LoRA scale (strong 0.8)", "LoRA", (-1.5, 0.0, 0.8, 1.5)),
        ):
            found[axis, inversion] = [(value, _with_weak(cells, gap, value, T, inversion)) for value in values]
    return found


def _with_weak(cells: Cells, name: str, value: float, T: int, inversion: str):
    gap = GAPS[name]
    if name == "guidance":
        return cells.get(name, T, reflected(gap, T // 2, inversion=inversion, weak_cfg=value))
    other = replace(gap, weak=replace(gap.weak, lora_scale=value))
    note = "" if other == gap else f"weak {value:g}"
    return cells.get(name, T, reflected(gap, T // 2, inversion=inversion), other, note=note)


def strength(cells: Cells, gap: str = "checkpoint", T: int = 20, inversion: str = "matched") -> list:
    """[(lambda, strength, Scores)]: lambda costs rows, strength nothing."""
    return [
        (count, value, cells.get(gap, T, reflected(GAPS[gap], count, strength=value, inversion=inversion)))
        for count in (5, 10, 19)
        for value in (0.5, 1.0, 2.0)
    ]


def equal_time(cells: Cells, gaps=("checkpoint", "guidance"), budgets=(16, 24, 40)) -> list:
    """Figure 14. [(gap, T, plain at T, {inversion: T/2 steps with lambda = T/4})].

    Plain sampling is the same for both gaps.
    """
    rows = []
    for gap in gaps:
        for T in budgets:
            ways = {i: cells.get(gap, T // 2, reflected(GAPS[gap], T // 4, inversion=i)) for i in TRIED}
            rows.append((gap, T, cells.get("checkpoint", T), ways))
    return rows


def share_reflected(cells: Cells, gap: str = "LoRA") -> dict:
    """Figures 19 and 20. {(T, inversion): [(lambda / T, Scores)]}."""
    found = {}
    for T, counts in ((8, (2, 4, 7)), (20, (5, 10, 19))):
        for inversion in TRIED:
            points = [(0.0, cells.get(gap, T))]
            points += [(n / T, cells.get(gap, T, reflected(GAPS[gap], n, inversion=inversion))) for n in counts]
            found[T, inversion] = points
    return found


def equal_time_section(out: Path, cells: Cells) -> str:
    timed = equal_time(cells)
    model_plots.equal_time(timed, out / "equal-time.png")
    rows = [
        [gap, T, base.show("distance"), f"{base.rows:g}", inversion, one.show("distance"), f"{one.rows:g}",
         marked(one.gain(base, "distance"), "distance"), marked(one.gain(base, "accuracy"), "accuracy")]
        for gap, T, base, ways in timed
        for inversion, one in ways.items()
    ]  # fmt: skip
    head = ["gap", "T", f"plain: {LABELS['distance']}", "rows", "inversion", f"W2SD: {LABELS['distance']}", "rows",
            "distance, W2SD minus plain", "accuracy, W2SD minus plain"]  # fmt: skip
    return (
        "## Figure 14: equal time\n\n![equal time](equal-time.png)\n\n`python -m lib_w2sd.lab equal-time`. T plain steps "
        "against T/2 steps of which T/4 are reflected: the same network rows. The paper (a figure, HPS v2): W2SD wins at every T. Bold: W2SD "
        "better, the 95 % interval leaves 0 out; a star: worse.\n\n"
        + table(["gap", "inversion", "score", "better / worse / undecided", "held"], _wins(timed))
        + "\n"
        + table(head, rows)
    )


def _wins(timed: list) -> list:
    """Per gap, inversion and score: how often W2SD wins, and whether it does at every T."""
    lines = []
    for gap in dict.fromkeys(row[0] for row in timed):
        for inversion in TRIED:
            for of in ("distance", "accuracy"):
                gains = [(ways[inversion].gain(base, of), of) for name, _, base, ways in timed if name == gap]
                wins = all(direction(*gain) == 0 for gain in gains)
                lines.append([gap, inversion, of, counted(gains), "yes" if wins else "no"])
    return lines


def gap_size_section(out: Path, cells: Cells) -> str:
    sizes = gap_size(cells)
    plain = {gap: cells.get(gap, 20) for gap in ("guidance", "LoRA")}
    model_plots.gap_size(sizes, plain, out / "gap-size.png")
    rows = [
        [axis, inversion, f"{value:g}", one.show("distance"), one.show(_purpose(axis)),
         marked(one.gain(plain[_gap(axis)], "distance"), "distance"),
         marked(one.gain(plain[_gap(axis)], _purpose(axis)), _purpose(axis))]
        for (axis, inversion), points in sizes.items()
        for value, one in points
    ]  # fmt: skip
    head = ["axis", "inversion", "weak value", LABELS["distance"], "class accuracy, or stripe contrast",
            "distance minus strong's", "the other minus strong's"]  # fmt: skip
    claims = [
        [axis, inversion, of, *_signs([(value, one.gain(plain[_gap(axis)], of)) for value, one in points], axis, of)]
        for (axis, inversion), points in sizes.items()
        for of in ("distance", _purpose(axis))
    ]
    claimed = ["axis", "inversion", "score", "gap > 0: better / worse / undecided", "no gap", "gap < 0", "held"]
    return (
        "## Figure 12: the gap's size and sign\n\n![gap size](gap-size.png)\n\n`python -m lib_w2sd.lab gap-size`. T = 20, "
        "lambda 10. The paper (a figure, HPS v2; weak LoRA scale -3.5 to 3.5 against 0.8, weak CFG -10 to 15 against 5.5): "
        "a positive gap helps, none changes nothing, a negative one harms. Held: for gaps > 0 something better and "
        "nothing worse, without a gap undecided, for gaps < 0 something worse and nothing better.\n\n"
        + table(claimed, claims)
        + "\n"
        + table(head, rows)
    )


def _signs(gains: list, axis: str, of: str) -> list:
    """Tallies for gaps above, at and below zero, and whether the paper's claim held. `gains`: [(weak value, gain)]."""
    gap = GAPS[_gap(axis)]
    same = gap.strong.lora_scale if "LoRA" in axis else gap.cfg
    positive, none, negative = (
        [(gain, of) for value, gain in gains if sign(value)]
        for sign in (lambda v: v < same, lambda v: v == same, lambda v: v > same)
    )
    worse = {direction(*one) for one in negative}
    claim = held(positive) == "yes" and direction(*none[0]) == 2 and 1 in worse and 0 not in worse
    return [counted(positive), counted(none), counted(negative), "yes" if claim else "no"]


def strength_section(out: Path, cells: Cells) -> str:
    dosed, plain = strength(cells), cells.get("checkpoint", 20)
    model_plots.strength(dosed, plain, out / "strength.png")
    rows = [
        [count, value, one.show("distance"), one.show("accuracy"), f"{one.rows:g}",
         *(marked(one.gain(plain, of), of) for of in ("distance", "accuracy"))]
        for count, value, one in dosed
    ]  # fmt: skip
    head = ["lambda", "strength", LABELS["distance"], LABELS["accuracy"], "rows a picture", "distance minus strong's",
            "accuracy minus strong's"]  # fmt: skip
    return (
        "## Strength against lambda\n\n![strength](strength.png)\n\n`python -m lib_w2sd.lab strength`. Checkpoint gap, "
        "matched, T = 20. Lambda costs two rows a step, strength nothing. The paper has no strength (it is always 1).\n\n"
        + _knobs(dosed)
        + table(head, rows)
    )


def _knobs(dosed: list) -> str:
    """What doubling lambda and doubling strength do, from the same place."""
    at = {(count, value): one for count, value, one in dosed}
    lines = [
        [f"lambda {count}, strength {value:g}", f"lambda {more}, strength {stronger:g}",
         *(marked(at[more, stronger].gain(at[count, value], of), of) for of in ("distance", "accuracy")),
         f"{at[more, stronger].rows - at[count, value].rows:g}"]
        for (count, value), (more, stronger) in (
            ((5, 1.0), (10, 1.0)), ((5, 1.0), (5, 2.0)), ((10, 1.0), (19, 1.0)), ((10, 1.0), (10, 2.0)),
            ((19, 1.0), (19, 2.0)), ((10, 1.0), (5, 2.0)), ((19, 0.5), (10, 1.0)),
        )
    ]  # fmt: skip
    return table(["from", "to", "distance, change", "accuracy, change", "more rows"], lines) + "\n"


def share_section(out: Path, cells: Cells) -> str:
    shared = share_reflected(cells)
    model_plots.share(shared, out / "share.png")
    rows = [
        [T, inversion, f"{share:.2f}", one.show("distance"), one.show("stripes"), f"{one.rows:g}"]
        for (T, inversion), points in shared.items()
        for share, one in points
    ]
    return (
        "## Figures 19 and 20: the share of reflected steps\n\n![share](share.png)\n\n`python -m lib_w2sd.lab share`. LoRA "
        "gap. The paper (figures, HPS v2): the score rises with lambda at T = 8 and at T = 20.\n\n"
        + table(
            ["T", "inversion", "score", "each lambda against the next less: better / worse / undecided", "held"],
            _rises(shared),
        )  # fmt: skip
        + "\n"
        + table(["T", "inversion", "lambda / T", LABELS["distance"], LABELS["stripes"], "rows a picture"], rows)
    )


def _rises(shared: dict) -> list:
    """Per T, inversion and score: whether every further lambda improves it."""
    lines = []
    for (T, inversion), points in shared.items():
        for of in ("distance", "stripes"):
            gains = [(more.gain(less, of), of) for (_, less), (_, more) in zip(points, points[1:])]
            rises = all(direction(*gain) == 0 for gain in gains)
            lines.append([T, inversion, of, counted(gains), "yes" if rises else "no"])
    return lines


def _gap(axis: str) -> str:
    return "LoRA" if "LoRA" in axis else "guidance"


def _purpose(axis: str) -> str:
    return "stripes" if "LoRA" in axis else "accuracy"
