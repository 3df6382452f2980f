"""Whether a checkpoint file's UNet can take the place of the loaded one: its architecture, by the names and shapes of
its tensors, and what it predicts."""

from pathlib import Path

from ..errors import UnfitCheckpoint
from .file import WeightsFile

# Width of the text encoder's output (cross attention): which architecture it is.
CONTEXT = {768: "SD1.5", 1024: "SD2", 1280: "the SDXL refiner", 2048: "SDXL"}
CHANNELS = {4: "text to image", 8: "InstructPix2Pix", 9: "inpainting"}
# A tensor that only networks of this kind have, most telling first.
KINDS = {
    "double_stream_modulation_img.lin.weight": "Flux.2 or Klein",
    "distilled_guidance_layer.norms.0.scale": "Chroma",
    "joint_blocks.0.x_block.attn.qkv.weight": "SD3",
    "cap_embedder.1.weight": "Lumina 2 or Z-Image",
    "head.modulation": "Wan",
    "blocks.0.mlp.layer1.weight": "Anima",
    "txtfusion.projector.weight": "Krea 2",
    "txt_norm.weight": "Qwen-Image",
    "layers.0.mlp.linear_fc2.weight": "Ernie-Image",
}


def architecture(shapes: dict) -> str:
    """The UNet's architecture by the names and shapes of its tensors, in words for the user."""
    for name, kind in KINDS.items():
        if name in shapes:
            return kind
    if any(name.startswith("double_blocks.") for name in shapes):
        return "Flux"
    if "input_blocks.0.0.weight" not in shapes:
        return "an unknown architecture"
    context = next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    if context in CONTEXT:
        return CONTEXT[context]
    return "a kind of SDXL" if "label_emb.0.0.weight" in shapes else "a kind of SD1.5 or SD2"


# Behind a layer's name where newer hosts keep it in fp8, mxfp8, nvfp4 or int8, in a layer of a kind of its own.
QUANTISED = (".comfy_quant", ".weight_scale")
SCALE = ".scale_weight"  # behind a layer's name: what its weight is to be multiplied by, in "scaled fp8" files


def unscaled(shapes: dict) -> dict:
    """The shapes without what says only how weights are stored."""
    return {
        name: shape
        for name, shape in shapes.items()
        if not name.endswith((SCALE, ".scale_input")) and name != "scaled_fp8"
    }


# Names of the diffusers library's own: UNets of Stable Diffusion, and transformers of Flux and SD3.
_DIFFUSERS = ("down_blocks.", "up_blocks.", "mid_block.", "transformer_blocks.", "single_transformer_blocks.")


def is_diffusers(shapes: dict) -> bool:
    """Whether the tensors have the names that the diffusers library gives them (a file out of a unet/ or transformer/
    folder), and not those of the models' own programs."""
    return any(name.removeprefix("unet.").removeprefix("transformer.").startswith(_DIFFUSERS) for name in shapes)


def unfit(weak: dict, strong: dict) -> "str | None":
    """Why a UNet of the shapes `weak` cannot take the place of one of the shapes `strong`; None: it can."""
    if weak == strong:
        return None
    entry = "input_blocks.0.0.weight"
    ours, theirs = weak.get(entry, (0, 0)), strong.get(entry, (0, 0))
    if {**weak, entry: None} == {**strong, entry: None} and ours[1] != theirs[1]:
        takes = [f"{c[1]} input channels ({CHANNELS.get(c[1], 'unknown')})" for c in (ours, theirs)]
        return f"whose UNet takes {takes[0]}, the loaded checkpoint's {takes[1]}"
    missing, surplus = strong.keys() - weak.keys(), weak.keys() - strong.keys()
    if any(name.endswith(QUANTISED) for name in surplus):
        return "whose network is stored quantised (comfy_quant), which the loaded checkpoint's layers cannot hold"
    differ = [name for name in strong if name in weak and weak[name] != strong[name]]
    details = []
    if missing:
        details.append(f"{len(missing)} tensors are missing, such as {min(missing)}")
    if surplus:
        details.append(f"{len(surplus)} are too many, such as {min(surplus)}")
    if differ:
        name = differ[0]
        shapes = f"{list(weak[name])}, not {list(strong[name])}"
        details.append(f"{len(differ)} have another shape, such as {name}: {shapes}")
    kinds = architecture(weak), architecture(strong)
    kinds = f" ({kinds[0]}, the loaded one {kinds[1]})" if kinds[0] != kinds[1] else ""
    return f"whose UNet has another architecture than the loaded checkpoint's{kinds}: {'; '.join(details)}"


def prediction_beside(path) -> "str | None":
    """What the .yaml beside a checkpoint says it predicts: eps, v, or None. Both WebUIs go by this file."""
    config = Path(path).with_suffix(".yaml")
    if not config.is_file():
        return None
    import yaml

    try:
        params = yaml.safe_load(config.read_text(encoding="utf8"))["model"]["params"]
        scaling = ((params.get("denoiser_config") or {}).get("params") or {}).get("scaling_config") or {}
    except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None
    said = str(params.get("parameterization") or scaling.get("target", "").rpartition(".")[2])
    return {"v": "v", "eps": "eps", "VScaling": "v", "EpsScaling": "eps"}.get(said)


def prediction_of(file: WeightsFile, path) -> str:
    """eps, v, edm or flow: what the UNet in `file` was trained to predict, as far as a file can tell.

    By the .yaml beside it; by the marks that trainers leave (v_pred, edm_mean, modelspec, ss_v_parameterization);
    for SD2, whose files say nothing, by the spread of one bias (the test of ComfyUI and of Forge).
    """
    kind = architecture(file.shapes)
    if kind in ("Flux", "SD3"):
        return "flow"
    beside = prediction_beside(path)
    if beside:
        return beside
    if {"edm_mean", "edm_std"} <= file.markers:
        return "edm"
    said = {str(file.metadata.get(key, "")).lower() for key in ("modelspec.prediction_type", "ss_v_parameterization")}
    if {"v_pred", "edm_vpred.sigma_max"} & file.markers or {"v", "v_prediction", "vpred", "true"} & said:
        return "v"
    bias = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    if kind == "SD2" and bias in file.shapes and file.shapes["input_blocks.0.0.weight"][1] == 4:
        return "v" if file.read(bias).float().std(unbiased=False) > 0.09 else "eps"
    return "eps"


def check_fit(file: WeightsFile, path, strong: dict, prediction: "str | None", own: "str | None" = None) -> None:
    """Raise UnfitCheckpoint unless the file's UNet can take the place of the loaded one.

    strong      the loaded UNet's shapes by name
    prediction  what the loaded checkpoint predicts; None: unknown
    own         what the file's does, where the host goes by more than the file says
    """
    why = unfit(file.shapes, strong)
    if why and is_diffusers(file.shapes) and not is_diffusers(strong):
        raise UnfitCheckpoint(
            file.given,
            f"a UNet alone, with the diffusers library's names for its tensors ({min(file.shapes)} ...), which the "
            "WebUI itself does not load as a checkpoint. Take the single file that its author offers beside the unet/ "
            "folder, or convert the whole model (diffusers' convert_diffusers_to_original_stable_diffusion.py and its "
            "sisters).",
        )
    if why and unfit(unscaled(file.shapes), strong) is None:
        raise UnfitCheckpoint(file.given, "whose UNet is stored as scaled fp8, which this WebUI does not read.")
    if why:
        raise UnfitCheckpoint(file.given, f"{why}. Choose one of the loaded checkpoint's kind.")
    own = own or prediction_of(file, path)
    if prediction and own != prediction:
        raise UnfitCheckpoint(
            file.given,
            f"which predicts {own}, the loaded checkpoint {prediction}: the two cannot be asked in each other's place.",
        )
