"""The table: sizes and layouts of the small models, and of what the hosts have to be told of them.

A host reads some sizes from a checkpoint and takes others for granted. Those for granted stay what they are: the width
of the text, of which Forge, Neo and ComfyUI know SD1.5 and SDXL, SDXL's depths of transformers, and for ComfyUI the 320
channels. What they read from a file of their own, or have as a constant, is edited in its copy (EDITS in forge.py
and neo.py). On a CPU a call takes as long as the weights take to be read: width decides how long the suite is.
"""

# name -> seed of the network; the rest of a file is the same for all of a family
A1111 = {
    "sd15": {"tiny-sd15": 1, "tiny-sd15-weak": 2, "tiny-sd15-weak2": 3},
    "sdxl": {"tiny-sdxl": 1, "tiny-sdxl-weak": 2},
}
FORGE = {
    "sd15": {"small-sd15": 1, "small-sd15-weak": 2},
    "sdxl": {"small-sdxl": 1, "small-sdxl-weak": 2},
    "flux": {"small-flux": 1, "small-flux-weak": 2},
    "schnell": {"small-schnell": 3, "small-schnell-weak": 4},
}
NEO = {
    **FORGE,
    "wan": {"small-wan": 1, "small-wan-weak": 2},
    "krea2": {"small-krea2": 1, "small-krea2-weak": 2},
    "zimage": {"small-zimage": 1, "small-zimage-weak": 2},
    "lumina2": {"small-lumina2": 1, "small-lumina2-weak": 2},
    "anima": {"small-anima": 1, "small-anima-weak": 2},
    "chroma": {"small-chroma": 1, "small-chroma-weak": 2},
    "klein": {"small-klein": 1, "small-klein-weak": 2},
    "ernie": {"small-ernie": 1, "small-ernie-weak": 2},
    "qwen-image": {"small-qwen-image": 1, "small-qwen-image-weak": 2},
}
# name -> the file whose contents Neo takes for another family under that name
TOLD_BY_NAME = {
    f"{name}{weak}": f"{other}{weak}"
    for name, other in (
        ("small-rectified-xl", "small-sdxl"),
        ("small-kontext", "small-flux"),
        ("small-qwen-edit", "small-qwen-image"),
    )
    for weak in ("", "-weak")
}
COMFY = {name: FORGE[name] for name in ("sd15", "sdxl", "flux")}
# Quantised to eight bits, for Forge; of the same seeds as the ones they are compared with
QUANTISED = {"small-flux-q8": 1, "small-flux-q8-weak": 2}
FILES = {"a1111": A1111, "forge": FORGE, "neo": NEO}
IMAGE_TO_VIDEO = {"small-wan-i2v": 3}
# Files of their own on Neo, which its families share: name -> (folder, what)
MODULES = {
    "small-flux-vae": "VAE",
    "small-flux2-vae": "VAE",
    "small-wan-vae": "VAE",
    "small-clip-l": "text_encoder",
    "small-t5": "text_encoder",
    "small-umt5": "text_encoder",
    # On Forge, for what is quantised
    "small-flux-clip-l": "text_encoder",
    "small-flux-t5": "text_encoder",
}

# ---------------------------------------------------------------- A1111: the .yaml beside a checkpoint says all sizes

A1111_WIDTH = 64  # of the text
A1111_UNET = {"model_channels": 32, "num_heads": 4, "context_dim": A1111_WIDTH}
A1111_VAE = {"ch": 32, "ch_mult": [1, 2, 2, 2], "num_res_blocks": 1}
A1111_CLIP = {
    "vocab_size": 49408,
    "hidden_size": A1111_WIDTH,
    "intermediate_size": 2 * A1111_WIDTH,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": A1111_WIDTH,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
A1111_OPEN_CLIP = "w2sd-tiny"  # the name under which open_clip finds the next one
A1111_BIG_G = {
    "embed_dim": A1111_WIDTH,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": A1111_WIDTH, "heads": 4, "layers": 4},
}
A1111_SIZES = 32  # numbers for each of SDXL's sizes and places
A1111_XL = {
    "model_channels": 32,
    "num_head_channels": 16,
    "transformer_depth": [1, 1, 2],
    "context_dim": 2 * A1111_WIDTH,
    "adm_in_channels": A1111_WIDTH + 6 * A1111_SIZES,
    "use_checkpoint": False,
}

# ---------------------------------------------------------------- Forge and Neo: files beside their diffusers configs

CLIP = {"num_hidden_layers": 4, "intermediate_size": 1024}
VAE = {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1}
T5 = {"d_model": 128, "d_ff": 256, "d_kv": 32, "num_heads": 4, "num_layers": 2}
UMT5 = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_heads": 4, "num_layers": 2}
WAN_VAE = {"base_dim": 16}
QWEN = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
# All of its 36 layers: the host taps them by number.
QWEN_VL = {"hidden_size": 80, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
QWEN_KLEIN = {**QWEN_VL, "hidden_size": 48}  # the same, three of them
QWEN25 = QWEN
QWEN25_VISION = {"hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "num_layers": 2}
GEMMA = QWEN
MINISTRAL = QWEN
QWEN_VISION = {
    "num_heads": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "depth": 2,
    "deepstack_visual_indexes": [0],
}

# ControlNet's reference counts in layers of 220 channels and more.
LDM = {"in_channels": 4, "model_channels": 128, "out_channels": 4, "use_spatial_transformer": True}
SD15 = {
    **LDM,
    "model_channels": 64,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 1, 4],
    "transformer_depth": [1, 1, 1],
    "transformer_depth_output": [1] * 6,
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "num_heads": 8,
    "num_head_channels": -1,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
}


def control(unet: dict) -> dict:
    """The same without what only the way up has, for a ControlNet."""
    return {
        **{k: v for k, v in unet.items() if k not in ("out_channels", "transformer_depth_output")},
        "hint_channels": 3,
    }


CONTROL = control(SD15)
PUBLISHED_WIDTH = {"model_channels": 320}
# ComfyUI knows it with any number of levels.
SD15_COMFY = {
    **SD15,
    **PUBLISHED_WIDTH,
    "num_res_blocks": [1],
    "channel_mult": [1],
    "transformer_depth": [1],
    "transformer_depth_output": [1] * 2,
}
HINT = 16  # channels that a hint begins with, as published
SDXL = {
    **LDM,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 1, 1],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 2048,
    "num_heads": -1,
    "num_head_channels": 64,
    "num_classes": "sequential",
    "use_linear_in_transformer": True,
    "adm_in_channels": 2816,
}
SDXL_COMFY = {**SDXL, **PUBLISHED_WIDTH}
# Forge knows this one as a smaller sister of SDXL.
SDXL_FORGE = {**SDXL, "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": -1}
FLUX = {
    "in_channels": 16,
    "vec_in_dim": 768,
    "context_in_dim": T5["d_model"],
    "hidden_size": 256,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "qkv_bias": True,
}
WAN = {"dim": 256, "ffn_dim": 512, "text_dim": UMT5["d_model"], "out_dim": 16, "num_heads": 2, "num_layers": 3}
WAN_CHANNELS = {"text to video": 16, "image to video": 36}
KREA2 = {
    "features": 256,
    "heads": 2,
    "kvheads": 1,
    "layers": 3,
    "channels": 16,
    "txtdim": QWEN_VL["hidden_size"],
    "txtlayers": 12,
}
ZIMAGE = {
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "n_layers": 3,
    "n_heads": 2,
    "n_kv_heads": 2,
    "ffn_dim_multiplier": 8 / 3,
    "qk_norm": True,
    "cap_feat_dim": QWEN["hidden_size"],
    "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512],
    "rope_theta": 256.0,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}
ANIMA = {
    "model_channels": 256,
    "crossattn_emb_channels": QWEN["hidden_size"],
    "num_blocks": 3,
    "num_heads": 2,
    "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0,
}
LUMINA2 = {
    "patch_size": 2,
    "in_channels": 16,
    "dim": 192,
    "n_layers": 3,
    "n_heads": 2,
    "n_kv_heads": 1,
    "ffn_dim_multiplier": 4.0,
    "qk_norm": True,
    "cap_feat_dim": GEMMA["hidden_size"],
    "axes_dims": [32, 32, 32],
    "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0,
}
CHROMA = {
    **{k: v for k, v in FLUX.items() if k != "vec_in_dim"},
    "vec_in_dim": None,
    "in_channels": 64,
    "out_channels": 64,
    "patch_size": 2,
    "in_dim": 64,
    "hidden_dim": 128,
    "out_dim": FLUX["hidden_size"],
    "n_layers": 5,
    "txt_ids_dims": [],
}
KLEIN = {
    "in_channels": 128,
    "out_channels": 128,
    "vec_in_dim": None,
    "context_in_dim": 3 * QWEN_KLEIN["hidden_size"],
    "hidden_size": 256,
    "mlp_ratio": 3.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [32, 32, 32, 32],
    "theta": 2000,
    "patch_size": 1,
    "qkv_bias": False,
    "guidance_embed": False,
    "txt_ids_dims": [3],
    "global_modulation": True,
    "mlp_silu_act": True,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
}
ERNIE = {
    "hidden_size": 256,
    "num_attention_heads": 2,
    "num_layers": 3,
    "ffn_hidden_size": 512,
    "text_in_dim": MINISTRAL["hidden_size"],
}
QWEN_IMAGE = {"num_layers": 3, "num_attention_heads": 2, "joint_attention_dim": QWEN25["hidden_size"]}
