"""Every pass that a WebUI can make of a picture. Equal settings give the host's own picture of the same request, and
the trace says which pass reflected what."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from .conftest import PLAIN, distance, png
from .grids import Axes, cells
from .layouts import LAYOUTS, asking, no_gap
from .test_engine import HIRES, same
from .test_samplers import PASSES

GAP = {"lambda_steps": 3, "weak_cfg": 1, "inversion": "matched"}


@pytest.fixture(scope="module")
def ask(webui):
    return asking(webui, "sd15")


@pytest.fixture(scope="module")
def weak(ask):
    return ask["override_settings"]["sd_model_checkpoint"] + "-weak"


def reflected_everywhere(webui):
    runs = webui.trace()
    assert runs
    for run in runs:
        assert len(run["reflections"]) == run["reflected"] == run["steps"] - 1
    return runs


# ---------------------------------------------------------------- hires

SECOND = {
    "sampler": {"hr_sampler_name": "DPM++ 2M", "hr_scheduler": "Karras"},
    "sampler of timesteps": {"hr_sampler_name": "DDIM"},
    "sampler of two calls": {"hr_sampler_name": "Heun"},
    "prompt": {"hr_prompt": "a [dog:bird:0.5] in the sea", "hr_negative_prompt": "sharp"},
    "upscaler": {"hr_upscaler": "Lanczos"},
    "own number of steps": {"hr_second_pass_steps": 3},
}


@pytest.mark.parametrize("kind", [*SECOND, "checkpoint"])
def test_hires_of_its_own(webui, ask, weak, kind):
    asked = {**ask, **HIRES, **SECOND.get(kind, {"hr_checkpoint_name": weak})}
    if kind == "upscaler" and asked["hr_upscaler"] not in (u["name"] for u in webui.get("/sdapi/v1/upscalers")):
        pytest.skip("this WebUI has no upscaler that needs no file")
    plain = webui.picture(**asked)
    assert same(webui.picture(no_gap(ask), **asked), plain)
    first, second = reflected_everywhere(webui)
    assert (first["pass"], second["pass"]) == ("txt2img", "hires")
    assert (first["sampler"] != second["sampler"]) == kind.startswith("sampler")
    assert not same(webui.picture(GAP, **asked), plain)
    assert same(webui.picture(**asked), plain)


def test_prompts_of_the_hires_pass(webui, ask):
    """{prompt} is the pass's own: spelled out, the hires pass's is a gap in the first pass alone."""
    asked = {**ask, **HIRES, "hr_prompt": "a dog", "hr_negative_prompt": "sharp"}
    webui.picture(no_gap(ask, weak_prompt="a dog", weak_negative_prompt="sharp"), **asked)
    first, second = reflected_everywhere(webui)
    assert min(r["gap_norm"] for r in first["reflections"]) > 0
    assert max(r["gap_norm"] for r in second["reflections"]) == 0
    webui.picture(no_gap(ask, weak_prompt="{prompt} ", weak_negative_prompt="{negative_prompt} "), **asked)
    assert all(r["gap_norm"] == 0 for run in reflected_everywhere(webui) for r in run["reflections"])


def test_weak_checkpoint_against_the_hires_passs_own(webui, ask, weak):
    asked = {**ask, **HIRES, "hr_checkpoint_name": weak}
    webui.picture(no_gap(ask, weak_checkpoint=weak), **asked)
    first, second = reflected_everywhere(webui)
    assert min(r["gap_norm"] for r in first["reflections"]) > 0
    assert max(r["gap_norm"] for r in second["reflections"]) == 0


# ---------------------------------------------------------------- img2img and inpainting


@pytest.fixture(scope="module")
def images(init_image):
    """Two pictures."""
    return [png(init_image), png(np.ascontiguousarray(init_image[::-1]))]


@pytest.fixture(scope="module")
def mask():
    pixels = np.zeros((64, 64), dtype=np.uint8)
    pixels[12:44, 20:52] = 255
    return png(pixels)


def equal_to_the_hosts_own(webui, settings, ask, repeats=2):
    """Plain and reflected img2img; the hosts' own repeats differ by what an unseeded generator draws."""
    plain, *more = [webui.picture(kind="img2img", **ask) for _ in range(repeats)]
    own = max(distance(plain.pixels, other.pixels) for other in more)
    reflected = webui.picture(settings, kind="img2img", **ask)
    assert distance(plain.pixels, reflected.pixels) <= max(2 * own, 2)
    for run in reflected_everywhere(webui):
        assert max(r["gap_norm"] for r in run["reflections"]) == 0
    return plain


def test_img2img_of_several_pictures(webui, ask, images):
    asked = {**ask, "init_images": images, "batch_size": 2, "denoising_strength": 0.7}
    plain = webui.picture(kind="img2img", **asked)
    equal = webui.picture(no_gap(ask), kind="img2img", **asked)
    reflected = webui.picture(GAP, kind="img2img", **asked)
    for k, image in enumerate(images):
        alone = {**asked, "init_images": [image], "batch_size": 1, "seed": PLAIN["seed"] + k}
        assert distance(equal.images[-2:][k], plain.images[-2:][k]) <= 2
        assert distance(webui.picture(GAP, kind="img2img", **alone).pixels, reflected.images[-2:][k]) <= 3
        assert distance(reflected.images[-2:][k], plain.images[-2:][k]) > 3


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Heun", "DDIM"])
@pytest.mark.parametrize("area", ["whole", "only masked", "soft"])
def test_inpaint(webui, ask, images, mask, area, sampler):
    asked = {
        **ask,
        "init_images": images[:1],
        "mask": mask,
        "mask_blur": 2,
        "inpainting_fill": 1,
        "inpaint_full_res": area == "only masked",
        "inpaint_full_res_padding": 8,
        "denoising_strength": 0.75,
        "sampler_name": sampler,
        "steps": 6,
    }
    soft = {"Soft Inpainting": {"args": [True, 1, 0.5, 4, 0, 0.5, 2]}} if area == "soft" else {}
    asked["alwayson_scripts"] = soft
    plain = equal_to_the_hosts_own(webui, no_gap(ask), asked)
    reflected = webui.picture(GAP, kind="img2img", **asked)
    assert all(r["gap_norm"] > 0 for r in webui.trace()[0]["reflections"])
    outside = np.ones((64, 64), dtype=bool)
    outside[4:52, 12:60] = False  # the mask and what its blur and the latent's pixels reach
    # Soft inpainting on Forge composites small models' pictures away altogether: another seed changes nothing either.
    painted = distance(webui.picture(kind="img2img", **{**asked, "seed": 99}).pixels, plain.pixels) > 0
    assert painted or area == "soft"
    assert (distance(reflected.pixels, plain.pixels) > 3) == painted
    if area != "soft":
        assert distance(reflected.pixels[outside], plain.pixels[outside]) == 0, "what is not painted stays"


@pytest.fixture(scope="module")
def inpainting_checkpoints(webui, ask):
    """Two checkpoints of 9 channels, made of the WebUI's X and X-weak, in its own folder and gone afterwards."""
    name = ask["override_settings"]["sd_model_checkpoint"]
    found = {m["model_name"]: Path(m["filename"]) for m in webui.get("/sdapi/v1/sd-models")}
    if not found[name].exists():
        pytest.skip("the WebUI's checkpoints are not on this machine")
    config = found[name].with_suffix(".yaml")
    made = []
    try:
        for source, target in ((name, "w2sd-test-inpainting"), (f"{name}-weak", "w2sd-test-inpainting-weak")):
            tensors = load_file(found[source])
            entry = "model.diffusion_model.input_blocks.0.0.weight"
            generator = torch.Generator().manual_seed(1)
            width = tensors[entry].shape[0]
            more = torch.randn(width, 5, 3, 3, generator=generator) * 0.05
            tensors[entry] = torch.cat([tensors[entry], more.to(tensors[entry].dtype)], dim=1)
            path = found[name].parent / f"{target}.safetensors"
            made.append(path)
            save_file(tensors, path)
            if config.exists():  # AUTOMATIC1111 knows the small models by a file beside them
                text = config.read_text().replace("in_channels: 4\n        out", "in_channels: 9\n        out")
                text = text.replace("conditioning_key: crossattn", "conditioning_key: hybrid\n    finetune_keys: null")
                text = text.replace("ddpm.LatentDiffusion", "ddpm.LatentInpaintDiffusion")
                path.with_suffix(".yaml").write_text(text)
        webui.post("/sdapi/v1/refresh-checkpoints", {})
        yield [path.stem for path in made]
        webui.picture(**ask)  # the host must not go on with a file that is gone
    finally:
        for path in made:
            path.unlink(missing_ok=True)
            path.with_suffix(".yaml").unlink(missing_ok=True)
        webui.post("/sdapi/v1/refresh-checkpoints", {})


def test_inpainting_checkpoint(webui, ask, images, mask, inpainting_checkpoints):
    strong, weak = inpainting_checkpoints
    asked = {**ask, "override_settings": {"sd_model_checkpoint": strong}, "denoising_strength": 0.75}
    masked = {"init_images": images[:1], "mask": mask, "inpainting_fill": 1, "inpaint_full_res": False}
    plain = equal_to_the_hosts_own(webui, no_gap(ask), {**asked, **masked})
    assert distance(webui.picture(GAP, kind="img2img", **asked, **masked).pixels, plain.pixels) > 3
    plain = equal_to_the_hosts_own(webui, no_gap(ask), {**asked, "init_images": images[:1]})
    plain = webui.picture(**asked)
    assert same(webui.picture(no_gap(ask), **asked), plain)
    for settings in (GAP, {**GAP, "weak_checkpoint": weak}, {**GAP, "weak_cfg": 0, "inversion": "paper"}):
        assert not same(webui.picture(settings, **asked), plain)
    four_channels = ask["override_settings"]["sd_model_checkpoint"]
    assert "weak_checkpoint" in webui.refused({**GAP, "weak_checkpoint": four_channels}, **asked)
    assert same(webui.picture(**asked), plain)


# ---------------------------------------------------------------- refiner


# Neo's refiner takes over at a sigma instead of a fraction: about the same place of eight steps.
NEOS_SIGMA = {0.1: 10.0, 0.3: 5.0, 0.6: 1.5, 0.9: 0.01}


@pytest.mark.parametrize("by_steps", [False, True], ids=["by sigma", "by steps"])
@pytest.mark.parametrize("at", NEOS_SIGMA)
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Heun", "DDIM"])
def test_refiner(webui, ask, weak, sampler, at, by_steps):
    neo = webui.name == "neo"
    options = {**ask["override_settings"], "refiner_use_steps" if neo else "refiner_switch_by_sample_steps": by_steps}
    switch = NEOS_SIGMA[at] if neo and not by_steps else at
    asked = {**ask, "override_settings": options, "refiner_checkpoint": weak, "refiner_switch_at": switch}
    asked.update(sampler_name=sampler, steps=8)
    plain = webui.picture(**asked)
    assert same(webui.picture(no_gap(ask), **asked), plain)
    reflected_everywhere(webui)
    gap = webui.picture({**GAP, "lambda_steps": -1, "weak_prompt": "a dog"}, **asked)
    assert not same(gap, plain)
    took_over = "Refiner:" in plain.infotext
    assert took_over or at == 0.9, "at 0.9 of 8 steps there is no step left for it"
    assert ("Refiner:" in gap.infotext) == took_over
    without = {**asked, "refiner_checkpoint": None, "refiner_switch_at": None}
    assert same(plain, webui.picture(**without)) != took_over


# ---------------------------------------------------------------- seeds, sizes, tiling


@pytest.mark.parametrize(
    "seeds",
    [
        {"subseed": 3, "subseed_strength": 0.4},
        {"subseed": 3, "subseed_strength": 0.4, "seed_resize_from_w": 96, "seed_resize_from_h": 128},
        {"width": 128, "height": 72},
        {"tiling": True},
        {"eta": 0.5, "sampler_name": "DDIM"},
        {"s_noise": 1.01, "s_churn": 2.0, "s_tmin": 0.0, "s_tmax": 999.0},
        {"s_min_uncond": 2.0},
    ],
    ids=lambda seeds: next(iter(seeds)),
)
def test_seeds_sizes_and_tiling(webui, ask, seeds):
    asked = {**ask, **seeds}
    plain = webui.picture(**asked)
    assert same(webui.picture(no_gap(ask), **asked), plain)
    reflected_everywhere(webui)
    first, second = (webui.picture(GAP, **asked) for _ in range(2))
    assert same(first, second) and not same(first, plain)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_and_iterations(webui, layout):
    ask = asking(webui, layout)
    settings = {**GAP, "lambda_steps": 2, "weak_cfg": 2, "weak_prompt": "{prompt}, grey"}
    made = webui.picture(settings, **ask, batch_size=2, n_iter=3)
    runs = webui.trace()
    assert [len(run["reflections"]) for run in runs] == [2, 2, 2]
    pictures = made.images[-6:]
    assert len({pixels.tobytes() for pixels in pictures}) == 6
    for k in (0, 3, 5):
        alone = webui.picture(settings, **ask, seed=PLAIN["seed"] + k)
        assert distance(alone.pixels, pictures[k]) <= 2


# ---------------------------------------------------------------- grids


def test_grid_of_three_axes_with_checkpoints(webui, ask, weak):
    """Checkpoint by lambda by sampler: each cell is what a request of its own gives."""
    strong = ask["override_settings"]["sd_model_checkpoint"]
    titles = {m["model_name"]: m["title"] for m in webui.get("/sdapi/v1/sd-models")}
    axes = Axes(webui)
    answer = axes.grid(
        ("Checkpoint name", f"{titles[strong]},{titles[weak]}"),
        ("[W2SD] Lambda", "0,2"),
        ("Steps", "3,4"),
        w2sd=GAP,
        **ask,
    )
    images, infotexts = cells(answer, 8)
    wanted = [(z, y, x) for z in (3, 4) for y in (0, 2) for x in (strong, weak)]
    for pixels, infotext, (steps, lambda_steps, name) in zip(images, infotexts, wanted):
        alone = {**ask, "override_settings": {"sd_model_checkpoint": name}, "steps": steps}
        own = webui.picture({**GAP, "lambda_steps": lambda_steps}, **alone)
        assert (pixels == own.pixels).all(), (name, lambda_steps, steps)
        assert f"W2SD lambda: {lambda_steps}" in infotext and f"Model: {name}" in infotext


def test_grid_over_weak_checkpoints_and_strength(webui, ask, weak):
    answer = Axes(webui).grid(("[W2SD] Weak checkpoint", f"{weak},None"), ("[W2SD] Strength", "0.5,1"), w2sd=GAP, **ask)
    images, _ = cells(answer, 4)
    wanted = [(strength, name) for strength in (0.5, 1) for name in (weak, "")]
    for pixels, (strength, name) in zip(images, wanted):
        own = webui.picture({**GAP, "strength": strength, "weak_checkpoint": name}, **ask)
        assert (pixels == own.pixels).all(), (name, strength)


@pytest.mark.parametrize("name", ["txt2img", "hires", "img2img 0.9", "inpaint"])
def test_comparison_of_every_pass(webui, init_image, name):
    kind, fields, _ = PASSES[name]
    asked = {"kind": kind, "n_iter": 2, **fields, **({"init_images": [png(init_image)]} if kind == "img2img" else {})}
    settings = {"lambda_steps": 2, "weak_cfg": 0}
    plain, alone, compared = (
        webui.picture(w2sd, **asked) for w2sd in (None, settings, {**settings, "comparison": True})
    )
    assert len(compared.images) == len(alone.images) + 2
    own = 0 if kind == "txt2img" else 3  # part of what img2img draws has no seed; in inpainting at every call
    for row, before, after in zip(compared.images[-2:], plain.images[-2:], alone.images[-2:]):
        height, width = before.shape[:2]
        left, middle, right = (row[-height:, i * width : (i + 1) * width] for i in range(3))
        assert right.max() == 255
        if name != "inpaint":
            assert distance(left, before) <= own and distance(middle, after) <= own
            assert distance(left, middle) > 3
