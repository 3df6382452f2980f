from copy import copy, deepcopy
from types import SimpleNamespace

import torch
from backend.modules.k_model import KModel
from backend.modules.k_prediction import Prediction, PredictionFlow
from backend.patcher.vae import VAE
from modules import shared
from modules.flavour import NEO

from tests.webui.network import CheckpointInfo, UNet, encode

SELECTED = "base"
_loaded = {}


class ForgeObjects(SimpleNamespace):
    def shallow_copy(self):
        return copy(self)


class UnetPatcher(SimpleNamespace):
    def clone(self):
        return UnetPatcher(**{**vars(self), "model_options": deepcopy(self.model_options)})


class Engine:
    """A checkpoint; one whose name has "flow" in it is a rectified flow, one with "wide" has latents of 8 channels."""

    is_sdxl = is_inpaint = use_distilled_cfg_scale = is_wan = False

    def __init__(self, checkpoint):
        predictor = PredictionFlow() if "flow" in checkpoint else Prediction()
        channels = 8 if "wide" in checkpoint else 4
        model = KModel(UNet(checkpoint, channels), predictor)
        unet = UnetPatcher(
            model=model,
            # The whole schedule, of whatever run it was.
            model_options={"transformer_options": {"sampling_sigmas": torch.ones(3)}} if NEO else {},
            controlnet_linked_list=None,
            load_device=torch.device("cpu"),
            memory_required=lambda shape: 0,
            extra_model_patchers_during_sampling=[],
        )
        vae = VAE(checkpoint, channels)
        self.forge_objects = ForgeObjects(unet=unet, vae=vae, clip=SimpleNamespace(cond_stage_model=torch.nn.Module()))
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()
        self.sd_checkpoint_info = CheckpointInfo(checkpoint)

    def set_clip_skip(self, clip_skip):
        self.clip_skip = clip_skip

    def get_learned_conditioning(self, texts):
        return [encode(text) for text in texts]


def load(name):
    """Another checkpoint is another object."""
    if name not in _loaded:
        _loaded[name] = Engine(name)
    shared.sd_model = _loaded[name]


def unet_of(model):
    return model.forge_objects.unet.model.diffusion_model


def predictor_of(model):
    return model.forge_objects.unet.model.predictor


def is_flow(model):
    return predictor_of(model).is_flow


def before_hook(model):
    model.forge_objects = model.forge_objects_after_applying_lora.shallow_copy()


class ScheduleLinker(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner_model, self.predictor = model, predictor_of(model)

    @property
    def sigmas(self):
        return self.predictor.sigmas

    def get_sigmas(self, n):
        return self.predictor.schedule(n)


in_sigma = ScheduleLinker


class InTimesteps(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner_model = model
        model.alphas_cumprod = 1 / (predictor_of(model).sigmas ** 2 + 1)


in_timesteps = InTimesteps


def noised(model, latent, noise, sigma):
    return predictor_of(model).noise_scaling(sigma, noise, latent)


checkpoints_list = {name: CheckpointInfo(name) for name in ("base", "refiner")}


def list_models():
    pass
