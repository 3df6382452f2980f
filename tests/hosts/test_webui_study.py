"""A study from the WebUI's list of scripts: it draws the pairs that the command line draws, keeps them, goes on."""

import json
from dataclasses import fields

import numpy as np
import pytest
from fastapi import HTTPException
from PIL import Image

from ..webui.host import FLAVOURS, opened

GAP = {"weak_cfg": 1.0, "lambda_steps": 2}


@pytest.fixture(params=FLAVOURS)
def host(request):
    with opened(request.param) as one:
        yield one


@pytest.fixture
def studied(host, tmp_path, monkeypatch):
    """studied(choices, w2sd, **request) -> what the script answers; its rewards are brightness."""
    monkeypatch.setattr(host.study, "find", lambda name: f"{__name__}:{name}")

    def asked(w2sd=None, request=None, **choices):
        p = host.request(
            "Txt2Img", {"enabled": True, **GAP, **(w2sd or {})}, outpath_grids=str(tmp_path), **(request or {})
        )
        with host.study_script.refusal.refusing():
            return host.study.run(p, host.study.Choices(**{"pairs": 2, **choices}), host.study_script.PRESETS)

    return asked


def brightness(pictures, prompts):
    return [float(np.asarray(picture, np.float32).mean()) for picture in pictures]


def pairs_in(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("pairs/*/pair.json"))]


def test_its_pictures_are_those_of_the_requests_alone(host, studied, tmp_path):
    found = studied(prompts="a cat\n# and\na dog", request={"prompt": "sharp", "steps": 4}, rewards=["brightness"])
    where = tmp_path / "w2sd" / "study"
    first, second = pairs_in(where)
    assert {pair["prompt"] for pair in (first, second)} <= {"a cat, sharp", "a dog, sharp"}
    assert (first["seed"], second["seed"]) == (1, 2) and list(first["made"]) == [
        "plain",
        "W2SD",
        "plain, same push",
        "plain, same time",
    ]
    for i, (name, settings) in enumerate((("plain", None), ("W2SD", GAP))):
        alone = host.txt2img(settings, prompt=first["prompt"], steps=4, seed=1).images[0]
        kept = Image.open(where / "pairs" / "0001" / f"{i}.png")
        assert kept.tobytes() == alone.tobytes(), name
    rows = first["made"]["W2SD"]["facts"]
    assert first["made"]["plain, same time"]["request"]["steps"] == round(4 * rows["rows_ratio"])
    assert first["made"]["plain, same push"]["request"]["cfg_scale"] == round(rows["effective_cfg"], 2)
    assert "2 pairs of pictures" in found.info and str(where) in found.info
    assert len(found.images) == 1, "the sheet of what it won; it lost nothing"
    assert (where / "blind.html").exists() and (where / "pairs.csv").exists()


def test_it_goes_on_where_it_was_interrupted(host, studied, tmp_path, monkeypatch):
    state, drawn = host.shared.state, []
    process = host.processing.process_images

    def counted(p):
        found = process(p)
        drawn.append(p.seed)
        state.interrupted = len(drawn) == 6
        return found

    monkeypatch.setattr(host.processing, "process_images", counted)
    found = studied()
    assert "1 pair of pictures" in found.info and drawn == [1] * 4 + [2] * 2
    state.interrupted = False
    assert "2 pairs of pictures" in studied().info
    assert drawn == [1] * 4 + [2] * 2 + [2] * 3, "the picture that was interrupted is drawn again, no other is"
    with pytest.raises(HTTPException, match="other ways; choose another folder"):
        studied({"strength": 0.5})
    with pytest.raises(HTTPException, match="other request"):
        studied(request={"steps": 3})
    assert "2 pairs" in studied({"strength": 0.5}, name="another").info


def test_a_weak_prompt_behind_a_tab(host, studied, tmp_path):
    studied(prompts="a red cat, soft light\ta cat", beside=[], pairs=1)
    alone = host.txt2img({**GAP, "weak_prompt": "a cat, a cat"}, prompt="a red cat, soft light, a cat", seed=1).images[
        0
    ]
    kept = Image.open(tmp_path / "w2sd" / "study" / "pairs" / "0001" / "1.png")
    assert kept.tobytes() == alone.tobytes()


def test_presets_and_the_accordion(host, studied, tmp_path):
    preset = "Follow the prompt more (Z-Sampling)"
    studied(presets=[preset], beside=["plain, same time"], pairs=1)
    assert list(pairs_in(tmp_path / "w2sd" / "study")[0]["made"]) == ["plain", "W2SD", preset, "plain, same time"]
    studied({"enabled": False}, presets=[preset], beside=[], name="alone", pairs=1)
    assert list(pairs_in(tmp_path / "w2sd" / "alone")[0]["made"]) == ["plain", preset]


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"w2sd": {"enabled": False}}, "W2SD is off and no preset was chosen"),
        ({"w2sd": {"weak_cfg": "x"}}, "weak_cfg .* was given 'x'"),
        ({"presets": ["mine"]}, "Preset was given 'mine'"),
        ({"beside": ["more"]}, "given 'more'; allowed is plain, same push"),
        ({"name": "../other"}, "Name of the study was given '../other'"),
        ({"pairs": 0}, "Pairs was given 0"),
        ({"request": {"prompt": " "}}, "Prompts: there is none"),
        ({"rewards": ["nowhere"]}, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_drawn(host, studied, tmp_path, asked, said):
    with pytest.raises(HTTPException, match=said) as error:
        studied(**asked)
    assert error.value.status_code == 422 and not list(tmp_path.iterdir())


def test_a_request_that_cannot_be_drawn_ends_it_with_its_own_words(host, studied, tmp_path):
    with pytest.raises(HTTPException, match="hypernet"):
        studied({"weak_prompt": "a cat <hypernet:x:1>"})
    assert not (tmp_path / "w2sd" / "study" / "README.md").exists()
    assert "2 pairs" in studied().info, "the name is still free"


def test_its_page(host, tmp_path):
    import gradio as gr

    host.shared.opts.outdir_txt2img_grids = str(tmp_path)
    script = host.study_script.W2SDStudy()
    with gr.Blocks() as page:
        made = script.ui(False)
    given = [control.value for control in made[: len(fields(host.study.Choices))]]
    assert host.study.Choices(*given) == host.study.Choices(rewards=[], presets=[], beside=list(host.study.BESIDE))
    clicked = {fn.fn.__name__: fn.fn for fn in page.fns.values() if fn.fn is not None}
    link, told, sheets = clicked["results"]("study")
    assert link == "" and "no results under 'study'" in told and sheets["visible"] is False
