"""What the sweep asks for: options, requests, scripts of the list, extensions. The place for another one."""

import json

import numpy as np

from .conftest import png

# Where nothing but the options is beside; {option: value}, as far as the WebUI has it.
OPTIONS = [
    {"pad_cond_uncond": True},
    {"pad_cond_uncond_v0": True},
    {"batch_cond_uncond": False},
    {"skip_early_cond": 0.4},
    {"s_min_uncond": 20.0},
    {"s_min_uncond": 20.0, "s_min_uncond_all": True},
    {"token_merging_ratio": 0.5},
    {"CLIP_stop_at_last_layers": 2},
    {"emphasis": "No norm"},
    {"use_old_scheduling": True},
    {"comma_padding_backtrack": 0},
    {"randn_source": "NV"},
    {"randn_source": "CPU"},
    {"eta_noise_seed_delta": 31337},
    {"sgm_noise_multiplier": True},
    {"sd_noise_schedule": "Zero Terminal SNR"},
    {"use_downcasted_alpha_bar": True},
    {"always_discard_next_to_last_sigma": True},
    {"upcast_attn": True},
    {"tiling": True},
    {"live_previews_enable": True, "show_progress_every_n_steps": 1, "live_preview_content": "Negative prompt"},
    {"interrupt_after_current": False},
    {"persistent_cond_cache": False},
    {"enable_prompt_comments": False},
    # Options of extensions
    {"deepcache_enable_pass": "both passes", "deepcache_cache_enable_step_percentage": 0.0},
    {
        "deepcache_enable_pass": "both passes",
        "deepcache_cache_enable_step_percentage": 0.0,
        "deepcache_full_run_step_rate": 2,
        "deepcache_cache_resnet_level": 1,
    },
]
# What a request has to have for an option to do anything to it.
LONG = {"prompt": "a photo of a cat, " * 20}  # 100 tokens: two chunks beside the negative prompt's one
NEEDED = {
    "comma_padding_backtrack": {"prompt": "red " * 68 + ", " + "blue " * 20},  # a comma shortly before the chunk's end
    "emphasis": {"prompt": "a photo of a (cat:1.4) on a [sofa]"},
    "enable_prompt_comments": {"prompt": "a photo of a cat\n# and a dog"},
    "eta_noise_seed_delta": {"sampler_name": "Euler a"},
    "pad_cond_uncond": LONG,
    "pad_cond_uncond_v0": LONG,
    "use_old_scheduling": {"prompt": "a photo of a [cat:dog:1.0]"},  # the first step, or all of them
}
# It has tiles in larger pictures alone.
HYPERTILE = {"hypertile_enable_unet": True, "hypertile_swap_size_unet": 8, "hypertile_max_tile_unet": 128}
# Requests that ask more of the host than a plain one.
REQUESTS = {
    "HyperTile": {"width": 256, "height": 256, "override_settings": HYPERTILE},
    "prompt editing": {"prompt": "a [cat:dog:0.5] and a [red|blue] ball"},
    "AND": {"prompt": "a cat AND a dog :0.5"},
    "long negative prompt": {"negative_prompt": "blurry, " * 60},
    "batch of 2": {"batch_size": 2},
    "2 iterations": {"n_iter": 2},
    "variation seeds": {"subseed": 5, "subseed_strength": 0.3, "n_iter": 2},
    "Euler a": {"sampler_name": "Euler a"},
    "DPM++ SDE": {"sampler_name": "DPM++ SDE"},
    "DDIM": {"sampler_name": "DDIM"},
    "LoRA": {"prompt": "a photo of a cat <lora:w2sd_lora:0.7> <lora:w2sd_locon:0.5>"},
    # The arguments of its script are the page's alone. Neo, which does not list the script, switches at a sigma.
    "refiner": {"refiner_checkpoint": "{weak}", "refiner_switch_at": 0.5},
    "hires": {"enable_hr": True, "hr_scale": 1, "hr_upscaler": "Latent", "denoising_strength": 0.7},
}
PROBED = ("listen", "latent", "sigma", "image", "step", "draws", "counts", "scale", "latent sigma draws counts step")
ON = ("enable", "enabled", "active", "soft inpainting")
# Scripts of the list, by their names in the API: arguments where those that come make nothing, by their place.
LISTED = {
    "prompt matrix": {},
    "x/y/z plot": {0: 1, 1: "7,8", 3: 0, 6: 0},
    "prompts from file or textbox": {3: "a cat\na dog"},
}
LISTED |= {"cfg scheduling": {0: "0:10 ; 1:6 ; 2:4"}, "cfg auto": {}, "loopback": {0: 2}}
LISTED |= {"sd upscale": {1: 8, 2: "Lanczos", 3: 1.5}}  # without an upscaler there is one tile, the plain picture
LISTED |= {"ultimate sd upscale": {1: 64, 14: "Scale from image size", 17: 1.5}}
LISTED |= {"outpainting mk2": {1: 64, 2: 4, 3: ["left"]}, "poor man's outpainting": {0: 64, 3: ["left"]}}
LISTED |= {"img2img alternative test": {3: "a photo of a cat", 6: 3}, "high dynamic range": {0: 3}}
OF_LISTED = {"prompt matrix": {"prompt": "a photo of a cat|red"}}  # more of the request
# Extensions that do nothing, or another thing, by a switch alone: how their name begins -> {what of it: (arguments by
# their place, more of the request)}.
LARGER = {"width": 128, "height": 128}  # the innermost layers have one place alone in smaller ones
REGIONS = {"prompt": "a cat AND a dog AND a tree"}
ASKED = {
    "cfg rescale extension": {"": ({0: 0.7}, {})},
    "cads": {"": ({0: True}, {}), "mixed": ({0: True, 1: 0.2, 2: 0.5, 4: 0.6}, {})},
    "cd tuner": {"": ({0: True, 1: 3.0, 3: 4.0, 6: 5.0}, {}), "colours": ({0: True, 16: "1,1", 18: "1,2,3;3,2,1"}, {})},
    "cutoff": {"": ({0: True, 1: "red, blue", 2: 1.0}, {"prompt": "a red cat, a blue dog"})},
    "detail daemon": {"": ({0: True, 1: True, 4: 0.0, 5: 1.0, 7: 0.5}, {})},
    "diffusion cg": {"": ({0: True, 1: 0.8, 2: 0.3}, {})},
    "dynamic prompts": {"": ({}, {"prompt": "a {red|green|blue} {cat|dog}", "n_iter": 2})},
    "first block cache": {
        "First Block Cache": ({0: True, 2: 0.9}, {"steps": 8}),
        "TeaCache": ({0: True, 1: "TeaCache", 2: 0.9}, {"steps": 8}),
    },
    "forge couple": {"": ({0: True}, {"prompt": "a cat\na dog"})},
    # In layers of 1280, 640 and 320 channels (lib_free_u/unet.py, line 47): small checkpoints have none of them.
    "freeu": {"": ({0: True}, {}), "part of the way": ({0: True, 1: 0.2, 2: 0.7, 3: 0.5}, {})},
    "incantations": {
        "SEG": ({0: True}, LARGER),
        "S-CFG": ({4: True}, {}),
        "PAG": ({12: True, 13: 3.0}, {}),
        "PAG, CFG schedule": ({12: True, 13: 3.0, 16: True, 17: "Clamp-Linear (c=2.0)"}, {}),
        "PAG, saliency": ({12: True, 13: 3.0, 20: True}, {}),
        "T2I-Zero": ({21: True, 22: True, 24: 0.5, 26: 1.0, 27: "2,3"}, LARGER),
    },
    "latent couple extension": {"": ({0: True}, REGIONS)},
    "lora block weight": {"": ({1: True}, {"prompt": "a photo of a cat <lora:w2sd_lora:1:lbw=OUTALL>"})},
    "neutral prompt": {
        "AND_PERP": ({}, {"prompt": "a cat AND_PERP a dog :0.5"}),
        "AND_SALT": ({0: 0.3}, {"prompt": "a cat AND_SALT a dog :0.5"}),
        "AND_TOPK": ({}, {"prompt": "a cat AND_TOPK a dog :0.5"}),
    },
    "self attention guidance": {"": ({0: True, 1: 2.0}, LARGER)},
    "vectorscope cc": {
        "": ({0: True, 2: 2.0, 3: 1.0, 5: 1.0}, {}),
        "noise": ({0: True, 2: 2.0, 11: "Cross Abs.", 12: "Cos"}, {}),
    },
}


def two_halves() -> tuple:
    """(a mask of two colours, what is drawn in each), as Neo's bundled Regional Prompter has them from its editor."""
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:, :32, 0] = mask[:, 32:, 2] = 255
    told = [{"color": [255, 0, 0], "prompt": "a cat", "weight": 0.8}]
    told.append({"color": [0, 0, 255], "prompt": "a dog", "weight": 0.8})
    return png(mask), json.dumps(told)


# Of the same name on one WebUI alone.
ASKED_ON = {
    "neo": {
        "regional prompter": {
            mode: ({0: True, 1: mode, **dict(zip((2, 3), two_halves()))}, {}) for mode in ("Attention", "Latent")
        },
    }
}
