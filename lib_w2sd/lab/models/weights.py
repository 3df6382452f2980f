"""The weights that ship with the lab: safetensors in half precision, each with what it is in its metadata."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .lora import Lora
from .network import Classifier, MoEDiT, UNet

FOLDER = Path(__file__).parent / "weights"
KINDS = {"classifier": Classifier, "moe": MoEDiT, "striped": Lora}


def save(folder: Path, name: str, model, about: dict, extra: "dict | None" = None) -> Path:
    """Write `model`'s weights to `folder` as `name`.safetensors. `extra`: tensors kept as they are (statistics)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    tensors.update({f"statistics.{k}": v.float().contiguous() for k, v in (extra or {}).items()})
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata={"about": json.dumps(about)})
    return path


def read(name: str) -> dict:
    """All tensors of a file, in single precision. `name` may be a path without its ending, for weights elsewhere."""
    tensors = load_file(FOLDER / f"{name}.safetensors")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def beside(folder: Path, name: str) -> str:
    """What to call the weights `name` in `folder`; where it has none, those that ship."""
    path = folder.resolve() / name
    return str(path) if path.with_suffix(".safetensors").exists() else name


def about(name: str) -> dict:
    """Steps, loss and seconds of a model's training."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as f:
        return json.loads(f.metadata()["about"])


def load(name: str):
    """The model `name`, ready to evaluate."""
    tensors = {k: v for k, v in read(name).items() if not k.startswith("statistics.")}
    kind = KINDS.get(Path(name).name, UNet)
    if kind is Lora:
        return Lora.of(tensors)
    model = kind()
    model.load_state_dict(tensors)
    return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def statistics() -> dict:
    """Mean and covariance of the real pictures' features: {"plain.mean": ..., "plain.covariance": ..., ...}."""
    prefix = "statistics."
    return {k[len(prefix) :]: v.double() for k, v in read("classifier").items() if k.startswith(prefix)}
