"""The weights that ship: safetensors of one byte a weight, each row with its own scale, and what they are in the metadata."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "weights"
TRAINED = Path("out/train")  # the training's state, and what does not ship
SMALL = 1024  # tensors up to this many numbers, and vectors, are kept in half precision


def save(path: Path, tensors: dict, about: dict) -> Path:
    """Write `tensors` {name: tensor}. Matrices become int8 beside a scale for each row (`name`:scale)."""
    kept = {}
    for name, value in tensors.items():
        value = value.detach()
        if not value.is_floating_point():
            kept[name] = value.contiguous()
        elif value.ndim < 2 or value.numel() <= SMALL:
            kept[name] = value.half().contiguous()
        else:
            scale = (value.flatten(1).abs().amax(dim=1) / 127).clamp(min=1e-8).half().float()
            by_row = scale.view(-1, *[1] * (value.ndim - 1))
            kept[name] = (value / by_row).round().clamp(-127, 127).to(torch.int8).contiguous()
            kept[f"{name}:scale"] = scale.half()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, metadata={"about": json.dumps(about)})
    return path


def read(path: Path) -> "tuple[dict, dict]":
    """The tensors of a file in single precision, and what it says about itself."""
    with safe_open(path, framework="pt") as f:
        about = json.loads(f.metadata()["about"])
        kept = {name: f.get_tensor(name) for name in f.keys()}
    tensors = {}
    for name, value in kept.items():
        if name.endswith(":scale"):
            continue
        scale = kept.get(f"{name}:scale")
        if scale is not None:
            tensors[name] = value.float() * scale.float().view(-1, *[1] * (value.ndim - 1))
        else:
            tensors[name] = value.float() if value.is_floating_point() else value
    return tensors, about


def about(path: Path) -> dict:
    """What a file says about itself."""
    with safe_open(path, framework="pt") as f:
        told = f.metadata()
    return json.loads(told["about"]) if "about" in told else told


def part(tensors: dict, name: str) -> dict:
    """Those of `tensors` that start with `name` and a dot, without it."""
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}
