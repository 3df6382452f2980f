"""ImageReward (arXiv 2304.05977): BLIP's picture encoder, its text encoder that looks at the picture, and a head."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from .reward import Reward, layers_in

LENGTH = 35  # of a prompt, in tokens
MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of its raw scores
_PIXEL_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_PIXEL_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
HEAD_WIDTH = 64  # of both encoders' attention

# From BLIP's own names of the picture encoder to transformers'.
_RENAMED = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj.", "embeddings.patch_embedding."),
    ("blocks.", "encoder.layers."),
    (".attn.proj.", ".self_attn.projection."),
    (".attn.", ".self_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
)


def _of(state: dict, prefix: str) -> dict:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _pictures(state: dict):
    """BlipVisionModel of BLIP's visual_encoder."""
    from transformers import BlipVisionConfig, BlipVisionModel

    patches, _, patch, _ = state["patch_embed.proj.weight"].shape
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    config = BlipVisionConfig(
        hidden_size=patches,
        intermediate_size=state["blocks.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=layers_in(state, "blocks."),
        num_attention_heads=patches // HEAD_WIDTH,
        image_size=side * patch,
        patch_size=patch,
        layer_norm_eps=1e-6,
    )
    renamed = {}
    for name, value in state.items():
        for old, new in _RENAMED:
            name = name.replace(old, new)
        renamed[name.replace("norm.", "post_layernorm.") if name.startswith("norm.") else name] = value
    model = BlipVisionModel(config)
    model.load_state_dict(renamed)
    return model


def _words(state: dict, seen: int):
    """BlipTextModel of BLIP's text_encoder; `seen`: width of the picture's features."""
    from transformers import BlipTextConfig, BlipTextModel

    vocabulary, width = state["embeddings.word_embeddings.weight"].shape
    config = BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        encoder_hidden_size=seen,
        intermediate_size=state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        num_hidden_layers=layers_in(state, "encoder.layer."),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=state["embeddings.position_embeddings.weight"].shape[0],
    )
    model = BlipTextModel(config, add_pooling_layer=False)
    # Position numbers are a buffer of some versions.
    model.load_state_dict({name: value for name, value in state.items() if not name.endswith("position_ids")}, False)
    absent = set(dict(model.named_parameters())) - set(state)
    if absent:
        raise ValueError(f"{sorted(absent)[0]} is missing")
    return model


def _pixels(picture: Image.Image, side: int) -> torch.Tensor:
    """As torchvision's Resize and CenterCrop do it, and BLIP normalises; transformers' processors crop half a pixel
    elsewhere, and some versions resize otherwise."""
    shorter = min(picture.size)
    picture = picture.resize([int(side * length / shorter) for length in picture.size], Image.BICUBIC)
    left, top = (round((length - side) / 2) for length in picture.size)
    pixels = np.asarray(picture.crop((left, top, left + side, top + side)), np.float32) / 255
    return torch.from_numpy((pixels - _PIXEL_MEAN) / _PIXEL_STD).permute(2, 0, 1)


class ImageReward(Reward):
    told = "ImageReward.pt, alone or in a folder, with BERT's vocab.txt beside it"

    @staticmethod
    def weights_in(path: Path) -> "Path | None":
        files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
        named = (file for file in files if file.suffix in (".pt", ".safetensors"))
        return next((file for file in named if "imagereward" in file.stem.lower().replace("-", "")), None)

    @classmethod
    def fits(cls, path):
        return cls.weights_in(path) is not None

    @property
    def vocabulary(self) -> Path:
        return self.weights_in(self.path).parent / "vocab.txt"

    @property
    def bytes(self) -> int:
        return self.weights_in(self.path).stat().st_size

    def check(self):
        if not self.vocabulary.is_file():
            raise self.error(f"vocab.txt (of bert-base-uncased) is missing beside {self.weights_in(self.path).name}")

    def load(self):
        from transformers import BertTokenizer

        state = self.state(self.weights_in(self.path))
        pictures, words = _of(state, "blip.visual_encoder."), _of(state, "blip.text_encoder.")
        head = _of(state, "mlp.")
        if not (pictures and words and head):
            raise self.error("it has no weights of ImageReward's")
        eyes = _pictures(pictures)
        self.tokenizer = BertTokenizer(str(self.vocabulary), do_lower_case=True)
        sizes = [head[f"layers.{i}.weight"].shape for i in (0, 2, 4, 6, 7)]
        layers = nn.ModuleDict({str(i): nn.Linear(*size[::-1]) for i, size in zip((0, 2, 4, 6, 7), sizes)})
        layers.load_state_dict(_of(head, "layers."))
        reader = _words(words, eyes.config.hidden_size)
        return nn.ModuleDict({"eyes": eyes, "reader": reader, "head": layers}).float().eval()

    def ask(self, model, pictures, prompts, device):
        side = model["eyes"].config.image_size
        images = torch.stack([_pixels(picture, side) for picture in pictures]).to(device)
        seen = model["eyes"](pixel_values=images).last_hidden_state
        words = self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
        ).to(device)
        read = model["reader"](
            input_ids=words.input_ids,
            attention_mask=words.attention_mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=device),
        ).last_hidden_state[:, 0]
        for layer in model["head"].values():
            read = layer(read)
        return (read[:, 0].float().cpu() - MEAN) / STD
