"""Writes small checkpoints that Forge loads, and what Forge Neo has of the same: forge.py forge WEBUI; see neo.py.

With the WebUI's own Python, before it is started, and after its files have been edited (EDITS in hosts/forge.py and
hosts/neo.py). In half precision. On Forge a Flux holds its VAE and text encoders; on Neo they are files of their own,
which its families share, as published ones are named: Flux and Wan without a prefix, Anima `net.`.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

HOST, WEBUI = sys.argv[1], Path(sys.argv[2]).resolve()

import sizes  # noqa: E402  (beside this file)
import torch  # noqa: E402
import writing  # noqa: E402

sys.path.pop(0)
PACKAGES = ("modules_forge/packages",) if HOST == "neo" else ("packages_3rdparty", "repositories/huggingface_guess")
sys.path[:0] = [str(WEBUI), *(str(WEBUI / name) for name in PACKAGES)]
sys.argv = [sys.argv[0], "--cpu" if HOST == "neo" else "--always-cpu"]  # the host's modules read it
from backend.operations import using_forge_operations  # noqa: E402

torch.set_grad_enabled(False)

FILES = sizes.FILES[HOST]
CHECKPOINTS, LORAS = WEBUI / "models/Stable-diffusion", WEBUI / "models/Lora"
PUBLISHED = WEBUI / "backend/huggingface"
SD15, XL, FLUX = (
    PUBLISHED / name
    for name in (
        "runwayml/stable-diffusion-v1-5",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "black-forest-labs/FLUX.1-dev",
    )
)
UNET = "model.diffusion_model."
TIME = 700.0


def read(path: Path) -> dict:
    return json.loads((path / "config.json").read_text(encoding="utf-8"))


def built(cls, seed: int, *args, gain: float = 0.58, **kwargs):
    # Forge's own layers have no weights until some are loaded.
    own = using_forge_operations(device=torch.device("cpu"), dtype=torch.float32) if HOST == "neo" else nullcontext()
    with own:
        made = cls(*args, **kwargs)
    return writing.fill(made.float(), seed, gain)


def louder(made, factor: float, *within: str) -> None:
    """So that a small network hears the text."""
    for name, parameter in made.named_parameters():
        if any(part in name for part in within):
            parameter.mul_(factor)


# ---------------------------------------------------------------- text encoders


def clip(path: Path, seed: int):
    from transformers import CLIPTextConfig, CLIPTextModel

    made = writing.fill(CLIPTextModel(CLIPTextConfig(**read(path))), seed)
    # The WebUI's emphasis "Original" divides by the mean of what a text encoder answers: it must not be 0.
    made.text_model.final_layer_norm.bias.fill_(0.1)
    return made


def open_clip_names(made, width: int, prefix: str) -> dict:
    """SDXL's second text encoder as its files have it."""
    state = {name.removeprefix("text_model."): tensor for name, tensor in made.state_dict().items()}
    renamed = {
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "text_projection": writing.noise(width, width) * width**-0.5,
        "logit_scale": torch.tensor(4.6),
    }
    names = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for end in ("weight", "bias"):
        renamed[f"ln_final.{end}"] = state[f"final_layer_norm.{end}"]
        for layer in range(made.config.num_hidden_layers):
            theirs, ours = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
            for name, new in names.items():
                renamed[f"{ours}{new}.{end}"] = state[f"{theirs}{name}.{end}"]
            joined = [state[f"{theirs}self_attn.{which}_proj.{end}"] for which in "qkv"]
            renamed[f"{ours}attn.in_proj_{end}"] = torch.cat(joined)
    return writing.half(renamed, prefix)


class Texts:
    """A text encoder's tensors by name, made without a module: `state`."""

    def __init__(self, seed: int):
        self.generator, self.state = torch.Generator().manual_seed(seed), {}

    def normal(self, name: str, *shape: int, std: float = 1.0):
        self.state[f"{name}.weight"] = torch.randn(shape, generator=self.generator) * std

    def matrix(self, name: str, outputs: int, inputs: int, gain: float = 1.0):
        self.normal(name, outputs, inputs, std=gain * inputs**-0.5)

    def ones(self, name: str, size: int):
        self.state[f"{name}.weight"] = torch.ones(size)


def t5(config: dict, seed: int) -> dict:
    """T5's encoder or UMT5's, which tells positions in every layer and not in the first alone."""
    made, width, inner = Texts(seed), config["d_model"], config["d_ff"]
    made.normal("shared", config["vocab_size"], width)
    made.ones("encoder.final_layer_norm", width)
    for layer in range(config["num_layers"]):
        block = f"encoder.block.{layer}.layer"
        for which in "qkvo":
            made.matrix(f"{block}.0.SelfAttention.{which}", width, width, 0.5 if which == "q" else 1.0)
        if layer == 0 or config["model_type"] == "umt5":
            made.normal(f"{block}.0.SelfAttention.relative_attention_bias", 32, config["num_heads"])
        made.ones(f"{block}.0.layer_norm", width)
        made.ones(f"{block}.1.layer_norm", width)
        made.matrix(f"{block}.1.DenseReluDense.wi_0", inner, width)
        made.matrix(f"{block}.1.DenseReluDense.wi_1", inner, width)
        made.matrix(f"{block}.1.DenseReluDense.wo", width, inner)
    return made.state


# ---------------------------------------------------------------- VAEs


def picture(*frames: int) -> torch.Tensor:
    shape = (1, 3, *frames, 64, 64)
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


def vae(path: Path, seed: int, channels: int, std: float, cls=None, latent=None):
    """Decodes latents of that std to values of std 0.45, and encodes a picture of noise to such latents."""
    from backend.nn.vae import IntegratedAutoencoderKL

    cls = cls or IntegratedAutoencoderKL
    made = built(cls.from_config, seed, cls.load_config(path / "vae"))
    last = made.decoder.conv_out
    latent = writing.noise(1, channels, 8, 8) if latent is None else latent
    last.weight.mul_(0.45 / made.decode(latent * std).std())
    last.bias.zero_()
    after = getattr(made, "quant_conv", None)
    means = made.encoder(picture())
    means = means if after is None else after(means)
    writing.encodes(after or made.encoder.conv_out, channels, float(std / means[:, :channels].std()))
    return writing.half(made.state_dict())


def module(name: str, state: dict) -> None:
    writing.save(state, WEBUI / "models" / sizes.MODULES[name] / f"{name}.safetensors")


# ---------------------------------------------------------------- families


def write(family: str, network, rest: dict, prefix: str = UNET, rename=lambda name: name):
    """A file for each of the table's names, of network(seed) and what they share; the last network."""
    for name, seed in FILES[family].items():
        made = network(seed)
        state = writing.half({rename(key): tensor for key, tensor in made.state_dict().items()}, prefix)
        writing.save({**state, **rest}, CHECKPOINTS / f"{name}.safetensors")
    return made


def ldm_unet(cfg: dict):
    """Networks of SD1.5's and SDXL's kind, whose eps for noise has a std of 0.9."""
    from backend.nn.unet import IntegratedUNet2DConditionModel

    def network(seed: int):
        made = built(IntegratedUNet2DConditionModel, seed, **cfg)
        louder(made, 2.0, "attn2.to_q.w", "attn2.to_k.w", "attn2.to_v.w", "attn2.to_out.0.w", ".proj_out.w")
        numbers = writing.noise(2, cfg["adm_in_channels"], seed=7) if cfg["adm_in_channels"] else None
        text = writing.noise(2, 77, cfg["context_dim"], seed=6)
        eps = made(writing.noise(2, 4, 8, 8), torch.full((2,), 500.0), text, y=numbers)
        writing.scaled(made.out[2], 0.9 / eps.std())
        return made

    return network


def sd15() -> None:
    rest = {
        **writing.prefixed(vae(SD15, 1000, 4, 5.0), "first_stage_model."),
        **writing.half(clip(SD15 / "text_encoder", 1001).state_dict(), "cond_stage_model.transformer."),
    }
    made = write("sd15", ldm_unet(sizes.SD15), rest)
    writing.lora(writing.matrices(made, "attn1.to_", "attn2.to_"), LORAS / "tiny_sd15.safetensors", "lora_unet_", 0.1)


def sdxl() -> None:
    big = clip(XL / "text_encoder_2", 2002)
    rest = {
        **writing.prefixed(vae(XL, 2000, 4, 7.0), "first_stage_model."),
        **writing.half(clip(XL / "text_encoder", 2001).state_dict(), "conditioner.embedders.0.transformer."),
        **open_clip_names(big, 1280, "conditioner.embedders.1.model."),
    }
    made = write("sdxl", ldm_unet(sizes.SDXL if HOST == "neo" else sizes.SDXL_FORGE), rest)
    writing.lora(writing.matrices(made, "attn1.to_", "attn2.to_"), LORAS / "tiny_sdxl.safetensors", "lora_unet_", 0.1)


def controlnet() -> None:
    from backend.nn.cnets.cldm import ControlNet

    more = {"hint_width": sizes.HINT} if HOST == "neo" else {}
    made = built(ControlNet, 5, **sizes.CONTROL, **more)
    state = writing.half(made.state_dict(), "control_model.")
    writing.save(state, WEBUI / "models/ControlNet/tiny_controlnet.safetensors")


def flux_network(guided: bool):
    from backend.nn.flux import IntegratedFluxTransformer2DModel

    more = {"out_channels": 16, "patch_size": 2} if HOST == "neo" else {}

    def network(seed: int):
        made = built(IntegratedFluxTransformer2DModel, seed, **sizes.FLUX, **more, guidance_embed=guided, gain=0.8)
        text, vector = writing.noise(2, 256, sizes.FLUX["context_in_dim"], seed=6), writing.noise(2, 768, seed=7)
        time, guidance = torch.full((2,), 0.7), torch.full((2,), 3.5)
        answer = made(writing.noise(2, 16, 8, 8), time, text, vector, guidance)
        writing.scaled(made.final_layer.linear, 1.0 / answer.std())
        return made

    return network


def published(name: str) -> str:
    """Flux's norms are called scale in its files."""
    return name.replace("_norm.weight", "_norm.scale")


def quantised(state: dict, path: Path) -> None:
    """GGUF: matrices in Q8_0, the rest as it is."""
    import gguf

    eight = gguf.GGMLQuantizationType.Q8_0
    path.parent.mkdir(parents=True, exist_ok=True)
    file = gguf.GGUFWriter(path, "flux")
    for name, tensor in sorted(state.items()):
        values = tensor.float().numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            file.add_tensor(name, gguf.quants.quantize(values, eight), raw_dtype=eight)
        else:
            file.add_tensor(name, values)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size / 1e6:.0f} MB", flush=True)


def flux() -> None:
    text, long_text = clip(FLUX / "text_encoder", 3001), t5(read(FLUX / "text_encoder_2"), 3002)
    pictures = vae(FLUX, 3000, 16, 2.8)
    if HOST == "neo":
        module("small-clip-l", writing.half(text.state_dict()))
        module("small-t5", writing.half(long_text))
        module("small-flux-vae", pictures)
        rest, prefix = {}, ""
    else:
        rest = {
            **writing.prefixed(pictures, "vae."),
            **writing.half(text.state_dict(), "text_encoders.clip_l.transformer."),
            **writing.half(long_text, "text_encoders.t5xxl.transformer."),
        }
        prefix = UNET
        module("small-flux-clip-l", writing.half(text.state_dict()))
        module("small-flux-t5", writing.half(long_text))
        module("small-flux-vae", pictures)
        for name, seed in sizes.QUANTISED.items():
            made = flux_network(True)(seed)
            state = {published(key): tensor for key, tensor in made.state_dict().items()}
            quantised(state, CHECKPOINTS / f"{name}.gguf")
    for family in ("flux", "schnell"):
        made = write(family, flux_network(family == "flux"), rest, prefix, published)
    writing.lora(writing.matrices(made, "_blocks."), LORAS / "tiny_flux.safetensors", "lora_unet_", 0.05)


def unit_answer(made, last, *inputs) -> None:
    writing.scaled(last, 1.0 / made(*inputs).std())


def own_names(made, block: str, name: str) -> None:
    """A LoRA whose layers have the network's own names."""
    shapes = {key: shape for key, shape in writing.matrices(made, block).items() if key.startswith(block)}
    writing.lora(shapes, LORAS / f"tiny_{name}.safetensors", "diffusion_model.", 0.1, dotted=True)


def make(*families) -> None:
    for family in families:
        print(f"{family.__name__}:", flush=True)
        family()


FAMILIES = (sd15, sdxl, controlnet, flux)

if __name__ == "__main__":
    make(*FAMILIES)
