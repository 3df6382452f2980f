"""Settings pass through stable-diffusion-webui-distributed to other WebUIs as plain JSON. Needs that extension in the
WebUI, with a worker that has W2SD too, and "complement production" off, which asks for hundreds of pictures more."""

import pytest

from lib_w2sd.settings import Settings, as_dict

from .conftest import PLAIN, distance
from .layouts import asking

SETTINGS = [
    {"lambda_steps": 3, "weak_prompt": 'a "dog", {prompt}: (grey:1.2)', "weak_cfg": 2, "strength": 0.7},
    {"lambda_steps": -1, "inversion": "matched", "weak_negative_prompt": "猫\nsharp", "strong_cfg": 4},
]


@pytest.mark.parametrize("positional", [False, True], ids=["object", "list"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_worker_draws_with_the_requests_settings(webui, settings, positional):
    if "distribute" not in {info["name"] for info in webui.get("/sdapi/v1/script-info")}:
        pytest.skip("no stable-diffusion-webui-distributed in this WebUI")
    whole = as_dict(Settings(enabled=True, **settings))
    ask = {**asking(webui, "sd15"), "override_settings": {}}  # options do not travel with a request
    made = webui.picture(list(whole.values()) if positional else settings, **ask, batch_size=2)
    assert len(made.images[-2:]) == 2 and len(made.info["infotexts"]) >= 2
    (run,) = webui.trace()
    assert {e["rows"] for e in run["evaluations"] if e["kind"] == "step"} == {2}, (
        "this WebUI made one picture of the two"
    )
    for k, (pixels, infotext) in enumerate(zip(made.images[-2:], made.info["infotexts"][-2:])):
        alone = webui.picture(settings, **ask, seed=PLAIN["seed"] + k)
        assert distance(alone.pixels, pixels) <= 2, k
        assert f"W2SD lambda: {settings['lambda_steps']}" in infotext
