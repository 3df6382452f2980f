"""The latest trace as a line of words and as a picture of its plots."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw

from ...method.trace import Trace
from ...page import plot

NOTHING = "No run with W2SD yet."
WIDTH, HEIGHT, EDGE = 480, 200, 44
INK, PAPER, LINE = (60, 60, 60), (255, 255, 255), (47, 122, 229)


def passes() -> list:
    trace = Trace.last.as_dict() if Trace.last else {"passes": []}
    return [p for p in trace["passes"] if p["evaluations"]]


def words() -> str:
    if Trace.last is not None and Trace.last.said:
        return Trace.last.said
    found = passes()
    return f"{plot.words(found)} {sum(p['rows'] for p in found)} UNet rows." if found else NOTHING


def image() -> torch.Tensor:
    """[1, H, W, 3], values 0 to 1."""
    run = (passes() or [{"reflections": [], "steps": 1}])[0]
    drawn = Image.new("RGB", (WIDTH, 2 * HEIGHT), PAPER)
    for i, (name, title, low, high) in enumerate(
        (
            ("gap_norm", "how far each step was pushed", 0.0, None),
            ("cosine", "does it keep its direction? (1: the same)", -1.0, 1.0),
        )
    ):
        values = [(r["step"] + 1, r[name]) for r in run["reflections"]]
        points = [(step, value) for step, value in values if value is not None and math.isfinite(value)]
        _plot(ImageDraw.Draw(drawn), i * HEIGHT, title, points, run["steps"], low, high)
    return torch.from_numpy(np.asarray(drawn).astype(np.float32) / 255)[None]


def _plot(draw, top: int, title: str, points: list, steps: int, low: float, high: "float | None") -> None:
    high = high if high is not None else max((value for _, value in points), default=1.0) or 1.0
    begin, end = top + EDGE // 2 + 8, top + HEIGHT - EDGE // 2

    def at(step, value):
        x = EDGE + (WIDTH - 2 * EDGE) * (step - 1) / max(steps - 1, 1)
        return x, begin + (end - begin) * (high - value) / (high - low)

    draw.text((EDGE, top + 6), title, fill=INK)
    for value in (low, (low + high) / 2, high):
        draw.line([at(1, value), at(max(steps, 2), value)], fill=(220, 220, 220))
        draw.text((4, at(1, value)[1] - 6), f"{value:.3g}", fill=INK)
    draw.text((EDGE, end + 4), "step 1", fill=INK)
    draw.text((WIDTH - EDGE - 10, end + 4), str(steps), fill=INK)
    places = [at(*point) for point in points]
    draw.line(places, fill=LINE, width=2)
    for x, y in places:
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=LINE)
