"""An IP-Adapter on the strong model: like this picture. diffusers' own attention and projection (arXiv 2308.06721).

Where Stable Diffusion's has CLIP's picture encoder, this one has a small one of its own that reads latents. The reference
stands beside the prompt and beside the negative prompt alike, as a ControlNet's map does: guidance does not raise it.
"""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from diffusers.utils import logging
from torch import nn

from . import autoencoder, models, text, weights

FILE = "reference.safetensors"
TOKENS, WIDTH = 4, 96


class Pictures(nn.Module):
    """Latents [B, 4, 8, 8] to features [B, WIDTH]."""

    def __init__(self):
        super().__init__()
        sizes = ((4, 64, 1), (64, 96, 2), (96, 96, 2))
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.GroupNorm(8, b), nn.SiLU())
                for a, b, stride in sizes
            )
        )
        self.out = nn.Linear(96 * 4, WIDTH)

    def forward(self, z):
        return self.out(self.body(z).flatten(1))


class Referring(nn.Module):
    """A UNet with the adapter: called as the UNet is, with B rows. references [B, 4, 8, 8]."""

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.pictures, self.unet = Pictures(), copy.deepcopy(unet)
        crossing = [m for name, m in self.unet.named_modules() if name.endswith("attn2")]
        layers = {}
        for i, layer in enumerate(crossing):  # begins as what reads the prompt, as the paper's does
            layers[f"{2 * i + 1}.to_k_ip.weight"] = layer.to_k.weight.detach().clone()
            layers[f"{2 * i + 1}.to_v_ip.weight"] = layer.to_v.weight.detach().clone()
        projection = {
            "proj.weight": torch.randn(TOKENS * text.WIDTH, WIDTH) * WIDTH**-0.5,
            "proj.bias": torch.zeros(TOKENS * text.WIDTH),
            "norm.weight": torch.ones(text.WIDTH),
            "norm.bias": torch.zeros(text.WIDTH),
        }
        given = {"image_proj": projection, "ip_adapter": layers}
        told = logging.get_verbosity()
        logging.set_verbosity_error()  # or it warns that a network in float32 stays one
        self.unet._load_ip_adapter_weights([given], low_cpu_mem_usage=False)
        logging.set_verbosity(told)
        for name, p in self.named_parameters():
            p.requires_grad_(_own(name))
        self.references = None

    def at(self, references: torch.Tensor, weight: float = 1.0) -> "Referring":
        """This one, for a batch of pictures."""
        self.references = references
        for processor in self.unet.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [weight]
        return self

    def forward(self, x, t, cond, return_dict=False):
        seen = self.pictures(self.references)
        return self.unet(x, t, cond, added_cond_kwargs={"image_embeds": [seen[:, None]]}, return_dict=return_dict)


def _own(name: str) -> bool:
    return name.startswith("pictures.") or "encoder_hid_proj" in name or "_ip." in name


def save(path: Path, model: Referring, about: dict) -> Path:
    return weights.save(path, {name: v for name, v in model.state_dict().items() if _own(name)}, about)


def latents(pictures: torch.Tensor) -> torch.Tensor:
    """Of pictures [N, 3, 64, 64] from 0 to 1: what the adapter reads, [N, 4, 8, 8]."""
    with torch.no_grad():
        return autoencoder.mean(models.load_autoencoder(), pictures * 2 - 1) * autoencoder.SCALING


def referring(model: models.Model, references: torch.Tensor, weight: float = 1.0) -> models.Model:
    """`model` with an IP-Adapter unit for a batch of pictures. references [B, 4, 8, 8]: see latents()."""
    adapted = Referring(model.unet)
    adapted.load_state_dict(weights.read(weights.FOLDER / FILE)[0], strict=False)
    unit = adapted.eval().requires_grad_(False).at(references, weight)
    return replace(model, unet=unit, at_once=len(references))
