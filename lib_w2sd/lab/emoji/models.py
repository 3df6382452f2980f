"""The trained models: loaded from the weights that ship, and asked as a WebUI asks them."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from ...method.bridge import Space
from . import autoencoder, captions, text, unet, weights
from .text import Tokens

NAMES = ("strong", "weak")
OTHERS = {"wide": 8}  # models of another architecture, with an autoencoder of so many latent channels


@dataclass
class Model:
    """A diffusion model with its text encoder: model(x, sigma, cond) -> denoised latents (scaled as SD's: unit variance).

    autoencoder  the name of its own, for load_autoencoder
    at_once      rows the network is asked for in one call: what a core's cache holds is a quarter faster
    """

    unet: torch.nn.Module
    text: torch.nn.Module
    tokens: Tokens
    about: dict
    autoencoder: str = "autoencoder"
    at_once: int = 32

    @property
    def channels(self) -> int:
        """Of its latents."""
        return OTHERS.get(self.autoencoder.partition("-")[0], 4)

    def encode(self, texts) -> torch.Tensor:
        """Conditioning [len(texts), 77, W]."""
        with torch.inference_mode():
            return text.encode(self.text, self.tokens.ids(list(texts)))

    def __call__(self, x, sigma, cond):
        parts = zip(*(tensor.split(self.at_once) for tensor in (x, sigma, cond)))
        return torch.cat([unet.denoise(self.unet, *part) for part in parts])


def save_text(folder: Path, encoder: torch.nn.Module, tokens: Tokens, about: dict) -> None:
    tensors = {key: value for key, value in encoder.state_dict().items() if "position_ids" not in key}
    weights.save(folder / "text.safetensors", {**tensors, "tokens": torch.tensor(tokens.known)}, about)


@functools.cache
def load_text(folder: Path = weights.FOLDER) -> "tuple[torch.nn.Module, Tokens]":
    tensors, _ = weights.read(folder / "text.safetensors")
    tokens = Tokens(tensors.pop("tokens").tolist())
    encoder = text.new(tokens)
    encoder.load_state_dict(tensors, strict=False)
    return encoder.eval().requires_grad_(False), tokens


@functools.cache
def load(name: str = "strong", folder: Path = weights.FOLDER) -> Model:
    """`name`: strong, weak, or one of OTHERS. They share the text encoder that ships."""
    encoder, tokens = load_text()
    tensors, about = weights.read(folder / f"{name}.safetensors")
    net = unet.new(OTHERS.get(name, 4))
    net.load_state_dict(tensors)
    own = f"{name}-autoencoder" if name in OTHERS else "autoencoder"
    return Model(net.eval().requires_grad_(False), encoder, tokens, about, own)


@functools.cache
def real(held_out: bool, folder: Path = weights.FOLDER) -> "tuple[torch.Tensor, list]":
    """Latents [N, 4, 8, 8] of some real pictures, and their Captions: of trained combinations, or of those held out."""
    tensors, _ = weights.read(folder / "real.safetensors")
    every = list(captions.every())
    told = [every[i] for i in tensors["captions"].tolist()]
    kept = [i for i, caption in enumerate(told) if caption.held_out == held_out]
    return tensors["latents"][kept], [told[i] for i in kept]


@functools.cache
def load_autoencoder(name: str = "autoencoder", folder: Path = weights.FOLDER):
    """diffusers' AutoencoderKL."""
    model = autoencoder.new(OTHERS.get(name.partition("-")[0], 4))
    model.load_state_dict(weights.read(folder / f"{name}.safetensors")[0])
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def decode(z: torch.Tensor, name: str = "autoencoder") -> torch.Tensor:
    """Pictures [B, 3, 64, 64] from 0 to 1, of latents of unit variance [B, C, 8, 8]."""
    return (space(name).decode(z) / 2 + 0.5).clamp(0, 1)


def space(name: str = "autoencoder") -> Space:
    """Where a model's latents lie; pictures are from -1 to 1."""
    model = load_autoencoder(name)
    return Space(
        lambda z: torch.cat([autoencoder.decode(model, part / autoencoder.SCALING) for part in z.split(64)]),
        lambda x: torch.cat([autoencoder.mean(model, part) * autoencoder.SCALING for part in x.split(64)]),
    )
