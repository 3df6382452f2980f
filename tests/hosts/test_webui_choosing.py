"""Algorithm 2 in the WebUIs: rewards from models/rewards, who leads, what it costs, what is refused."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_w2sd import rewards
from lib_w2sd.page import cost
from lib_w2sd.page.settings import as_dict
from lib_w2sd.rewards.reward import Reward

from ..reflected import reflected
from ..webui.host import same_pictures
from .test_webui_jobs import refused

REQUEST = {"prompt": "a cat", "negative_prompt": "blurry", "cfg_scale": 6.0, "steps": 6}
GAPS = {
    "guidance": {"weak_cfg": 0.0},
    "prompt": {"weak_prompt": "a dog", "weak_cfg": 1, "strong_cfg": 1},
}


class Toy(Reward):
    """A reward that is a text file: the first word in it says what counts."""

    told = "a toy"

    @classmethod
    def fits(cls, path):
        return path.suffix == ".toy"

    @property
    def bytes(self):
        return 0

    def load(self):
        self.asked = []
        return torch.nn.Identity()

    def ask(self, model, pictures, prompts, device):
        self.asked.append((len(pictures), list(prompts)))
        word, brightness = self.path.read_text(), torch.tensor([float(np.asarray(p).mean()) for p in pictures])
        answers = {
            "bright": brightness,
            "dark": -brightness,
            "first": torch.tensor([-float(len(self.asked))] * len(pictures)),  # each time less
            "nan": brightness * float("nan"),
            "many": torch.zeros(len(pictures) + 1),
        }
        if word == "broken":
            raise RuntimeError("the toy is broken")
        return answers[word]


@pytest.fixture
def toys(host, monkeypatch):
    """Toys in the stand-in's models/rewards, by the word in them."""
    monkeypatch.setattr(rewards, "KINDS", [Toy])
    folder = Path(host.modules["paths_internal"].models_path) / "rewards"
    folder.mkdir(parents=True)
    for word in ("bright", "dark", "first", "nan", "many", "broken"):
        (folder / f"{word}.toy").write_text(word)
    return folder


def kept(host):
    return importlib.import_module("lib_w2sd.hosts.models.rewards").KEPT


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("sampler", ["Euler a", "Heun", "DPM++ 2M", "DDIM", "UniPC"])
def test_where_the_picture_s_own_side_always_leads_it_is_as_without(host, toys, gap, inversion, sampler):
    settings = {**GAPS[gap], "inversion": inversion, "lambda_steps": 3}
    without = host.txt2img(settings, sampler_name=sampler, **REQUEST)
    rows = host.trace()[0]["rows"]
    given = host.txt2img({**settings, "reward": "first"}, sampler_name=sampler, **REQUEST)
    if inversion == "paper":  # M2 is asked along with M1: one call of the network in two calls' place rounds otherwise
        torch.testing.assert_close(given.pictures[0], without.pictures[0], rtol=1e-4, atol=1e-4)
    else:
        assert same_pictures(given, without)
    (run,) = host.trace()
    assert not any(any(r["second_is_strong"]) for r in run["reflections"]) and len(run["reflections"]) == 3
    assert [e["kind"] for e in run["evaluations"]].count("reward") == 6
    assert run["rows"] >= rows if inversion == "paper" else run["rows"] == rows


def test_the_better_one_leads(host, toys):
    for word in ("bright", "dark"):
        host.txt2img({"weak_cfg": 0.0, "reward": word, "lambda_steps": -1}, **REQUEST)
        (run,) = host.trace()
        assert len(run["reflections"]) == run["steps"] - 1
        for r in run["reflections"]:
            ((first, second),), (led_by_the_second,) = r["rewards"], r["second_is_strong"]
            assert led_by_the_second == (first <= second)
    host.txt2img({"weak_cfg": 0.0, "reward": "bright", "reward_threshold": 100.0}, **REQUEST)
    assert all(all(r["second_is_strong"]) for r in host.trace()[0]["reflections"])


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM"])
def test_where_the_weak_one_always_leads_the_two_have_changed_places(host, toys, sampler):
    """All its calls, the sampler's own too, are those of a picture with that side as its own; but for the last step."""
    ask = {**REQUEST, "sampler_name": sampler, "lambda_steps": -1}
    ask.pop("lambda_steps")
    settings = {"lambda_steps": -1, "weak_prompt": "a dog", "weak_cfg": 1, "strong_cfg": 1}
    host.txt2img({**settings, "reward": "dark", "reward_threshold": 100.0}, **{**ask, "cfg_scale": 1.0})
    one = [r["gap_norm"] for r in host.trace()[0]["reflections"]]
    host.txt2img({**settings, "weak_prompt": "a cat"}, **{**ask, "cfg_scale": 1.0, "prompt": "a dog"})
    assert one == pytest.approx([r["gap_norm"] for r in host.trace()[0]["reflections"]], rel=1e-4)
    assert len(one) > 3


def test_every_picture_of_a_batch_has_its_own_choice(host, toys):
    settings = {"weak_cfg": 0.0, "reward": "bright", "lambda_steps": 4, "reward_threshold": 4.0}
    together = host.txt2img(settings, **{**REQUEST, "seed": 5, "batch_size": 4})
    chosen = [r["second_is_strong"] for r in host.trace()[0]["reflections"]]
    assert {len(set(of_a_step)) for of_a_step in chosen} == {1, 2}, "a step at which they differ, and one at which not"
    for k in range(4):
        (alone,) = host.txt2img(settings, **{**REQUEST, "seed": 5 + k}).pictures
        torch.testing.assert_close(together.pictures[k], alone, rtol=1e-4, atol=1e-3)
        assert [r["second_is_strong"] for r in host.trace()[0]["reflections"]] == [[one[k]] for one in chosen]


def test_the_reward_sees_the_picture_and_its_prompt(host, toys):
    host.txt2img({"weak_cfg": 0.0, "reward": "bright", "lambda_steps": 2}, prompt=["a cat", "a dog"], batch_size=2)
    assert kept(host).reward.asked == [(2, ["a cat", "a dog"])] * 4
    seen = []
    common = host.modules["sd_samplers_common"]
    plain = common.samples_to_images_tensor
    common.samples_to_images_tensor = lambda x, approximation=None: (seen.append(approximation), plain(x))[1]
    for decoder, way in (("preview", None), ("vae", 0)):
        seen.clear()
        host.txt2img({"weak_cfg": 0.0, "reward": "bright", "reward_decoder": decoder, "lambda_steps": 2}, **REQUEST)
        assert seen == [way] * 4


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_rows_are_as_said_before(host, toys, inversion):
    for gap in GAPS.values():
        settings = {**gap, "lambda_steps": 3, "inversion": inversion, "reward": "first"}
        host.txt2img(settings, **REQUEST)
        whole = {**as_dict(reflected()), **settings}
        request = {"settings": whole, "kind": cost.ONE, "steps": 6, "cfg": 6.0, "skips_uncond": host.forge}
        assert sum(host.calls) == cost.estimate(request)["rows"]


def test_hires_and_img2img(host, toys):
    settings = {"weak_cfg": 0.0, "reward": "first", "lambda_steps": 2}
    host.txt2img(settings, enable_hr=True, hr_cfg=6.0, **REQUEST)
    assert [len(run["reflections"]) for run in host.trace()] == [2, 2]
    host.img2img(settings, **REQUEST)
    assert len(host.trace()[0]["reflections"]) == 2


def test_what_cannot_be_is_refused_and_the_next_picture_is_as_ever(host, toys):
    plain, settings = host.txt2img(**REQUEST), {"weak_cfg": 0.0, "lambda_steps": 2}
    there = "bright.toy, broken.toy, dark.toy, first.toy, many.toy, nan.toy"
    assert "reward (" in refused(host, {**settings, "reward": "brigh"}, **REQUEST)
    assert there in refused(host, {**settings, "reward": "../bright"}, **REQUEST)
    for way in ("previous-gap", "auto-guidance", "re-sampling"):
        said = refused(host, {**settings, "reward": "bright", "inversion": way}, **REQUEST)
        assert f"was given {way!r}, with the reward 'bright', which takes paper, matched, fixed-point" in said
    said = refused(host, {**settings, "reward": "bright"}, refiner_checkpoint_info="refiner", **REQUEST)
    assert "with a refiner" in said
    for word, why in (("nan", "NaN or infinity"), ("broken", "the toy is broken"), ("many", "3 numbers")):
        batch = {**REQUEST, "batch_size": 2}
        assert why in refused(host, {**settings, "reward": word}, **batch)
    for file in toys.iterdir():
        file.unlink()
    assert "there is none in" in refused(host, {**settings, "reward": "bright"}, **REQUEST)
    assert same_pictures(host.txt2img(**REQUEST), plain)


def test_off_and_alone_need_none(host, toys):
    plain = host.txt2img(**REQUEST)
    assert same_pictures(host.txt2img({"reward": "gone", "lambda_steps": 0}, **REQUEST), plain)
    host.txt2img({"reward": "broken", "weak_alone": True}, **REQUEST)
