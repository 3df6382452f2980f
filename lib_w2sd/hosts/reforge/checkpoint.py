"""Weak checkpoints in reForge: a plain exchange of the UNet's tensors. LoRAs stay on the strong side."""

from modules import shared

from ..models.checkpoints import WeakCheckpoint

PREDICTIONS = {"EPS": "eps", "V_PREDICTION": "v", "EDM": "edm", "FLOW": "flow", "FLUX": "flow"}


def patcher():
    return shared.sd_model.forge_objects.unet


class ReForgeCheckpoint(WeakCheckpoint):
    def diffusion_model(self):
        return patcher().model.diffusion_model

    def prediction(self):
        return PREDICTIONS.get(patcher().model.model_type.name)

    def merged(self):
        return ()

    def installed_slots(self, weights):
        # Before sampling, when they are read, the UNet may not be on the device yet.
        weights.to(patcher().load_device)
        return super().installed_slots(weights)

    def done(self, weights):
        weights.to(patcher().offload_device)
