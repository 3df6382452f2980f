"""The README's picture: what it marks is there, and its bars are of what was measured."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lib_w2sd.lab.emoji import edges
from lib_w2sd.lab.experiments import first_look, pipeline
from lib_w2sd.lab.experiments.results import Results

PAPER = Path(__file__).parents[2] / "docs" / "paper"


def test_lines_that_are_followed_are_green_and_the_others_red():
    picture = torch.ones(3, 64, 64)
    picture[:, 20:44, 20:44] = 0
    asked = edges.maps(picture[None])[0].clone()
    asked[:, 5, 5:15] = 1  # where the picture has nothing
    pixels = np.asarray(first_look.traced(picture, asked, 3))
    assert (pixels[5 * 3 : 5 * 3 + 3, 15:45] == first_look.BAD).all()
    followed = (asked[0] > 0).numpy()
    followed[5] = False
    assert followed.sum() > 60
    green = (pixels == first_look.GOOD).all(axis=2)
    assert green.sum() == 9 * followed.sum() and green[followed.repeat(3, 0).repeat(3, 1)].all()


def test_bars_are_the_reports_and_nothing_is_measured_again(monkeypatch):
    def measured(*args):
        raise AssertionError("it stands in docs/paper")

    monkeypatch.setattr(pipeline, "measure_of", lambda unit: measured)
    for unit in pipeline.UNITS:
        plain, heavier, preset, stronger = first_look.unit_bars(unit, PAPER)
        like = Results(PAPER / f"pipeline-{unit.name}.json", measured).of(pipeline.plain(unit, 1.0))["like"]
        assert plain.value == sum(like) / len(like) and plain.half == 0
        assert [bar.ours for bar in (plain, heavier, preset, stronger)] == [False, False, True, True]
        # What the picture says in words: the preset is closer than plain, beyond its interval.
        assert preset.value - preset.half > plain.value and stronger.value > preset.value


def test_a_sheet_is_as_wide_as_it_says_and_ends_where_it_is_filled(tmp_path):
    sheet = first_look.Sheet()
    sheet.heading("Closer", "in a test")
    top = sheet.top
    sheet.row("plain\nweight 1", [first_look.framed(torch.ones(3, 64, 64), 190, i == 1) for i in range(3)])
    sheet.bars(top, "share", [first_look.Bar("plain", 0.4), first_look.Bar("W2SD", 0.6, 0.1, True)], 0.5)
    sheet.end()
    sheet.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (first_look.WIDTH, sheet.top)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    frame = min(abs(r - 0xE8) + abs(g - 0x59) + abs(b - 0x0C) for r, g, b in colours)
    assert frame < 12, "the rare one is framed"
