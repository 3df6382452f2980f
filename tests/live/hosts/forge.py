"""lllyasviel's Forge of June 2025."""

import json

from .shared import Host
from .small import sizes

PUBLISHED = "backend/huggingface/"
SD15, XL, FLUX, SCHNELL = (
    PUBLISHED + name
    for name in (
        "runwayml/stable-diffusion-v1-5/",
        "stabilityai/stable-diffusion-xl-base-1.0/",
        "black-forest-labs/FLUX.1-dev/",
        "black-forest-labs/FLUX.1-schnell/",
    )
)
GUESS = "repositories/huggingface_guess/huggingface_guess/"


def sized(new: dict):
    """An edit of a config.json: other sizes for names that it has."""

    def edit(text: str) -> str:
        config = json.loads(text)
        missing = ", ".join(name for name in new if name not in config)
        if missing:
            raise ValueError(f"it does not say {missing}")
        return json.dumps({**config, **new}, indent=2) + "\n"

    return edit


def replaced(*pairs: tuple):
    """An edit of a Python file: each text, which occurs once, by another."""

    def edit(text: str) -> str:
        for old, new in pairs:
            if text.count(old) != 1:
                raise ValueError(f"{old.strip()!r} occurs {text.count(old)} times")
            text = text.replace(old, new)
        return text

    return edit


def from_file(name: str, old: int, new: str) -> tuple:
    """A size of Flux's, taken from its tensors instead."""
    return f'dit_config["{name}"] = {old}\n', f'dit_config["{name}"] = {new}\n'


def any_width(before: str = "", after: str = "") -> tuple:
    """A family that is known by other numbers too, of the lines around its width; real checkpoints load as before."""
    return f'{before}        "model_channels": 320,\n{after}', before + after


SD15_WIDTH = any_width('"runwayml/stable-diffusion-v1-5"\n\n    unet_config = {\n        "context_dim": 768,\n')
XL_DEPTHS = '        "use_linear_in_transformer": True,\n        "transformer_depth": %s,\n'
FLUX_TEXT = 'state_dict["{}txt_in.weight".format(key_prefix)].shape'
BLOCKS = 'count_blocks(state_dict_keys, key_prefix + "%s_blocks.{}.")'
# Real checkpoints of these families no longer load in this copy.
TEXT_ENCODERS = (
    (SD15 + "text_encoder/config.json", sized(sizes.CLIP)),
    (XL + "text_encoder/config.json", sized(sizes.CLIP)),
    (XL + "text_encoder_2/config.json", sized(sizes.CLIP)),
    *((path + "text_encoder/config.json", sized(sizes.CLIP)) for path in (FLUX, SCHNELL)),
    *((path + "text_encoder_2/config.json", sized(sizes.T5)) for path in (FLUX, SCHNELL)),
    *((path + "vae/config.json", sized(sizes.VAE)) for path in (SD15, XL, FLUX, SCHNELL)),
)


class Forge(Host):
    name, title = "forge", "Forge"
    flags = (
        "--skip-prepare-environment",
        "--skip-python-version-check",
        "--skip-version-check",
        "--skip-torch-cuda-test",
        "--always-cpu",
        "--disable-gpu-warning",
        "--no-download-sd-model",
        "--no-hashing",
        "--disable-console-progressbars",
    )
    first_checkpoint = "small-sd15"
    model_script, model_arguments = "forge.py", ("forge",)
    hidden_tabs = ("Extras", "PNG Info", "Checkpoint Merger", "Spaces", "Extensions")
    edits = (
        *TEXT_ENCODERS,
        (
            GUESS + "model_list.py",
            replaced(
                SD15_WIDTH,
                any_width(after=XL_DEPTHS % [0, 0, 1, 1, 2, 2]),
            ),
        ),
        (
            GUESS + "detection.py",
            replaced(
                from_file("context_in_dim", 4096, f"int({FLUX_TEXT}[1])"),
                from_file("hidden_size", 3072, f"int({FLUX_TEXT}[0])"),
                from_file("num_heads", 24, 'dit_config["hidden_size"] // 128'),
                from_file("depth", 19, BLOCKS % "double"),
                from_file("depth_single_blocks", 38, BLOCKS % "single"),
            ),
        ),
    )

    @property
    def control_options(self) -> tuple:
        return "--encoder", self.models / "ControlNetPreprocessor"

    def more_files(self) -> None:
        self.make_loras("small-flux", "w2sd_flux_")
