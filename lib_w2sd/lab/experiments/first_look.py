"""The README's picture: what W2SD is worth its time for, drawn by our own model, with what was measured beside it.

Nothing is selected: of the ControlNet and the IP-Adapter every fifth prompt of docs/paper/pipeline.md, first seed; of the
biased pair the first prompts of docs/paper/README.md, first seed. The bars are of all pictures of those reports.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from ..emoji import edges
from ..emoji.draw import STEPS
from . import balance, pipeline
from .results import Results, difference, mean
from .statistics import interval

WIDTH = 1700  # of the picture: twice of what GitHub shows
LEFT, BARS, COLUMN = 190, 1410, 198  # where pictures and bars begin; from one picture to the next
INK, FAINT, PLAIN, OURS, GOOD, BAD = "#1f2328", "#59636e", "#9aa4ae", "#1b7837", (0, 140, 60), (215, 25, 40)
RARE = "#e8590c"


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    half: float = 0.0  # of the interval of its difference to plain
    ours: bool = False


def font(size: int):
    return ImageFont.load_default(size)


def tile(picture: torch.Tensor, size: int) -> Image.Image:
    """[3, H, W] from 0 to 1, enlarged."""
    array = (picture.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC)


def traced(picture: torch.Tensor, asked: torch.Tensor, scale: int) -> Image.Image:
    """A picture, paler, under the lines that it was asked for: green where it has an edge there (one pixel's distance
    forgiven, as edges.agreement has it), red where it has none."""
    found = F.max_pool2d(edges.maps(picture[None])[:, :1].float(), 3, 1, 1)[0, 0] > 0
    lines = asked[0] > 0
    over = np.asarray(tile(picture, 64 * scale), float) * 0.55 + 255 * 0.45
    for where, colour in ((lines & found, GOOD), (lines & ~found, BAD)):
        over[where.numpy().repeat(scale, 0).repeat(scale, 1)] = colour
    return Image.fromarray(over.astype(np.uint8))


def framed(picture: torch.Tensor, size: int, rare: bool) -> Image.Image:
    image = tile(picture, size)
    if rare:
        ImageDraw.Draw(image).rectangle((0, 0, size - 1, size - 1), outline=RARE, width=6)
    return image


class Sheet:
    """A white sheet that is filled from the top: headings, rows of pictures, and bars at the right."""

    def __init__(self):
        self.image, self.top = Image.new("RGB", (WIDTH, 4000), "white"), 24
        self.pen = ImageDraw.Draw(self.image)

    def heading(self, text: str, more: str) -> None:
        self.pen.text((28, self.top), text, INK, font(38))
        self.pen.text((28, self.top + 48), more, FAINT, font(26))
        self.top += 92

    def row(self, label: str, tiles: list, columns: int = 6, ours: bool = False) -> None:
        step, size = COLUMN * 6 // columns, tiles[0].width + 6
        lines = -(-len(tiles) // columns)
        for i, one in enumerate(tiles):
            left = LEFT + i % columns * step + (step - one.width) // 2
            self.image.paste(one, (left, self.top + i // columns * size))
        parts = label.split("\n")
        start = self.top + (lines * size - len(parts) * 32) // 2
        for i, part in enumerate(parts):
            self.pen.text((28, start + 32 * i), part, OURS if ours else INK, font(28 if i == 0 else 24))
        self.top += lines * size

    def bars(self, top: int, title: str, bars: list, mark: "float | None" = None) -> None:
        """From `top` down to where the rows have come; `mark`: where the truth is."""
        wide, tall = WIDTH - BARS - 90, (self.top - top - 44) // len(bars)

        def at(value):
            return BARS + round(value * wide)

        self.pen.text((BARS, top), title, FAINT, font(24))
        for i, bar in enumerate(bars):
            y = top + 44 + i * tall
            self.pen.text((BARS, y), bar.label, OURS if bar.ours else INK, font(24))
            y += 32
            thick = min(tall - 46, 44)
            self.pen.rectangle((BARS, y, at(bar.value), y + thick), fill=OURS if bar.ours else PLAIN)
            self.pen.text(
                (max(at(bar.value + bar.half), at(mark or 0)) + 10, y + thick // 2 - 14),
                f"{bar.value:.2f}",
                INK,
                font(26),
            )
            if mark is not None:
                self.pen.line((at(mark), y - 4, at(mark), y + thick + 4), BAD, 4)
            if bar.half:
                middle = y + thick // 2
                left, right = at(bar.value - bar.half), at(bar.value + bar.half)
                self.pen.line((left, middle, right, middle), INK, 3)
                for x in (left, right):
                    self.pen.line((x, middle - 8, x, middle + 8), INK, 3)

    def end(self, gap: int = 34) -> None:
        self.top += gap

    def save(self, path: Path) -> None:
        """With a palette: a fifth of the size, and nobody sees it."""
        whole = self.image.crop((0, 0, WIDTH, self.top))
        whole = whole.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.save(path, optimize=True)


def unit_bars(unit: pipeline.Unit, out: Path) -> list:
    kept = Results(out / f"pipeline-{unit.name}.json", pipeline.measure_of(unit))
    first = kept.of(pipeline.plain(unit, 1.0))

    def bar(label, way, ours=False):
        one = kept.of(way)
        return Bar(label, mean(one, "like"), difference(one, first, "like")[1], ours)

    return [
        Bar("plain, weight 1", mean(first, "like")),
        bar("plain, weight 2", pipeline.plain(unit, 2.0)),
        bar("W2SD, the preset", pipeline.reflected(unit, "auto-guidance", lam=STEPS - 1), True),
        bar("W2SD, strength 2", pipeline.reflected(unit, "auto-guidance", 2.0, STEPS - 1), True),
    ]


def controlled(sheet: Sheet, out: Path) -> None:
    unit = pipeline.UNITS[0]
    places, captions, shown = pipeline.picked(unit)
    maps = unit.given(shown)
    sheet.heading(
        "Closer to your ControlNet", "The lines of its map: green where the picture follows them, red where not"
    )
    top = sheet.top
    for label, way in (
        ("plain\nweight 1", pipeline.plain(unit, 1.0)),
        ("W2SD\nstrength 2", pipeline.reflected(unit, "auto-guidance", 2.0, STEPS - 1)),
    ):
        pictures = pipeline.drawn(unit, captions, shown, places, **way.asks).pictures
        tiles = [traced(picture, asked, 3) for picture, asked in zip(pictures, maps)]
        sheet.row(label, tiles, ours=label.startswith("W2SD"))
    sheet.bars(top, "edges that agree", unit_bars(unit, out))
    sheet.end()


def referring(sheet: Sheet, out: Path) -> None:
    unit = pipeline.UNITS[1]
    places, captions, shown = pipeline.picked(unit)
    sheet.heading("Closer to your reference picture", "IP-Adapter: a higher weight does not get there")
    top = sheet.top
    sheet.row("reference", [tile(picture, 140) for picture in shown])
    for label, way in (
        ("plain\nweight 1", pipeline.plain(unit, 1.0)),
        ("plain\nweight 2", pipeline.plain(unit, 2.0)),
        ("W2SD\nstrength 2", pipeline.reflected(unit, "auto-guidance", 2.0, STEPS - 1)),
    ):
        pictures = pipeline.drawn(unit, captions, shown, places, **way.asks).pictures
        sheet.row(label, [tile(picture, 140) for picture in pictures], ours=label.startswith("W2SD"))
    sheet.bars(top, "like the reference", unit_bars(unit, out))
    sheet.end()


TOLD, COUNT = 24, balance.COUNT


def biased(sheet: Sheet, out: Path) -> None:
    kept = Results(out / "balance.json", balance.measured_of(balance.SEEDS, COUNT))
    plain, *pushed = balance.swept(1.0)
    strengths = {way.asks["settings"].strength: way for way in pushed if _as_the_preset(way)}
    first = kept.of(plain)
    sheet.heading(
        "Less of a habit of your checkpoint",
        f"Asked for no style: half should be {balance.FLAT} (framed), this model has seen too few of them",
    )
    top = sheet.top
    for label, way in (("plain", plain), ("W2SD\nstrength 1", strengths[1.0])):
        pictures, _ = balance.drawn(way, 1)
        rare = balance.flat(pictures, COUNT)[:TOLD]
        tiles = [framed(picture, 92, bool(is_rare)) for picture, is_rare in zip(pictures, rare)]
        sheet.row(f"{label}\n{int(rare.sum())} of {TOLD}", tiles, 12, way is not plain)
        sheet.end(12)

    def bar(label, way):
        one = kept.of(way)
        by = interval(a - b for a, b in zip(one["share"], first["share"]))
        return Bar(label, mean(one, "share"), by.half, True)

    bars = [
        Bar("plain", mean(first, "share")),
        bar("W2SD, the preset", strengths[0.5]),
        bar("W2SD, strength 1", strengths[1.0]),
    ]
    sheet.bars(top, "flat ones (red: half)", bars, 0.5)
    sheet.end(16)


def _as_the_preset(way) -> bool:
    settings = way.asks["settings"]
    return settings.inversion == "previous-gap" and settings.lambda_steps == STEPS - 1


def write(path: Path, results: Path) -> Path:
    """The PNG. `results`: the folder of what was measured (docs/paper)."""
    sheet = Sheet()
    for part in (controlled, referring, biased):
        part(sheet, results)
    sheet.save(path)
    return path
