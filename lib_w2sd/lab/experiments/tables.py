"""Tables 2 to 7 at our scale: what each gap brings, alone and together."""

from pathlib import Path

from ..models.drawing import GAPS, Gap, Network, reflected
from ..models.scores import DIGITS, LABELS, direction, held, marked
from .cells import Cells
from .inversion import PURPOSE
from .statistics import table

# Gap, table of the paper, what the paper reports.
CLAIMS = {
    "checkpoint": ("Table 2", "HPS v2 31.64 to 32.10 (Juggernaut-XL against SDXL)"),
    "LoRA": ("Table 3", "CLIP-T 25.99 to 27.66, DINO 48.03 to 51.58"),
    "experts": ("Table 4", "FID 15.10 to 9.10, IS 45.4 to 55.5"),
    "guidance": ("Table 5", "HPS v2 29.87 to 31.20 (SDXL)"),
    "prompt": ("Table 6", "HPS v2 28.57 to 29.40"),
}
# The weak side alone, as the tables' first line.
WEAK = {
    "checkpoint": Gap(Network("weak")),
    "LoRA": Gap(Network("strong"), style="striped"),
    "experts": Gap(Network("moe", least=True)),
    "guidance": Gap(Network("strong"), cfg=0.0),
    "prompt": None,
}


def single(cells: Cells, gap: str, T: int) -> "tuple[str, list]":
    """One gap's table, and its part of the summary's line: purpose, distance (strong to W2SD), held."""
    purpose = PURPOSE[gap]
    strong, rows, ours, gains = cells.get(gap, T), [], {}, {"paper": [], "matched": []}
    if WEAK[gap]:
        weak = cells.get(f"{gap}, weak alone", T, gap=WEAK[gap])
        rows.append([T, "weak alone", weak.show("distance"), weak.show(purpose), "", "", f"{weak.rows:g}"])
    rows.append([T, "strong alone", strong.show("distance"), strong.show(purpose), "", "", f"{strong.rows:g}"])
    for inversion in gains:
        for count in (T // 2, T - 1):
            one = ours[inversion] = cells.get(gap, T, reflected(GAPS[gap], count, inversion=inversion))
            found = [(one.gain(strong, name), name) for name in ("distance", purpose)]
            gains[inversion] += found
            rows.append([T, f"W2SD, {inversion}, lambda {count}", one.show("distance"), one.show(purpose),
                         *(marked(*gain) for gain in found), f"{one.rows:g}"])  # fmt: skip
    head = ["T", "", LABELS["distance"], LABELS[purpose], "distance minus strong's", f"{purpose} minus strong's",
            "rows a picture"]  # fmt: skip
    mean = lambda one, name: f"{one.interval(name).mean:.{DIGITS[name]}f}"
    line = [
        f"{mean(strong, name)} to {mean(ours['paper'], name)}; {mean(ours['matched'], name)}"
        for name in (purpose, "distance")
    ]
    line[0] = f"{purpose} {line[0]}"
    return table(head, rows), [*line, *(held(gains[inversion]) for inversion in gains)]


def cumulative(cells: Cells, T: int) -> str:
    """Table 7: weight gap, condition gap, neither and both."""
    both = Gap(Network("strong"), Network("weak"), settings=GAPS["guidance"].settings)
    ways = {("no", "yes"): "guidance", ("yes", "no"): "checkpoint", ("yes", "yes"): "checkpoint and guidance"}
    strong = cells.get("checkpoint", T)
    rows = [["", "no", "no", strong.show("distance"), strong.show("accuracy"), "", ""]]
    told = []
    for inversion in ("paper", "matched"):
        found = {}
        for (weight, condition), name in ways.items():
            gap = GAPS.get(name, both)
            one = found[name] = cells.get(name, T, reflected(gap, T // 2, inversion=inversion), gap)
            gains = [marked(one.gain(strong, of), of) for of in ("distance", "accuracy")]
            rows.append([inversion, weight, condition, one.show("distance"), one.show("accuracy"), *gains])
        both_gaps = found.pop("checkpoint and guidance")
        better = {
            of: [direction(both_gaps.gain(one, of), of) for one in found.values()] for of in ("distance", "accuracy")
        }
        words = ", ".join(f"{of} {_against(directions)}" for of, directions in better.items())
        told.append(f"`{inversion}`: {words}")
    head = ["inversion", "weight gap", "condition gap", LABELS["distance"], LABELS["accuracy"],
            "distance minus strong's", "accuracy minus strong's"]  # fmt: skip
    return table(head, rows) + (
        f"\nHeld, that both are better than either: {'; '.join(told)}. (Yes: better than both single gaps, the interval of "
        "the difference leaves 0 out; no: worse than one of them.)\n"
    )


def _against(directions: list) -> str:
    return "no" if 1 in directions else "undecided" if 2 in directions else "yes"


def section(out: Path, cells: Cells, T: int = 20) -> str:
    text, rows = "", []
    for gap, (where, claim) in CLAIMS.items():
        shown, summary = single(cells, gap, T)
        rows.append([where, f"{gap} gap", claim, *summary])
        text += f"\n### {where}: {gap} gap\n\n" + shown
    return (
        f"## Tables 2 to 7: what each gap brings\n\n`python -m lib_w2sd.lab tables`. T = {T}. Against the strong model alone at "
        "the same number of steps; bold: better and the 95 % interval leaves 0 out, a star: worse. The summary's "
        f"figures are strong alone to W2SD with lambda = {T - 1}, `paper`; `matched`. Held: over lambda {T // 2} and {T - 1}, distance "
        "and the gap's purpose, something is better and nothing worse (in part: some of both).\n\n"
        + table(
            [
                "paper",
                "gap",
                "paper's figures",
                "the gap's purpose, here",
                "Fréchet distance, here",
                "held, `paper`",
                "held, `matched`",
            ],
            rows,
        )  # fmt: skip
        + text
        + f"\n### Table 7: both gaps together (T = {T}, lambda {T // 2})\n\nThe paper: HPS v2 31.64 with neither, 32.82 "
        "with the condition gap, 32.10 with the weight gap, 32.96 with both.\n\n" + cumulative(cells, T)
    )
