"""The ways other than reflection with the step's own gap: every sampler, every pass, every gap, and what they cost."""

import pytest

from lib_w2sd.method import ways

from .conftest import PLAIN, Picture, distance, png
from .test_checkpoint import asking, lora, pair  # noqa: F401 (fixtures)
from .test_engine import same
from .test_samplers import PASSES, samplers

EQUAL = {"lambda_steps": 3, "weak_cfg": PLAIN["cfg_scale"]}
GUIDANCE = {"lambda_steps": 3, "weak_cfg": 0}
OTHERS = [way for way in ways.WAYS if way not in ("paper", "matched", "fixed-point")]


def rows(webui) -> int:
    return sum(run["rows"] for run in webui.trace())


@pytest.mark.parametrize("way", ways.ALONG)
def test_every_sampler(webui, record, shared_out, way):
    """Equal sides are the plain picture; a guidance gap another one, the same again, for the plain picture's rows."""
    wrong = {}
    for sampler in shared_out(samplers(webui), ways.ALONG.index(way), 2 * len(ways.ALONG), len(ways.ALONG)):
        ask = {"sampler_name": sampler, "steps": 6}  # of DPM fast three, the first of which has none before it
        answer = webui.request(None, **ask)
        if answer.status_code != 200 or (plain := Picture(answer.json())).pixels.std() == 0:
            record(f"ways, {webui.name}", sampler, way, "n.a. without W2SD too")
            continue
        found = []
        if not same(plain, webui.picture({**EQUAL, "inversion": way}, **ask)):
            found.append("equal sides are not the plain picture")
        webui.picture({**GUIDANCE, "lambda_steps": 1, "inversion": way, "strength": 0.0001}, **ask)
        one = rows(webui)
        gap = [webui.picture({**GUIDANCE, "inversion": way}, **ask) for _ in range(2)]
        if same(plain, gap[0]) or not same(*gap):
            found.append("the gap changes nothing" if same(plain, gap[0]) else "the same seed gives another picture")
        # DPM adaptive makes as many steps as it needs.
        if rows(webui) != one and sampler != "DPM adaptive":
            found.append(f"{rows(webui)} rows instead of {one}")
        record(f"ways, {webui.name}", sampler, way, "; ".join(found) or "ok")
        wrong.update({sampler: found} if found else {})
    assert not wrong


@pytest.mark.parametrize("name", [name for name in PASSES if name != "txt2img"])
@pytest.mark.parametrize("way", OTHERS)
def test_every_pass(webui, init_image, name, way):
    kind, fields, runs = PASSES[name]
    ask = {**fields, "sampler_name": "DPM++ 2M", **({"init_images": [png(init_image)]} if kind == "img2img" else {})}
    plain, again = (webui.picture(None, kind, **ask) for _ in range(2))
    moved = webui.picture({**GUIDANCE, "inversion": way}, kind, **ask)
    made = webui.trace()
    assert [run["pass"] for run in made] == runs and all(run["reflections"] for run in made)
    assert distance(moved.pixels, plain.pixels) > 3
    if way in ways.ALONG:
        equal = webui.picture({**EQUAL, "inversion": way}, kind, **ask)
        own = 2 * distance(plain.pixels, again.pixels) + (4 if kind == "img2img" else 0)  # part of it has no seed
        assert distance(equal.pixels, plain.pixels) <= own


@pytest.mark.parametrize("gap", ["guidance", "prompt", "lora", "checkpoint"])
@pytest.mark.parametrize("way", OTHERS)
def test_every_gap(webui, pair, lora, gap, way):  # noqa: F811
    ask, one = asking(pair[0]), {"weak_cfg": 1, "strong_cfg": 1}
    settings = {
        "guidance": {"weak_cfg": 0},
        "prompt": {**one, "weak_prompt": "a dog"},
        "lora": {**one, "weak_lora_offset": -2.3},
        "checkpoint": {**one, "weak_checkpoint": pair[1]},
    }[gap]
    if gap == "lora":
        ask["prompt"] = f"a photo of a cat <lora:{lora[0]}:0.8>"
    plain = webui.picture(**ask)
    moved = webui.picture({"lambda_steps": 3, "inversion": way, **settings}, **ask)
    (run,) = webui.trace()
    assert not same(plain, moved)
    assert len(run["reflections"]) == (2 if way == "previous-gap" else 3)
    extra = run["rows"] - sum(e["rows"] for e in run["evaluations"] if e["kind"] == "step")
    # With auto-guidance three calls have the weak side's row beside them, with previous-gap the two before a move.
    expected = {"auto-guidance": 3, "previous-gap": 2, "re-sampling": 3, "advanced-re-sampling": 6}[way]
    if gap == "guidance":
        expected = {"re-sampling": 6, "advanced-re-sampling": 6}.get(way, 0)
    assert extra == expected
    assert same(webui.picture(**ask), plain), "what comes after is as it was"


@pytest.mark.parametrize("way", ways.NOISY)
def test_new_noise_is_the_seeds_own(webui, way):
    ask = {"sampler_name": "Euler a", "steps": 5}
    settings = {**GUIDANCE, "inversion": way}
    one, again = (webui.picture(settings, **ask) for _ in range(2))
    assert same(one, again)
    assert same(webui.picture({**settings, "strength": 0}, **ask), webui.picture(**ask))
    both = webui.picture(settings, batch_size=2, **ask)
    assert distance(both.images[-2], one.pixels) <= 1 and distance(both.images[-1], one.pixels) > 3


def test_rounds_and_which_steps(webui):
    webui.picture({**GUIDANCE, "rounds": 2, "first_step": 2, "every": 2}, steps=8)
    (run,) = webui.trace()
    assert [r["step"] for r in run["reflections"]] == [1, 3, 5]
    assert [e["kind"] for e in run["evaluations"] if e["step"] == 1] == ["strong", "weak"] * 2 + ["step"]


@pytest.mark.parametrize("way", [way for way in ways.WAYS if way != "re-sampling"])
def test_the_push_as_a_cfg_scale(webui, way):
    """Known where only the scales differ and both are asked at one place; measured, of any other gap."""
    webui.picture({**GUIDANCE, "weak_cfg": 2, "inversion": way})
    (run,) = webui.trace()
    for entry in run["reflections"] if way in ("matched", *ways.ALONG) else ():
        assert entry["effective_cfg"] == pytest.approx(2 * PLAIN["cfg_scale"] - 2) and entry["across"] == 0
    ask = {**GUIDANCE, "weak_prompt": "a dog", "weak_cfg": 1, "strong_cfg": 1, "inversion": way}
    silent, measured = (webui.picture({**ask, "measure": measure}) for measure in (False, True))
    assert same(silent, measured)
    assert all(0 < entry["across"] <= 1 for entry in webui.trace()[0]["reflections"])
