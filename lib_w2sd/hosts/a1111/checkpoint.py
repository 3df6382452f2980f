"""Weak checkpoints in AUTOMATIC1111's WebUI 1.10.1: its LoRAs, its low-memory modes, its fp8."""

import sys
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from modules import devices, lowvram, sd_models_config, sd_unet, shared

from ...errors import CheckpointError
from ...weights import exchange as checkpoint
from ...weights.exchange import CheckpointOverlay
from ..models.checkpoints import WeakCheckpoint
from ..sampling.isolation.swapped import swapped
from . import lora as a1111_lora
from . import motion

# What the built-in Lora extension keeps in a layer about the weights that the layer has.
LORA_STATE = {"network_current_names": (), "network_weights_backup": None, "network_bias_backup": None}
# Its functions that compare a layer with the LoRAs asked for, and write into the layer's weights.
LORA_WRITERS = ("network_apply_weights", "network_restore_weights_from_backup", "network_reset_cached_weight")

OTHER_LAYERS = "half precision, but where it is fp8"
# A LoRA names a layer, or the parts of one that holds several.
LORA_PARTS = ("", "_q_proj", "_k_proj", "_v_proj", "_out_proj")


def lora_extension():
    """The built-in Lora extension's module, or None where it is switched off."""
    networks = sys.modules.get("networks")
    return networks if all(hasattr(networks, name) for name in (*LORA_WRITERS, "loaded_networks")) else None


class A1111Checkpoint(WeakCheckpoint):
    def diffusion_model(self):
        return shared.sd_model.model.diffusion_model

    def prediction(self):
        model = shared.sd_model
        return "flow" if getattr(model, "is_sd3", False) else getattr(model, "parameterization", None)

    def refuse_loaded(self, given):
        if sd_unet.current_unet is not None:
            raise CheckpointError(
                given, "but the setting SD Unet runs another UNet than the checkpoint's. Set it to None."
            )

    def slots(self):
        unet = self.diffusion_model()
        with motion.left_out(unet):
            slots = super().slots()
            for name, module in unet.named_modules():
                # A LoRA may give a layer a bias that its checkpoint has not: the host then has no backup of one.
                merged = getattr(module, "network_current_names", ())
                if merged and getattr(module, "network_bias_backup", None) is None:
                    slots.pop(f"{name}.bias", None)
        return slots

    def installed_slots(self, weights):
        with motion.left_out(self.diffusion_model()):
            return super().installed_slots(weights)

    def rounding(self, info):
        """The dtype that the host goes through on loading the file: the half precision that it computes in. With
        --no-half, where it changes from one fp8 UNet to another: it halves the one before the file goes into it, or the
        new one, whose fp8 layers it then fills at once (OTHER_LAYERS)."""
        if not shared.cmd_opts.no_half:
            return torch.float16
        if not devices.fp8:
            return None
        into_the_same_modules = not any(
            sd_models_config.find_checkpoint_config_near_filename(one)
            for one in (info, shared.sd_model.sd_checkpoint_info)
        )
        if into_the_same_modules:
            return torch.float16
        # Not where the loaded one is the first in fp8.
        whole = (slot.tensor for slot in self.slots().values() if slot.tensor.dtype == torch.float32)
        return OTHER_LAYERS if all(torch.equal(tensor.half().float(), tensor) for tensor in whole) else None

    def place(self, info, file):
        via = self.rounding(info)
        if via != OTHER_LAYERS:
            return partial(checkpoint.like, via=via)

        def place(tensor, strong):
            return checkpoint.like(tensor, strong, torch.float16 if strong.dtype == torch.float32 else None)

        return place

    # ------------------------------------------------------------------ LoRAs

    def networks(self) -> list:
        """The host's networks of the weak side, at its scales."""
        return [a1111_lora.loaded(use) for use in self.loras]

    def merged(self):
        return () if shared.opts.lora_functional else self.loras

    def merge_loras(self, file, weights):
        """By the host's own function, layer by layer, with the weak tensors in the layer and nothing known of them.

        The host would keep a copy of every layer to go back to. It is dropped at once: other LoRAs make another
        key in the cache, and the file is read again.
        """
        unet = self.diffusion_model()
        with motion.left_out(unet):
            self._merge_loras(unet, file, weights)

    def _merge_loras(self, unet, file, weights):
        networks, wanted = lora_extension(), self.networks()
        touched = {key for net in wanted for key in net.modules}
        for name, module in unet.named_modules():
            layer = getattr(module, "network_layer_name", None)
            if layer is None or touched.isdisjoint(layer + part for part in LORA_PARTS):
                continue
            own = [f"{name}.{key}" for key, _ in module.named_parameters()]
            if module._parameters.get("bias", "") is None:
                own.append(f"{name}.bias")
            with ExitStack() as stack:
                stack.enter_context(swapped(networks, "loaded_networks", wanted))
                for key, value in LORA_STATE.items():
                    stack.enter_context(swapped(module, key, value))
                for key in ("weight", "bias"):  # with "cache fp16 weights", an fp8 layer is merged from these
                    if hasattr(module, f"fp16_{key}"):
                        half = file.read(f"{name}.{key}").half()
                        stack.enter_context(swapped(module, f"fp16_{key}", half))
                held = {}
                for full in own:
                    slot = checkpoint.slot_named(unet, full)
                    held[full] = slot, slot.tensor
                try:
                    for full, (slot, _) in held.items():
                        weak = weights.tensors.get(full)
                        # Where the host merges: in the low-memory modes the UNet may not be there yet.
                        slot.store[slot.key] = weak if weak is None else checkpoint.moved(weak, devices.device)
                    networks.network_apply_weights(module)
                finally:
                    for full, (slot, strong) in held.items():
                        merged, slot.store[slot.key] = slot.tensor, strong
                        weak = weights.tensors.get(full)
                        if merged is not None:
                            weights.tensors[full] = merged if weak is None else checkpoint.moved(merged, weak.device)

    @contextmanager
    def lora_at_rest(self, on_the_fly: list):
        """While the weak tensors are in place, the host neither merges into them nor restores over them. The motion
        module, which is not exchanged, has the picture's LoRAs.

        on_the_fly  the networks that it computes beside them (lora_functional)
        """
        networks = lora_extension()
        with ExitStack() as stack:
            if networks is not None:
                if shared.opts.lora_functional:
                    on_the_fly = [a1111_lora.part_of(net, False) for net in on_the_fly]
                    on_the_fly += [a1111_lora.part_of(net, True) for net in networks.loaded_networks]
                else:
                    for layer in self.moving:
                        networks.network_apply_weights(layer)
                for name in LORA_WRITERS:
                    stack.enter_context(swapped(networks, name, lambda layer: None))
                stack.enter_context(swapped(networks, "loaded_networks", on_the_fly))
            yield

    # ------------------------------------------------------------------ low-memory modes

    def overlay(self, weights):
        def settle():
            if shared.cmd_opts.lowvram:  # one block of the UNet at a time is on the device
                lowvram.send_everything_to_cpu()

        # The layers of a motion module that LoRAs may change.
        named = (module for layer in motion.layers(self.diffusion_model()) for module in layer.modules())
        self.moving = [module for module in named if isinstance(module, a1111_lora.MERGED_TYPES)]
        around = partial(self.lora_at_rest, [] if self.merged() else self.networks())
        return CheckpointOverlay(
            weights,
            lambda unet: self.installed_slots(weights),
            around=around,
            settle=settle,
            done=self.done,
            takes_back=True,
        )

    def done(self, weights):
        if lowvram.is_enabled(shared.sd_model):  # as the host does with its UNet when others need the room
            weights.to(devices.cpu)
