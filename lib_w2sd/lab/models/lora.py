"""A LoRA in kohya's file format on the lab's networks: <layer>.lora_down.weight, .lora_up.weight and .alpha."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

PREFIX = "lora_unet_"


def layers(network: nn.Module) -> dict:
    """The layers that a LoRA can touch, by their name in a kohya file."""
    return {
        PREFIX + name.replace(".", "_"): module
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }


class Lora(nn.Module):
    """delta(layer)(x) = alpha / rank * up(down(x)), for each touched layer (Hu et al. 2021)."""

    def __init__(self, tensors: dict):
        super().__init__()
        self._down, self._up, self._alpha = {}, {}, {}
        for key, value in tensors.items():
            layer, _, part = key.partition(".")
            {"lora_down.weight": self._down, "lora_up.weight": self._up, "alpha": self._alpha}[part][layer] = value

    @classmethod
    def of(cls, tensors: dict) -> "Lora":
        return cls(tensors)

    @classmethod
    def new(cls, network: nn.Module, rank: int) -> "Lora":
        """One that changes nothing yet."""
        tensors = {}
        for name, layer in layers(network).items():
            down = torch.empty(rank, *layer.weight.shape[1:])
            nn.init.kaiming_uniform_(down, a=5**0.5)
            tensors[f"{name}.lora_down.weight"] = nn.Parameter(down)
            up = torch.zeros(layer.weight.shape[0], rank, *[1] * (layer.weight.ndim - 2))
            tensors[f"{name}.lora_up.weight"] = nn.Parameter(up)
            tensors[f"{name}.alpha"] = torch.tensor(float(rank))
        return cls(tensors)

    def parameters(self, recurse: bool = True):
        return [v for part in (self._down, self._up) for v in part.values()]

    def state_dict(self) -> dict:
        parts = {"lora_down.weight": self._down, "lora_up.weight": self._up, "alpha": self._alpha}
        return {f"{layer}.{part}": v for part, tensors in parts.items() for layer, v in tensors.items()}

    def delta(self, name: str, layer: nn.Module, x):
        down, up = self._down[name], self._up[name]
        if isinstance(layer, nn.Conv2d):
            h = F.conv2d(F.conv2d(x, down, stride=layer.stride, padding=layer.padding), up)
        else:
            h = F.linear(F.linear(x, down), up)
        return h * (self._alpha[name] / down.shape[0])

    @torch.no_grad()
    def merge(self, network: nn.Module, scale: float) -> nn.Module:
        """Add this LoRA at `scale` to the weights of `network`, for good; the network."""
        for name, layer in layers(network).items():
            if name in self._down:
                down, up = self._down[name], self._up[name]
                merged = (up.flatten(1) @ down.flatten(1)).view_as(layer.weight)
                layer.weight += scale * (self._alpha[name] / down.shape[0]) * merged
        return network

    @contextmanager
    def on(self, network: nn.Module, scale: float):
        """Within, `network` has this LoRA at `scale`."""
        hooks = [
            layer.register_forward_hook(
                lambda layer, args, output, name=name: output + scale * self.delta(name, layer, args[0])
            )
            for name, layer in layers(network).items()
            if name in self._down and scale != 0
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
