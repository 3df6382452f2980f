"""The accordion's ready grid, lambda by weak CFG, on the trained model: what the two look like."""

from pathlib import Path

from ...page import accordion as ui
from ...page.settings import BY_NAME
from ..figures import model_plots
from ..models.drawing import GAPS, draw, noise, reflected

DEFAULT = BY_NAME["inversion"].default
SHOWN = ("dark dress", "bright coat", "dark sneaker", "bright bag")


def section(out: Path, cells=None, T: int = 20) -> str:
    gap, texts = GAPS["guidance"], list(SHOWN) * 2
    start, found = noise(3, len(texts)), {}
    for scale in ui.GRID_SCALES:
        for steps in ui.grid_lambdas(T):
            found[steps, scale] = draw(gap, texts, start, T, reflected(gap, steps, weak_cfg=scale, inversion=DEFAULT)).x
    model_plots.lambda_by_scale(found, len(SHOWN), out / "grid.png")
    return (
        "## What lambda and weak CFG look like\n\n![lambda by weak CFG](grid.png)\n\n`python -m lib_w2sd.lab grid`: the cells "
        f"of the accordion's button *Grid of lambda and weak CFG*. {', '.join(SHOWN)}, each from two noises; T = {T}, CFG "
        f"{gap.cfg:g}, `{DEFAULT}`. At lambda 0 every cell is the plain picture, and so it is at weak CFG "
        f"{gap.cfg:g}, where there is no gap; above that the gap is turned round.\n"
    )
