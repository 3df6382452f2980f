"""The accordion's ready grid, lambda by weak CFG, on the emoji model: what the two look like."""

from dataclasses import replace
from pathlib import Path

import torch

from ...page import grid as ready
from ..emoji import grid
from ..emoji.draw import CFG, STEPS, draw

SHOWN, SEED = ("a firefighter", "a purple apple"), 1


def section(out: Path, results=None) -> str:
    lambdas, scales = (setting.grid(STEPS) for setting in ready.AXES)
    rows = [(scale, prompt) for scale in scales for prompt in SHOWN]
    columns = {}
    for steps in lambdas:
        found = []
        for scale in scales:
            settings = replace(grid.W2SD, lambda_steps=steps, weak_cfg=scale)
            found += draw(SHOWN, [SEED] * len(SHOWN), settings).pictures
        columns[f"lambda {steps}"] = found
    labels = [f"weak CFG {scale:g}: {prompt}" for scale, prompt in rows]
    grid.sheet({label: torch.stack(found) for label, found in columns.items()}, labels, 1).save(out / "grid.png")
    return (
        "## What lambda and weak CFG look like\n\n![lambda by weak CFG](grid.png)\n\n`python -m lib_w2sd.lab grid`: the cells "
        f"of the accordion's button *Grid of lambda and weak CFG*, seed {SEED}; T = {STEPS}, CFG {CFG:g}, `{grid.W2SD.inversion}`, strength "
        f"{grid.W2SD.strength:g}. At lambda 0 every cell is the plain picture, and so it is at weak CFG {CFG:g}, where there is no gap; above that the "
        "gap is turned round.\n"
    )
