"""A1111's built-in Lora extension, seen with 1.10.1.

It merges the request's networks into a layer's weights when the layer is next called, and keeps the unmerged ones.
What another scale makes of a layer is asked of it wherever there is no low-rank form: a copy of the layer goes
through its own merging, the layer itself does not.
"""

import copy
from contextlib import contextmanager
from dataclasses import replace

import torch
from modules import shared

from ...gaps.lora_scales import Use
from ...weights import layers
from ..models.lora_files import find, names, networks, unreadable
from ..sampling.isolation.swapped import swapped
from . import motion

__all__ = ["find", "loaded", "names", "opened", "overlay", "summed", "text_encoder", "understood", "unreadable", "used"]
MERGED_TYPES = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.GroupNorm, torch.nn.LayerNorm)


def used() -> tuple:
    """The Uses of the request."""
    loaded = networks().loaded_networks if networks() else ()
    return tuple(
        Use(net.network_on_disk.filename, net.te_multiplier, net.unet_multiplier, net.dyn_dim, net) for net in loaded
    )


def summed(tags) -> list:
    """Several tags of one LoRA as the host has them: it knows a LoRA by the name that a tag gives it, and each of its
    tags has the last one's scales."""
    last = {tag.name: tag for tag in tags}
    return [last[tag.name] for tag in tags]


def opened(use: Use) -> Use:
    """With its network, read from the file where the request has none."""
    if use.handle is not None:
        return use
    entry = next(e for e in networks().available_networks.values() if e.filename == use.file)
    return replace(use, handle=networks().load_network(entry.name, entry))


def understood(use: Use) -> "tuple[int, int]":
    """In how many layers of the UNet, and of the text encoder, the host finds a place for it."""
    unet = sum(key.startswith("diffusion_model") or motion.is_its(key) for key in use.handle.modules)
    return unet, len(use.handle.modules) - unet


def part_of(net, of_motion: bool):
    """A network's part for the motion module, or that for everything else."""
    part = copy.copy(net)
    part.modules = {key: module for key, module in net.modules.items() if motion.is_its(key) == of_motion}
    return part


def loaded(use: Use):
    """The host's network at the scales of `use`; its tensors are the loaded one's."""
    net = opened(use).handle
    scaled = copy.copy(net)
    scaled.te_multiplier, scaled.unet_multiplier, scaled.dyn_dim = use.te, use.unet, use.dyn
    scaled.modules = {}
    for key, module in net.modules.items():
        scaled.modules[key] = copy.copy(module)
        scaled.modules[key].network = scaled
    return scaled


class FunctionalOverlay:
    """Another scale while the host computes LoRAs on the fly ("lora_functional"): it looks at its list every time."""

    mixes_rows = False

    def __init__(self, uses):
        self.networks = [loaded(use) for use in uses]

    def as_dict(self):
        return {"lora_functional": [net.name for net in self.networks]}

    @contextmanager
    def installed(self, unet):
        yield

    def on(self):
        return swapped(networks(), "loaded_networks", self.networks)


def overlay(uses):
    """A gaps.Overlay under which the UNet is the host's with `uses`."""
    if shared.opts.lora_functional:
        return FunctionalOverlay(uses)
    wanted = [loaded(use) for use in uses]
    return layers.Overlay(lambda unet: _changes(unet.model, wanted))


def _changes(unet, wanted) -> dict:
    host, found = networks(), {}
    own = list(host.loaded_networks)
    for module in unet.modules():
        name = getattr(module, "network_layer_name", None)
        if name is None or not isinstance(module, MERGED_TYPES) or _same(own, wanted, name):
            continue
        # Now rather than in the layer's first call: it may be one under the overlay.
        host.network_apply_weights(module)
        found[module] = layers.Change(low_rank=_low_rank(module, name, own, wanted))
    with swapped(host, "loaded_networks", wanted), torch.no_grad():
        for module, change in found.items():
            if change.low_rank is None:
                change.parameters = _merged(module)
    return found


def _parts(nets, name) -> list:
    """(network, its part for this layer or for q, k or v of a fused one)."""
    keys = (name, f"{name}_q_proj", f"{name}_k_proj", f"{name}_v_proj")
    return [(net, net.modules[key]) for net in nets if net.unet_multiplier for key in keys if key in net.modules]


def _same(own, wanted, name) -> bool:
    def state(nets):
        return [(net.network_on_disk.filename, net.unet_multiplier, net.dyn_dim) for net, _ in _parts(nets, name)]

    return state(own) == state(wanted)


def _low_rank(module, name, own, wanted):
    """The layer's difference as (down, up), None if any network's part has no such form there."""
    terms = {}
    for sign, nets in ((-1.0, own), (1.0, wanted)):
        for net, part in _parts(nets, name):
            pair = _factors(module, part, net.dyn_dim) if part is net.modules.get(name) else None
            if pair is None:
                return None
            # A copy of a part shares its tensors: known by them, the two scales of one network add up to a difference.
            key = id(part.up_model), None if part.mid_model is not None else net.dyn_dim
            scale, _ = terms.get(key, (0.0, None))
            terms[key] = scale + sign * part.multiplier() * part.calc_scale(), pair
    terms = [(scale, *pair) for scale, pair in terms.values() if scale]
    if not terms:
        return None
    low_rank = layers.concatenated(terms)
    return low_rank if layers.worth_it(low_rank, module.weight.numel()) else None


def _factors(module, part, dyn_dim):
    """(down, up) of a plain LoRA in the layer's own shape."""
    if type(part).__name__ != "NetworkModuleLora" or part.dora_scale is not None or part.bias is not None:
        return None
    down, up = part.down_model.weight, part.up_model.weight
    if part.mid_model is not None:
        down = layers.with_mid(down, part.mid_model.weight)
    elif dyn_dim is not None:  # the host leaves networks with a middle part whole
        down, up = down[:dyn_dim], up[:, :dyn_dim]
    fits = (up.shape[0], *down.shape[1:]) == tuple(module.weight.shape)
    return (down, up) if fits and getattr(module, "groups", 1) == 1 else None


def _merged(module) -> dict:
    """The layer's parameters as the host merges the networks that are loaded now."""
    twin = copy.copy(module)
    # The host writes into a twin's parameters, and copies the unmerged ones there first.
    own = module._parameters
    unmerged = {
        "weight": getattr(module, "network_weights_backup", None),
        "bias": getattr(module, "network_bias_backup", None),
    }
    unmerged = {name: own.get(name) if kept is None else kept for name, kept in unmerged.items()}
    twin._parameters = {
        name: own.get(name) if kept is None else layers.as_parameter(kept.detach().to(own[name].device, copy=True))
        for name, kept in unmerged.items()
    }
    twin.network_current_names = ()
    twin.network_weights_backup, twin.network_bias_backup = unmerged["weight"], unmerged["bias"]
    networks().network_apply_weights(twin)
    return {name: tensor for name, tensor in twin._parameters.items() if tensor is not None and name in own}


@contextmanager
def text_encoder(uses):
    """Prompts encoded within see the text encoder at the scales of `uses`."""
    host, model = networks(), shared.sd_model
    wanted = [loaded(use) for use in uses]
    try:
        with swapped(host, "loaded_networks", wanted):
            yield
    finally:
        merged = tuple((net.name, net.te_multiplier, net.unet_multiplier, net.dyn_dim) for net in wanted)
        for module in set(model.network_layer_mapping.values()):
            if merged and getattr(module, "network_current_names", ()) == merged:
                host.network_apply_weights(module)
