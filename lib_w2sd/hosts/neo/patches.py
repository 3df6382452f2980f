"""What Forge Neo keeps of LoRAs for each weight, wherever it keeps it.

Until August 2026 all are in ModelPatcher.patches, six values each, the last whether the host applies it at every call.
Since September those that it merges have five there, and those that it applies at every call are objects among the
weight wrappers, each with a list of such five. Which it is in a WebUI is not asked of its version: `lacking` tries it.
"""

import copy

import torch
from backend.patcher.base import LowVramPatch, ModelPatcher, get_key_weight

from ..compatibility.signatures import takes


def held(patcher) -> dict:
    """(weight, whether among the weight wrappers) -> its patches, in the host's order."""
    wrappers = getattr(patcher, "weight_wrapper_patches", {})
    found = {(weight, False): list(ps) for weight, ps in patcher.patches.items()}
    found |= {(weight, True): [f for f in fs if is_wrapper(f)] for weight, fs in wrappers.items()}
    return {place: ps for place, ps in found.items() if ps}


def is_wrapper(function) -> bool:
    """Whether a layer's function is a LoRA that the host applies at every call."""
    held = getattr(function, "patch", None)
    return isinstance(held, list) and bool(held) and isinstance(held[0], (list, tuple)) and len(held[0]) >= 5


def _values(patch):
    return patch.patch[0] if is_wrapper(patch) else patch


def scale_of(patch) -> float:
    return float(_values(patch)[0])


def adapter_of(patch):
    return _values(patch)[1]


def is_online(patch) -> bool:
    """Whether the host applies it at every call."""
    return is_wrapper(patch) or (len(patch) > 5 and bool(patch[5]))


def told(patches) -> list:
    """What tells whether two lists of patches do the same."""
    return [(scale_of(patch), id(adapter_of(patch))) for patch in patches]


def scaled(patch, scale: float):
    """The same at another scale."""
    if is_wrapper(patch):
        return Scaled(patch, scale)
    return (scale, *patch[1:])


class Scaled:
    """A weight wrapper at another scale than the host's own. What the host or an extension makes of that from step to
    step (a LoRA's strength by steps) is made of this one too."""

    def __init__(self, own, scale: float):
        self.own, self.more = own, scale - scale_of(own)

    @property
    def patch(self) -> list:
        return [(values[0] + self.more, *values[1:]) for values in self.own.patch]

    def __call__(self, weight):
        now = copy.copy(self.own)
        now.patch = self.patch
        return now(weight)


def is_patch(function) -> bool:
    """Whether a layer's function is of LoRAs."""
    return isinstance(function, LowVramPatch) or is_wrapper(function)


def apart(patches) -> "tuple[list, list]":
    """Patches, and weight wrappers."""
    return [p for p in patches if not is_wrapper(p)], [p for p in patches if is_wrapper(p)]


def functions(model, module, name: str, weight: str, patches, wrappers) -> list:
    """The functions of a layer that applies `patches` and `wrappers` at every call, for its parameter `name`."""
    others = [f for f in getattr(module, f"{name}_function", ()) if not is_patch(f)]
    if not patches:
        return [*others, *wrappers]
    more = ()
    if takes(LowVramPatch.__init__, "convert_func"):
        _, set_back, convert = get_key_weight(model, weight)
        more = convert, set_back
    return [LowVramPatch(weight, {weight: patches}, *more), *others, *wrappers]


# ------------------------------------------------------------------ whether it is so


def lacking() -> list:
    """What of this a WebUI does otherwise, tried on a layer of one weight; [] where it is as it has to be."""
    try:
        return [told for online in (False, True) if (told := _tried(online))]
    except Exception as error:  # whatever a host's own code makes of it
        return [f"patches of a weight as they have to be ({type(error).__name__}: {error})"]


def _tried(online: bool) -> str:
    how = "at every call" if online else "before sampling"
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False))
    network[0].weight = torch.nn.Parameter(torch.ones(1, 1), requires_grad=False)
    patcher = ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))
    adapter = ("diff", (torch.ones(1, 1),))
    patcher.add_patches({"0.weight": adapter}, 0.5, 1.0, filename="w2sd", online_mode=online)
    ((weight, _), patches), *more = held(patcher).items()
    if more or weight != "0.weight" or len(patches) != 1 or len(_values(patches[0])) < 5:
        return f"patches of five values, applied {how}"
    if (scale_of(patches[0]), adapter_of(patches[0]), is_online(patches[0])) != (0.5, adapter, online):
        return f"patches with their scale first, their weights second, applied {how}"
    wanted = scaled(patches[0], 3.0)
    if online:
        plain, wrapped = ([], [wanted]) if is_wrapper(wanted) else ([wanted], [])
        made = network[0].weight.data.clone()
        for function in functions(network, network[0], "weight", weight, plain, wrapped):
            made = function(made)
    else:
        patcher.patches = {weight: [wanted]}
        made = patcher.patch_weight_to_device(weight, device_to=torch.device("cpu"), return_weight=True)
    return "" if float(made) == 4.0 else f"patches at another scale, applied {how}"
