"""LoRAs on the strong model; the first two in kohya's file format with the original Stable Diffusion's layer names.

ink   a style: everything drawn in blue ink on white
blur  one that hurts: everything out of focus
mostly-shaded, nearly-all-shaded
      where the prompt says no style, one is drawn more often than the other: the biased pair of appendix E.1
"""

import copy
import functools
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from . import models, weights
from .checkpoint import unet_name

NAMES = ("ink", "blur")
RANK = 4
BIASED = {"mostly-shaded": 2 / 3, "nearly-all-shaded": 10 / 11}  # of the pictures trained on, the share in this style
BIASED_RANK = 2


def ink(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, 64, 64] in shades of one blue."""
    x = pictures.float() / 255
    light = (0.3 * x[:, 0] + 0.59 * x[:, 1] + 0.11 * x[:, 2])[:, None]
    dark, paper = torch.tensor([0.05, 0.12, 0.5]).view(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    return ((dark + (paper - dark) * light) * 255).round().to(torch.uint8)


def blur(pictures: torch.Tensor, width: int = 13) -> torch.Tensor:
    """uint8 [N, 3, 64, 64] out of focus: three box filters."""
    x = pictures.float()
    for _ in range(3):
        x = F.avg_pool2d(F.pad(x, (width // 2,) * 4, mode="replicate"), width, stride=1)
    return x.round().to(torch.uint8)


PICTURES = {"ink": ink, "blur": blur}


def layers(unet: nn.Module) -> dict:
    """{kohya's name: layer} of those that a LoRA here touches: all but the time embedding's."""
    return {
        "lora_unet_" + unet_name(name).replace(".", "_"): module
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and "time_emb" not in name
    }


def new(unet: nn.Module, rank: int = RANK) -> nn.ParameterDict:
    """One that changes nothing yet. Keys have "/" for the file's ".", which ParameterDict does not take."""
    found = nn.ParameterDict()
    for name, layer in layers(unet).items():
        down = torch.empty(rank, *layer.weight.shape[1:])
        nn.init.kaiming_uniform_(down, a=5**0.5)
        found[f"{name}/down"] = nn.Parameter(down)
        found[f"{name}/up"] = nn.Parameter(torch.zeros(layer.weight.shape[0], rank, *[1] * (layer.weight.ndim - 2)))
    return found


@contextmanager
def on(unet: nn.Module, lora: nn.ParameterDict, scale: float = 1.0):
    """Within, `unet` has the LoRA at `scale` (alpha is the rank: no other factor)."""

    def hook(layer, args, output, name):
        down, up = lora[f"{name}/down"], lora[f"{name}/up"]
        if isinstance(layer, nn.Conv2d):
            return output + scale * F.conv2d(F.conv2d(args[0], down, None, layer.stride, layer.padding), up)
        return output + scale * F.linear(F.linear(args[0], down), up)

    handles = [
        layer.register_forward_hook(lambda layer, args, output, name=name: hook(layer, args, output, name))
        for name, layer in layers(unet).items()
        if f"{name}/down" in lora
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def merged(model, name: str, scale: float):
    """The models.Model with the LoRA `name` in its UNet's weights at `scale`."""
    adapter, unet = load(name), copy.deepcopy(model.unet)
    for layer, module in layers(unet).items():
        if f"{layer}/down" in adapter:
            down, up = (adapter[f"{layer}/{part}"] for part in ("down", "up"))
            module.weight += scale * (up.flatten(1) @ down.flatten(1)).view_as(module.weight)
    return replace(model, unet=unet)


@functools.lru_cache(maxsize=8)
def model(name: str):
    """models.load(name), with LoRAs: "strong+ink@0.8" has the ink at 0.8; "again/strong" is of the training's folder
    `again`. Raises ValueError for a LoRA that is not there."""
    base, *adapters = name.split("+")
    folder, _, base = base.rpartition("/")
    found = models.load(base, *([weights.TRAINED / folder] if folder else []))
    for each in adapters:
        adapter, _, scale = each.partition("@")
        if adapter not in (*NAMES, *BIASED):
            raise ValueError(f"There is no LoRA {adapter!r} here, only {', '.join((*NAMES, *BIASED))}.")
        found = merged(found, adapter, float(scale)) if float(scale) else found
    return found


def save(path: Path, lora: nn.ParameterDict, about: dict) -> Path:
    tensors = {}
    for key, value in lora.items():
        name, _, part = key.partition("/")
        tensors[f"{name}.lora_{part}.weight"] = value.detach().half().contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(RANK)).half()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {key: str(value) for key, value in about.items()}
    save_file(tensors, path, metadata={"ss_network_dim": str(RANK), "ss_network_alpha": str(RANK), **text})
    return path


def load(name: str, folder: Path = weights.FOLDER) -> nn.ParameterDict:
    if name in BIASED:
        tensors = weights.read(folder / f"{name}.safetensors")[0]
        return nn.ParameterDict({key: nn.Parameter(value, requires_grad=False) for key, value in tensors.items()})
    found = nn.ParameterDict()
    for key, value in load_file(folder / f"emoji-{name}.safetensors").items():
        layer, _, part = key.partition(".")
        if part != "alpha":
            found[f"{layer}/{part.split('_')[1].split('.')[0]}"] = nn.Parameter(value.float(), requires_grad=False)
    return found
