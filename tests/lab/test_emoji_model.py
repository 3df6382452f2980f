"""The emoji models that ship: they draw what is asked for, and fit where they have to."""

from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lib_w2sd.lab.emoji import autoencoder, checkpoint, grid, models, scores, text, unet, weights
from lib_w2sd.lab.emoji.draw import draw, noise

MEGABYTE = 1024 * 1024


def color_of(picture):
    """The mean colour [3] of what is not white, from 0 to 1."""
    drawn = (picture.min(dim=0).values < 0.8)[None].expand(3, -1, -1)
    return picture[drawn].view(3, -1).mean(dim=1)


def test_the_weights_are_small_and_each_says_what_it_is():
    sizes = {path.name: path.stat().st_size for path in weights.FOLDER.iterdir()}
    assert max(sizes.values()) < 5 * MEGABYTE
    # What one experiment alone needs beside the family: another architecture, a motion module.
    beside = {name: size for name, size in sizes.items() if name.startswith(("wide", "motion"))}
    assert sum(sizes.values()) - sum(beside.values()) < 12 * MEGABYTE > 1.5 * sum(beside.values())
    strong, weak = models.load("strong").about, models.load("weak").about
    assert 0.1 < weak["steps"] / strong["steps"] < 0.3 and strong["loss"] < weak["loss"]


@pytest.mark.parametrize(("word", "most"), [("red", 0), ("blue", 2), ("green", 1)])
def test_a_heart_has_the_color_of_its_prompt(word, most):
    r, g, b = color_of(draw([f"a {word} heart"], [3]).pictures[0]).tolist()
    assert max(range(3), key=[r, g, b].__getitem__) == most


def test_the_judge_finds_most_prompts_again_and_fewer_in_the_weak_models_pictures():
    wanted = scores.asked(held_out=False)[:16]
    strong, every, rows = scores.drawn(wanted, 1)
    weak, _, _ = scores.drawn(wanted, 1, model="weak")
    one, other = scores.score(strong, every), scores.score(weak, every)
    assert one.found["name"] >= 0.4  # by chance: one in 170
    assert one.found["name"] >= other.found["name"] and one.reward > other.reward
    assert rows == 40


def test_matched_with_equal_sides_is_the_plain_picture():
    plain = draw(["a red apple"], [1])
    same = draw(["a red apple"], [1], replace(grid.W2SD, weak_cfg=4.0, inversion="matched"))
    moved = draw(["a red apple"], [1], replace(grid.W2SD, weak_cfg=1.0, inversion="matched"))
    assert torch.equal(plain.latents, same.latents)
    assert (moved.latents - plain.latents).abs().max() > 0.01


def test_the_weak_sides_prompts_are_its_own():
    settings = replace(grid.W2SD, strong_cfg=1.0, weak_cfg=1.0, inversion="matched")
    same = draw(["a blue heart"], [1], settings, weak_texts=["a blue heart"])
    other = draw(["a blue heart"], [1], settings, weak_texts=["a heart"])
    assert not torch.equal(same.latents, other.latents)


def test_the_noise_is_the_webuis():
    torch.manual_seed(5)
    assert torch.equal(noise([4, 5])[1], torch.randn(4, 8, 8))


def test_the_checkpoint_has_the_yaml_of_its_sizes(tmp_path):
    written = checkpoint.write(tmp_path, names=("strong",))
    told = yaml.safe_load((tmp_path / "emoji-strong.yaml").read_text())["model"]["params"]
    assert told["parameterization"] == "v" and told["scale_factor"] == autoencoder.SCALING
    sizes = told["unet_config"]["params"]
    assert [sizes["model_channels"] * m for m in sizes["channel_mult"]] == list(unet.CHANNELS)
    assert sizes["context_dim"] == text.WIDTH
    folder = told["cond_stage_config"]["params"]["version"]
    assert folder == str(tmp_path / "emoji-text-encoder")
    for name in ("config.json", "vocab.json", "merges.txt"):
        assert (tmp_path / "emoji-text-encoder" / name).exists()
    files = {path.name for path in written if path.suffix == ".safetensors"}
    assert files == {"emoji-strong.safetensors", "emoji-ink.safetensors", "emoji-blur.safetensors"}
    loras = load_file(tmp_path / "emoji-ink.safetensors")
    assert all(key.startswith("lora_unet_") for key in loras), "kohya's format, which WebUIs read"


def test_a_sheet_has_a_place_for_every_picture():
    pictures = torch.zeros(4, 3, 64, 64)
    small = grid.sheet({"a": pictures}, ["x", "y"], 2)
    wide = grid.sheet({"a": pictures, "b": pictures}, ["x", "y"], 2)
    assert wide.width > small.width and wide.height == small.height
    assert small.getpixel((small.width - 40, small.height - 20)) == (0, 0, 0)
