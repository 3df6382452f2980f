"""As the newest Neos of October 2026: what is merged has five values, what is applied at every call is an object among
the weight wrappers, and LowVramPatch takes two arguments. Retold after AiWithYou/aikimi-forge-neo 85c960b."""

import importlib.util
from pathlib import Path

_AUGUST = Path(__file__).resolve().parents[3] / "neo" / "backend" / "patcher" / "base.py"
_spec = importlib.util.spec_from_file_location("backend.patcher.base_of_august", _AUGUST)
_august = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_august)
get_key_weight, merge_lora_to_weight = _august.get_key_weight, _august.merge_lora_to_weight


class ModelPatcher(_august.ModelPatcher):
    def added(self, weight, one, filename, online_mode):
        if online_mode:
            self.add_weight_wrapper(weight, OnlineLoRAPatch(filename, weight, list(one)))
        else:
            self.patches[weight] = [*self.patches.get(weight, ()), one]

    def add_weight_wrapper(self, name, function):
        self.weight_wrapper_patches[name] = [*self.weight_wrapper_patches.get(name, ()), function]

    def applied_at_every_call(self, key):
        return list(self.weight_wrapper_patches.get(key, ()))


class LowVramPatch(_august.LowVramPatch):
    def __init__(self, key, patches):
        self.key, self.patches = key, patches


_august.LowVramPatch = LowVramPatch


class OnlineLoRAPatch:
    def __init__(self, name, key, patch):
        self.name, self.key, self.patch = name, key, [patch]

    def __call__(self, weight):
        return merge_lora_to_weight(self.patch, weight.clone(), self.key)
