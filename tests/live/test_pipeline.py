"""The pipeline gap's units in the running WebUI: one of several, a share of their weight, in every pass.

Wants a ControlNet (or T2I adapter) for the checkpoint tiny-sd15 or small-sd15, as the company table does; that one says
what can be left out of other extensions.
"""

import numpy as np
import pytest

from .conftest import PLAIN, png
from .layouts import asking, no_gap
from .test_company import control_models
from .test_engine import same
from .test_samplers import PASSES, away

GAP = {"lambda_steps": 2, "inversion": "matched", "weak_cfg": 0.5, "strong_cfg": 0.5}


class Units:
    """Requests with ControlNet units, each given as a weight and the image's place among two."""

    def __init__(self, webui, model: str, images: list):
        self.webui, self.model, self.images = webui, model, images
        self.ask = {**asking(webui, "sd15"), "steps": 4}

    def request(self, units, **more) -> dict:
        common = {"enabled": True, "module": "None" if self.webui.forge else "none", "model": self.model}
        args = [
            {
                **common,
                "processor_res": 64,
                "weight": weight,
                "image": self.images[which],
                **(window[0] if window else {}),
            }
            for weight, which, *window in units
        ]
        return {**self.ask, **more, "alwayson_scripts": {"ControlNet": {"args": args}}}

    def drawn(self, units, settings=None, **more):
        return self.webui.picture(settings, **self.request(units, **more))

    def alone(self, units, without, share=0.0, **more):
        """The weak side alone, at the picture's own scale."""
        settings = {"weak_alone": True, "weak_cfg": PLAIN["cfg_scale"], "weak_without": without, "weak_weight": share}
        return self.drawn(units, settings, **more)


@pytest.fixture(scope="module")
def units(webui, init_image) -> Units:
    models = control_models(webui)
    if not models:
        pytest.skip("no ControlNet model in this WebUI")
    return Units(webui, models[0], [png(init_image), png(255 - np.asarray(init_image))])


FIRST, SECOND = (1.0, 0), (0.7, 1)
BOTH = [FIRST, SECOND]


@pytest.mark.parametrize(
    ("without", "kept"),
    [
        ("1st ControlNet", [SECOND]),
        ("2nd ControlNet", [FIRST]),
        ("ControlNet", []),
        ("1st ControlNet+2nd ControlNet", []),
    ],
)
def test_one_unit_of_two(units, webui, without, kept):
    whole, fewer = units.drawn(BOTH), units.drawn(kept)
    assert not same(whole, fewer)
    assert same(units.alone(BOTH, without), fewer)
    gap = units.drawn(BOTH, {**GAP, "weak_without": without})
    (run,) = webui.trace()
    assert not same(gap, whole) and all(r["gap_norm"] > 0 for r in run["reflections"])
    assert same(units.drawn(BOTH), whole), "the next plain picture is what it was"


@pytest.mark.parametrize(
    ("without", "weaker"),
    [("ControlNet", [(0.5, 0), (0.35, 1)]), ("2nd ControlNet", [FIRST, (0.35, 1)])],
)
def test_a_share_of_the_weight(units, without, weaker):
    whole = units.drawn(BOTH)
    assert same(units.alone(BOTH, without, 0.5), units.drawn(weaker))
    assert not same(units.drawn(BOTH, {**GAP, "weak_without": without, "weak_weight": 0.5}), whole)
    assert same(units.drawn(BOTH), whole)


@pytest.mark.parametrize("name", PASSES)
def test_every_pass(units, webui, init_image, name):
    kind, fields, runs = PASSES[name]
    more = {**fields, "kind": kind}
    if kind == "img2img":
        more["init_images"] = [png(init_image)]
    most = 0 if kind == "txt2img" else 2  # of 255: part of what img2img draws has no seed
    off, whole = units.drawn([], **more), units.drawn([FIRST], **more)
    assert away(off, whole) > most
    assert away(units.alone([FIRST], "ControlNet", **more), off) <= most
    assert away(units.drawn([FIRST], no_gap(units.ask), **more), whole) <= most
    gap = units.drawn([FIRST], {**GAP, "weak_without": "ControlNet"}, **more)
    passes = webui.trace()
    assert away(gap, whole) > most and [run["pass"] for run in passes] == runs
    assert all(r["gap_norm"] > 0 for run in passes for r in run["reflections"])
    assert away(units.drawn([FIRST], **more), whole) <= most


def test_a_batch(units):
    """What is sent back beside the pictures are the units' maps, last."""
    off, alone = units.drawn([], batch_size=2), units.alone([FIRST], "ControlNet", batch_size=2)
    whole, gap = (
        units.drawn([FIRST], batch_size=2),
        units.drawn([FIRST], {**GAP, "weak_without": "ControlNet"}, batch_size=2),
    )
    assert len(off.images) >= 2 and all((a == b).all() for a, b in zip(alone.images, off.images))
    assert not any((a == b).all() for a, b in zip(gap.images[: len(off.images)], whole.images))


def test_outside_of_the_units_window_there_is_no_gap(units, webui):
    """It acts in the first half of the steps."""
    unit = (1.0, 0, {"guidance_start": 0.0, "guidance_end": 0.5})
    units.drawn([unit], {**GAP, "lambda_steps": -1, "weak_without": "ControlNet"}, steps=8)
    (run,) = webui.trace()
    sizes = [r["gap_norm"] for r in run["reflections"]]
    assert sizes[0] > 0 and sizes[-1] == 0 and sorted(sizes, key=lambda size: size == 0) == sizes


def test_what_is_not_there_is_said(units, webui):
    told = webui.refused({**GAP, "weak_without": "3rd ControlNet"}, **units.request(BOTH))
    assert "there is no 3rd ControlNet in this picture" in told
