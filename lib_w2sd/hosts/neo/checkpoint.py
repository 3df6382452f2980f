"""Weak checkpoints in Forge Neo: its families' files, GGUF, its memory manager, LoRAs merged and online."""

import torch
from backend import utils
from backend.args import dynamic_args
from backend.patcher.base import ModelPatcher
from backend.quant_ops import QuantizedTensor
from modules import shared

from ...errors import CheckpointError
from ...weights.file import SafetensorsFile, WeightsFile
from ...weights.fit import SCALE, architecture
from ..forge.checkpoint import PREFIX, ForgeCheckpoint, Shelf, patcher
from . import lora as neo_lora
from .patches import lacking as lacking

OTHER_PREFIX = "net."  # of the network's names in Anima's files
ELSEWHERE = "llm_adapter."  # ... a part of which the host gives to the text encoder


class GGUFFile(WeightsFile):
    def __init__(self, given, path):
        self._held = utils.load_torch_file(str(path))
        super().__init__(given, self._held)

    def _shape(self, full):
        return tuple(self._held[full].shape)

    def _tensor(self, full):
        return self._held[full]


class Shelved(ModelPatcher):
    """The weak network as the memory manager knows models. Nothing is ever merged into it."""

    def patch_weight_to_device(self, key, *args, **kwargs):
        pass

    def pin_weight_to_device(self, key):
        pass


class NeoCheckpoint(ForgeCheckpoint):
    OPENERS = {".gguf": GGUFFile, ".sft": SafetensorsFile}

    def prediction(self):
        # Of a network that is no UNet the file says nothing more, and what has its shapes predicts what it does.
        unet = hasattr(self.diffusion_model(), "input_blocks")
        return super().prediction() if unet else None

    def by_its_name(self, path, shapes):
        return "flow" if "rectified" in path.lower() and architecture(shapes) == "SDXL" else None

    def refuse_loaded(self, given):
        super().refuse_loaded(given)
        tensors = self.diffusion_model().parameters()
        quantised = any(isinstance(t, QuantizedTensor) or isinstance(t.data, QuantizedTensor) for t in tensors)
        if quantised or getattr(dynamic_args, "nunchaku", False):
            kind = "quantised (comfy_quant)" if quantised else "nunchaku's"
            raise CheckpointError(given, f"but the loaded checkpoint's network is {kind}, which no other can replace.")

    def named(self, file, shapes):
        """Names as the host reads them: Anima's without their prefix, and without the part that becomes the text
        encoder's; a norm's `scale` is its weight."""
        prefix = OTHER_PREFIX if any(name.startswith(OTHER_PREFIX) for name in file.shapes) else ""
        names = {name[len(prefix) :]: name for name in file.shapes if name.startswith(prefix)}
        for name in list(names):
            if name.startswith(ELSEWHERE) and name not in shapes:
                del names[name]
            elif name.endswith(".scale") and name not in shapes and f"{name[:-5]}weight" in shapes:
                names[f"{name[:-5]}weight"] = names.pop(name)
        return file.called(names)

    # ------------------------------------------------------------------ scaled fp8

    def stored_in(self, file):
        return None  # a loaded network that is scaled itself has been refused

    def load_scales(self, file, slots, weights):
        """The layers have no place for one, where the loaded network is plain: it goes into the weight itself."""
        for name in file.names:
            if name.endswith(SCALE):
                weight = weights.tensors[f"{name[: -len(SCALE)]}.weight"].data
                weight.copy_(weight.float() * file.read(name).to(weight.device, torch.float32))

    # ------------------------------------------------------------------ LoRAs

    def patches(self, online, loras=True, others=True):
        if loras and others:
            places = neo_lora.patches(self.loras)
        else:
            places = neo_lora.alone(self.loras) if loras else neo_lora.of_others()
        found = {}
        for (weight, _), ps in places.items():
            ps = [patch for patch in ps if neo_lora.is_online(patch) == online]
            if ps and weight.startswith(PREFIX):
                found.setdefault(weight, []).extend(ps)
        return found

    def merge(self, weights, patches):
        for weight, found in patches.items():
            name = weight[len(PREFIX) :]
            weights.tensors[name] = neo_lora.merged(weight, weights.tensors[name], found, name.rpartition(".")[2])

    def also(self, weights):
        """What the host applies at every call belongs to the layers, whatever weights these have: merged patches are in
        the weak weights already."""
        model, wanted = patcher().model, {}
        online = self.patches(online=True)
        for module_name, module in self.diffusion_model().named_modules():
            for name in ("weight", "bias"):
                weight = f"{PREFIX}{module_name}.{name}"
                if weight in online or any(map(neo_lora.is_patch, getattr(module, f"{name}_function", ()))):
                    plain, wrappers = neo_lora.apart(online.get(weight, []))
                    told = neo_lora.online(model, module, name, weight, plain, wrappers)
                    wanted.setdefault(module, {}).update(told)
        self.lent = [(module, key) for module, told in wanted.items() for key in told if key not in vars(module)]
        for module, key in self.lent:
            setattr(module, key, getattr(module, key))
        return [[vars(module), key, value] for module, told in wanted.items() for key, value in told.items()]

    def done(self, weights):
        weights.tensors.update(self.unpatched)
        for module, key in self.lent:
            vars(module).pop(key, None)

    # ------------------------------------------------------------------ memory

    def announce(self, weights):
        if not hasattr(weights, "patcher"):
            unet = patcher()
            weights.patcher = Shelved(Shelf(weights.tensors), unet.load_device, unet.offload_device)
        unet = patcher().clone()
        unet.add_extra_model_patcher_during_sampling(weights.patcher)
        shared.sd_model.forge_objects.unet = unet
