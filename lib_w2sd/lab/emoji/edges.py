"""A ControlNet on the strong model: where the edges are to be. diffusers' ControlNetModel (arXiv 2302.05543).

Trained are its own input and outputs and its copies of the UNet's down blocks; what else it copies stays the strong
model's, and is not in the file.
"""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import ControlNetModel
from kornia.filters import canny
from torch.nn import functional as F

from . import models, weights

FILE = "edges.safetensors"
TRAINED = ("controlnet_cond_embedding", "controlnet_down_blocks", "controlnet_mid_block", "down_blocks")


@torch.no_grad()
def maps(pictures: torch.Tensor) -> torch.Tensor:
    """Canny's edges of pictures [N, 3, 64, 64] from 0 to 1: [N, 3, 64, 64], 0 or 1, as the WebUIs' preprocessors give
    them."""
    return torch.cat([canny(part)[1].expand(-1, 3, -1, -1) for part in pictures.split(64)])


def agreement(pictures: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """F1 of the edges of pictures [N, 3, 64, 64] with maps [N, 3, 64, 64], one pixel's distance forgiven: [N]."""
    found, wanted = (x[:, :1].float() for x in (maps(pictures), wanted))
    near_found, near_wanted = (F.max_pool2d(x, 3, 1, 1) for x in (found, wanted))

    def share(of, near):
        return (of * near).sum((1, 2, 3)) / of.sum((1, 2, 3)).clamp(min=1)

    precision, recall = share(found, near_wanted), share(wanted, near_found)
    return 2 * precision * recall / (precision + recall).clamp(min=1e-6)


def new(unet: torch.nn.Module) -> ControlNetModel:
    """One that changes nothing yet."""
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 24, 32, 64))
    for name, p in control.named_parameters():
        p.requires_grad_(name.startswith(TRAINED))
    return control


class Controlled(torch.nn.Module):
    """A UNet with the ControlNet: called as the UNet is, with B rows. hints [B, 3, 64, 64]."""

    def __init__(self, unet, control: ControlNetModel, hints: torch.Tensor, weight: float = 1.0):
        super().__init__()
        self.unet, self.control, self.hints, self.weight = unet, control, hints, weight

    def forward(self, x, t, cond, return_dict=False):
        down, middle = self.control(x, t, cond, self.hints, self.weight, return_dict=False)
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return self.unet(x, t, cond, return_dict=return_dict, **added)


def save(path: Path, control: ControlNetModel, about: dict) -> Path:
    kept = {name: value for name, value in control.state_dict().items() if name.startswith(TRAINED)}
    return weights.save(path, kept, about)


def load(folder: Path = weights.FOLDER) -> ControlNetModel:
    control = new(models.load("strong", folder).unet)
    control.load_state_dict(weights.read(folder / FILE)[0], strict=False)
    return control.eval().requires_grad_(False)


def controlled(model: models.Model, hints: torch.Tensor, weight: float = 1.0) -> models.Model:
    """`model` with a ControlNet unit for a batch of pictures. hints [B, 3, 64, 64]: see maps()."""
    return replace(model, unet=Controlled(model.unet, load(), hints, weight), at_once=len(hints))
