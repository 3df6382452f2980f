"""Cells of the host's X/Y/Z plot that W2SD refuses.

The host catches what ends a cell's job, and goes on with an empty one, the reason in its console alone; what an axis
raises where it is applied ends the whole grid. Here the cell says it: a picture of the sentence.
"""

import functools
import textwrap

from modules import images
from modules.processing import Processed
from PIL import Image, ImageDraw

from ...errors import W2SDError
from . import refusal

REFUSED = "w2sd_refused"  # an attribute of a cell's processing object: what an axis could not be applied for
SIZES = range(28, 7, -2)  # of the letters, the first that fits


def keeping(apply):
    """An axis' `apply`; what is wrong with its value in this cell alone is said in the cell."""

    @functools.wraps(apply)
    def applied(p, x, xs):
        try:
            apply(p, x, xs)
        except W2SDError as error:
            setattr(p, REFUSED, error)

    return applied


def say_in(module) -> None:
    """Once for each time that the host loads its script: `module`, which calls process_images for each cell."""
    draw = module.process_images
    if hasattr(draw, "w2sd_says"):
        return

    @functools.wraps(draw)
    def cell(p):
        try:
            with refusal.refusing():
                if hasattr(p, REFUSED):
                    raise getattr(p, REFUSED)
            return draw(p)
        except refusal.JobRefused as error:
            print(error)
            return Processed(p, [picture(p, str(error))], p.seed, str(error))

    cell.w2sd_says = True
    module.process_images = cell


def picture(p, text: str) -> Image.Image:
    """The sentence, in a picture of the cell's size; as much of it as there is room for."""
    width, height = getattr(p, "hr_upscale_to_x", 0) or p.width, getattr(p, "hr_upscale_to_y", 0) or p.height
    drawn = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(drawn)
    for size in SIZES:
        font = images.get_font(size)
        lines = "\n".join(textwrap.wrap(text, max(int((width - 2 * size) / (0.55 * size)), 1)))
        if draw.multiline_textbbox((size, size), lines, font)[3] <= height - size:
            break
    draw.multiline_text((size, size), lines, "black", font)
    return drawn
