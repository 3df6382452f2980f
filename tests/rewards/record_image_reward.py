"""What ImageReward's own library makes of a small file of random weights: writes image_reward.json, for the test.

The library needs packages of its time and is not among the tests' own:
    pip install image-reward==1.5 transformers==4.30.2 timm fairscale && python -m tests.rewards.record_image_reward
"""

import json
from pathlib import Path

import torch

SCORES = Path(__file__).with_name("image_reward.json")
WIDTH, LAYERS, PATCH, SIDE = 128, 2, 16, 224
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "cat",
    "dog",
    "on",
    "red",
    "sofa",
    "three",
    "app",
    "##les",
    ",",
]


def shapes() -> dict:
    """ImageReward's weights by name, with fewer of everything."""
    found, eyes, words = {}, "blip.visual_encoder.", "blip.text_encoder."

    def linear(name, into, out):
        found[f"{name}.weight"], found[f"{name}.bias"] = (out, into), (out,)

    def norm(name):
        found[f"{name}.weight"] = found[f"{name}.bias"] = (WIDTH,)

    found[f"{eyes}cls_token"], found[f"{eyes}pos_embed"] = (1, 1, WIDTH), (1, (SIDE // PATCH) ** 2 + 1, WIDTH)
    found[f"{eyes}patch_embed.proj.weight"] = (WIDTH, 3, PATCH, PATCH)
    found[f"{eyes}patch_embed.proj.bias"] = (WIDTH,)
    norm(f"{eyes}norm")
    for block in (f"{eyes}blocks.{i}" for i in range(LAYERS)):
        norm(f"{block}.norm1"), norm(f"{block}.norm2")
        linear(f"{block}.attn.qkv", WIDTH, 3 * WIDTH), linear(f"{block}.attn.proj", WIDTH, WIDTH)
        linear(f"{block}.mlp.fc1", WIDTH, 4 * WIDTH), linear(f"{block}.mlp.fc2", 4 * WIDTH, WIDTH)
    found[f"{words}embeddings.word_embeddings.weight"] = (len(VOCABULARY), WIDTH)
    found[f"{words}embeddings.position_embeddings.weight"] = (64, WIDTH)
    norm(f"{words}embeddings.LayerNorm")
    for layer in (f"{words}encoder.layer.{i}" for i in range(LAYERS)):
        for attention in ("attention", "crossattention"):
            for part in ("query", "key", "value"):
                linear(f"{layer}.{attention}.self.{part}", WIDTH, WIDTH)
            linear(f"{layer}.{attention}.output.dense", WIDTH, WIDTH), norm(f"{layer}.{attention}.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", WIDTH, 4 * WIDTH), linear(f"{layer}.output.dense", 4 * WIDTH, WIDTH)
        norm(f"{layer}.output.LayerNorm")
    for i, (into, out) in {0: (WIDTH, 1024), 2: (1024, 128), 4: (128, 64), 6: (64, 16), 7: (16, 1)}.items():
        linear(f"mlp.layers.{i}", into, out)
    return found


def weights() -> dict:
    """Random, always the same; about as large as trained ones, and the norms' about 1."""
    random, state = torch.Generator().manual_seed(0), {}
    for name, shape in shapes().items():
        drawn = torch.randn(shape, generator=random)
        norm = name.endswith(".weight") and len(shape) == 1
        state[name] = 1 + 0.1 * drawn if norm else drawn * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
    return state


def write(folder: Path) -> Path:
    """The files of the reward, as its users have them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights(), folder / "ImageReward.pt")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    return folder


def library(folder: Path):
    """The library's own network, of the small sizes, with the small vocabulary."""
    from ImageReward import ImageReward as module
    from ImageReward.models.BLIP import blip_pretrain
    from ImageReward.models.BLIP.vit import VisionTransformer
    from transformers import BertTokenizer

    config = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": WIDTH // 64,
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "add_type_embeddings": False,
        "add_cross_attention": True,
    }
    (folder / "med_config.json").write_text(json.dumps(config), encoding="utf-8")
    eyes = VisionTransformer(img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=LAYERS, num_heads=WIDTH // 64)
    blip_pretrain.create_vit = lambda *args, **kwargs: (eyes, WIDTH)
    blip_pretrain.init_tokenizer = lambda: BertTokenizer(str(folder / "vocab.txt"))
    module.MLP.__init__.__defaults__ = None
    head, module.MLP = module.MLP, lambda size: head(WIDTH)
    found = module.ImageReward(str(folder / "med_config.json"))
    absent, _ = found.load_state_dict(torch.load(folder / "ImageReward.pt"), strict=False)
    used = ("blip.visual_encoder.", "blip.text_encoder.", "mlp.")
    assert not [name for name in absent if name.startswith(used) and not name.endswith("position_ids")], absent
    return found.eval()


if __name__ == "__main__":
    import tempfile

    from .samples import PICTURES, PROMPTS

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        asked = library(write(Path(folder)))
        scores = [asked.score(prompt, picture) for prompt, picture in zip(PROMPTS, PICTURES)]
    SCORES.write_text(json.dumps({"image-reward 1.5": scores}, indent=1) + "\n", encoding="utf-8")
    print(scores)
