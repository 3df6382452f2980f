"""Forge Neo's LoRAs, seen with a copy of August 2026 and with the changes of October (see patches).

Its patchers hold flat lists of patches a weight, and do not say whose a patch is: the request's LoRAs add theirs in
the prompt's order, behind what was there and before what other extensions add later. Before sampling they are merged
into new weights, the unmerged ones kept; or, with "(fp16 LoRA)", with GGUF, and in layers that do not fit the GPU,
applied at every call. What another scale makes of a weight is asked of the host's own merging wherever there is no
low-rank form.
"""

import uuid
from contextlib import contextmanager
from pathlib import Path

from backend import memory_management, utils
from backend.args import dynamic_args
from backend.patcher.base import LowVramPatch
from backend.state_dict import state_dict_prefix_replace
from modules import shared

from ...errors import SettingError
from ...gaps.lora_scales import Use
from ...weights import layers
from ..forge.lora import low_rank
from ..models.lora_files import find, names, networks, unreadable
from ..sampling.isolation.swapped import swapped
from .patches import apart, functions, held, is_online, is_patch, lacking, scale_of, scaled, told

__all__ = [
    "apart",
    "find",
    "is_online",
    "is_patch",
    "lacking",
    "names",
    "opened",
    "overlay",
    "summed",
    "text_encoder",
    "understood",
    "unreadable",
    "used",
]
COUNTS = "w2sd_lora_counts"  # on the loaded checkpoint: (file, time of change) -> see _counts


def used() -> tuple:
    """The Uses of the request; handle: the LoRA's place among them."""
    refuse_nunchaku()
    parts = [_split(unet) for unet in (True, False)]
    if None in parts:
        return ()
    return tuple(
        Use(file, te=_scale(te), unet=_scale(unet), handle=i)
        for i, (file, unet, te) in enumerate(zip(_files(), *(own for own, _ in parts)))
    )


def summed(tags) -> list:
    """Several tags of one LoRA as the host has them: patches of each."""
    return list(tags)


def opened(use: Use) -> Use:
    """The host reads a LoRA where it makes its patches."""
    return use


def understood(use: Use) -> "tuple[int, int]":
    """For how many weights of the network, and of the text encoder, the host makes patches of it."""
    return tuple(len(_counts(use.file, unet)) for unet in (True, False))


def overlay(uses):
    """A gaps.Overlay under which the network is the host's with `uses`."""
    return layers.Overlay(lambda model: _changes(model, uses))


def refuse_nunchaku() -> None:
    if getattr(dynamic_args, "nunchaku", False):
        raise SettingError("W2SD: LoRA scales of a nunchaku checkpoint cannot be changed within a picture.")


def _files() -> list:
    host = networks()
    return [net.network_on_disk.filename for net in (host.loaded_networks if host else ())]


def _patchers(objects) -> tuple:
    return objects.unet, objects.clip.patcher


def _alone(file: str, unet: float, te: float) -> tuple:
    """(network's patches, text encoder's) of this LoRA alone, by weight, as the host makes them."""
    host, original = networks(), shared.sd_model.forge_objects_original
    state_dict = host.load_lora_state_dict(file)
    if any(key.startswith("lora_unet__") for key in state_dict):
        state_dict = state_dict_prefix_replace(state_dict, {"lora_unet__": "lora_unet_"})
    online = bool(dynamic_args.online_lora)
    model, clip = host.load_lora_for_models(
        original.unet, original.clip, state_dict, unet, te, filename=file, online_mode=online
    )
    kept = (held(patcher) for patcher in _patchers(original))
    return tuple(_without(before, held(after)) for before, after in zip(kept, (model, clip.patcher)))


def _without(before: dict, after: dict) -> dict:
    """By place, what has been added since."""
    added = {place: ps[len(before.get(place, ())) :] for place, ps in after.items()}
    return {place: ps for place, ps in added.items() if ps}


def _counts(file: str, unet: bool) -> dict:
    """How many patches this LoRA has in each place (patches.held)."""
    known = vars(shared.sd_model).setdefault(COUNTS, {})
    key = file, Path(file).stat().st_mtime_ns, bool(dynamic_args.online_lora)
    if key not in known:
        known[key] = tuple({place: len(ps) for place, ps in part.items()} for part in _alone(file, 1.0, 1.0))
    return known[key][0 if unet else 1]


def _split(unet: bool) -> "tuple[list, dict] | None":
    """The patches in force: of each LoRA of the request, by place, and those behind them, which are not the request's.
    None where they are not as the request's LoRAs make them."""
    now, before = (held(_patchers(objects)[0 if unet else 1]) for objects in _objects())
    at = {place: len(before.get(place, ())) for place in now}
    own = []
    for file in _files():
        counts = _counts(file, unet)
        if any(at.get(place, 0) + n > len(now.get(place, ())) for place, n in counts.items()):
            return None
        own.append({place: now[place][at[place] : at[place] + n] for place, n in counts.items()})
        for place, n in counts.items():
            at[place] += n
    return own, {place: ps[at[place] :] for place, ps in now.items()}


def _objects() -> tuple:
    return shared.sd_model.forge_objects, shared.sd_model.forge_objects_original


def _scale(patches: dict) -> float:
    return next((scale_of(ps[0]) for ps in patches.values() if ps), 0.0)


def patches(uses, unet: bool = True) -> dict:
    """By place, the patches of the network with `uses`, in the host's order; `unet` False: of the text encoder."""
    before, behind = _others(unet)
    return _joined(before, alone(uses, unet), behind)


def alone(uses, unet: bool = True) -> dict:
    """By place, the patches of `uses` alone."""
    part = 0 if unet else 1
    own, _ = _split(unet) or ([], {})
    found = []
    for use in uses:
        scale = use.unet if unet else use.te
        if use.handle is not None:
            found.append({place: [scaled(patch, scale) for patch in ps] for place, ps in own[use.handle].items()})
        elif scale:
            found.append(_alone(use.file, use.unet, use.te)[part])
    return _joined(*found)


def of_others() -> dict:
    """By place, the network's patches that are no LoRA's of the request."""
    return _joined(*_others(True))


def _others(unet: bool) -> "tuple[dict, dict]":
    """Those that were there before the request's LoRAs, and those behind them."""
    _, behind = _split(unet) or ([], {})
    return held(_patchers(shared.sd_model.forge_objects_original)[0 if unet else 1]), behind


def _joined(*parts) -> dict:
    found = {}
    for part in parts:
        for place, ps in part.items():
            found.setdefault(place, []).extend(ps)
    return {place: ps for place, ps in found.items() if ps}


def _changes(model, uses) -> dict:
    patcher = shared.sd_model.forge_objects.unet
    own, wanted = held(patcher), patches(uses)
    found = {}
    for weight in dict.fromkeys(weight for weight, _ in (*own, *wanted)):
        mine, theirs = own.get((weight, False), []), wanted.get((weight, False), [])
        wrappers = wanted.get((weight, True), [])
        merged_differ, wrapped_differ = told(mine) != told(theirs), told(own.get((weight, True), [])) != told(wrappers)
        if not merged_differ and not wrapped_differ:
            continue
        module, name, parameter = utils.get_attr_with_parent(model, weight)
        change = found.setdefault(module, layers.Change())
        at_every_call = applied_at_every_call(module, name, mine + theirs)
        if at_every_call or wrapped_differ:
            plain = theirs if at_every_call else []
            change.attributes.update(online(model, module, name, weight, plain, wrappers))
        if at_every_call or not merged_differ:
            continue
        if name == "weight":
            change.low_rank = low_rank(module, parameter, *(list(map(_plain, ps)) for ps in (mine, theirs)))
        if name != "weight" or change.low_rank is None:
            kept = patcher.backup.get(weight)
            base = parameter if kept is None else kept.weight
            change.parameters[name] = merged(weight, base.to(parameter.device), theirs, name)
    return found


def applied_at_every_call(module, name: str, patches) -> bool:
    """Whether the host applies these patches of a weight at every call, rather than merging them: told to, or because
    the layer does not fit the GPU."""
    there = getattr(module, f"{name}_function", ())
    return any(map(is_online, patches)) or any(isinstance(function, LowVramPatch) for function in there)


def online(model, module, name: str, weight: str, patches, wrappers=()) -> dict:
    """The attributes of a layer that applies these at every call."""
    return {
        f"{name}_function": functions(model, module, name, weight, patches, wrappers),
        "parameters_manual_cast": True,
    }


def merged(weight: str, base, patches, name: str):
    """A weight as the host merges `patches` into the unmerged `base`, in its storage."""
    patcher = shared.sd_model.forge_objects.unet
    if not patches:
        return layers.as_parameter(base)
    module, _, now = utils.get_attr_with_parent(patcher.model, weight)
    # Not on a clone: the end of one takes back what the host has changed in the network that all share.
    with swapped(patcher, "patches", {weight: patches}), swapped_tensor(module, name, layers.as_parameter(base)):
        made = patcher.patch_weight_to_device(weight, device_to=patcher.load_device, return_weight=True)
    return layers.as_parameter(made.to(now.device))


@contextmanager
def swapped_tensor(module, name: str, tensor):
    own = module._parameters[name]
    module._parameters[name] = tensor
    try:
        yield
    finally:
        module._parameters[name] = own


def _plain(patch) -> tuple:
    """A patch as Forge has them: its kind by name, and five tensors of a LoRA."""
    scale, adapter, model_scale, offset, function = patch[:5]
    weights = getattr(adapter, "weights", None)
    if getattr(adapter, "name", None) == "lora" and len(weights) >= 5 and all(w is None for w in weights[5:]):
        # The same tuple for the same adapter, so that what both sides have of it is told by identity.
        adapter = vars(adapter).setdefault("w2sd_plain", ("lora", tuple(weights[:5])))
    return scale, adapter, model_scale, offset, function


@contextmanager
def text_encoder(uses):
    """Prompts encoded within see the text encoder at the scales of `uses`."""
    patcher = shared.sd_model.forge_objects.clip.patcher
    wanted = patches(uses, unet=False)
    plain = {weight: ps for (weight, wrapped), ps in wanted.items() if not wrapped}
    try:
        # Under another mark, or the host takes them for merged already.
        with swapped(patcher, "patches", plain), swapped(patcher, "patches_uuid", uuid.uuid4()):
            with swapped(patcher, "weight_wrapper_patches", _wrappers(patcher, wanted)):
                yield
    finally:
        memory_management.load_models_gpu([patcher])


def _wrappers(patcher, wanted: dict) -> dict:
    """All that wraps weights: what is no LoRA as it is, and the LoRAs wanted."""
    own = getattr(patcher, "weight_wrapper_patches", {})
    found = {weight: [f for f in fs if not is_patch(f)] for weight, fs in own.items()}
    for (weight, wrapped), ps in wanted.items():
        if wrapped:
            found[weight] = [*found.get(weight, ()), *ps]
    return found
