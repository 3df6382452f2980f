"""`python -m lib_w2sd.evaluate` against the WebUI: it draws its pairs, and another run of it says the same."""

import json

import pytest

from lib_w2sd.evaluate.__main__ import main

REQUEST = {
    "steps": 6,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "cfg_scale": 5.0,
    "negative_prompt": "blurry",
}


def brightness(pictures, prompts):
    return [sum(picture.convert("L").getdata()) / picture.width / picture.height for picture in pictures]


@pytest.mark.parametrize("way", ["matched", "previous-gap"])
def test_it_draws_pairs_and_says_which_is_brighter(webui, tmp_path, way):
    request = dict(REQUEST)
    if webui.name == "neo":
        request = webui.for_neo(request)
    settings = {"weak_cfg": 1.0, "lambda_steps": 3, "strength": 1.0, "inversion": way}
    asked = [webui.url, "--pairs", "3", "--reward", f"{__name__}:brightness"]
    asked += ["--request", json.dumps(request), "--w2sd", json.dumps(settings)]
    assert main([*asked, "--out", str(tmp_path / "one")]) == 0
    pairs = [json.loads(p.read_text()) for p in sorted((tmp_path / "one" / "pairs").glob("*/pair.json"))]
    assert len(pairs) == 3
    for pair in pairs:
        made = pair["made"]
        scores = {name: one["scores"]["test_evaluate.brightness"] for name, one in made.items()}
        assert scores["plain"] != scores["W2SD"]
        # Three of six steps at strength 1, from weak CFG 1: as CFG 5 + 4 would.
        assert made["plain, same push"]["request"]["cfg_scale"] == pytest.approx(9.0)
        rows = made["W2SD"]["facts"]["rows"]
        assert made["plain, same time"]["request"]["steps"] == round(6 * rows / 12)
    assert main([*asked, "--out", str(tmp_path / "two")]) == 0
    again = [json.loads(p.read_text()) for p in sorted((tmp_path / "two" / "pairs").glob("*/pair.json"))]
    assert [{name: one["scores"] for name, one in pair["made"].items()} for pair in pairs] == [
        {name: one["scores"] for name, one in pair["made"].items()} for pair in again
    ]
    assert "3 pairs of pictures" in (tmp_path / "one" / "README.md").read_text()
