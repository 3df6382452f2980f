"""Writes small checkpoints that ComfyUI loads, a LoRA for each and a ControlNet: comfy.py COMFYUI [PART ...]

With ComfyUI's own Python, before it is started, and after its files have been edited (hosts/comfy.py). In half
precision, with an autoencoder of its smallest kind.
"""

import sys
from pathlib import Path

COMFYUI, PARTS = Path(sys.argv[1]).resolve(), sys.argv[2:]

import sizes  # noqa: E402  (beside this file)
import torch  # noqa: E402
import writing  # noqa: E402

sys.path[0] = str(COMFYUI)
sys.argv[1:] = ["--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.cldm.cldm  # noqa: E402
import comfy.clip_model  # noqa: E402
import comfy.ops  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from comfy.taesd.taesd import TAESD  # noqa: E402

torch.set_grad_enabled(False)
MODELS = COMFYUI / "models"
UNET = "model.diffusion_model."


def text_encoder(config: str, seed: int, prefix: str) -> dict:
    import json

    sizes_of = json.loads((COMFYUI / "comfy" / config).read_text(encoding="utf-8"))
    made = comfy.clip_model.CLIPTextModel(sizes_of, torch.float32, "cpu", comfy.ops.manual_cast)
    return writing.half(writing.fill(made, seed).state_dict(), prefix)


def autoencoder(channels: int, std: float, seed: int) -> dict:
    """Decodes latents of that std to values of std 0.45, and encodes a picture of noise to such latents."""
    made = writing.fill(TAESD(latent_channels=channels), seed, 1.0)
    made.vae_scale.fill_(1 / std)
    made.vae_shift.fill_(0.0)
    last = made.taesd_decoder[-1]
    last.weight.mul_(0.45 / 2 / made.taesd_decoder(writing.noise(1, channels, 16, 16)).std())
    last.bias.fill_(0.5)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    writing.scaled(made.taesd_encoder[-1], 1.0 / made.taesd_encoder(picture).std())
    return writing.half(made.state_dict(), "first_stage_model.")


def network(cfg: dict, seed: int):
    """Of SD1.5's and SDXL's kind, whose eps for noise has a std of 0.9."""
    made = writing.fill(UNetModel(image_size=32, legacy=False, **cfg), seed)
    for name, parameter in made.named_parameters():  # so that it hears the text
        if any(part in name for part in ("attn2.to_q.w", "attn2.to_k.w", "attn2.to_v.w", "attn2.to_out.0.w")):
            parameter.mul_(2.0)
        elif ".proj_out.w" in name:
            parameter.mul_(2.0)
    numbers = writing.noise(2, cfg["adm_in_channels"], seed=7) if cfg["adm_in_channels"] else None
    text = writing.noise(2, 77, cfg["context_dim"], seed=6)
    eps = made(writing.noise(2, 4, 8, 8), torch.full((2,), 500.0), text, y=numbers)
    writing.scaled(made.out[2], 0.9 / eps.std())
    return made


def write(family: str, cfg: dict, rest: dict):
    for name, seed in sizes.COMFY[family].items():
        made = network(cfg, seed)
        state = writing.half(made.state_dict(), UNET)
        writing.save({**state, **rest}, MODELS / f"checkpoints/{name}.safetensors")
    shapes = writing.matrices(made, "attn1.to_", "attn2.to_")
    writing.lora(shapes, MODELS / f"loras/tiny_{family}.safetensors", "lora_unet_", 0.1)


def sd15() -> None:
    rest = text_encoder("sd1_clip_config.json", 1001, "cond_stage_model.transformer.")
    write("sd15", sizes.SD15_COMFY, {**rest, **autoencoder(4, 5.0, 1000)})


def sdxl() -> None:
    rest = {
        **text_encoder("sd1_clip_config.json", 2001, "conditioner.embedders.0.transformer."),
        **text_encoder("clip_config_bigg.json", 2002, "conditioner.embedders.1.model.transformer."),
    }
    write("sdxl", sizes.SDXL, {**rest, **autoencoder(4, 7.0, 2000)})


def controlnet() -> None:
    made = writing.fill(comfy.cldm.cldm.ControlNet(image_size=32, legacy=False, **sizes.control(sizes.SD15_COMFY)), 5)
    state = writing.half(made.state_dict(), "control_model.")
    writing.save(state, MODELS / "controlnet/tiny_controlnet.safetensors")


if __name__ == "__main__":
    for part in (sd15, sdxl, controlnet):
        if not PARTS or part.__name__ in PARTS:
            print(f"{part.__name__}:", flush=True)
            part()
