"""The WebUI's checkpoints by the layout of their network, told from their names."""

import pytest

from . import families
from .conftest import PLAIN

LAYOUTS = ("sd15", "sdxl", "flux")


def layout_of(name: str) -> str:
    return "flux" if "flux" in name.lower() else "sdxl" if "xl" in name.lower() else "sd15"


def asking(webui, layout: str) -> dict:
    """What a picture with a checkpoint of that layout needs to be asked for; skips where there is none."""
    names = [m["model_name"] for m in webui.get("/sdapi/v1/sd-models") if ".gguf" not in m["title"]]
    fit = [name for name in names if layout_of(name) == layout and f"{name}-weak" in names]
    # Of Forge Neo's other families none is meant.
    fit = [name for name in fit if families.family_of(name).name == layout]
    if not fit:
        pytest.skip(f"no checkpoints named X and X-weak of the layout {layout}")
    ask = {"override_settings": {"sd_model_checkpoint": fit[0]}, "steps": 5}
    if layout == "flux":
        ask.update(scheduler="Simple", distilled_cfg_scale=3.5, cfg_scale=1)
    return ask


def no_gap(ask: dict, **settings) -> dict:
    """Settings under which strong and weak are the same."""
    return {
        "lambda_steps": -1,
        "inversion": "matched",
        "weak_cfg": ask.get("cfg_scale", PLAIN["cfg_scale"]),
        **settings,
    }


def gap_norm(webui, settings: dict, **ask) -> float:
    """Size of the gap at the first step, where every request of a seed has the same latent."""
    webui.picture({**no_gap(ask), "lambda_steps": 1, **settings}, **{**ask, "steps": 3})
    return webui.trace()[0]["reflections"][0]["gap_norm"]
