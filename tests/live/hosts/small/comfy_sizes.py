"""The table's rest: ComfyUI's own. It takes SD3 and Wan as wide as their files say, and Flux no other than 3,072."""

import sizes  # (beside this file)

# name -> seed of the network
FILES = {
    **sizes.COMFY,
    "sd3": {"small-sd3": 1, "small-sd3-weak": 2},
    "wan": {"small-wan": 1, "small-wan-weak": 2},
    "pixart": {"small-pixart": 1},
}
# FreeU touches blocks of twice the first width, and of four times that.
SD15_TWO = {
    **sizes.SD15_COMFY,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1] * 4,
}
# Names by which ComfyUI_IPAdapter_plus finds them for SD1.5
IP_ADAPTER, IP_ENCODER = "tiny-ip-adapter_sd15", "tiny-CLIP-ViT-H-14-s32B-b79K"
IP_TOKENS, IP_PLACES = 4, 16  # the places that SD1.5 as published has
TEXT = 4096
SD3 = {
    "depth": 2,  # and 64 times as wide
    "in_channels": 16,
    "adm_in_channels": 2048,
    "num_patches": 256,
    "pos_embed_max_size": 16,
    "context_embedder_config": {
        "target": "torch.nn.Linear",
        "params": {"in_features": TEXT, "out_features": 128},
    },
}
# 3,072 is a constant: one block is most of a gigabyte.
FLUX = {
    **sizes.FLUX,
    "out_channels": 16,
    "patch_size": 2,
    "context_in_dim": TEXT,
    "hidden_size": 3072,
    "num_heads": 24,
    "depth": 1,
    "depth_single_blocks": 0,
    "guidance_embed": True,
}
WAN = {**sizes.WAN, "text_dim": TEXT, "in_dim": sizes.WAN_CHANNELS["text to video"], "num_layers": 2}
# Another architecture in SD1.5's latents: PixArt alpha, 1,152 wide whatever the file, for pictures from 264 pixels on
PIXART = {"depth": 1, "micro_condition": True}
WAN_VAE = {
    "dim": sizes.WAN_VAE["base_dim"],
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "dropout": 0.0,
}
