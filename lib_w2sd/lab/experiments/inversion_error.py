"""Table 14: what an error in the inversion costs, for each form of it and for noise of a given size."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ...method.reflection import INVERSIONS, Flow
from ..models import drawing as models
from ..models import sampling
from ..models.drawing import GAPS, reflected
from ..models.scores import LABELS, marked
from .cells import Cells
from .statistics import table

NOISE = (0.05, 0.2, 0.4, 1.0)


@dataclass(frozen=True)
class Noisy:
    """A network whose direction d = (x - D) / sigma errs by k times unit noise: eq. (35)."""

    network: object
    k: float

    def __call__(self, x, sigma, cond):
        s = sigma[:, None, None, None]
        return self.network(x, sigma, cond) - s * self.k * torch.randn_like(x)


def _unscaled(*args, **kwargs):
    """models.draw with the network asked at the size that x_{t-1} has in k-diffusion's coordinates: the wrong form."""
    before = sampling.Pair.coordinates
    sampling.Pair.coordinates = Flow()  # the same direction and step, but no rescaling
    try:
        return models.draw(*args, **kwargs)
    finally:
        sampling.Pair.coordinates = before


def section(out: Path, cells: Cells, T: int = 20) -> str:
    gap = GAPS["checkpoint"]
    strong = cells.get("checkpoint", T)
    ways = {"strong alone": strong}
    for inversion in INVERSIONS:
        ways[inversion] = cells.get("checkpoint", T, reflected(gap, T // 2, inversion=inversion))
    # Strong against itself: whatever this changes is the inversion's error, and no gap.
    itself = models.replace(gap, weak=gap.strong)
    for inversion in ("paper", "fixed-point"):
        settings = reflected(gap, T // 2, inversion=inversion)
        ways[f"{inversion}, strong against itself"] = cells.get("checkpoint", T, settings, itself, note="itself")
    settings = reflected(gap, T // 2, inversion="paper")
    ways["paper, unscaled"] = cells.get("checkpoint", T, settings, note="unscaled", draw=_unscaled)
    for k in NOISE:
        noisy = models.replace(gap, weak=Noisy(gap.weak, k))
        settings = reflected(gap, T // 2, inversion="matched")
        ways[f"matched, k = {k:g}"] = cells.get("checkpoint", T, settings, noisy, note=f"k={k:g}")
    exact = ways["matched"]
    against = ", ".join(f"{ways[f'matched, k = {k:g}'].gain(exact, 'distance').show(2)} at {k:g}" for k in NOISE)
    shrinks = all(ways[f"matched, k = {k:g}"].gain(exact, "distance").mean > 0 for k in NOISE)
    rows = [
        [name, one.show("distance"), one.show("accuracy"),
         *("" if one is strong else marked(one.gain(strong, of), of) for of in ("distance", "accuracy"))]
        for name, one in ways.items()
    ]  # fmt: skip
    return (
        "## Table 14: the inversion's error\n\n`python -m lib_w2sd.lab inversion-error`. Checkpoint gap, T = 20, "
        "lambda 10. k: noise in the weak direction, eq. (35). The paper: HPS v2 33.60 at k = 0, 32.93 at 0.005, "
        "19.53 at 0.01 (strong alone 32.80). Strong against itself has no gap: what it changes is error alone (`matched` "
        "changes nothing there, to the last bit).\n\n"
        + table(
            ["inversion", LABELS["distance"], LABELS["accuracy"], "distance minus strong's", "accuracy minus strong's"],
            rows,
        )
        + f"\nThe distance's change from k = 0: {against}. Held, that any error takes from the gain: "
        f"{'yes' if shrinks else 'no'}.\n"
    )
