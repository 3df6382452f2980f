"""What the makers have in common: weights from a seed, tensors to a file, and LoRAs for a file.

Needs torch alone; runs in every host's environment.
"""

import json
import math
import struct
from pathlib import Path

import torch

DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DOWN, UP = "lora_down", "lora_up"


def noise(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def fill(module, seed: int, gain: float = 0.58):
    """Weights of our own, whatever the host's modules start from: matrices normal (of gain 0.58, as torch itself
    starts them), norms 1, biases near 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        last = name.rpartition(".")[2]
        if parameter.ndim >= 2 and last != "gamma":
            inputs = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * gain * inputs**-0.5)
        elif last == "bias":
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
        else:
            parameter.fill_(1.0)
    return module.eval()


@torch.no_grad()
def scaled(layer, factor: float) -> None:
    layer.weight.mul_(factor)
    if layer.bias is not None:
        layer.bias.mul_(factor)


@torch.no_grad()
def encodes(layer, channels: int, factor: float) -> None:
    """Have an encoder's last layer answer means `factor` as large, and next to no variance, as published ones do."""
    layer.weight[:channels].mul_(factor)
    layer.bias[:channels].zero_()
    layer.weight[channels:].zero_()
    layer.bias[channels:].fill_(-30.0)


def prefixed(state: dict, prefix: str = "") -> dict:
    return {prefix + name: tensor.detach() for name, tensor in state.items()}


def half(state: dict, prefix: str = "") -> dict:
    return {
        prefix + name: tensor.detach().half() if tensor.is_floating_point() else tensor.detach()
        for name, tensor in state.items()
    }


def save(state: dict, path: Path, **metadata: str) -> Path:
    """A safetensors file that is the same byte for byte whenever it is written: hosts go by their hashes, and what
    safetensors itself writes has its metadata in the order of a hash table."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} is not finite")
    header, offset = {"__metadata__": {"format": "pt", **dict(sorted(metadata.items()))}}, 0
    # Wide types first: every tensor then begins where its type may.
    order = sorted(state, key=lambda name: (-state[name].element_size(), name))
    for name in order:
        tensor = state[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with open(unfinished, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    unfinished.replace(path)
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size / 1e6:.0f} MB, {len(state)} tensors", flush=True)
    return path


def lora(shapes: dict, path: Path, prefix: str, size: float, rank: int = 4, dotted: bool = False) -> Path:
    """A LoRA for layers {name: shape of the weight}; names with dots as they are, or with _."""
    generator, state = torch.Generator().manual_seed(77), {}
    for name, shape in sorted(shapes.items()):
        key = prefix + (name if dotted else name.replace(".", "_"))
        inputs = math.prod(shape[1:])
        up = torch.randn(shape[0], rank, generator=generator) * size
        down = (torch.randn(rank, inputs, generator=generator) * size).reshape(rank, *shape[1:])
        state[f"{key}.{UP}.weight"] = up.reshape(*up.shape, *[1] * (len(shape) - 2)).half()
        state[f"{key}.{DOWN}.weight"] = down.half()
        state[f"{key}.alpha"] = torch.tensor(float(rank))
    about = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(rank)}
    return save(state, path, ss_output_name=path.stem, **about)


def matrices(module, *within: str) -> dict:
    """{layer: shape of its weight} of the matrices and convolutions whose names contain one of `within`."""
    return {
        name[: -len(".weight")]: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if name.endswith(".weight") and tensor.ndim in (2, 4) and any(part in name for part in within)
    }
