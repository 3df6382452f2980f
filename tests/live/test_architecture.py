"""A weak model of another architecture, through pixels: pairs of families that the WebUI has checkpoints of, one strong
and one weak; in memory with the loaded one, refused by name, interrupted.

What the way through pixels gives, to the number, is held in tests/hosts/test_webui_architecture.py.
"""

import threading
import time

import pytest

from . import families
from .conftest import distance, png
from .test_engine import same
from .test_families import asking, gaps

# (strong, weak): what most can run, the paper's, flow against flow, and latents with a place for time on either side.
PAIRS = [("sdxl", "sd15"), ("sd15", "sdxl"), ("flux", "sdxl"), ("sdxl", "flux"), ("anima", "sd15"), ("sd15", "krea2")]
NAMED = {family.name: family for family in families.FAMILIES}
FAST = {"lambda_steps": 2, "weak_cfg": 1.0}


@pytest.fixture
def freed(webui):
    if not webui.forge:
        pytest.skip("this WebUI holds one model")
    webui.post("/w2sd/v1/free")
    yield
    webui.post("/w2sd/v1/free")


def model(webui, name: str) -> dict:
    """The settings that name a family's checkpoint as the weak model."""
    checkpoint, _ = families.pair_of(webui, NAMED[name])
    modules = families.modules_of(webui, checkpoint) if webui.name == "neo" else []
    return {"weak_model": checkpoint, "weak_model_modules": ", ".join(modules)}


def strong(webui, name: str, **besides) -> dict:
    return asking(NAMED[name], families.pair_of(webui, NAMED[name])[0], **besides)


@pytest.mark.parametrize("pair", PAIRS, ids=" against ".join)
@pytest.mark.parametrize("inversion", ["matched", "paper", "fixed-point", "previous-gap", "auto-guidance"])
def test_two_architectures(webui, record, freed, pair, inversion):
    ask, weak = strong(webui, pair[0]), model(webui, pair[1])
    plain = webui.picture(**ask)
    settings = {**FAST, **weak, "inversion": inversion, "lambda_steps": 3 if inversion == "previous-gap" else 2}
    made = webui.picture(settings, **ask)
    (run,) = webui.trace()
    evaluated = [sum(e["rows"] for e in run["evaluations"] if e["kind"] == kind) for kind in ("strong", "weak", "step")]
    own = 2 if ask["cfg_scale"] != 1 else 1
    elsewhere = {"paper": 1, "fixed-point": 2}.get(inversion, 0)  # where the strong side is asked only for the weak one
    at_once = inversion in ("previous-gap", "auto-guidance")
    rounds = 3 if inversion == "fixed-point" else 1
    assert evaluated[0] == (0 if at_once else 2 * own)
    assert evaluated[1] == 2 * (rounds + elsewhere * own)
    assert min(gaps(webui)) > 0 and not same(made, plain)
    (of,) = run["overlays"]
    assert of["model"] and of["bytes"] > 0
    assert same(webui.picture(settings, **ask), made)
    assert same(webui.picture(**ask), plain)
    record(f"architectures, {webui.name}", pair[0], pair[1], "ok")


def test_its_prompt_and_guidance_are_its_own(webui, freed):
    ask, settings = strong(webui, "sdxl"), {**FAST, **model(webui, "sd15")}
    made = webui.picture(settings, **ask)
    for other in (
        {"weak_prompt": "a dog"},
        {"weak_cfg": 4},
        {"weak_cfg": 0},
        {"weak_cfg": 4, "weak_negative_prompt": "x"},
    ):
        assert not same(webui.picture({**settings, **other}, **ask), made), other


def test_passes_and_batches(webui, init_image, freed):
    settings = {**FAST, **model(webui, "sd15")}
    ask = strong(webui, "sdxl")
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "None" if webui.name == "neo" else "Latent"}
    hires |= {"hr_second_pass_steps": 3, "denoising_strength": 0.6}
    for kind, more in (
        ("txt2img", hires),
        ("txt2img", {"batch_size": 2, "n_iter": 2}),
        ("txt2img", {"sampler_name": "DDIM"}),
        ("img2img", {"init_images": [png(init_image)], "denoising_strength": 0.9}),
    ):
        plain = webui.picture(kind=kind, **ask, **more)
        made = webui.picture(settings, kind=kind, **ask, **more)
        assert min(gaps(webui)) > 0 and all(distance(a, b) for a, b in zip(plain.images, made.images)), more


def test_inpainting_keeps_what_is_outside_of_the_mask(webui, init_image, freed):
    ask = strong(webui, "sdxl")
    mask = init_image * 0
    mask[:, :32] = 255
    fields = {"init_images": [png(init_image)], "mask": png(mask), "mask_blur": 0, "denoising_strength": 1.0}
    fields |= {"inpainting_fill": 1, "inpaint_full_res": False}
    plain = webui.picture(kind="img2img", **ask, **fields)
    made = webui.picture({**FAST, **model(webui, "sd15"), "strength": 2}, kind="img2img", **ask, **fields)
    assert min(gaps(webui)) > 0
    assert (
        distance(plain.pixels[:, 40:], made.pixels[:, 40:]) <= 3 < distance(plain.pixels[:, :32], made.pixels[:, :32])
    )


def test_refused_by_name_and_the_next_picture_is_drawn(webui, freed):
    ask, weak = strong(webui, "sdxl"), model(webui, "sd15")
    plain = webui.picture(**ask)
    for settings, words in (
        ({"weak_model": "no such"}, "weak_model (Weak model of another architecture) was given 'no such'"),
        (
            {**weak, "weak_model_modules": "no such"},
            "weak_model_modules (Its VAE and text encoders) was given 'no such'",
        ),
        ({**weak, "weak_alone": True}, "weak_alone was given True"),
        ({**weak, "weak_checkpoint": "x"}, "weak_checkpoint was given 'x'"),
    ):
        assert words in webui.refused({**FAST, **settings}, **ask)
        assert same(webui.picture(**ask), plain)


def test_a_file_that_wants_others_is_refused_without_them(webui, freed):
    if webui.name != "neo":
        pytest.skip("the small Flux holds all that it wants")
    ask, weak = strong(webui, "sdxl"), {**model(webui, "flux"), "weak_model_modules": ""}
    plain = webui.picture(**ask)
    message = webui.refused({**FAST, **weak}, **ask)
    assert weak["weak_model"] in message and "weak_model_modules" in message
    assert same(webui.picture(**ask), plain)


def test_an_interrupt_leaves_nothing_behind(webui, freed):
    ask, settings = strong(webui, "sdxl", steps=8), {**FAST, **model(webui, "sd15"), "lambda_steps": -1}
    plain, made = webui.picture(**ask), webui.picture(settings, **ask)
    for wait in (0.3, 1.2):
        job = threading.Thread(target=webui.request, args=(settings,), kwargs={**ask, "n_iter": 2})
        job.start()
        time.sleep(wait)
        webui.client.post("/sdapi/v1/interrupt")
        job.join()
        assert same(webui.picture(**ask), plain) and same(webui.picture(settings, **ask), made)


def test_it_is_kept_and_freed(webui, freed):
    ask, settings = strong(webui, "sdxl"), {**FAST, **model(webui, "sd15")}

    def loaded() -> float:
        webui.picture(settings, **ask)
        return webui.trace()[0]["overlays"][0]["load_seconds"]

    first = loaded()
    assert loaded() == first
    webui.post("/w2sd/v1/free")
    assert loaded() != first


def test_a_webui_that_holds_one_model_says_so(webui):
    if webui.forge:
        pytest.skip("this WebUI can hold two")
    assert "this WebUI (a1111) cannot make the architecture gap" in webui.refused({**FAST, "weak_model": "any"})


def test_the_way_through_pixels_is_said_before_the_click(webui, freed):
    request = {
        "settings": {"weak_model": model(webui, "sd15")["weak_model"], "lambda_steps": 3, "inversion": "matched"},
        "page": {"steps": 8},
    }
    said = webui.post("/w2sd/v1/estimate", request).json()
    assert "9 pictures are decoded and as many encoded" in said["cost"]
