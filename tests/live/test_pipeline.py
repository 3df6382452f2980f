"""The pipeline gap's units in the running WebUI: one of several, a share of their weight, in every pass; and every kind
of unit.

Wants a ControlNet (or T2I adapter) for the checkpoint tiny-sd15 or small-sd15, as the company table does; that one says
what can be left out of other extensions. IP-Adapter, ControlLLLite and the first T2I-Adapter are files that
make_controls.py writes; on Forge the IP-Adapter wants its picture encoder, too (see there).
"""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from .conftest import PLAIN, png
from .layouts import asking, no_gap
from .test_company import control_models, logged, unit_of
from .test_engine import same
from .test_samplers import PASSES, away

GAP = {"lambda_steps": 2, "inversion": "matched", "weak_cfg": 0.5, "strong_cfg": 0.5}


class Units:
    """Requests with ControlNet units, each given as a weight, the image's place among all, and more of its fields."""

    def __init__(self, webui, models: list, images: list):
        self.webui, self.model, self.images = webui, models[0], images
        self.ask = {**asking(webui, "sd15"), "steps": 4}

    def of(self, kind: str) -> dict:
        """Fields of a unit of one of make_controls.py's kinds; skips where there is no such file."""
        fields = unit_of(self.webui, kind)
        if not fields:
            pytest.skip(f"no ControlNet model with {kind} in its name")
        return fields

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


def depth() -> np.ndarray:
    """Nearer towards the lower right."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    return np.repeat(((ramp[:, None] // 2) + (ramp // 2))[..., None], 3, axis=2)


def pose() -> np.ndarray:
    """A body of coloured limbs on black."""
    image = Image.new("RGB", (64, 64))
    limbs = [
        ((32, 12), (32, 36)),
        ((32, 18), (16, 30)),
        ((32, 18), (48, 28)),
        ((32, 36), (22, 58)),
        ((32, 36), (44, 58)),
    ]
    for limb, colour in zip(limbs, ("red", "orange", "lime", "cyan", "magenta")):
        ImageDraw.Draw(image).line(limb, colour, 4)
    return np.asarray(image)


@pytest.fixture(scope="module")
def units(webui, init_image) -> Units:
    models = control_models(webui)
    if not models:
        pytest.skip("no ControlNet model in this WebUI")
    return Units(webui, models, [png(image) for image in (init_image, 255 - np.asarray(init_image), depth(), pose())])


FIRST, SECOND = (1.0, 0), (0.7, 1)
BOTH = [FIRST, SECOND]
# name -> (make_controls.py's kind, the image's place, more of the unit's fields)
KINDS = {
    "canny": (None, 0, {"module": "canny"}),
    "depth, ready": (None, 2, {}),
    "pose, ready": (None, 3, {}),
    "tile": (None, 0, {"module": "tile_resample"}),
    "tile, colours": (None, 0, {"module": "tile_colorfix", "threshold_a": 8}),
    "reference": (None, 0, {"module": "reference_only", "model": "None", "threshold_a": 0.5}),
    "T2I-Adapter": ("t2iadapter", 0, {}),
    "ControlLLLite": ("lllite", 0, {}),
    "IP-Adapter": ("ip_adapter", 0, {}),
    "union": ("union", 0, {"union_control_type": "Depth"}),
}
HAS_NO_WEIGHT = {"forge": ("reference", "tile, colours"), "neo": ("reference", "tile, colours")}


def part_of(kind: str) -> str:
    return "IP-Adapter" if kind == "IP-Adapter" else "ControlNet"


def one(units, kind: str):
    """unit(weight=1.0, **more): a unit of that kind."""
    file, which, fields = KINDS[kind]
    fields = {**(units.of(file) if file else {}), **fields}
    return lambda weight=1.0, **more: (weight, which, {**fields, **more})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_unit(units, webui, kind):
    unit, part = one(units, kind), part_of(kind)
    off, whole = units.drawn([]), units.drawn([unit()])
    assert not same(whole, off)
    assert same(units.alone([unit()], part), off)
    assert same(units.drawn([unit()], no_gap(units.ask)), whole)
    gap = units.drawn([unit()], {**GAP, "weak_without": part})
    (run,) = webui.trace()
    assert not same(gap, whole) and all(r["gap_norm"] > 0 for r in run["reflections"])
    if kind in HAS_NO_WEIGHT.get(webui.name, ()):
        told = webui.refused({**GAP, "weak_without": part, "weak_weight": 0.5}, **units.request([unit()]))
        assert "ControlNet has no weight of its own" in told
    else:
        half = units.drawn([unit(0.5)])
        assert not same(half, whole) and same(units.alone([unit()], part, 0.5), half)
    assert same(units.drawn([unit()]), whole) and same(units.drawn([]), off)


@pytest.mark.parametrize("kind", ["ControlLLLite", "IP-Adapter"])
def test_of_two_kinds_the_other_stays(units, kind):
    """Beside a ControlNet, and twice."""
    unit, part = one(units, kind), part_of(kind)
    both = [FIRST, unit()]
    first, other = units.drawn([FIRST]), units.drawn([unit()])
    names = ("ControlNet", "IP-Adapter")
    if kind == "ControlLLLite" and not units.webui.forge:
        names = ("1st ControlNet", "2nd ControlNet")  # on Forge it has no place among the units
    if kind == "IP-Adapter" or not units.webui.forge:
        assert same(units.alone(both, names[0]), other) and same(units.alone(both, names[1]), first)
    off = units.drawn([])
    assert same(units.alone(both, "+".join(dict.fromkeys(("ControlNet", part)))), off)
    assert same(units.alone(both, "everything"), off)
    assert same(units.alone([unit(), unit(0.6)], part), off)
    assert same(units.alone([unit(), unit(0.6)], part, 0.5), units.drawn([unit(0.5), unit(0.3)]))


@pytest.mark.parametrize("kind", ["T2I-Adapter", "ControlLLLite", "IP-Adapter"])
def test_a_window_of_steps_is_as_it_would_be_without_w2sd(units, kind):
    """It is the host's or the unit's own count of calls, and a reflection's are none."""
    unit = one(units, kind)(guidance_start=0.25, guidance_end=0.6)
    whole = units.drawn([unit], steps=8)
    assert not same(whole, units.drawn([], steps=8))
    assert same(units.drawn([unit], no_gap(units.ask), steps=8), whole)
    assert same(units.alone([unit], part_of(kind), steps=8), units.drawn([], steps=8))
    assert same(units.drawn([unit], steps=8), whole)


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
@pytest.mark.parametrize("kind", ["T2I-Adapter or ControlNet", "IP-Adapter"])
def test_every_pass(units, webui, init_image, name, kind):
    pass_, fields, runs = PASSES[name]
    more = {**fields, "kind": pass_}
    if pass_ == "img2img":
        more["init_images"] = [png(init_image)]
    most = 0 if pass_ == "txt2img" else 2  # of 255: part of what img2img draws has no seed
    unit, part = (one(units, kind)(), kind) if kind in KINDS else (FIRST, "ControlNet")
    off, whole = units.drawn([], **more), units.drawn([unit], **more)
    assert away(off, whole) > most
    assert away(units.alone([unit], part, **more), off) <= most
    assert away(units.drawn([unit], no_gap(units.ask), **more), whole) <= most
    gap = units.drawn([unit], {**GAP, "weak_without": part}, **more)
    passes = webui.trace()
    assert away(gap, whole) > most and [run["pass"] for run in passes] == runs
    assert all(r["gap_norm"] > 0 for run in passes for r in run["reflections"])
    assert away(units.drawn([unit], **more), whole) <= most


def test_a_batch(units):
    """What is sent back beside the pictures are the units' maps, last."""
    off, alone = units.drawn([], batch_size=2), units.alone([FIRST], "ControlNet", batch_size=2)
    whole, gap = (
        units.drawn([FIRST], batch_size=2),
        units.drawn([FIRST], {**GAP, "weak_without": "ControlNet"}, batch_size=2),
    )
    assert len(off.images) >= 2 and all((a == b).all() for a, b in zip(alone.images, off.images))
    assert not any((a == b).all() for a, b in zip(gap.images[: len(off.images)], whole.images))


@pytest.mark.parametrize("kind", ["T2I-Adapter or ControlNet", "ControlLLLite", "IP-Adapter"])
def test_outside_of_the_units_window_there_is_no_gap(request, units, webui, kind):
    """It acts in the first half of the steps, and what it says of the others is what the trace says."""
    window, before = {"guidance_start": 0.0, "guidance_end": 0.5}, len(logged(request, webui))
    unit = one(units, kind)(**window) if kind in KINDS else (1.0, 0, window)
    units.drawn([unit], {**GAP, "lambda_steps": -1, "weak_without": part_of(kind)}, steps=8)
    (run,) = webui.trace()
    sizes = [r["gap_norm"] for r in run["reflections"]]
    # An IP-Adapter outside of its window is still another attention on A1111, which tells in the last digits.
    acts = [size > 1e-4 for size in sizes]
    assert acts[0] and not acts[-1] and sorted(acts, reverse=True) == acts
    if log := logged(request, webui)[before:]:
        ends = f"{part_of(kind)} ends before the last {acts.count(False)} of the {len(acts)} improved steps"
        assert ends in log
        units.drawn([unit], {**GAP, "lambda_steps": 2, "weak_without": part_of(kind)}, steps=8)
        assert log.count("improved steps") == logged(request, webui)[before:].count("improved steps")


def test_what_is_not_there_is_said_and_the_next_picture_is_drawn(units, webui):
    plain = units.drawn([])
    told = webui.refused({**GAP, "weak_without": "3rd ControlNet"}, **units.request(BOTH))
    assert "there is no 3rd ControlNet in this picture" in told
    assert away(units.drawn([]), plain) == 0
