"""Forge's LoRAs, seen with commit dfdcbab6.

Its UNet patcher holds, for each LoRA of the request, a list of patches a weight. They are merged into new weights
before sampling, and the unmerged ones kept; or, with weights in storage that cannot hold them and "(fp16 LoRA)",
applied at every call ("online"). What another scale makes of a weight is asked of the host's own merging wherever
there is no low-rank form.
"""

from contextlib import contextmanager
from itertools import zip_longest

import torch
from backend import utils
from backend.args import dynamic_args
from backend.operations_gguf import dequantize_tensor
from backend.patcher.lora import merge_lora_to_weight
from modules import shared

from ...errors import SettingError
from ...gaps.lora_scales import Use
from ...weights import layers
from ..models.lora_files import find, names, networks, unreadable
from ..sampling.isolation.swapped import swapped

__all__ = ["find", "names", "opened", "overlay", "summed", "text_encoder", "understood", "unreadable", "used"]
# What such a layer calls them.
ONLINE = "forge_online_loras"


def used() -> tuple:
    """The Uses of the request; handle: the keys of the LoRA in the UNet's and the text encoder's patches."""
    objects = shared.sd_model.forge_objects
    uses = []
    for file in dict.fromkeys(_files()):
        unet = [key for key in objects.unet.lora_patches if key[0] == file]
        te = [key for key in objects.clip.patcher.lora_patches if key[0] == file]
        # Twice in a prompt is twice in the patches. A LoRA may also have nothing for one of the two, or for both.
        for i in range(max(len(unet), len(te), 1)):
            keys = unet[i] if i < len(unet) else None, te[i] if i < len(te) else None
            uses.append(Use(file, *(key[1] if key else 0.0 for key in keys[::-1]), handle=keys))
    return tuple(uses)


def _files() -> list:
    """The files of the request's LoRAs."""
    host = networks()
    if host is None or hasattr(host, "load_lora_state_dict"):
        return [net.network_on_disk.filename for net in host.loaded_networks] if host else []
    # ersatzForge has neither that nor a list that is ever filled: what has been added to the checkpoint's own patches.
    now, before = shared.sd_model.forge_objects, shared.sd_model.forge_objects_original
    patchers = (now.unet, before.unet), (now.clip.patcher, before.clip.patcher)
    return [key[0] for own, bare in patchers for key in own.lora_patches if key not in bare.lora_patches and key[0]]


def summed(tags) -> list:
    """Several tags of one LoRA as the host has them: patches of all of them, but of one scale only once."""
    te, unet = (list(dict.fromkeys(getattr(tag, part) for tag in tags)) for part in ("te", "unet"))
    return [tags[0]._replace(te=a, unet=b) for a, b in zip_longest(te, unet, fillvalue=0.0)]


def opened(use: Use) -> Use:
    """The host reads a LoRA where it merges it."""
    return use


def understood(use: Use) -> "tuple[int, int]":
    """In how many weights of the UNet, and of the text encoder, the host finds a place for it."""
    if use.handle is None:
        unet, clip = _loaded(use)
        patchers, keys = (unet, clip.patcher), None
    else:
        objects = shared.sd_model.forge_objects
        patchers, keys = (objects.unet, objects.clip.patcher), use.handle
    counts = []
    for i, patcher in enumerate(patchers):
        mine = [key for key in patcher.lora_patches if (key[0] == use.file if keys is None else key == keys[i])]
        counts.append(sum(len(patcher.lora_patches[key]) for key in mine))
    return tuple(counts)


def overlay(uses):
    """A gaps.Overlay under which the UNet is the host's with `uses`."""
    return layers.Overlay(lambda model: _changes(model, uses))


def _loaded(use: Use):
    """(UNet patcher, CLIP) with this LoRA alone."""
    host, original = networks(), shared.sd_model.forge_objects_original
    online = dynamic_args.get("online_lora", False) and original.unet.model.storage_dtype not in (
        torch.float32,
        torch.float16,
        torch.bfloat16,
    )
    # ersatzForge reads them as any other file.
    state_dict = getattr(host, "load_lora_state_dict", utils.load_torch_file)(use.file)
    return host.load_lora_for_models(
        original.unet, original.clip, state_dict, use.unet, use.te, filename=use.file, online_mode=online
    )


def _rescaled(patcher, uses, unet: bool, others: bool = True) -> dict:
    """The patcher's patches for the LoRAs of `uses` at their scales; patches that are no LoRA of the request stay, if
    `others` are wanted."""
    part = 0 if unet else 1
    of_request = {use.handle[part] for use in used() if use.handle[part]}
    patches = {}

    def add(key, scale, of_weights):
        new, i = (key[0], scale, *key[2:]), 0
        # Keys have to differ from each other, and from the request's, or the host takes them for merged already.
        while new in patches:
            new, i = (f"{key[0]}#{i}", scale, *key[2:]), i + 1
        patches[new] = {weight: [[scale, *p[1:]] for p in ps] for weight, ps in of_weights.items()}

    for key, of_weights in patcher.lora_patches.items():
        if key not in of_request and others:
            patches[key] = of_weights
        for use in uses:
            if use.handle and use.handle[part] == key:
                add(key, use.unet if unet else use.te, of_weights)
    for use in uses:
        if use.handle is None:
            model, clip = _loaded(use)
            alone = model if unet else clip.patcher
            for key, of_weights in alone.lora_patches.items():
                if key[0] == use.file:
                    add(key, key[1], of_weights)
    return patches


def patches(uses, others: bool = True) -> dict:
    """(weight, online) -> patches of the UNet with `uses`, in the host's order; without `others`, of these alone."""
    return _by_weight(_rescaled(shared.sd_model.forge_objects.unet, uses, True, others))


def _by_weight(patches: dict) -> dict:
    found = {}
    for (*_, online), of_weights in patches.items():
        for weight, ps in of_weights.items():
            found.setdefault((weight, online), []).extend(ps)
    return found


def _changes(model, uses) -> dict:
    patcher = shared.sd_model.forge_objects.unet
    own, wanted = _by_weight(patcher.lora_patches), patches(uses)
    found = {}
    for weight, online in wanted:
        mine, theirs = own.get((weight, online), []), wanted[weight, online]
        if [(p[0], id(p[1])) for p in mine] == [(p[0], id(p[1])) for p in theirs]:
            continue
        module, name, parameter = utils.get_attr_with_parent(model, weight)
        change = found.setdefault(module, layers.Change())
        if online:
            now = change.attributes.get(ONLINE) or getattr(module, ONLINE, {})
            change.attributes[ONLINE] = {**now, name: online_patches(theirs, patcher)}
            continue
        # The host merges below a scaled fp8 weight's scale: there the LoRA counts scale times, and has no other form.
        if name == "weight" and getattr(module, "scale_weight", None) is None:
            change.low_rank = low_rank(module, parameter, mine, theirs)
        if name != "weight" or change.low_rank is None:
            base = patcher.lora_loader.backup.get(weight, parameter)
            change.parameters[name] = _merged(weight, base.to(parameter.device), theirs)
    return found


def online_patches(patches, patcher) -> list:
    """Patches as a layer holds them that applies them at every call."""
    return utils.nested_move_to_device(
        list(map(list, patches)), device=patcher.current_device, dtype=patcher.model.computation_dtype
    )


def _merged(key, base, patches):
    """A weight as the host merges `patches` into the unmerged `base`, in its storage."""
    if hasattr(base, "bnb_quantized"):
        raise SettingError(
            f"W2SD: this LoRA has no low-rank form at {key}, and cannot be merged into weights in {base.quant_type}; "
            'choose "Automatic (fp16 LoRA)" under Diffusion in Low Bits, or set the weak LoRA offset to 0.'
        )
    quantised = getattr(base, "gguf_cls", None)
    weight = merge_lora_to_weight(patches, dequantize_tensor(base), key, computation_dtype=torch.float32)
    if quantised is None:
        return layers.as_parameter(weight)
    new = base.copy_with_data(base.data)
    quantised.quantize_pytorch(weight, new)
    return new


def low_rank(module, parameter, mine, theirs):
    """The layer's difference as (down, up), None if any patch has no such form there."""
    shape = tuple(getattr(getattr(parameter, "quant_state", None), "shape", parameter.shape))
    terms = {}
    for sign, patches in ((-1.0, mine), (1.0, theirs)):
        for scale, patch, model_scale, offset, function in patches:
            factors = None
            if model_scale == 1.0 and function is None and isinstance(patch, tuple) and patch[0] == "lora":
                factors = _factors(module, shape, offset, *patch[1])
            if factors is None:
                return None
            alpha, *pair = factors
            before, _ = terms.get(id(patch), (0.0, None))
            terms[id(patch)] = before + sign * scale * alpha, pair
    terms = [(scale, *pair) for scale, pair in terms.values() if scale]
    if not terms:
        return None
    low_rank = layers.concatenated(terms)
    elements = 1
    for n in shape:
        elements *= n
    quantised = hasattr(parameter, "quant_state") or getattr(parameter, "gguf_cls", None) is not None
    return low_rank if quantised or layers.worth_it(low_rank, elements) else None


def _factors(module, shape, offset, up, down, alpha, mid, dora_scale):
    """(scale, down, up) of a plain LoRA in the layer's own shape; `offset`: where it sits in a fused layer."""
    is_conv = isinstance(module, torch.nn.Conv2d)
    if dora_scale is not None or len(shape) != (4 if is_conv else 2) or getattr(module, "groups", 1) != 1:
        return None
    scale = 1.0 if alpha is None else alpha / down.shape[0]
    if mid is not None:
        down = layers.with_mid(down, mid)
    if offset is not None:
        dim, start, length = offset
        if dim != 0 or is_conv or up.shape[0] != length:
            return None
        whole = up.new_zeros(shape[0], up.shape[1])
        whole[start : start + length] = up
        up = whole
    down, up = down.flatten(1), up.flatten(1)
    if up.shape[0] != shape[0] or down.shape[1] != torch.Size(shape[1:]).numel():
        return None
    if is_conv:
        down, up = down.reshape(down.shape[0], *shape[1:]), up[:, :, None, None]
    return scale, down, up


@contextmanager
def text_encoder(uses):
    """Prompts encoded within see the text encoder at the scales of `uses`."""
    objects = shared.sd_model.forge_objects
    own, weak = objects.clip, objects.clip.clone()
    weak.patcher.lora_patches = _rescaled(own.patcher, uses, unet=False)
    try:
        with swapped(objects, "clip", weak):
            yield
    finally:
        own.patcher.refresh_loras()
