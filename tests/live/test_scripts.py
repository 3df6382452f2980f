"""W2SD beside every script of the WebUI's list: what a script gives, and what is not W2SD's, whoever samples it."""

import numpy as np
import pytest

from .conftest import PLAIN, Picture, distance, png
from .grids import Axes

W2SD = {"lambda_steps": 2, "weak_cfg": 0}
# By the name in the API: arguments, where the script's own would make too much of it, or nothing at all.
ARGUMENTS = {
    "loopback": {"Loops": 2},
    "prompts from file or textbox": {"List of prompt inputs": "a cat\na dog"},
    "sd upscale": {"Tile overlap": 16},
    "outpainting mk2": {"Pixels to expand": 32, "Outpainting direction": ["left"]},
    "poor man's outpainting": {"Pixels to expand": 32, "Outpainting direction": ["left"]},
    "img2img alternative test": {
        "Decode steps": 4,
        "Original prompt": PLAIN["prompt"],
        "Original negative prompt": PLAIN["negative_prompt"],
    },
}
OURS = "w2sd: is it better on my checkpoint?"


def scripts_of(webui) -> list:
    """(name, whether it is img2img's, arguments) of every script of the list."""
    found = [info for info in webui.get("/sdapi/v1/script-info") if not info["is_alwayson"] and info["name"] != OURS]
    lists = []
    for info in found:
        own = ARGUMENTS.get(info["name"], {})
        lists.append((info["name"], info["is_img2img"], [own.get(arg["label"], arg["value"]) for arg in info["args"]]))
    return lists


def drawn(webui, settings, name, is_img2img, args, init_image, **payload) -> Picture:
    ask = {"script_name": name, "script_args": args, "steps": 4, "prompt": "a cat|red", **payload}
    if is_img2img:
        ask.update(init_images=[png(init_image)], denoising_strength=0.6)
    answer = webui.request(settings, "img2img" if is_img2img else "txt2img", **ask)
    if answer.status_code == 500 and settings is None:
        pytest.skip(f"the WebUI's own script {name} ends with an error here: {answer.text[:200]}")
    assert answer.status_code == 200, answer.text[:2000]
    return Picture(answer.json())


def identical(one: Picture, other: Picture) -> bool:
    return len(one.images) == len(other.images) and all(map(np.array_equal, one.images, other.images))


def test_a_comparison_changes_nothing_of_what_a_script_gives(webui, init_image, record):
    """Whatever the script makes of its runs' pictures: a grid, tiles, the next run's own picture."""
    wrong = []
    for name, is_img2img, args in scripts_of(webui):
        if name == "x/y/z plot":
            continue  # below, through its axes
        section, tab = f"scripts with a comparison, {webui.name}", "img2img" if is_img2img else "txt2img"
        try:
            drawn(webui, None, name, is_img2img, args, init_image)
        except pytest.skip.Exception:
            record(section, name, tab, "its own error")
            continue
        without = drawn(webui, W2SD, name, is_img2img, args, init_image)
        compared = drawn(webui, {**W2SD, "comparison": True}, name, is_img2img, args, init_image)
        same = identical(without, compared)
        if not same and not identical(without, drawn(webui, W2SD, name, is_img2img, args, init_image)):
            # Some draw noise of nobody's seed.
            same = [image.shape for image in without.images] == [image.shape for image in compared.images]
        record(section, name, tab, str(same))
        wrong += [] if same else [name]
    axes = Axes(webui)
    grids = [axes.grid(("[W2SD] Lambda", "0,2"), w2sd={**W2SD, "comparison": of}, steps=4) for of in (False, True)]
    (sheet, *cells), (other_sheet, *other_cells) = (Picture(grid.json()).images for grid in grids)
    assert len(cells) == len(other_cells) and all(map(np.array_equal, cells, other_cells))
    # Forge composes the sheet itself, one level of alpha off from one time to the next.
    assert sheet.shape == other_sheet.shape and distance(sheet, other_sheet) <= 1
    assert not wrong


def test_without_a_script_it_is_made(webui):
    assert len(webui.picture({**W2SD, "comparison": True}).images) == 2


def test_what_another_sampled_is_not_sold_as_ours(webui, init_image):
    """A script that puts its own in the place of p.sample. The trace is then not that of the run before."""
    found = [of for of in scripts_of(webui) if of[0] == "img2img alternative test"]
    if not found:
        pytest.skip("this WebUI has no script that brings its own sampling")
    webui.picture(W2SD)
    assert webui.trace()
    plain = drawn(webui, None, *found[0], init_image)
    made = drawn(webui, W2SD, *found[0], init_image)
    assert identical(plain, made) and "W2SD" not in made.infotext
    told = webui.get("/w2sd/v1/trace")
    assert told["passes"] == [] and "nothing was improved" in told["said"]
    again = webui.picture(W2SD)
    assert "W2SD lambda: 2" in again.infotext and webui.trace() and "said" not in webui.get("/w2sd/v1/trace")


def test_a_cell_that_is_refused_says_so(webui):
    """The host goes on with an empty cell, and its reason stands in the console alone."""
    names = [m["model_name"] for m in webui.get("/sdapi/v1/sd-models") if ".gguf" not in m["title"]]
    pairs = [name for name in names if f"{name}-weak" in names and "15" in name]
    if not pairs:
        pytest.skip("no checkpoints named X and X-weak")
    weak = f"{pairs[0]}-weak"
    titles = {m["model_name"]: m["title"] for m in webui.get("/sdapi/v1/sd-models")}
    axes = Axes(webui)
    asked = {**W2SD, "weak_checkpoint": weak, "weak_cfg": 1, "strong_cfg": 1}
    chosen = ",".join(titles[name] for name in (pairs[0], weak))
    answer = axes.grid(("Checkpoint name", chosen), w2sd=asked, steps=3)
    assert answer.status_code == 200, answer.text[:1000]
    made = Picture(answer.json())
    drawn, refused = made.images[-2:]
    assert drawn.shape == refused.shape
    # Words on one ground: few colours, and more than one.
    assert 1 < len(np.unique(refused.reshape(-1, refused.shape[-1]), axis=0)) <= 256
    assert "which is the loaded checkpoint itself" in made.info["infotexts"][-1]
    assert "W2SD lambda: 2" in made.info["infotexts"][-2] and "W2SD lambda" not in made.info["infotexts"][-1]
