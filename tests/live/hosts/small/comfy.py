"""Writes small models that ComfyUI loads, a LoRA for each, a ControlNet and an IP-Adapter: comfy.py COMFYUI [PART ...]

With ComfyUI's own Python, before it is started, and after its files have been edited (hosts/comfy.py). In half
precision, with an autoencoder of its smallest kind. Flux and Wan are files of the network alone, as published ones are;
their text is SD3's, which is as wide as theirs.
"""

import json
import sys
from pathlib import Path

COMFYUI, PARTS = Path(sys.argv[1]).resolve(), sys.argv[2:]

import comfy_sizes  # noqa: E402  (beside this file)
import sizes  # noqa: E402
import torch  # noqa: E402
import writing  # noqa: E402

sys.path[0] = str(COMFYUI)
sys.argv[1:] = ["--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.cldm.cldm  # noqa: E402
import comfy.clip_model  # noqa: E402
import comfy.gligen  # noqa: E402
import comfy.ldm.flux.model  # noqa: E402
import comfy.ldm.wan.model  # noqa: E402
import comfy.ldm.wan.vae  # noqa: E402
import comfy.ops  # noqa: E402
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from comfy.ldm.pixart.pixartms import PixArtMS  # noqa: E402
from comfy.taesd.taesd import TAESD  # noqa: E402

torch.set_grad_enabled(False)
MODELS = COMFYUI / "models"
UNET = "model.diffusion_model."


def clip(cls, config: str):
    sizes_of = json.loads((COMFYUI / "comfy" / config).read_text(encoding="utf-8"))
    return cls(sizes_of, torch.float32, "cpu", comfy.ops.manual_cast)


def text_encoder(config: str, seed: int, prefix: str) -> dict:
    made = clip(comfy.clip_model.CLIPTextModel, config)
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
    for name, seed in comfy_sizes.FILES[family].items():
        made = network(cfg, seed)
        state = writing.half(made.state_dict(), UNET)
        writing.save({**state, **rest}, MODELS / f"checkpoints/{name}.safetensors")
    shapes = writing.matrices(made, "attn1.to_", "attn2.to_")
    writing.lora(shapes, MODELS / f"loras/tiny_{family}.safetensors", "lora_unet_", 0.1)


def sd15() -> None:
    rest = text_encoder("sd1_clip_config.json", 1001, "cond_stage_model.transformer.")
    rest.update(autoencoder(4, 5.0, 1000))
    write("sd15", sizes.SD15_COMFY, rest)
    state = writing.half(network(comfy_sizes.SD15_TWO, 3).state_dict(), UNET)
    writing.save({**state, **rest}, MODELS / "checkpoints/small-sd15-two-levels.safetensors")


def sdxl() -> None:
    rest = {
        **text_encoder("sd1_clip_config.json", 2001, "conditioner.embedders.0.transformer."),
        **text_encoder("clip_config_bigg.json", 2002, "conditioner.embedders.1.model.transformer."),
    }
    write("sdxl", sizes.SDXL_COMFY, {**rest, **autoencoder(4, 7.0, 2000)})


# ---------------------------------------------------------------- transformers

LATENT = 16, 8, 8


def transformer(cls, cfg: dict, seed: int, last: str, latent: tuple, gain: float = 1.0, **more):
    """A network whose answer to noise has a std of 1."""
    made = cls(**cfg, dtype=torch.float32, device="cpu", operations=comfy.ops.disable_weight_init)
    made = writing.fill(made, seed, gain)
    for table in made.buffers():  # SD3's of places is memory as it was found, PixArt's of no text another every time
        table.copy_(0.1 * writing.noise(*table.shape, seed=8))
    for name, parameter in made.named_parameters():  # so that it hears the text
        if "modulation" in name and parameter.ndim == 3:
            parameter.mul_(8.0)
        elif ".cross_attn.v." in name or ".cross_attn.o." in name:
            parameter.mul_(2.0)
    text = writing.noise(1, 77, comfy_sizes.TEXT, seed=6)
    answer = made(writing.noise(1, *latent), torch.full((1,), 0.7), context=text, **more)
    writing.scaled(made.get_submodule(last), 1.0 / answer.std())
    return made


def write_networks(family: str, network) -> None:
    for name, seed in comfy_sizes.FILES[family].items():
        made = network(seed)
        writing.save(writing.half(made.state_dict()), MODELS / f"diffusion_models/{name}.safetensors")
    shapes = writing.matrices(made, "attn.q", "img_attn")
    writing.lora(shapes, MODELS / f"loras/tiny_{family}.safetensors", "lora_unet_", 0.1)


def sd3() -> None:
    text = text_encoder("sd1_clip_config.json", 3001, "")
    writing.save(text, MODELS / "text_encoders/small-clip-l.safetensors")
    rest = {f"text_encoders.clip_l.transformer.{name}": tensor for name, tensor in text.items()}
    rest.update(autoencoder(16, 3.0, 3000))
    for name, seed in comfy_sizes.FILES["sd3"].items():
        made = transformer(MMDiT, comfy_sizes.SD3, seed, "final_layer.linear", LATENT, y=writing.noise(1, 2048, seed=7))
        writing.save({**writing.half(made.state_dict(), UNET), **rest}, MODELS / f"checkpoints/{name}.safetensors")
    writing.lora(writing.matrices(made, ".attn."), MODELS / "loras/tiny_sd3.safetensors", "lora_unet_", 0.1)


def flux() -> None:
    more = {"y": writing.noise(1, 768, seed=7), "guidance": torch.full((1,), 3.5), "gain": 0.8}
    cls, cfg = comfy.ldm.flux.model.Flux, comfy_sizes.FLUX
    write_networks("flux", lambda seed: transformer(cls, cfg, seed, "final_layer.linear", LATENT, **more))


def wan() -> None:
    cls, cfg = comfy.ldm.wan.model.WanModel, comfy_sizes.WAN
    write_networks("wan", lambda seed: transformer(cls, cfg, seed, "head.head", (16, 2, 8, 8)))
    made = writing.fill(comfy.ldm.wan.vae.WanVAE(**comfy_sizes.WAN_VAE), 4000)
    last = [layer for layer in made.decoder.head if hasattr(layer, "weight")][-1]
    last.weight.mul_(0.45 / made.decode(writing.noise(1, 16, 2, 8, 8) * 2).std())
    last.bias.zero_()
    writing.save(writing.half(made.state_dict()), MODELS / "vae/small-wan-vae.safetensors")


def pixart() -> None:
    cls, cfg, latent = PixArtMS, comfy_sizes.PIXART, (4, 40, 40)
    write_networks("pixart", lambda seed: transformer(cls, cfg, seed, "final_layer.linear", latent, gain=0.8))


# ---------------------------------------------------------------- what conditioning carries


def controlnet() -> None:
    made = writing.fill(comfy.cldm.cldm.ControlNet(image_size=32, legacy=False, **sizes.control(sizes.SD15_COMFY)), 5)
    state = writing.half(made.state_dict(), "control_model.")
    writing.save(state, MODELS / "controlnet/tiny_controlnet.safetensors")


def gligen() -> None:
    """One layer for each of SD1.5's places, and where things stand."""
    width, text = sizes.SD15_COMFY["model_channels"], sizes.SD15_COMFY["context_dim"]
    made = writing.fill(comfy.gligen.PositionNet(text, text), 6)
    state = writing.half(made.state_dict(), "position_net.")
    for seed, place in enumerate(("input_blocks.1.1", "middle_block.1", "output_blocks.0.1", "output_blocks.1.1")):
        layer = writing.fill(comfy.gligen.GatedSelfAttentionDense(width, text, 8, width // 8), 7 + seed)
        state.update(writing.half(layer.state_dict(), f"{place}.transformer_blocks.0.fuser."))
    writing.save(state, MODELS / "gligen/tiny_gligen.safetensors")


def ip_adapter() -> None:
    """One for SD1.5, and the picture encoder that it asks. The keys of every place are as wide as the first one's,
    whether it is there or not."""
    encoder = clip(comfy.clip_model.CLIPVisionModelProjection, "clip_vision_config_h.json")
    state = writing.half(writing.fill(encoder, 12).state_dict())
    writing.save(state, MODELS / f"clip_vision/{comfy_sizes.IP_ENCODER}.safetensors")
    text, width = sizes.SD15_COMFY["context_dim"], sizes.SD15_COMFY["model_channels"]
    projection = torch.nn.ModuleDict(
        {
            "proj": torch.nn.Linear(encoder.visual_projection.out_features, comfy_sizes.IP_TOKENS * text),
            "norm": torch.nn.LayerNorm(text),
        }
    )
    state = writing.half(writing.fill(projection, 13).state_dict(), "image_proj.")
    places = [f"{2 * i + 1}.to_{what}_ip" for i in range(comfy_sizes.IP_PLACES) for what in "kv"]
    for seed, place in enumerate(places):
        layer = writing.fill(torch.nn.Linear(text, width, bias=False), 14 + seed, 1.0)
        state.update(writing.half(layer.state_dict(), f"ip_adapter.{place}."))
    writing.save(state, MODELS / f"ipadapter/{comfy_sizes.IP_ADAPTER}.safetensors")


if __name__ == "__main__":
    for part in (sd15, sdxl, sd3, flux, wan, pixart, controlnet, gligen, ip_adapter):
        if not PARTS or part.__name__ in PARTS:
            print(f"{part.__name__}:", flush=True)
            part()
