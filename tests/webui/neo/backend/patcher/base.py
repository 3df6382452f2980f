"""As Forge Neo's of August 2026: patches in one flat list a weight, six values each, the last whether "online"."""

import uuid

import torch
from backend.patcher.lora import merge_lora_to_weight
from backend.utils import get_attr_with_parent


class ModelPatcher:
    def __init__(self, model, load_device, offload_device, size=0, *, current_device=None, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        self.patches, self.backup, self.weight_wrapper_patches = {}, {}, {}
        self.model_options = {"transformer_options": {}}
        self.patches_uuid = uuid.uuid4()

    def clone(self):
        new = type(self)(self.model, self.load_device, self.offload_device)
        new.patches = {weight: list(ps) for weight, ps in self.patches.items()}
        new.weight_wrapper_patches = dict(self.weight_wrapper_patches)
        new.patches_uuid, new.backup = self.patches_uuid, self.backup
        return new

    def add_patches(self, patches, strength_patch=1.0, strength_model=1.0, *, filename=None, online_mode=None):
        known = self.model.state_dict()
        for weight in patches:
            if weight in known:
                one = strength_patch, patches[weight], strength_model, None, None
                self.added(weight, one, filename, online_mode)
        self.patches_uuid = uuid.uuid4()
        return list(patches)

    def added(self, weight, one, filename, online_mode):
        self.patches[weight] = [*self.patches.get(weight, ()), (*one, online_mode)]

    def patch_weight_to_device(self, key, device_to=None, inplace_update=False, return_weight=False, force_cast=False):
        weight, _, _ = get_key_weight(self.model, key)
        made = merge_lora_to_weight(self.patches[key], weight.detach().clone(), key)
        if return_weight:
            return made
        module, name, _ = get_attr_with_parent(self.model, key)
        self.backup.setdefault(key, Kept(weight))
        setattr(module, name, torch.nn.Parameter(made, requires_grad=False))

    def applied_at_every_call(self, key) -> list:
        """What a layer is given to call with its weight; merged ones are none."""
        online = any(patch[-1] for patch in self.patches.get(key, ()))
        return [LowVramPatch(key, self.patches)] if online else []

    def load(self):
        """Merge before sampling what is to be merged."""
        for key in {*self.patches, *self.weight_wrapper_patches}:
            module, name, _ = get_attr_with_parent(self.model, key)
            functions = self.applied_at_every_call(key)
            setattr(module, f"{name}_function", functions)
            module.parameters_manual_cast = bool(functions)  # which makes a copy of the weight
            if key in self.patches and not any(isinstance(f, LowVramPatch) for f in functions):
                self.patch_weight_to_device(key)

    def unload(self):
        for key, kept in self.backup.items():
            module, name, _ = get_attr_with_parent(self.model, key)
            setattr(module, name, kept.weight)
        self.backup.clear()
        for module in self.model.modules():
            for name in ("weight_function", "bias_function", "parameters_manual_cast"):
                vars(module).pop(name, None)


class Kept:
    def __init__(self, weight):
        self.weight = weight


class LowVramPatch:
    def __init__(self, key, patches, convert_func=None, set_func=None):
        self.key, self.patches = key, patches

    def __call__(self, weight):
        return merge_lora_to_weight(self.patches[self.key], weight, self.key)


def get_key_weight(model, key):
    module, name, weight = get_attr_with_parent(model, key)
    return weight, getattr(module, f"set_{name}", None), getattr(module, f"convert_{name}", None)
