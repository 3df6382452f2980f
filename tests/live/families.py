"""Families of networks that a WebUI may have a checkpoint of, and what a picture with one has to be asked for.

Files are found by their names in the WebUI's own lists; what is not there is skipped. Of each family one pair is looked
for, X and X-weak, that share everything but the network, and a LoRA.
"""

import re
from dataclasses import dataclass, field

import pytest

FLUX = ("flux.?vae|^ae", "clip.?l", "(?<!um)t5")
WAN = ("wan.?vae", "umt5")
DISTILLED = {"cfg_scale": 1, "distilled_cfg_scale": 3.5}


@dataclass(frozen=True)
class Family:
    """
    files      pattern of its checkpoints' names, from their beginning
    modules    patterns of the files that it wants beside its checkpoint (Forge Neo: VAE, text encoders)
    ask        fields of a request
    frames     whether a batch is one video
    shift      whether `distilled_cfg_scale` is the schedule's shift
    distilled  whether it takes a distilled guidance scale
    reference  whether the picture of an img2img is what it edits, seen by the network at every call
    like       the family whose LoRAs are its own, too
    """

    name: str
    files: str
    modules: tuple = ()
    ask: dict = field(default_factory=dict)
    frames: bool = False
    shift: bool = False
    distilled: bool = False
    reference: bool = False
    like: str = ""


FAMILIES = (
    Family("sd15", "(?!.*(xl|flux|kontext|schnell|chroma|klein|wan|krea|anima|z.?image|lumina|qwen|ernie))"),
    Family("sdxl", "(?!.*rectified).*xl"),
    Family("rectified xl", ".*rectified.*xl|.*xl.*rectified", (), {"distilled_cfg_scale": 3}, shift=True, like="sdxl"),
    Family("flux", "(?!.*(schnell|kontext)).*flux", FLUX, DISTILLED, distilled=True),
    Family("kontext", ".*kontext", FLUX, DISTILLED, distilled=True, reference=True, like="flux"),
    Family("schnell", ".*schnell", FLUX, {"cfg_scale": 1}, like="flux"),
    Family("chroma", ".*chroma", ("flux.?vae|^ae", "(?<!um)t5")),
    Family("klein", ".*klein", ("flux2.?vae",), reference=True),
    Family("zimage", ".*z.?image", ("flux.?vae|^ae",), {"distilled_cfg_scale": 3}, shift=True),
    Family("lumina2", ".*lumina", ("flux.?vae|^ae",), {"distilled_cfg_scale": 6}, shift=True),
    Family("krea2", ".*krea", ("wan.?vae",)),
    Family("anima", ".*anima", ("wan.?vae",), {"distilled_cfg_scale": 3}, shift=True),
    Family("qwen-image", "(?!.*edit).*qwen", ("wan.?vae",)),
    Family("qwen-edit", ".*qwen.*edit", ("wan.?vae",), reference=True, like="qwen-image"),
    Family("ernie", ".*ernie", ("flux2.?vae",), {"distilled_cfg_scale": 3}, shift=True),
    Family("wan", ".*wan(?!.*i2v)", WAN, {"distilled_cfg_scale": 5}, frames=True, shift=True),
)


def family_of(checkpoint: str) -> Family:
    """By a checkpoint's name; SD1.5 where that says nothing."""
    name = re.sub(r"^.*[\\/]", "", checkpoint)
    return next((f for f in FAMILIES[1:] if re.match(f.files, name, re.IGNORECASE)), FAMILIES[0])


def modules_of(webui, checkpoint: str) -> list:
    """The files that a checkpoint wants beside it, as far as the WebUI has them."""
    wanted = family_of(checkpoint).modules
    there = webui.modules if wanted else []
    found = [next((name for name in there if re.search(pattern, name, re.IGNORECASE)), None) for pattern in wanted]
    return [name for name in found if name]


def there(webui, family: Family) -> bool:
    try:
        return bool(pair_of(webui, family))
    except pytest.skip.Exception:
        return False


def pair_of(webui, family: Family) -> tuple:
    """The names of its two checkpoints; skips where there are none, or not all that they want."""
    names = [m["model_name"] for m in webui.get("/sdapi/v1/sd-models") if ".gguf" not in m["title"]]
    fit = [name for name in names if f"{name}-weak" in names and family_of(name) is family]
    if not fit:
        pytest.skip("absent")
    if webui.name == "neo" and len(modules_of(webui, fit[0])) < len(family.modules):
        pytest.skip("absent: VAE or text encoder")
    return fit[0], f"{fit[0]}-weak"


def lora_of(webui, family: Family) -> str:
    """A plain LoRA of the family, by the name that tests/live/make_loras.py or the small models' maker gives it."""
    names = [entry["name"] for entry in webui.get("/sdapi/v1/loras")]
    like = family.like or family.name
    found = [name for name in (f"tiny_{like}", f"{like}_lora") if name in names]
    if not found:
        pytest.skip("absent: LoRA")
    return found[0]
