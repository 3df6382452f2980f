"""Weak checkpoints in Forge (dfdcbab6, June 2025): GGUF files, its memory manager, LoRAs merged and online."""

import gguf
import torch
from backend import utils
from backend.operations_gguf import ParameterGGUF, dequantize_tensor
from backend.patcher.base import ModelPatcher
from backend.patcher.lora import merge_lora_to_weight
from modules import shared

from ...errors import CheckpointError
from ...weights import exchange as checkpoint
from ...weights.file import WeightsFile
from ...weights.fit import SCALE, unscaled
from ..models.checkpoints import WeakCheckpoint
from . import lora as forge_lora
from .lora import ONLINE

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "const": "flow", "edm": "edm"}
CAST = "parameters_manual_cast"
PREFIX = "diffusion_model."  # of the UNet's weights in the host's patcher


class GGUFFile(WeightsFile):
    def __init__(self, given, path):
        self._held = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
        super().__init__(given, self._held)

    def _shape(self, full):
        return tuple(int(size) for size in reversed(self._held[full].shape))

    def _tensor(self, full):
        return ParameterGGUF(self._held[full])


class Shelf(torch.nn.Module):
    """The weak tensors as the memory manager knows models. Their dictionary is its own: what one moves, both see."""

    def __init__(self, tensors: dict):
        super().__init__()
        self._parameters = tensors

    def _apply(self, fn, recurse=True):
        # torch's own would lose GGUF's kind of parameter.
        for name, tensor in self._parameters.items():
            if tensor is not None:
                there = fn(tensor)
                kind = isinstance(there, torch.nn.Parameter)
                self._parameters[name] = there if kind else torch.nn.Parameter(there, requires_grad=False)
        return self


def patcher():
    return shared.sd_model.forge_objects.unet


class ForgeCheckpoint(WeakCheckpoint):
    OPENERS = {".gguf": GGUFFile}
    lent: "list | tuple" = ()  # layers that have no LoRAs of their own computed on the fly, for the run
    unpatched: dict = {}  # the weak weights as the cache keeps them, of those that other extensions patch in the run

    def diffusion_model(self):
        return patcher().model.diffusion_model

    def prediction(self):
        return PREDICTIONS.get(patcher().model.predictor.prediction_type)

    def zero_terminal(self):
        return bool(getattr(shared.sd_model.model_config, "ztsnr", False))

    def refuse_loaded(self, given):
        if any(hasattr(p, "bnb_quantized") for p in self.diffusion_model().parameters()):
            raise CheckpointError(
                given, "but the loaded checkpoint's UNet is stored in NF4 or FP4, which no other can be read into."
            )

    # ------------------------------------------------------------------ scaled fp8

    def comparable(self, shapes):
        return unscaled(shapes)

    def place(self, info, file):
        dtype = self.stored_in(file)

        def place(tensor, strong):
            if isinstance(tensor, ParameterGGUF):
                if hasattr(strong, "gguf_cls"):  # a quantised layer takes any quantised tensor
                    tensor = tensor.to(strong.device)
                    tensor.computation_dtype = strong.computation_dtype
                    if tensor.gguf_cls is not None:
                        tensor.gguf_cls.bake(tensor)
                    return tensor
                plain = tensor.gguf_cls is None
                tensor = tensor.data.reshape(tensor.real_shape) if plain else tensor.dequantize_as_pytorch_parameter()
            elif hasattr(strong, "gguf_cls"):  # ... and a plain one as well
                tensor = tensor.to(strong.device, strong.computation_dtype)
                return torch.nn.Parameter(tensor, requires_grad=False)
            return checkpoint.like(tensor.data, strong, dtype=dtype)

        return place

    def stored_in(self, file) -> "torch.dtype | None":
        """Where one of the two is scaled fp8 the weak tensors are stored as the host stores that file by itself: all of
        one that is mostly fp8 in that, a plain one in what the host computes in. None: as the strong ones."""
        scaled = any(name.endswith(SCALE) for name in file.names)
        if scaled == self.is_scaled():
            return None
        return file.eight_bit() if scaled else patcher().model.computation_dtype

    def is_scaled(self) -> bool:
        return any(name.endswith(SCALE) for name in self.slots())

    def load_scales(self, file, slots, weights):
        """Beside the weights where the loaded UNet has them too; else (its layers have no place for any) apart."""
        for name in file.names:
            if name.endswith(SCALE):
                scale = file.read(name)
                if self.is_scaled():
                    # A layer of the loaded UNet that has none takes this one, and gives it back.
                    weights.tensors[name] = torch.nn.Parameter(scale, requires_grad=False)
                else:
                    weights.scales[name[: -len(SCALE)]] = scale

    def scales(self, weights) -> list:
        """What is exchanged for weights that are stored scaled, in layers that are not: the layers' own scale, and
        everywhere the host's casting of what is stored to what it computes in."""
        if not weights.scales:
            return []
        modules = dict(self.diffusion_model().named_modules())
        uncast = [module for module in modules.values() if vars(module).get(CAST) is False]
        return [
            *([vars(module), CAST, True] for module in uncast),
            *([vars(modules[name]), SCALE[1:], scale] for name, scale in weights.scales.items()),
        ]

    # ------------------------------------------------------------------ LoRAs

    def patches(self, online: bool, loras: bool = True, others: bool = True) -> dict:
        """weight -> patches of the weak side, those that the host merges or those that it applies at every call: of its
        LoRAs, and of what other extensions have put there, which shapes the picture and is no gap."""
        found = forge_lora.patches(self.loras if loras else (), others)
        return {weight: ps for (weight, kind), ps in found.items() if kind == online and weight.startswith(PREFIX)}

    def merged(self):
        return self.loras if self.patches(online=False, others=False) else ()

    def merge_loras(self, file, weights):
        self.merge(weights, self.patches(online=False, others=False))

    def merge(self, weights, patches: dict) -> None:
        """By the host's own function, on the device where the host merges."""
        device = patcher().load_device
        for name, found in patches.items():
            name = name[len(PREFIX) :]
            weak = weights.tensors[name]
            quantised = getattr(weak, "gguf_cls", None) is not None
            weight = dequantize_tensor(weak) if quantised else weak.data
            merged = merge_lora_to_weight(found, weight.to(device, copy=True), name, computation_dtype=torch.float32)
            if quantised:
                weak = weights.tensors[name] = weak.copy_with_data(weak.data)
                weak.gguf_cls.quantize_pytorch(merged.to(weak.device), weak)
            else:
                weights.tensors[name] = torch.nn.Parameter(merged.to(weak.device), requires_grad=False)

    def installed_slots(self, weights):
        """Now, for the run, other extensions' patches are merged into the weak weights too: they may have come after
        the weak checkpoint was loaded, and are none of the next request's."""
        patches = self.patches(online=False, loras=False)
        self.unpatched = {name[len(PREFIX) :]: weights.tensors[name[len(PREFIX) :]] for name in patches}
        try:
            with checkpoint.reporting_memory(weights.name):
                self.merge(weights, patches)
        except BaseException:
            weights.tensors.update(self.unpatched)
            raise
        return super().installed_slots(weights)

    def also(self, weights):
        return [*self.scales(weights), *self.loras_on_the_fly()]

    def loras_on_the_fly(self):
        """LoRAs that the host computes on the fly belong to the layers, whatever weights these have."""
        unet, wanted = patcher(), {}
        for weight, found in self.patches(online=True).items():
            module, name, _ = utils.get_attr_with_parent(unet.model, weight)
            wanted.setdefault(module, {})[name] = forge_lora.online_patches(found, unet)
        self.lent = [module for module in wanted if ONLINE not in vars(module)]
        for module in self.lent:
            setattr(module, ONLINE, {})
        modules = [module for module in self.diffusion_model().modules() if ONLINE in vars(module)]
        return [[vars(module), ONLINE, wanted.get(module, {})] for module in modules]

    def done(self, weights):
        weights.tensors.update(self.unpatched)
        for module in self.lent:
            if vars(module).get(ONLINE) == {}:  # else the host's own by now
                delattr(module, ONLINE)

    # ------------------------------------------------------------------ memory

    def announce(self, weights):
        """The memory manager loads the weak UNet along with the strong one, and unloads it when others need room."""
        if not hasattr(weights, "patcher"):
            unet = patcher()
            weights.patcher = ModelPatcher(Shelf(weights.tensors), unet.load_device, unet.offload_device)
        unet = patcher().clone()
        unet.add_extra_model_patcher_during_sampling(weights.patcher)
        shared.sd_model.forge_objects.unet = unet
