"""The emoji model's ControlNet, IP-Adapter and CLIP: the pipeline gap's units, and a reward for a WebUI."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lib_w2sd import rewards
from lib_w2sd.lab.emoji import clip, edges, models
from lib_w2sd.lab.emoji.draw import draw
from lib_w2sd.lab.experiments import pipeline

EDGES, REFERENCE = pipeline.UNITS


def another(prompt: str) -> torch.Tensor:
    """A picture to take a map or a reference from."""
    return draw([prompt], [1000], cfg=2.0).pictures.flip(3)


def drawn(unit, shown, weight=1.0, prompt="a penguin, flat style", **asks):
    strong = models.load("strong")
    strong = unit.on(strong, unit.given(shown), weight) if weight else strong
    return draw([prompt], [3], model=strong, cfg=2.0, **asks)


def test_edges_agree_with_their_own_map_alone():
    pictures = torch.zeros(3, 3, 64, 64)
    pictures[0, :, 10:40, 20:50] = pictures[1, :, 10:40, 20:50] = 1
    pictures[2, :, 45:60, 5:15] = 1
    maps = edges.maps(pictures)
    assert maps.unique().tolist() == [0, 1]
    assert edges.agreement(pictures, maps).tolist() == [1, 1, 1]
    shifted = edges.agreement(pictures, maps.roll(1, 3))
    assert (shifted == 1).all(), "a pixel is forgiven"
    assert edges.agreement(pictures, maps[[0, 2, 1]]).tolist() == [1, 0, 0]


@pytest.mark.parametrize("unit", pipeline.UNITS, ids=lambda unit: unit.name)
def test_a_new_or_silent_unit_changes_nothing(unit):
    model, shown = models.load("strong"), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x, t, cond = torch.randn(2, 4, 8, 8), torch.full((2,), 500.0), model.encode(["a lion face"] * 2)
    with torch.inference_mode():
        plain = model.unet(x, t, cond, return_dict=False)[0]
        silent = unit.on(model, unit.given(shown), 0.0).unet(x, t, cond, return_dict=False)[0]
        fresh = edges.Controlled(model.unet, edges.new(model.unet), edges.maps(shown))(x, t, cond)[0]
    assert torch.equal(silent, plain) and torch.equal(fresh, plain)


@pytest.mark.parametrize("unit", pipeline.UNITS, ids=lambda unit: unit.name)
def test_each_picture_has_its_own(unit):
    """Map or reference, beside its prompt and beside its negative prompt."""
    model, shown = models.load("strong"), torch.cat([another("a blue heart"), another("a rocket")])
    x, sigma, cond = torch.randn(2, 4, 8, 8), torch.full((2,), 2.0), model.encode(["a lion face"] * 2)
    with torch.inference_mode():
        both = unit.on(model, unit.given(shown))
        twice = both(x.repeat(2, 1, 1, 1), sigma.repeat(2), cond.repeat(2, 1, 1))
        each = [unit.on(model, unit.given(shown[i : i + 1]))(x[i : i + 1], sigma[:1], cond[:1]) for i in (0, 1)]
    torch.testing.assert_close(twice, torch.cat([*each, *each]), rtol=1e-4, atol=1e-4)


def test_the_picture_follows_the_map_and_w2sd_follows_it_closer():
    shown = another("a penguin, shaded style")
    settings = pipeline.reflected(EDGES, "matched", 2.0).asks["settings"]
    found = [
        drawn(EDGES, shown, 0.0),
        drawn(EDGES, shown),
        drawn(EDGES, shown, settings=settings, weak=models.load("strong")),
    ]
    without, plain, closer = (edges.agreement(run.pictures, edges.maps(shown)).item() for run in found)
    assert closer > plain > without
    assert [run.rows for run in found] == [40, 40, 80], "the unit's own network is no row of the UNet"


def test_the_weak_side_alone_is_the_model_without_the_unit():
    shown = another("a penguin, shaded style")
    settings = pipeline.reflected(EDGES, "matched").asks["settings"]
    settings = replace(settings, weak_alone=True, weak_cfg=2.0, lambda_steps=-1)
    alone = drawn(EDGES, shown, settings=settings, weak=models.load("strong"))
    assert torch.equal(alone.latents, drawn(EDGES, shown, 0.0).latents)


def test_the_picture_is_like_its_reference():
    shown, prompt = another("a purple apple, shaded style"), "an apple"
    without, plain = (drawn(REFERENCE, shown, weight, prompt).pictures for weight in (0.0, 1.0))
    like = [REFERENCE.likeness(pictures, None, shown).item() for pictures in (without, plain)]
    assert like[1] > like[0] + 0.05


def test_the_reward_that_ships_is_one_that_a_webui_loads(tmp_path):
    """The folder's scores, with CLIP's whole vocabulary, in half precision, are the lab's."""
    prompts = ["a blue heart", "a firefighter", "a slice of pizza"]
    pictures = draw(prompts, [1, 2, 3], cfg=2.0).pictures
    saved = (pictures * 255).round() / 255
    images = [Image.fromarray((p.permute(1, 2, 0) * 255).round().byte().numpy()) for p in saved]
    opened = rewards.opened(str(clip.write(tmp_path / clip.NAME)))
    own, others = clip.reward(saved, prompts), clip.reward(saved, prompts[1:] + prompts[:1])
    np.testing.assert_allclose(opened.scores(images, prompts), own, atol=0.2)
    assert (own > others + 10).all()
    assert opened.bytes < 15e6 and not (tmp_path / clip.NAME / "tokenizer.json").exists()
