"""Reward models in the files that their authors publish, small and random, against the libraries' own classes."""

import json

import open_clip
import pytest
import torch
from torch import nn
from transformers import CLIPModel, CLIPProcessor

from lib_w2sd import rewards

from .. import small_clip
from ..small_clip import FEATURES
from . import record_image_reward
from .samples import PICTURES, PROMPTS


@pytest.fixture
def pictures():
    return PICTURES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_clip.make(tmp_path_factory.mktemp("rewards") / "tiny-clip")


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


@torch.inference_mode()
def test_clip_and_pickscore(folder, pictures):
    """As PickScore's authors compute it (github.com/yuvalkirstain/PickScore, README)."""
    processor, model = CLIPProcessor.from_pretrained(folder), CLIPModel.from_pretrained(folder).eval()
    images = processor(images=pictures, return_tensors="pt")["pixel_values"]
    texts = processor(text=PROMPTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
    seen = unit(model.visual_projection(model.vision_model(pixel_values=images).pooler_output))
    read = unit(model.text_projection(model.text_model(**texts).pooler_output))
    expected = model.logit_scale.exp() * (seen * read).sum(dim=1)
    given = rewards.opened(str(folder)).scores(pictures, PROMPTS)
    assert given == pytest.approx(expected.tolist(), abs=1e-4) and len(set(given)) == 3


@pytest.fixture(scope="module")
def small_open_clip(tmp_path_factory):
    """A network of open_clip's by a name of ours, and its weights as HPS v2 comes."""
    where = tmp_path_factory.mktemp("open_clip")
    vision = {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8, "head_width": 64}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    told = {"embed_dim": 40, "vision_cfg": vision, "text_cfg": text}
    (where / "tiny-H.json").write_text(json.dumps(told), encoding="utf-8")
    open_clip.add_model_config(where / "tiny-H.json")
    torch.manual_seed(1)
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-H", pretrained=None)
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, where / "HPS_v2_tiny.pt")
    return where / "HPS_v2_tiny.pt", model.eval(), preprocess


@torch.inference_mode()
def test_hps(small_open_clip, pictures):
    """As HPS v2's authors compute it (hpsv2/img_score.py)."""
    file, model, preprocess = small_open_clip
    images, texts = torch.stack([preprocess(p) for p in pictures]), open_clip.get_tokenizer("tiny-H")(PROMPTS)
    outputs = model(images, texts)
    image_features, text_features = outputs[0], outputs[1]
    expected = torch.diagonal(image_features @ text_features.T)
    assert rewards.opened(str(file)).scores(pictures, PROMPTS) == pytest.approx(expected.tolist(), abs=1e-4)


class MLP(nn.Module):
    """The predictor's own class (github.com/christophschuhmann/improved-aesthetic-predictor, simple_inference.py)."""

    def __init__(self, size):
        super().__init__()
        parts = nn.Linear(size, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64)
        self.layers = nn.Sequential(*parts, nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1))


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sac+logos+ava1-l14-linearMSE.pth", "sa_0_4_vit_l_14_linear.pth"])
def test_aesthetic(folder, pictures, kind):
    torch.manual_seed(2)
    head = MLP(FEATURES).layers.eval() if kind.startswith("sac") else nn.Linear(FEATURES, 1)
    named = {f"layers.{name}": value for name, value in head.state_dict().items()}
    file = folder.parent / kind
    torch.save(named if kind.startswith("sac") else head.state_dict(), file)
    processor, model = CLIPProcessor.from_pretrained(folder), CLIPModel.from_pretrained(folder).eval()
    images = processor(images=pictures, return_tensors="pt")["pixel_values"]
    seen = unit(model.visual_projection(model.vision_model(pixel_values=images).pooler_output))
    reward = rewards.opened(str(file))
    assert reward.scores(pictures, PROMPTS) == pytest.approx(head(seen).flatten().tolist(), abs=1e-4)
    assert reward.scores(pictures, PROMPTS[::-1]) == reward.scores(pictures, PROMPTS), "it does not read the prompt"


@pytest.mark.parametrize("alone", [False, True])
def test_image_reward(tmp_path, pictures, alone):
    folder = record_image_reward.write(tmp_path / "image-reward")
    expected = json.loads(record_image_reward.SCORES.read_text())["image-reward 1.5"]
    reward = rewards.opened(str(folder / "ImageReward.pt" if alone else folder))
    assert reward.scores(pictures, PROMPTS) == pytest.approx(expected, abs=1e-4)
    assert reward.scores(pictures[:1], PROMPTS[:1]) == pytest.approx(expected[:1], abs=1e-4)
    assert len(set(expected)) == 3 and reward.bytes == (folder / "ImageReward.pt").stat().st_size
    (folder / "vocab.txt").unlink()
    with pytest.raises(rewards.RewardError, match="vocab.txt .* is missing beside ImageReward.pt"):
        rewards.opened(str(folder))
    with pytest.raises(rewards.RewardError, match="it has no weights of ImageReward's"):
        (folder / "vocab.txt").touch()
        torch.save({"a": torch.zeros(1)}, folder / "ImageReward.pt")
        rewards.opened(str(folder)).scores(pictures, PROMPTS)


def test_a_folder_is_looked_through(folder, small_open_clip):
    assert "tiny-clip" in rewards.found(folder.parent) and rewards.found(folder / "none") == {}
    assert list(rewards.found(small_open_clip[0].parent)) == ["HPS_v2_tiny.pt"]
    assert rewards.opened(str(folder)).bytes == (folder / "model.safetensors").stat().st_size


def small(pictures, prompts):
    return [len(prompt) for prompt in prompts]


def test_a_function_of_your_own(pictures):
    reward = rewards.opened("tests.rewards.test_rewards:small")
    assert reward.name == "test_rewards.small" and reward.scores(pictures, PROMPTS) == [5.0, 420.0, 12.0]


def no_number(pictures, prompts):
    return [float("nan")] * len(prompts)


def test_what_is_none_is_refused(folder, tmp_path, pictures):
    def refused(given, ask=False):
        with pytest.raises(rewards.RewardError) as error:
            reward = rewards.opened(str(given))
            if ask:
                reward.scores(pictures, PROMPTS)
        assert str(given) in str(error.value)
        return str(error.value)

    assert "no such file" in refused("nowhere.pt") and "no such file" in refused("not a module:f")
    assert "No module named" in refused("no_module:f") and "no attribute" in refused("math:nothing")
    page = tmp_path / "page.pt"
    page.write_text("<html>")
    assert "Known are: a folder" in refused(page)
    hps = tmp_path / "HPS_v2.1_compressed.pt"
    hps.write_text("<html>")
    assert "cannot be loaded" in refused(hps, ask=True)
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, hps)
    assert "no weights of a CLIP's" in refused(hps, ask=True)
    head = tmp_path / "aesthetic.pth"
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, head)
    assert "no folder of a CLIP with 768 features" in refused(head, ask=True)
    torch.save({"weight": torch.zeros(2, 768), "bias": torch.zeros(2)}, head)
    assert "do not lead to one number" in refused(head, ask=True)
    half = tmp_path / "half-a-clip"
    half.mkdir()
    (half / "config.json").write_text((folder / "config.json").read_text())
    assert "preprocessor_config.json" in refused(half)
    assert "NaN" in refused("tests.rewards.test_rewards:no_number", ask=True)
