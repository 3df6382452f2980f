"""A checkpoint in Stable Diffusion's layout that ComfyUI does not know by its sizes: they are read from its .yaml.

Beyond the sizes everything is the host's own: network, text encoder, autoencoder, and what loads them.
"""

import json
from pathlib import Path

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
import yaml

UNET = "model.diffusion_model."
SAME = "image_size in_channels out_channels model_channels channel_mult num_heads context_dim legacy".split()


class Small(comfy.supported_models.SD15):
    unet_config, unet_extra_config = {}, {}

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION


def unet_config(params: dict) -> dict:
    """The host's names for a .yaml's unet_config; which level attends to the text is said for each block there."""
    levels, blocks = len(params["channel_mult"]), params["num_res_blocks"]
    depths = [params["transformer_depth"] * (2**level in params["attention_resolutions"]) for level in range(levels)]
    return {
        **{name: params[name] for name in SAME},
        "num_res_blocks": [blocks] * levels,
        "transformer_depth": [depth for depth in depths for _ in range(blocks)],
        "transformer_depth_output": [depth for depth in depths for _ in range(blocks + 1)],
        "transformer_depth_middle": params["transformer_depth"],
        "use_spatial_transformer": True,
        "num_head_channels": -1,
        "adm_in_channels": None,
        "use_linear_in_transformer": False,
    }


class CheckpointByYaml:
    CATEGORY, FUNCTION, RETURN_TYPES = "testing", "load", ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),)}}

    def load(self, ckpt_name):
        path = Path(folder_paths.get_full_path_or_raise("checkpoints", ckpt_name))
        params = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf-8"))["model"]["params"]
        assert params["parameterization"] == "v" and not params["unet_config"]["params"]["legacy"]
        state = comfy.utils.load_torch_file(str(path))
        config = Small(unet_config(params["unet_config"]["params"]))
        config.latent_format.scale_factor = params["scale_factor"]
        config.set_inference_dtype(torch.float32, None)
        device = comfy.model_management.get_torch_device()
        model = config.get_model(state, UNET, device=device)
        model.load_model_weights(state, UNET)
        patcher = comfy.model_patcher.ModelPatcher(model, device, comfy.model_management.unet_offload_device())
        return patcher, self.text_encoder(config, params, state), self.autoencoder(params, state)

    def text_encoder(self, config, params: dict, state: dict):
        folder = Path(params["cond_stage_config"]["params"]["version"])
        target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
        sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        options = {"clip_l_model_config": sizes, "dtype": torch.float32}
        clip = comfy.sd.CLIP(target, model_options=options)
        clip.load_sd(config.process_clip_state_dict(state), full_model=True)
        return clip

    def autoencoder(self, params: dict, state: dict):
        own = comfy.utils.state_dict_prefix_replace(state, {"first_stage_model.": ""}, filter_keys=True)
        given = params["first_stage_config"]["params"]
        config = {"params": {"ddconfig": given["ddconfig"], "embed_dim": given["embed_dim"]}}
        return comfy.sd.VAE(sd=own, config=config, dtype=torch.float32)
