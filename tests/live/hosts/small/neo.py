"""Writes small checkpoints that Forge Neo loads: neo.py neo WEBUI

As forge.py does, whose families it has as well. Flux, Wan and Chroma are named without a prefix, Anima `net.`, as
published ones are; a text encoder that no other family has is in the file itself.
"""

import os

import forge  # (beside this file; the WebUI's modules can be imported from here on)
import sizes
import torch
import writing

UNET, PUBLISHED, CHECKPOINTS = forge.UNET, forge.PUBLISHED, forge.CHECKPOINTS
ENCODERS = "text_encoders."
FLOW_TIME = 0.7


def time(value: float = FLOW_TIME) -> torch.Tensor:
    return torch.full((2,), value)


# ---------------------------------------------------------------- text encoders


def llm(
    config: dict,
    seed: int,
    prefix: str,
    vocabulary: int = 151936,
    head: int = 128,
    layers: int = 36,
    own_norms: tuple = ("q_norm", "k_norm"),
    biases: bool = False,
    gemma: bool = False,
) -> dict:
    """The tensors of Qwen3's kind and its relatives'.

    own_norms  of the queries and keys, where it has them
    biases     whether the queries, keys and values have some
    gemma      whether its norms are stored less 1, with two more of them a layer
    """
    made, width, inner = forge.Texts(seed), config["hidden_size"], config["intermediate_size"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    made.normal("model.embed_tokens", vocabulary, width, std=width**-0.5 if gemma else 1.0)
    made.ones("model.norm", width)
    for layer in range(config.get("num_hidden_layers", layers)):
        block = f"model.layers.{layer}"
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            made.matrix(f"{block}.self_attn.{name}_proj", rows, width)
            if biases:
                made.state[f"{block}.self_attn.{name}_proj.bias"] = torch.zeros(rows)
        made.matrix(f"{block}.self_attn.o_proj", width, queries)
        made.matrix(f"{block}.mlp.gate_proj", inner, width)
        made.matrix(f"{block}.mlp.up_proj", inner, width)
        made.matrix(f"{block}.mlp.down_proj", width, inner)
        for name in own_norms:
            made.ones(f"{block}.self_attn.{name}", head)
        more = ("pre_feedforward_layernorm", "post_feedforward_layernorm") if gemma else ()
        for name in ("input_layernorm", "post_attention_layernorm", *more):
            made.ones(f"{block}.{name}", width)
    if gemma:
        made.state = {name: tensor - 1 if "norm" in name else tensor for name, tensor in made.state.items()}
    return writing.half(made.state, prefix)


# ---------------------------------------------------------------- VAEs


def wan_vae() -> None:
    from backend.nn.wan_vae import WanVAE

    config = {k: v for k, v in forge.read(PUBLISHED / "Wan-AI/Wan2.1-T2V-14B/vae").items() if k[:7] != "latents"}
    made = forge.built(WanVAE.from_config, 4000, config)
    last = [layer for layer in made.decoder.head if hasattr(layer, "weight")][-1]
    last.weight.mul_(0.45 / made.decode(writing.noise(1, 16, 2, 8, 8) * 2).std())
    last.bias.zero_()
    made.conv1.weight[:16].mul_(2 / made.encode(forge.picture(5)).std())
    forge.module("small-wan-vae", writing.half(made.state_dict()))


def flux2_vae() -> None:
    """Its 32 channels are packed to 128 of half the size, and normed by what a file holds: by 1."""
    from backend.nn.vae import AutoencoderKLFlux2

    path = PUBLISHED / "black-forest-labs/FLUX.2-klein-4B"
    forge.module("small-flux2-vae", forge.vae(path, 8000, 32, 1.0, AutoencoderKLFlux2, writing.noise(1, 128, 4, 4)))


# ---------------------------------------------------------------- families


def wan() -> None:
    from backend.nn.wan import WanModel

    def network(seed: int, channels: int = sizes.WAN_CHANNELS["text to video"]):
        made = forge.built(WanModel, seed, model_type="t2v", in_dim=channels, **sizes.WAN, gain=1.0)
        forge.louder(made, 8.0, "modulation")
        forge.louder(made, 2.0, ".cross_attn.v.", ".cross_attn.o.")
        text = writing.noise(2, 512, sizes.WAN["text_dim"], seed=6)
        forge.unit_answer(made, made.head.head, writing.noise(2, channels, 2, 8, 8), time(forge.TIME), text)
        return made

    made = forge.write("wan", network, {}, "")
    for name, seed in sizes.IMAGE_TO_VIDEO.items():
        state = network(seed, sizes.WAN_CHANNELS["image to video"]).state_dict()
        writing.save(writing.half(state), CHECKPOINTS / f"{name}.safetensors")
    text = forge.t5(forge.read(PUBLISHED / "Wan-AI/Wan2.1-T2V-14B/text_encoder"), 4001)
    forge.module("small-umt5", writing.half(text))
    wan_vae()
    forge.own_names(made, "blocks.", "wan")


def krea2() -> None:
    import backend.nn.llm.llama  # noqa: F401  (before the next one)
    from backend.nn.krea import SingleStreamDiT
    from backend.nn.llm.qwen35 import Qwen3VLVisionModel

    prefix, width = f"{ENCODERS}qwen3vl_4b.transformer.", sizes.QWEN_VL["hidden_size"]
    sees = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "in_channels": 3,
        "spatial_merge_size": 2,
        "num_position_embeddings": 2304,
        "out_hidden_size": width,
        **sizes.QWEN_VISION,
    }
    rest = llm(sizes.QWEN_VL, 5001, prefix)
    rest.update(writing.half(forge.built(Qwen3VLVisionModel, 5002, sees).state_dict(), f"{prefix}visual."))

    def network(seed: int):
        made = forge.built(SingleStreamDiT, seed, **sizes.KREA2, gain=1.0)
        forge.louder(made, 0.0, ".scale")  # stored less 1
        forge.louder(made, 2.0, "attn.wv.weight", "attn.wo.weight")
        for name, parameter in made.named_parameters():
            if name.endswith(("mod.lin", "modulation.lin")):
                parameter.copy_(writing.noise(*parameter.shape, seed=seed + 10) * 0.5)
        text = writing.noise(2, 30, sizes.KREA2["txtlayers"] * width, seed=6)
        forge.unit_answer(made, made.last.linear, writing.noise(2, 16, 1, 8, 8), time(), text)
        return made

    forge.own_names(forge.write("krea2", network, rest), "blocks.", "krea2")


def lumina(family: str, config: dict, rest: dict) -> None:
    from backend.nn.lumina import NextDiT

    def network(seed: int):
        made = forge.built(NextDiT, seed, **config, gain=1.0)
        text = writing.noise(2, 32, config["cap_feat_dim"], seed=6)
        forge.unit_answer(made, made.final_layer.linear, writing.noise(2, 16, 8, 8), time(), text)
        return made

    forge.own_names(forge.write(family, network, rest), "layers.", family)


def zimage() -> None:
    lumina("zimage", sizes.ZIMAGE, llm(sizes.QWEN, 6001, f"{ENCODERS}qwen3_4b.transformer."))


def lumina2() -> None:
    more = {"vocabulary": 256000, "head": 256, "own_norms": (), "gemma": True}
    lumina("lumina2", sizes.LUMINA2, llm(sizes.GEMMA, 6101, f"{ENCODERS}gemma2_2b.transformer.", **more))


def anima() -> None:
    from backend.nn.anima import Anima, LLMAdapter

    width = sizes.QWEN["hidden_size"]
    adapter = forge.built(LLMAdapter, 7002, width, width, width, num_layers=2, num_heads=2, gain=1.0)
    rest = {
        **llm(sizes.QWEN, 7001, f"{ENCODERS}qwen3_06b.transformer."),
        **writing.half(adapter.state_dict(), "net.llm_adapter."),
    }

    def network(seed: int):
        made = forge.built(Anima, seed, 16, 16, 2, 1, **sizes.ANIMA, gain=1.0)
        forge.louder(made, 3.0, "cross_attn.v_proj", "cross_attn.output_proj")
        text = writing.noise(2, 512, width, seed=6)
        forge.unit_answer(made, made.final_layer.linear, writing.noise(2, 16, 1, 8, 8), time(), text)
        return made

    forge.own_names(forge.write("anima", network, rest, "net."), "blocks.", "anima")


def chroma() -> None:
    from backend.nn.chroma import IntegratedChromaTransformer2DModel

    def network(seed: int):
        made = forge.built(IntegratedChromaTransformer2DModel, seed, **sizes.CHROMA, gain=0.8)
        text = writing.noise(2, 64, sizes.CHROMA["context_in_dim"], seed=6)
        forge.unit_answer(made, made.final_layer.linear, writing.noise(2, 16, 8, 8), time(), text)
        return made

    def named(name: str) -> str:
        own = "distilled_guidance_layer.norms." in name
        return name.removesuffix("weight") + "scale" if own else forge.published(name)

    made = forge.write("chroma", network, {}, "", named)
    forge.own_names(made, "double_blocks.", "chroma")


def klein() -> None:
    from backend.nn.flux import IntegratedFluxTransformer2DModel

    def network(seed: int):
        made = forge.built(IntegratedFluxTransformer2DModel, seed, **sizes.KLEIN, gain=0.8)
        text = writing.noise(2, 64, sizes.KLEIN["context_in_dim"], seed=6)
        forge.unit_answer(made, made.final_layer.linear, writing.noise(2, 128, 4, 4), time(), text)
        return made

    rest = llm(sizes.QWEN_KLEIN, 8001, f"{ENCODERS}qwen3_4b.transformer.")
    made = forge.write("klein", network, rest, rename=forge.published)
    forge.own_names(made, "double_blocks.", "klein")
    flux2_vae()


def ernie() -> None:
    from backend.nn.ernie import ErnieImageModel

    def network(seed: int):
        made = forge.built(ErnieImageModel, seed, **sizes.ERNIE, gain=1.0)
        text = writing.noise(2, 32, sizes.ERNIE["text_in_dim"], seed=6)
        forge.unit_answer(made, made.final_linear, writing.noise(2, 128, 4, 4), time(forge.TIME), text)
        return made

    prefix = f"{ENCODERS}ministral3_3b.transformer."
    rest = llm(sizes.MINISTRAL, 8101, prefix, vocabulary=131072, own_norms=())
    forge.own_names(forge.write("ernie", network, rest), "layers.", "ernie")


def qwen_image() -> None:
    import backend.nn.llm.llama  # noqa: F401  (before the next one)
    from backend.nn.llm.qwen_vl import Qwen2VLVisionTransformer
    from backend.nn.qwen import QwenImageTransformer2DModel

    prefix, width = f"{ENCODERS}qwen25_7b.", sizes.QWEN25["hidden_size"]
    sees = forge.built(Qwen2VLVisionTransformer, 8202, **sizes.QWEN25_VISION, output_hidden_size=width)
    rest = {
        **llm(sizes.QWEN25, 8201, prefix, vocabulary=152064, own_norms=(), biases=True),
        **writing.half(sees.state_dict(), f"{prefix}visual."),
    }

    def network(seed: int):
        made = forge.built(QwenImageTransformer2DModel, seed, **sizes.QWEN_IMAGE, gain=1.0)
        text = writing.noise(2, 32, width, seed=6)
        forge.unit_answer(made, made.proj_out, writing.noise(2, 16, 1, 8, 8), time(), text)
        return made

    forge.own_names(forge.write("qwen-image", network, rest), "transformer_blocks.", "qwen-image")


def told_by_name() -> None:
    """The host takes some files for another family by their names alone: the same contents under those."""
    for name, other in sizes.TOLD_BY_NAME.items():
        path = CHECKPOINTS / f"{name}.safetensors"
        path.unlink(missing_ok=True)
        os.link(CHECKPOINTS / f"{other}.safetensors", path)
        print(f"{path.parent.name}/{path.name}: {other}", flush=True)


OWN = (wan, krea2, zimage, lumina2, anima, chroma, klein, ernie, qwen_image, told_by_name)

if __name__ == "__main__":
    forge.make(*forge.FAMILIES, *OWN)
