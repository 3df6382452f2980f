"""Writes small checkpoints that Forge and Forge Neo load: forge.py forge|neo WEBUI

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


def qwen3(config: dict, seed: int, prefix: str, vocabulary: int = 151936, head: int = 128, layers: int = 36) -> dict:
    made, width, inner = Texts(seed), config["hidden_size"], config["intermediate_size"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    made.normal("model.embed_tokens", vocabulary, width)
    made.ones("model.norm", width)
    for layer in range(config.get("num_hidden_layers", layers)):
        block = f"model.layers.{layer}"
        made.matrix(f"{block}.self_attn.q_proj", queries, width)
        made.matrix(f"{block}.self_attn.k_proj", keys, width)
        made.matrix(f"{block}.self_attn.v_proj", keys, width)
        made.matrix(f"{block}.self_attn.o_proj", width, queries)
        made.matrix(f"{block}.mlp.gate_proj", inner, width)
        made.matrix(f"{block}.mlp.up_proj", inner, width)
        made.matrix(f"{block}.mlp.down_proj", width, inner)
        for name in ("self_attn.q_norm", "self_attn.k_norm"):
            made.ones(f"{block}.{name}", head)
        for name in ("input_layernorm", "post_attention_layernorm"):
            made.ones(f"{block}.{name}", width)
    return writing.half(made.state, prefix)


# ---------------------------------------------------------------- VAEs


def picture(*frames: int) -> torch.Tensor:
    shape = (1, 3, *frames, 64, 64)
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


def vae(path: Path, seed: int, channels: int, std: float):
    """Decodes latents of that std to values of std 0.45, and encodes a picture of noise to such latents."""
    from backend.nn.vae import IntegratedAutoencoderKL

    made = built(IntegratedAutoencoderKL.from_config, seed, IntegratedAutoencoderKL.load_config(path / "vae"))
    last = made.decoder.conv_out
    last.weight.mul_(0.45 / made.decode(writing.noise(1, channels, 8, 8) * std).std())
    last.bias.zero_()
    after = getattr(made, "quant_conv", None)
    means = made.encoder(picture())
    means = means if after is None else after(means)
    writing.encodes(after or made.encoder.conv_out, channels, float(std / means[:, :channels].std()))
    return writing.half(made.state_dict())


def wan_vae() -> None:
    from backend.nn.wan_vae import WanVAE

    config = {k: v for k, v in read(PUBLISHED / "Wan-AI/Wan2.1-T2V-14B/vae").items() if not k.startswith("latents")}
    made = built(WanVAE.from_config, 4000, config)
    last = [layer for layer in made.decoder.head if hasattr(layer, "weight")][-1]
    last.weight.mul_(0.45 / made.decode(writing.noise(1, 16, 2, 8, 8) * 2).std())
    last.bias.zero_()
    made.conv1.weight[:16].mul_(2 / made.encode(picture(5)).std())
    module("small-wan-vae", writing.half(made.state_dict()))


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


# ---------------------------------------------------------------- Neo's own


def own_names(made, block: str, name: str) -> None:
    """A LoRA whose layers have the network's own names."""
    shapes = {key: shape for key, shape in writing.matrices(made, block).items() if key.startswith(block)}
    writing.lora(shapes, LORAS / f"tiny_{name}.safetensors", "diffusion_model.", 0.1, dotted=True)


def unit_answer(made, last, *inputs) -> None:
    writing.scaled(last, 1.0 / made(*inputs).std())


def wan() -> None:
    from backend.nn.wan import WanModel

    def network(seed: int, channels: int = sizes.WAN_CHANNELS["text to video"]):
        made = built(WanModel, seed, model_type="t2v", in_dim=channels, **sizes.WAN, gain=1.0)
        louder(made, 8.0, "modulation")
        louder(made, 2.0, ".cross_attn.v.", ".cross_attn.o.")
        text = writing.noise(2, 512, sizes.WAN["text_dim"], seed=6)
        unit_answer(made, made.head.head, writing.noise(2, channels, 2, 8, 8), torch.full((2,), TIME), text)
        return made

    made = write("wan", network, {}, "")
    for name, seed in sizes.IMAGE_TO_VIDEO.items():
        state = network(seed, sizes.WAN_CHANNELS["image to video"]).state_dict()
        writing.save(writing.half(state), CHECKPOINTS / f"{name}.safetensors")
    module("small-umt5", writing.half(t5(read(PUBLISHED / "Wan-AI/Wan2.1-T2V-14B/text_encoder"), 4001)))
    wan_vae()
    own_names(made, "blocks.", "wan")


def krea2() -> None:
    import backend.nn.llm.llama  # noqa: F401  (before the next one)
    from backend.nn.krea import SingleStreamDiT
    from backend.nn.llm.qwen35 import Qwen3VLVisionModel

    prefix, width = "text_encoders.qwen3vl_4b.transformer.", sizes.QWEN_VL["hidden_size"]
    sees = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "in_channels": 3,
        "spatial_merge_size": 2,
        "num_position_embeddings": 2304,
        "out_hidden_size": width,
        **sizes.QWEN_VISION,
    }
    rest = qwen3(sizes.QWEN_VL, 5001, prefix)
    rest.update(writing.half(built(Qwen3VLVisionModel, 5002, sees).state_dict(), f"{prefix}visual."))

    def network(seed: int):
        made = built(SingleStreamDiT, seed, **sizes.KREA2, gain=1.0)
        louder(made, 0.0, ".scale")  # stored less 1
        louder(made, 2.0, "attn.wv.weight", "attn.wo.weight")
        for name, parameter in made.named_parameters():
            if name.endswith(("mod.lin", "modulation.lin")):
                parameter.copy_(writing.noise(*parameter.shape, seed=seed + 10) * 0.5)
        text = writing.noise(2, 30, sizes.KREA2["txtlayers"] * width, seed=6)
        unit_answer(made, made.last.linear, writing.noise(2, 16, 1, 8, 8), torch.full((2,), 0.7), text)
        return made

    own_names(write("krea2", network, rest), "blocks.", "krea2")


def zimage() -> None:
    from backend.nn.lumina import NextDiT

    def network(seed: int):
        made = built(NextDiT, seed, **sizes.ZIMAGE, gain=1.0)
        text = writing.noise(2, 32, sizes.QWEN["hidden_size"], seed=6)
        unit_answer(made, made.final_layer.linear, writing.noise(2, 16, 8, 8), torch.full((2,), 0.7), text)
        return made

    rest = qwen3(sizes.QWEN, 6001, "text_encoders.qwen3_4b.transformer.")
    own_names(write("zimage", network, rest), "layers.", "zimage")


def anima() -> None:
    from backend.nn.anima import Anima, LLMAdapter

    width = sizes.QWEN["hidden_size"]
    adapter = built(LLMAdapter, 7002, width, width, width, num_layers=2, num_heads=2, gain=1.0)
    rest = {
        **qwen3(sizes.QWEN, 7001, "text_encoders.qwen3_06b.transformer."),
        **writing.half(adapter.state_dict(), "net.llm_adapter."),
    }

    def network(seed: int):
        made = built(Anima, seed, 16, 16, 2, 1, **sizes.ANIMA, gain=1.0)
        louder(made, 3.0, "cross_attn.v_proj", "cross_attn.output_proj")
        text = writing.noise(2, 512, width, seed=6)
        unit_answer(made, made.final_layer.linear, writing.noise(2, 16, 1, 8, 8), torch.full((2,), 0.7), text)
        return made

    own_names(write("anima", network, rest, "net."), "blocks.", "anima")


if __name__ == "__main__":
    for family in (sd15, sdxl, controlnet, flux, *((wan, krea2, zimage, anima) if HOST == "neo" else ())):
        print(f"{family.__name__}:", flush=True)
        family()
