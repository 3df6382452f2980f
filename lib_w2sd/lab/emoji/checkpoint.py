"""The model as AUTOMATIC1111's WebUI loads it: one safetensors file in the original Stable Diffusion's names, and its .yaml.

The .yaml names the text encoder's folder, which holds its sizes and CLIP's tokenizer, by its full path: write the files
where they are to stay (models/Stable-diffusion), or write them again after moving.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from . import autoencoder, clip, models, text, unet, weights
from .models import Model

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def unet_places(levels: int = len(unet.CHANNELS), blocks: int = 1) -> dict:
    """{module in diffusers' UNet: module in the original}, for the parts that have other names there."""
    found = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    place = 1
    for level in range(levels):
        for block in range(blocks):
            found[f"down_blocks.{level}.resnets.{block}"] = f"input_blocks.{place}.0"
            found[f"down_blocks.{level}.attentions.{block}"] = f"input_blocks.{place}.1"
            place += 1
        if level < levels - 1:
            found[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{place}.0.op"
            place += 1
    place = 0
    for level in range(levels):
        attends = "CrossAttn" in unet.UP[level]
        for block in range(blocks + 1):
            found[f"up_blocks.{level}.resnets.{block}"] = f"output_blocks.{place}.0"
            found[f"up_blocks.{level}.attentions.{block}"] = f"output_blocks.{place}.1"
            if block == blocks and level < levels - 1:
                found[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{place}.{2 if attends else 1}.conv"
            place += 1
    return found


def vae_places(levels: int = len(autoencoder.CHANNELS), blocks: int = 1) -> dict:
    """The same for the autoencoder."""
    found = {}
    for half, count in (("encoder", blocks), ("decoder", blocks + 1)):
        found[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        found[f"{half}.mid_block.resnets.0"] = f"{half}.mid.block_1"
        found[f"{half}.mid_block.attentions.0"] = f"{half}.mid.attn_1"
        found[f"{half}.mid_block.resnets.1"] = f"{half}.mid.block_2"
        way = "down" if half == "encoder" else "up"
        for level in range(levels):
            own = level if half == "encoder" else levels - 1 - level
            for block in range(count):
                found[f"{half}.{way}_blocks.{level}.resnets.{block}"] = f"{half}.{way}.{own}.block.{block}"
            found[f"{half}.{way}_blocks.{level}.{way}samplers.0.conv"] = f"{half}.{way}.{own}.{way}sample.conv"
    return found


def renamed(name: str, places: dict, inner: "dict | None" = None) -> str:
    """A parameter's or module's name in the original, by the longest place that it lies in."""
    for place in sorted(places, key=len, reverse=True):
        if name == place or name.startswith(place + "."):
            rest = name[len(place) :]
            for old, new in (inner or {}).items():
                if rest == f".{old}" or rest.startswith(f".{old}."):
                    rest = f".{new}{rest[len(old) + 1 :]}"
            return places[place] + rest
    return name


def unet_name(name: str) -> str:
    return renamed(name, unet_places(), RESNET)


def _attention(name: str) -> str:
    for old, new in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f".attn_1.{old}.", f".attn_1.{new}.")
    return name


def vae_tensor(name: str, value: torch.Tensor) -> "tuple[str, torch.Tensor]":
    """Name and tensor in the original, where the attention's linear layers are 1x1 convolutions."""
    name = _attention(renamed(name, vae_places(), {"conv_shortcut": "nin_shortcut"}))
    linear = ".attn_1." in name and ".norm." not in name and value.ndim == 2
    return name, value[:, :, None, None] if linear else value


def tensors(model: Model, vae) -> dict:
    """The checkpoint's tensors, with CLIP's full vocabulary."""
    found = {f"model.diffusion_model.{unet_name(k)}": v for k, v in model.unet.state_dict().items()}
    for name, value in vae.state_dict().items():
        name, value = vae_tensor(name, value)
        found[f"first_stage_model.{name}"] = value
    for name, value in model.text.state_dict().items():
        name = name.removeprefix("text_model.")
        if "position_ids" not in name:
            value = model.tokens.full(value) if name == "embeddings.token_embedding.weight" else value
            found[f"cond_stage_model.transformer.text_model.{name}"] = value
    return {name: value.detach().float().contiguous().clone() for name, value in found.items()}


YAML = """# {about}
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: {low}
    linear_end: {high}
    num_timesteps_cond: 1
    log_every_t: 200
    timesteps: {steps}
    first_stage_key: jpg
    cond_stage_key: txt
    image_size: 8
    channels: 4
    cond_stage_trainable: false
    conditioning_key: crossattn
    scale_factor: {scaling}
    use_ema: false
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: 8
        in_channels: 4
        out_channels: 4
        model_channels: {channels}
        attention_resolutions: [1]
        num_res_blocks: 1
        channel_mult: {mult}
        num_heads: {heads}
        use_spatial_transformer: true
        transformer_depth: 1
        context_dim: {width}
        use_checkpoint: false
        legacy: false
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        monitor: val/rec_loss
        ddconfig:
          double_z: true
          z_channels: 4
          resolution: 64
          in_channels: 3
          out_ch: 3
          ch: {ch}
          ch_mult: {ch_mult}
          num_res_blocks: 1
          attn_resolutions: []
          dropout: 0.0
        lossconfig:
          target: torch.nn.Identity
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params:
        version: {clip}
        device: cpu
"""


def yaml(clip: Path, about: str) -> str:
    low, high, steps = unet.BETAS
    first, ch = unet.CHANNELS[0], autoencoder.CHANNELS[0]
    return YAML.format(
        about=about,
        low=low,
        high=high,
        steps=steps,
        scaling=autoencoder.SCALING,
        channels=first,
        mult=[c // first for c in unet.CHANNELS],
        heads=unet.HEADS,
        width=text.WIDTH,
        ch=ch,
        ch_mult=[c // ch for c in autoencoder.CHANNELS],
        clip=json.dumps(str(clip.resolve())),
    )


def text_config() -> dict:
    """The text encoder's config.json, which every version of transformers reads."""
    kept = "hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings hidden_act"
    config = text.config(text.FULL)
    about = {key: getattr(config, key) for key in (*kept.split(), "vocab_size", "projection_dim", "layer_norm_eps")}
    ids = {"bos_token_id": text.START, "eos_token_id": text.END, "pad_token_id": text.END}
    return {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", **about, **ids}


def write(folder: Path, names=models.NAMES, loras: "Path | None" = None, rewards: "Path | None" = None) -> list:
    """Write emoji-<name>.safetensors and .yaml for each of `names`, the text encoder's folder, the LoRAs, and the reward
    where its folder is given; the paths."""
    encoder = text.write_tokenizer(folder / "emoji-text-encoder")
    (encoder / "config.json").write_text(json.dumps(text_config(), indent=2), encoding="utf-8")
    vae, written = models.load_autoencoder(), [encoder]
    for name in names:
        model = models.load(name)
        path = folder / f"emoji-{name}.safetensors"
        save_file(tensors(model, vae), path, metadata={"format": "pt", "modelspec.prediction_type": "v"})
        about = f"A small emoji model in Stable Diffusion 1.5's layout, {name}: {model.about['steps']} training steps."
        path.with_suffix(".yaml").write_text(yaml(encoder, about), encoding="utf-8")
        written += [path, path.with_suffix(".yaml")]
    for path in sorted(weights.FOLDER.glob("emoji-*.safetensors")):
        (loras or folder).mkdir(parents=True, exist_ok=True)
        written.append(Path(shutil.copy(path, loras or folder)))
    return [*written, clip.write(rewards / clip.NAME)] if rewards else written
