"""A checkpoint file, opened but not read: its UNet's names and shapes, what it predicts, one tensor on demand."""

import zipfile
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError, UnfitCheckpoint

UNET = "model.diffusion_model."
# Width of the text encoder's output (cross attention): which architecture it is.
CONTEXT = {768: "SD1.5", 1024: "SD2", 1280: "the SDXL refiner", 2048: "SDXL"}
# As torch writes them, and as safetensors does
EIGHT_BIT = {
    "torch.float8_e4m3fn": torch.float8_e4m3fn,
    "F8_E4M3": torch.float8_e4m3fn,
    "torch.float8_e5m2": torch.float8_e5m2,
    "F8_E5M2": torch.float8_e5m2,
}
CHANNELS = {4: "text to image", 8: "InstructPix2Pix", 9: "inpainting"}


class WeightsFile:
    """`shapes`: the UNet's tensors by name, without the prefix that a whole checkpoint gives them.

    `markers`: the names of everything else in the file; `metadata`: the file's own, text to text.
    """

    def __init__(self, given: str, names: "Iterable[str]", metadata: "dict | None" = None):
        names = list(names)
        unet = {name[len(UNET) :]: name for name in names if name.startswith(UNET)}
        self.given, self.metadata = given, metadata or {}
        self._full = unet or {name: name for name in names}
        self.markers = {name for name in names if not name.startswith(UNET)}
        self.shapes = {name: self._shape(full) for name, full in self._full.items()}

    def called(self, names: "dict[str, str]") -> "WeightsFile":
        """This file, its tensors by other names: {new: old}. What is not named is left out."""
        self._full = {new: self._full[old] for new, old in names.items()}
        self.shapes = {new: self.shapes[old] for new, old in names.items()}
        return self

    def eight_bit(self) -> "torch.dtype | None":
        """The fp8 that most of the UNet's tensors have; None, if most have another dtype."""
        counts = Counter(self._dtype(full) for full in self._full.values())
        return EIGHT_BIT.get(counts.most_common(1)[0][0])

    @property
    def names(self) -> list:
        """Of all tensors that `read` reads, whatever becomes of `shapes`."""
        return list(self._full)

    def read(self, name: str) -> torch.Tensor:
        """One of the UNet's tensors, on the CPU in the file's own dtype."""
        with self.readable():
            return self._tensor(self._full[name])

    def _shape(self, full: str) -> tuple:
        raise NotImplementedError

    def _tensor(self, full: str) -> torch.Tensor:
        raise NotImplementedError

    def _dtype(self, full: str) -> str:
        return str(self._tensor(full).dtype)

    @contextmanager
    def readable(self):
        try:
            yield
        except (SafetensorError, OSError, EOFError, ValueError, KeyError) as error:
            raise broken(self.given, error) from error


def broken(given: str, error) -> CheckpointError:
    return CheckpointError(given, f"which cannot be read; the file is truncated or corrupt ({_first_line(error)}).")


def _first_line(error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class SafetensorsFile(WeightsFile):
    def __init__(self, given: str, path):
        self._file = safe_open(str(path), framework="pt", device="cpu")
        super().__init__(given, self._file.keys(), self._file.metadata())

    def _shape(self, full):
        return tuple(self._file.get_slice(full).get_shape())

    def _tensor(self, full):
        return self._file.get_tensor(full)

    def _dtype(self, full):
        return self._file.get_slice(full).get_dtype()


class PickleFile(WeightsFile):
    """.ckpt and .pt. `weights_only`: a pickle can run any program, and this reads tensors alone or nothing. The
    data stay on disk until they are asked for."""

    def __init__(self, given: str, path):
        # Not a str: Forge moves a file away whose name its torch.load was given as one, and could not read.
        path = Path(path)
        mappable = zipfile.is_zipfile(path)  # not if written by a torch before 1.6
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=mappable)
        if held is None:  # A1111 puts its own check in front of torch.load, which answers None
            raise CheckpointError(
                given, "a pickle file that the WebUI's own check refuses; its log says why. Convert it to .safetensors."
            )
        held = held.get("state_dict", held)
        self._held = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
        super().__init__(given, self._held)

    def _shape(self, full):
        return tuple(self._held[full].shape)

    def _tensor(self, full):
        return self._held[full]


def _what_it_is(path) -> "str | None":
    """Of a file that is no weights at all, in words: downloads that went wrong leave some kinds again and again."""
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b'{"')):
        return "it is a web page's text; download the file itself"
    return "it is a Git LFS pointer; download the file itself" if start.startswith(b"version https://git-lfs") else None


OPENERS = {".safetensors": SafetensorsFile, ".ckpt": PickleFile, ".pt": PickleFile, ".pth": PickleFile}


def open_weights(given: str, path, openers: "dict | None" = None) -> WeightsFile:
    """The file at `path`, which the user calls `given`. Raises CheckpointError where it cannot be read.

    openers  further kinds of file, by suffix
    """
    kinds = {**OPENERS, **(openers or {})}
    suffix = Path(path).suffix.lower()
    if suffix not in kinds:
        raise CheckpointError(given, f"a {suffix} file; allowed are {', '.join(sorted(kinds))}.")
    try:
        what = _what_it_is(path)
        if what:
            raise broken(given, what)
        file = kinds[suffix](given, path)
    except FileNotFoundError as error:
        raise CheckpointError(given, f"but the file {Path(path).name} is not there any more.") from error
    except (MemoryError, CheckpointError):
        raise
    except Exception as error:
        if kinds[suffix] is PickleFile and "unsupported global" in str(error).lower():
            raise CheckpointError(
                given,
                "a pickle file that holds more than tensors and could run any program; it is not loaded. "
                "Convert it to .safetensors.",
            ) from error
        raise broken(given, error) from error
    if not file.shapes:
        raise CheckpointError(given, "a file without a UNet.")
    return file


# ---------------------------------------------------------------------------------------- does it fit


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


def check_fit(file: WeightsFile, path, strong: dict, prediction: "str | None") -> None:
    """Raise UnfitCheckpoint unless the file's UNet can take the place of the loaded one.

    strong      the loaded UNet's shapes by name
    prediction  what the loaded checkpoint predicts; None: unknown
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
    own = prediction_of(file, path)
    if prediction and own != prediction:
        raise UnfitCheckpoint(
            file.given,
            f"which predicts {own}, the loaded checkpoint {prediction}: the two cannot be asked in each other's place.",
        )
