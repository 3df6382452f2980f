"""What the page's own fields say, as it sends them: None or "" for what a tab or a WebUI has not."""

from dataclasses import replace

from ..gaps.gap import Picture
from ..gaps.lora_scales import has_tags
from ..setting import NONE
from . import cost
from .settings import Settings, as_dict


def picture_of(page: dict) -> Picture:
    """`page`: cfg, prompt, negative_prompt, checkpoint, distilled_cfg, steps, controlnet, preset (Forge's choice of
    what its page is for)."""
    return Picture(
        cfg=_given(page, "cfg", 7.0),
        loras=has_tags(page.get("prompt") or ""),
        checkpoint=page.get("checkpoint") or "",
        distilled_cfg=page.get("distilled_cfg"),
        flux=page.get("preset") in ("flux", "all"),
        steps=int(_given(page, "steps", 20)),
        controlnet=page.get("controlnet"),
        negative=bool((page.get("negative_prompt") or "").strip()),
    )


def pictures_of(page: dict) -> int:
    """A video's frames are its pictures.

    page  batch_count, batch_size; preset (Wan makes one frame of its latents of four of the video's, but for the
          first); of AnimateDiff, which has a batch size of its own: video, frames, frames_at_once
    """
    batch_size = int(_given(page, "batch_size", 1))
    if page.get("preset") == "wan":
        batch_size = (batch_size - 1) // 4 + 1
    if page.get("video"):
        batch_size = max(int(_given(page, "frames", 0)), int(_given(page, "frames_at_once", 1)))
    return int(_given(page, "batch_count", 1)) * batch_size


def _given(page: dict, name: str, default):
    value = page.get(name)
    return default if value is None or value == "" else value


def estimate_of(facts, settings: Settings, page: dict, steps: "int | None" = None) -> dict:
    """cost.estimate of the page as it stands; with other `steps` where given.

    facts forecast.Facts
    page  steps, sampler, cfg, batch_count, batch_size, width, height, denoising (img2img), exactly (the option "do
          exactly the amount of steps"), prompt; and of the hires pass: hires, hires_sampler, hires_steps, hires_cfg,
          hires_scale, hires_width, hires_height; script: the one chosen in the list of scripts
    """
    kind = facts.kinds.get(page.get("sampler"), cost.ONE)
    hires = None
    if page.get("hires"):
        width, height = _given(page, "width", 512), _given(page, "height", 512)
        to_width, to_height = page.get("hires_width") or 0, page.get("hires_height") or 0
        by_width, by_height = to_width / width, to_height / height
        area = (by_width or by_height) * (by_height or by_width) or _given(page, "hires_scale", 2.0) ** 2
        # A1111 has no such CFG field: there the hires pass has the picture's own scale.
        hires = {
            "kind": facts.kinds.get(page.get("hires_sampler"), kind),
            "steps": int(page.get("hires_steps") or 0),
            "cfg": _given(page, "hires_cfg", _given(page, "cfg", 7.0)),
            "area": area,
        }
    compared = settings.comparison and not script_of(page)
    return cost.estimate(
        {
            "settings": as_dict(replace(settings, comparison=compared)),
            "kind": kind,
            "steps": int(steps or _given(page, "steps", 20)),
            "cfg": _given(page, "cfg", 7.0),
            "pictures": pictures_of(page),
            "denoising": page.get("denoising"),
            "exactly": bool(page.get("exactly")),
            "hires": hires,
            "loras": picture_of(page).loras,
            "pairs": {0.0, 1.0} if page.get("video") else facts.pairs(),
            "skips_uncond": facts.skips_uncond,
            **{name: value for name, value in facts.unguided().items() if name != "minimum_sigma"},
        }
    )


def script_of(page: dict) -> str:
    """The title of the script chosen in the list of scripts; "" for none."""
    return "" if page.get("script") in (None, NONE) else page["script"]


def plain_of(facts, settings: Settings, page: dict, had_steps) -> "dict | None":
    """What the picture took before a preset halved its steps."""
    if not had_steps or int(had_steps) == int(_given(page, "steps", 20)):
        return None
    return {**estimate_of(facts, settings, page, int(had_steps)), "had": int(had_steps)}
