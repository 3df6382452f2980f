"""Algorithm 1 inside the running WebUI."""

import numpy as np
import pytest

from .conftest import PLAIN, distance, png

IDENTITY = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": PLAIN["cfg_scale"]}


def same(a, b) -> bool:
    return a.pixels.shape == b.pixels.shape and bool((a.pixels == b.pixels).all())


def kinds(evaluations, kind):
    return [e for e in evaluations if e["kind"] == kind]


def test_off_is_the_plain_picture(webui, plain):
    off = webui.picture({"enabled": False, "lambda_steps": 4})
    assert same(off, plain)
    assert "W2SD" not in off.infotext


def test_on_changes_the_picture_and_repeats(webui, plain):
    first, second = (webui.picture({"lambda_steps": 4}) for _ in range(2))
    assert not same(first, plain)
    assert same(first, second)


def test_next_plain_picture_is_untouched(webui, plain):
    webui.picture({"lambda_steps": 4, "weak_prompt": "a dog", "weak_cfg": 2})
    assert same(webui.picture(), plain)


@pytest.mark.parametrize("settings", [IDENTITY, {"strength": 0, "lambda_steps": -1}, {"lambda_steps": 0}])
def test_no_gap_is_the_plain_picture(webui, plain, settings):
    assert same(webui.picture(settings), plain)


def test_own_prompt_spelled_out_is_no_gap(webui, plain):
    spelled = {**IDENTITY, "weak_prompt": PLAIN["prompt"], "weak_negative_prompt": PLAIN["negative_prompt"]}
    assert same(webui.picture(spelled), plain)


@pytest.mark.parametrize("sampler,calls", [("Euler", 1), ("Heun", 2)])
def test_window(webui, sampler, calls):
    webui.picture({"lambda_steps": 3}, sampler_name=sampler)
    (run,) = webui.trace()
    assert run["steps"] == PLAIN["steps"]
    assert [r["step"] for r in run["reflections"]] == [0, 1, 2]
    reflected = [e["kind"] for e in run["evaluations"] if e["step"] in (0, 1, 2)]
    assert reflected == (["strong", "weak"] + ["step"] * calls) * 3
    assert {e["kind"] for e in run["evaluations"] if e["step"] > 2} == {"step"}


def test_lambda_beyond_the_run_leaves_the_last_step(webui):
    webui.picture({"lambda_steps": 150})
    (run,) = webui.trace()
    assert run["reflected"] == PLAIN["steps"] - 1
    assert all(r["t_next"] > 0 for r in run["reflections"])


# strong CFG, weak CFG, inversion -> UNet rows of one reflection (strong, weak)
ROWS = [
    (None, 0, "paper", (2, 1)),
    (None, 1, "paper", (2, 1)),
    (None, 3, "paper", (2, 2)),
    (1, 1, "paper", (1, 1)),
    (1, 0, "paper", (1, 1)),
    (0, -2, "paper", (1, 2)),
    (None, 0, "matched", (2, 0)),
    (None, 3, "matched", (2, 0)),
    (1, 0, "matched", (1, 1)),
    (1, -2, "matched", (0, 2)),
    (None, 0, "fixed-point", (2, 2)),
]


@pytest.mark.parametrize("strong,weak,inversion,rows", ROWS)
def test_only_the_rows_that_count(webui, strong, weak, inversion, rows):
    webui.picture({"lambda_steps": 1, "strong_cfg": strong, "weak_cfg": weak, "inversion": inversion})
    (run,) = webui.trace()
    spent = tuple(sum(e["rows"] for e in kinds(run["evaluations"], kind)) for kind in ("strong", "weak"))
    assert spent == rows


def test_rows_at_cfg_0_and_1_give_what_both_rows_would_give(webui):
    """CFG 1 + 1e-6 takes both rows, CFG 1 one: the pictures may differ by what batching changes, no more."""
    for cfg in (0.0, 1.0):
        one = webui.picture({"lambda_steps": 3, "weak_cfg": cfg, "strong_cfg": 4})
        both = webui.picture({"lambda_steps": 3, "weak_cfg": cfg + 1e-6, "strong_cfg": 4})
        assert distance(one.pixels, both.pixels) <= 2


def test_composed_prompts_keep_their_weights_at_cfg_1(webui):
    prompt = "a photo of a cat AND a dog :0.4"
    both, one = (
        webui.picture({"lambda_steps": 3, "weak_cfg": 0, "strong_cfg": cfg}, prompt=prompt) for cfg in (1 + 1e-6, 1.0)
    )
    assert distance(one.pixels, both.pixels) <= 2


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_strength_moves_from_plain_to_full(webui, plain, inversion):
    pictures = [
        webui.picture({"lambda_steps": 2, "strength": s, "inversion": inversion}).pixels.astype(int)
        for s in (0.05, 0.5, 1)
    ]
    distances = [np.abs(p - plain.pixels).mean() for p in pictures]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_gaps_alone_and_together_differ(webui, plain):
    guidance = webui.picture({"lambda_steps": 4, "weak_cfg": 0})
    prompt = webui.picture({"lambda_steps": 4, "weak_prompt": "a dog", "strong_cfg": 1, "weak_cfg": 1})
    negative = webui.picture({"lambda_steps": 4, "weak_negative_prompt": "a dog", "weak_cfg": 0})
    both = webui.picture({"lambda_steps": 4, "weak_prompt": "a dog", "weak_cfg": 2})
    pictures = [plain, guidance, prompt, negative, both]
    assert len({p.pixels.tobytes() for p in pictures}) == len(pictures)


def test_placeholders(webui):
    settings = {"lambda_steps": 3, "weak_cfg": 2}
    spelled = webui.picture({**settings, "weak_prompt": "a photo of a cat, grey"})
    filled = webui.picture({**settings, "weak_prompt": "{prompt}, grey"})
    own = webui.picture(settings)
    assert same(spelled, filled) and not same(filled, own)
    spelled = webui.picture({**settings, "weak_negative_prompt": "a photo of a cat, blurry"})
    filled = webui.picture({**settings, "weak_negative_prompt": "{prompt}, {negative_prompt}"})
    assert same(spelled, filled) and not same(filled, own)


@pytest.mark.parametrize("prompt", ["a [cat:dog:0.5]", "[cat|dog] photo", "a [cat::3] photo BREAK (sky:1.3)"])
def test_prompt_editing_is_not_shifted(webui, prompt):
    assert same(webui.picture(IDENTITY, prompt=prompt), webui.picture(prompt=prompt))


def test_request_at_cfg_1(webui):
    plain = webui.picture(cfg_scale=1)
    settings = {"lambda_steps": 4, "weak_cfg": 0}
    one = webui.picture(settings, cfg_scale=1)
    other = webui.picture(settings, cfg_scale=1, negative_prompt="sunny")
    assert not same(one, plain)
    assert not same(one, other), "the weak side at CFG 0 is the negative prompt"
    webui.picture({**settings, "weak_cfg": 3, "inversion": "paper"}, cfg_scale=1)
    (run,) = webui.trace()
    assert kinds(run["evaluations"], "weak")[0]["rows"] == 2


def test_batch_pictures_are_their_own_seeds(webui):
    settings = {"lambda_steps": 4, "weak_prompt": "{prompt}, grey", "weak_cfg": 2, "inversion": "matched"}
    batch = webui.picture(settings, batch_size=2, n_iter=2)
    pictures = batch.images[-4:]  # before them the grid
    tolerance = 2
    for k, pixels in enumerate(pictures):
        alone = webui.picture(settings, seed=PLAIN["seed"] + k)
        assert distance(alone.pixels, pixels) <= tolerance, k


def test_each_iteration_is_a_pass_of_the_trace(webui):
    webui.picture({"lambda_steps": 1}, n_iter=2, steps=4)
    assert [run["pass"] for run in webui.trace()] == ["txt2img", "txt2img"]


HIRES = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 6,
    "denoising_strength": 0.7,
}


@pytest.mark.parametrize(
    "hires,passes",
    [
        ({}, [("txt2img", 3), ("hires", 3)]),
        ({"hires": "off"}, [("txt2img", 3)]),
        ({"hires": "own", "hires_lambda_steps": 1}, [("txt2img", 3), ("hires", 1)]),
        ({"hires": "own", "hires_lambda_steps": -1}, [("txt2img", 3), ("hires", "T - 1")]),
    ],
)
def test_hires(webui, hires, passes):
    webui.picture({"lambda_steps": 3, **hires}, **HIRES)
    got = [
        (run["pass"], "T - 1" if run["reflected"] == run["steps"] - 1 else run["reflected"]) for run in webui.trace()
    ]
    assert got == passes


def test_hires_without_a_gap_is_plain(webui):
    plain = webui.picture(**HIRES)
    assert same(webui.picture(IDENTITY, **HIRES), plain)
    assert plain.pixels.shape[0] == (128 if webui.name == "neo" else 96)  # Neo rounds to 64


def test_hires_scale_is_the_strong_side(webui):
    """Forge has a CFG scale of its own for the hires pass: that one, and no other, is then the equal setting."""
    if not webui.forge:
        pytest.skip("only Forge has hr_cfg")
    ask = {**HIRES, "hr_cfg": 3.0, "cfg_scale": 3.0}
    matched = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": 3.0}
    assert same(webui.picture(matched, **ask), webui.picture(**ask))
    first_pass_only = {**ask, "cfg_scale": 6.0}
    assert not same(webui.picture(matched, **first_pass_only), webui.picture(**first_pass_only))


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_img2img(webui, init_image, sampler):
    ask = {"init_images": [png(init_image)], "denoising_strength": 0.6, "n_iter": 2, "sampler_name": sampler}
    plain = webui.picture(kind="img2img", **ask)
    no_gap = webui.picture(IDENTITY, kind="img2img", **ask)
    # The VAE's posterior draws from an unseeded generator: see the host's own repeat.
    assert distance(plain.images[-1], no_gap.images[-1]) <= 2
    webui.picture({"lambda_steps": 2}, kind="img2img", **ask)
    runs = webui.trace()
    assert [run["pass"] for run in runs] == ["img2img", "img2img"]
    for run in runs:
        assert run["reflected"] == 2 and run["steps"] < PLAIN["steps"]
        assert len(kinds(run["evaluations"], "strong")) == 2, "the sampler is wrapped once, not once a batch"


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_inpaint_without_a_gap_is_plain(webui, init_image, sampler):
    """On Forge every model call of an inpainting run draws noise: extra calls have to give it back."""
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[16:48, 16:48] = 255
    ask = {
        "init_images": [png(init_image)],
        "mask": png(mask),
        "denoising_strength": 0.7,
        "inpainting_fill": 1,
        "sampler_name": sampler,
    }
    plain, again = (webui.picture(kind="img2img", **ask) for _ in range(2))
    own = distance(plain.pixels, again.pixels)
    no_gap = webui.picture(IDENTITY, kind="img2img", **ask)
    # Forge's own repeats differ: it draws from a generator that no seed is given to.
    assert distance(plain.pixels, no_gap.pixels) <= max(2 * own, 2)
    assert webui.trace()[0]["reflected"] == webui.trace()[0]["steps"] - 1


def test_live_preview_and_progress_stay_the_samplers_own(webui, plain):
    webui.post("/sdapi/v1/options", {"live_previews_enable": True, "show_progress_type": "Approx cheap"})
    try:
        assert same(webui.picture(IDENTITY), plain)
    finally:
        webui.post("/sdapi/v1/options", {"live_previews_enable": False})
