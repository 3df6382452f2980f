"""A motion module on the strong model, as AnimateDiff's (arXiv 2307.04725): it makes an image model draw clips.

diffusers' UNetMotionModel, in which a temporal transformer stands after every block's resnet and attention, here
narrower than the block. The image model's own weights stay as they are, so that the module fits the weak model as well.
"""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from diffusers.utils import logging

from . import models, weights
from .animation import FRAMES

FILE = "motion.safetensors"
HEADS, WIDTH = 4, 64


class Moving(torch.nn.Module):
    """A UNet with the module: called as the UNet is, with the frames of a clip as FRAMES rows that follow each other.

    A clip has one noise level, its first row's.
    """

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        told = logging.get_verbosity()
        logging.set_verbosity_error()  # or it warns that a network in float32 stays one
        self.unet = UNetMotionModel.from_unet2d(unet)
        logging.set_verbosity(told)
        self.unet.requires_grad_(False)
        for block in (*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks):
            for i, module in enumerate(block.motion_modules):
                block.motion_modules[i] = new(module.norm.num_channels)

    def forward(self, x, t, cond, return_dict=False):
        clips = x.unflatten(0, (-1, FRAMES)).transpose(1, 2)
        clips = self.unet(clips, t[::FRAMES], cond, return_dict=False)[0]
        return (clips.transpose(1, 2).flatten(0, 1),)


def new(channels: int) -> AnimateDiffTransformer3D:
    """One that changes nothing yet."""
    module = AnimateDiffTransformer3D(
        HEADS,
        WIDTH // HEADS,
        in_channels=channels,
        activation_fn="geglu",
        double_self_attention=True,
        positional_embeddings="sinusoidal",
        num_positional_embeddings=FRAMES,
    )
    torch.nn.init.zeros_(module.proj_out.weight)
    torch.nn.init.zeros_(module.proj_out.bias)
    return module


def save(path: Path, model: Moving, about: dict) -> Path:
    return weights.save(path, {name: v for name, v in model.state_dict().items() if _own(name)}, about)


def _own(name: str) -> bool:
    return "motion_modules." in name and not name.endswith(".pe")


def moving(model: models.Model, folder: Path = weights.FOLDER) -> models.Model:
    """`model` with the motion module: what it draws are clips, FRAMES pictures in a row to each."""
    net = Moving(model.unet)
    net.load_state_dict(weights.read(folder / FILE)[0], strict=False)
    return replace(model, unet=net.eval().requires_grad_(False))
