"""Tables 2 to 7 at our scale: what each gap brings, alone and together."""

from pathlib import Path

from . import weights
from .cells import Cells
from .inversion import PURPOSE, marked
from .models import GAPS, Gap, Network, reflected
from .scores import LABELS
from .statistics import table

STEPS = (20,)
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


def single(cells: Cells, gap: str, steps) -> "tuple[str, list]":
    """One gap's table, and its lines for the summary."""
    purpose = PURPOSE.get(gap, "accuracy")
    rows, summary = [], []
    for T in steps:
        strong = cells.get(gap, T)
        if WEAK[gap]:
            weak = cells.get(f"{gap}, weak alone", T, gap=WEAK[gap])
            rows.append([T, "weak alone", weak.show("distance"), weak.show(purpose), "", "", f"{weak.rows:g}"])
        rows.append([T, "strong alone", strong.show("distance"), strong.show(purpose), "", "", f"{strong.rows:g}"])
        for inversion in ("paper", "matched"):
            for count in (T // 2, T - 1):
                one = cells.get(gap, T, reflected(GAPS[gap], count, inversion=inversion))
                gains = [one.gain(strong, name) for name in ("distance", purpose)]
                rows.append([T, f"W2SD, {inversion}, lambda {count}", one.show("distance"), one.show(purpose),
                             marked(gains[0], "distance"), marked(gains[1], purpose), f"{one.rows:g}"])  # fmt: skip
                summary.append((T, inversion, count, *gains))
    head = ["T", "", LABELS["distance"], LABELS[purpose], "distance minus strong's", f"{purpose} minus strong's",
            "rows a picture"]  # fmt: skip
    return table(head, rows), summary


def outcome(summary: list, purpose: str) -> list:
    """[purpose improved, distance improved] over the gap's cells, in words."""

    def words(gains, better_below: bool):
        better = sum(abs(g.mean) > g.half and (g.mean < 0) == better_below for g in gains)
        worse = sum(abs(g.mean) > g.half and (g.mean < 0) != better_below for g in gains)
        return f"better in {better}, worse in {worse} of {len(gains)} cells"

    return [words([line[4] for line in summary], False), words([line[3] for line in summary], True)]


def cumulative(cells: Cells, T: int = 20) -> str:
    """Table 7: weight gap, condition gap, neither and both."""
    both = Gap(Network("strong"), Network("weak"), settings=GAPS["guidance"].settings)
    ways = {("no", "yes"): "guidance", ("yes", "no"): "checkpoint", ("yes", "yes"): "checkpoint and guidance"}
    strong = cells.get("checkpoint", T)
    rows = [["", "no", "no", strong.show("distance"), strong.show("accuracy"), "", ""]]
    for inversion in ("paper", "matched"):
        for (weight, condition), name in ways.items():
            gap = GAPS.get(name, both)
            one = cells.get(name, T, reflected(gap, T // 2, inversion=inversion), gap)
            gains = [marked(one.gain(strong, of), of) for of in ("distance", "accuracy")]
            rows.append([inversion, weight, condition, one.show("distance"), one.show("accuracy"), *gains])
    head = ["inversion", "weight gap", "condition gap", LABELS["distance"], LABELS["accuracy"],
            "distance minus strong's", "accuracy minus strong's"]  # fmt: skip
    return table(head, rows)


def _trained(gap: str) -> bool:
    return (weights.FOLDER / f"{GAPS[gap].strong.name}.safetensors").exists()


def section(out: Path, cells: Cells, steps=STEPS) -> str:
    text, rows = "", []
    for gap, (where, claim) in CLAIMS.items():
        if not _trained(gap):
            rows.append([where, f"{gap} gap", claim, "not tried: its model has not been trained", ""])
            continue
        shown, summary = single(cells, gap, steps if gap != "experts" else steps[-1:])
        purpose = PURPOSE.get(gap, "accuracy")
        rows.append(
            [where, f"{gap} gap", claim, f"{purpose}: {outcome(summary, purpose)[0]}", outcome(summary, purpose)[1]]
        )
        text += f"\n### {where}: {gap} gap\n\n" + shown
    return (
        "## Tables 2 to 7: what each gap brings\n\n`python -m lib_w2sd.lab tables`. Against the strong model alone at "
        "the same number of steps; bold: better and the 95 % interval leaves 0 out, a star: worse.\n\n"
        + table(["paper", "gap", "paper's figures", "the gap's purpose, here", "Fréchet distance, here"], rows)
        + text
        + "\n### Table 7: both gaps together (T = 20, lambda 10)\n\nThe paper: HPS v2 31.64 with neither, 32.82 "
        "with the condition gap, 32.10 with the weight gap, 32.96 with both.\n\n" + cumulative(cells, steps[-1])
    )
