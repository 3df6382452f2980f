"""Settings pass through stable-diffusion-webui-distributed to other WebUIs as plain JSON. Needs that extension in the
WebUI, with a worker that has W2SD too, and "complement production" off, which asks for hundreds of pictures more."""

import pytest

from lib_w2sd.page.settings import as_dict

from ..reflected import reflected
from .conftest import PLAIN, distance
from .grids import Axes, cells
from .layouts import asking

SETTINGS = [
    {"lambda_steps": 3, "weak_prompt": 'a "dog", {prompt}: (grey:1.2)', "weak_cfg": 2, "strength": 0.7},
    {"lambda_steps": -1, "inversion": "matched", "weak_negative_prompt": "猫\nsharp", "strong_cfg": 4},
]


@pytest.fixture(autouse=True)
def needs_distributed(webui):
    if "distribute" not in {info["name"] for info in webui.get("/sdapi/v1/script-info")}:
        pytest.skip("no stable-diffusion-webui-distributed in this WebUI")


def ask_of(webui) -> dict:
    return {**asking(webui, "sd15"), "override_settings": {}}  # options do not travel with a request


def drew_one_of_two(webui):
    (run,) = webui.trace()
    rows = {e["rows"] for e in run["evaluations"] if e["kind"] == "step"}
    assert rows == {2}, "this WebUI made one picture of the two"


@pytest.mark.parametrize("positional", [False, True], ids=["object", "list"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_worker_draws_with_the_requests_settings(webui, settings, positional):
    whole = as_dict(reflected(**settings))
    ask = ask_of(webui)
    made = webui.picture(list(whole.values()) if positional else settings, **ask, batch_size=2)
    assert len(made.images[-2:]) == 2 and len(made.info["infotexts"]) >= 2
    drew_one_of_two(webui)
    for k, (pixels, infotext) in enumerate(zip(made.images[-2:], made.info["infotexts"][-2:])):
        alone = webui.picture(settings, **ask, seed=PLAIN["seed"] + k)
        assert distance(alone.pixels, pixels) <= 2, k
        assert f"W2SD lambda: {settings['lambda_steps']}" in infotext


def test_cells_of_a_grid(webui):
    """What an axis sets goes to every worker. A cell shows the grid of its pictures, if they are saved."""
    ask, scales, size = ask_of(webui), (2, 4), PLAIN["width"]
    asked = {**ask, "override_settings": {"return_grid": True}, "save_images": True}
    axis = ("[W2SD] Weak CFG", ",".join(map(str, scales)))
    answer = Axes(webui).grid(axis, w2sd={"enabled": False, "lambda_steps": 3}, batch_size=2, **asked)
    images, infotexts = cells(answer, 2)
    drew_one_of_two(webui)
    for scale, image, infotext in zip(scales, images, infotexts):
        assert image.shape[1] == 2 * size and f"W2SD weak CFG: {scale}" in infotext
        for k in range(2):
            alone = webui.picture({"lambda_steps": 3, "weak_cfg": scale}, **ask, seed=PLAIN["seed"] + k)
            assert distance(alone.pixels, image[:, k * size : (k + 1) * size]) <= 2, (scale, k)


@pytest.mark.parametrize("saved", [False, True])
def test_comparison(webui, saved):
    """Both halves of it are shared out, and each picture is compared once."""
    ask, settings, size = ask_of(webui), {"lambda_steps": 3, "weak_cfg": 2}, PLAIN["width"]
    made = webui.picture({**settings, "comparison": True}, **ask, batch_size=2, save_images=saved)
    drew_one_of_two(webui)
    rows = [image[-size:] for image in made.images if image.shape[1] == 3 * size]
    assert len(rows) == 2
    for k, row in enumerate(rows):
        before, after = (webui.picture(w2sd, **ask, seed=PLAIN["seed"] + k).pixels for w2sd in (None, settings))
        assert distance(row[:, :size], before) <= 2 and distance(row[:, size : 2 * size], after) <= 2, k
