import torch
from k_diffusion.external import CompVisDenoiser
from modules import sd_models_xl, shared

from tests.webui.network import ALPHAS_CUMPROD, CheckpointInfo, UNet, encode

SELECTED = "base"


class StableDiffusion(torch.nn.Module):
    cond_stage_key, parameterization = "txt", "eps"
    is_sdxl = is_sd3 = False
    apply_model = sd_models_xl.apply_model

    def __init__(self, checkpoint):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.conditioning_key = "crossattn"
        self.model.diffusion_model = UNet(checkpoint)
        self.register_buffer("alphas_cumprod", ALPHAS_CUMPROD)
        self.cond_stage_model_empty_prompt = encode("")[None]
        self.sd_checkpoint_info = CheckpointInfo(checkpoint)

    def get_learned_conditioning(self, texts):
        return [encode(text) for text in texts]


def load(name):
    """Another checkpoint of the same kind goes into the same modules."""
    if shared.sd_model is None:
        shared.sd_model = StableDiffusion(name)
    elif shared.sd_model.sd_checkpoint_info.name != name:
        shared.sd_model.load_state_dict(StableDiffusion(name).state_dict())
        shared.sd_model.sd_checkpoint_info = CheckpointInfo(name)


def unet_of(model):
    return model.model.diffusion_model


def is_flow(model):
    return False


def before_hook(model): ...


def in_sigma(model):
    return CompVisDenoiser(model)


class InTimesteps(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner_model = model

    def forward(self, x, t, **kwargs):
        return self.inner_model.apply_model(x, t, **kwargs)


in_timesteps = InTimesteps


def noised(model, latent, noise, sigma):
    return latent + noise * sigma


checkpoints_list = {name: CheckpointInfo(name) for name in ("base", "refiner")}


def list_models():
    pass
