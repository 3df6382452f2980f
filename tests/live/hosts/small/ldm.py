"""Writes small SD1.x and SDXL checkpoints, with their .yaml, for AUTOMATIC1111's WebUI: ldm.py WEBUI

With the WebUI's own Python, and before it is started. Only tiny-sd15 has a .yaml of its own; the other two of its kind
go by the WebUI's configs/v1-inference.yaml, which becomes the same: weak to weak2 is then loaded into the modules that
are there, and tiny-sd15 to weak into new ones.
"""

import json
import sys
from pathlib import Path

WEBUI = Path(sys.argv[1]).resolve()

import sizes  # noqa: E402  (beside this file)
import torch  # noqa: E402
import writing  # noqa: E402

sys.path.pop(0)
sys.path[:0] = [str(WEBUI / "repositories" / name) for name in ("stable-diffusion-stability-ai", "generative-models")]
torch.set_grad_enabled(False)

TEXT = WEBUI / "models/small/clip"
CHECKPOINTS, LORAS = WEBUI / "models/Stable-diffusion", WEBUI / "models/Lora"
CONFIG, KEPT = WEBUI / "configs/v1-inference.yaml", WEBUI / "configs/v1-inference.yaml.before-small"
XL_CONFIG = WEBUI / "repositories/generative-models/configs/inference/sd_xl_base.yaml"
SCALES = {"sd15": 0.18215, "sdxl": 0.13025}


def register_open_clip() -> None:
    """Before open_clip is imported: it looks for its models' sizes once."""
    import importlib.util

    (folder,) = importlib.util.find_spec("open_clip").submodule_search_locations
    (Path(folder) / "model_configs" / f"{sizes.A1111_OPEN_CLIP}.json").write_text(json.dumps(sizes.A1111_BIG_G))


def text_encoder():
    """CLIP's, and its folder, which names its sizes and has CLIP's vocabulary."""
    from clip.simple_tokenizer import SimpleTokenizer
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(**sizes.A1111_CLIP)
    config.save_pretrained(TEXT)
    words = SimpleTokenizer()
    (TEXT / "vocab.json").write_text(json.dumps(words.encoder), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in words.bpe_ranks)
    (TEXT / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    made = writing.fill(CLIPTextModel(config), 1000)
    with_mean(made.text_model.final_layer_norm.bias, 1001)
    return made


def with_mean(bias, seed: int) -> None:
    """The WebUI's emphasis divides by the mean of what a text encoder answers: it must not be 0."""
    bias.copy_(0.1 + 0.2 * writing.noise(*bias.shape, seed=seed))


def open_clip_text():
    import open_clip

    made, _, _ = open_clip.create_model_and_transforms(sizes.A1111_OPEN_CLIP, pretrained=None)
    del made.visual
    writing.fill(made, 2000)
    with_mean(made.ln_final.bias, 2001)
    return made


def autoencoder(params, scale: float, seed: int):
    """Decodes latents of std 1 to values of std 0.45, and encodes a picture of noise to such latents."""
    from ldm.modules.diffusionmodules.model import Decoder, Encoder

    sizes_of = dict(params.ddconfig)
    made = torch.nn.ModuleDict(
        {
            "encoder": Encoder(**sizes_of),
            "decoder": Decoder(**sizes_of),
            "quant_conv": torch.nn.Conv2d(8, 8, 1),
            "post_quant_conv": torch.nn.Conv2d(4, 4, 1),
        }
    )
    writing.fill(made, seed)
    decoded = made["decoder"](made["post_quant_conv"](writing.noise(1, 4, 16, 16) / scale))
    made["decoder"].conv_out.weight.mul_(0.45 / decoded.std())
    made["decoder"].conv_out.bias.zero_()
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    means = made["quant_conv"](made["encoder"](picture))[:, :4]
    writing.encodes(made["quant_conv"], 4, float(1 / scale / means.std()))
    return made


def unet(cls, params: dict, seed: int):
    """Of a useful form: what it answers is the latent, normalised, and a part that the prompt and the time shape. So
    pictures are neither grey nor saturated.

    The latent and its negative take the first eight channels from the first convolution over the last skip to the
    end, where SiLU(x) - SiLU(-x) is x.
    """
    made = writing.fill(cls(**params), seed)
    for name, module in made.named_modules():
        if name.endswith("attn2"):  # the prompt counts
            module.to_q.weight.mul_(2)
            module.to_k.weight.mul_(2)
            module.to_out[0].weight.mul_(4)
    first, (block, *rest), end = made.input_blocks[0][0], made.output_blocks[-1], made.out[2]
    skip, both = block.skip_connection, slice(0, 8)
    below = skip.weight.shape[1] - first.weight.shape[0]
    for layer in (first, skip):
        layer.weight[both], layer.bias[both] = 0, 0
    for channel in range(4):
        first.weight[channel, channel, 1, 1], first.weight[4 + channel, channel, 1, 1] = 1, -1
    for channel in range(8):
        skip.weight[channel, below + channel, 0, 0] = 1
    for layer in (block.out_layers[3], *(module.proj_out for module in rest)):
        layer.weight[both] *= 0.02
        layer.bias[both] = 0
    end.weight[:, both], end.bias[:] = 0, 0
    for channel in range(4):
        end.weight[channel, channel, 1, 1], end.weight[channel, 4 + channel, 1, 1] = 1, -1
    return made


def sd15(text) -> None:
    from ldm.modules.diffusionmodules.openaimodel import UNetModel
    from omegaconf import OmegaConf

    if not KEPT.exists():
        KEPT.write_text(CONFIG.read_text())
    config = OmegaConf.load(KEPT)
    params = config.model.params
    params.unet_config.params.update(sizes.A1111_UNET)
    params.first_stage_config.params.ddconfig.update(sizes.A1111_VAE)
    params.cond_stage_config.params = {"version": str(TEXT), "device": "cpu"}
    shared = {
        **writing.prefixed(
            autoencoder(params.first_stage_config.params, SCALES["sd15"], 1002).state_dict(), "first_stage_model."
        ),
        **writing.prefixed(text.state_dict(), "cond_stage_model.transformer."),
    }
    for name, seed in sizes.A1111["sd15"].items():
        made = unet(UNetModel, OmegaConf.to_container(params.unet_config.params), seed)
        state = writing.prefixed(made.state_dict(), "model.diffusion_model.")
        writing.save({**state, **shared}, CHECKPOINTS / f"{name}.safetensors")
    for path in (CHECKPOINTS / f"{next(iter(sizes.A1111['sd15']))}.yaml", CONFIG):
        OmegaConf.save(config, path)
    writing.lora(writing.matrices(made, "attn1.to_", "attn2.to_"), LORAS / "tiny_sd15.safetensors", "lora_unet_", 0.25)


def sdxl(text) -> None:
    from omegaconf import OmegaConf
    from sgm.modules.diffusionmodules.openaimodel import UNetModel

    config = OmegaConf.load(XL_CONFIG)
    params = config.model.params
    params.network_config.params.update(sizes.A1111_XL)
    first, second, *numbers = params.conditioner_config.params.emb_models
    first.params = {"version": str(TEXT), "device": "cpu", "layer": "hidden", "layer_idx": 3}
    second.params.update({"arch": sizes.A1111_OPEN_CLIP, "device": "cpu"})
    for embedded in numbers:
        embedded.params.outdim = sizes.A1111_SIZES
    params.first_stage_config.params.ddconfig.update({**sizes.A1111_VAE, "attn_type": "vanilla"})
    shared = {
        **writing.prefixed(
            autoencoder(params.first_stage_config.params, SCALES["sdxl"], 2002).state_dict(), "first_stage_model."
        ),
        **writing.prefixed(text.state_dict(), "conditioner.embedders.0.transformer."),
        **writing.prefixed(open_clip_text().state_dict(), "conditioner.embedders.1.model."),
    }
    for name, seed in sizes.A1111["sdxl"].items():
        made = unet(UNetModel, OmegaConf.to_container(params.network_config.params), seed)
        state = writing.prefixed(made.state_dict(), "model.diffusion_model.")
        writing.save({**state, **shared}, CHECKPOINTS / f"{name}.safetensors")
        OmegaConf.save(config, CHECKPOINTS / f"{name}.yaml")
    writing.lora(writing.matrices(made, "attn1.to_", "attn2.to_"), LORAS / "tiny_sdxl.safetensors", "lora_unet_", 0.25)


if __name__ == "__main__":
    register_open_clip()
    clip = text_encoder()
    sd15(clip)
    sdxl(clip)
