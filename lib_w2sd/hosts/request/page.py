"""What the accordion's page is told of the host: its samplers, its way at CFG 1, and where presets are kept."""

import configparser
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from modules import sd_samplers_kdiffusion, sd_samplers_timesteps
from modules.paths_internal import data_path

from ...gaps import GAPS
from ...gaps.prompt import has_prompt_gap
from ...page import accordion, cost, presets, runs
from ...page.forecast import Facts
from ...page.settings import SETTINGS
from ...setting import CHECKPOINTS, REWARDS
from ..models import checkpoints, rewards
from ..sampling.prompts import reading, regions

ROOT = Path(__file__).resolve().parents[3]
PRESETS = "w2sd_presets.json"  # beside the host's own styles.csv


def samplers() -> dict:
    """The name of each sampler's function, and whether the host marks it as one of two calls a step, by its label."""
    known = {}
    for label, function, _, options in (
        *sd_samplers_kdiffusion.samplers_k_diffusion,
        *sd_samplers_timesteps.samplers_timesteps,
    ):
        known[label] = (getattr(function, "__name__", function), bool(options.get("second_order")))
    return known


def fields(tab: str) -> dict:
    """What javascript/w2sd.js reads of the page for forecast.forecast: (kind of field, CSS selector)."""
    found = {
        "steps": ("number", f"#{tab}_steps"),
        "sampler": ("choice", f"#{tab}_sampling"),
        "cfg": ("number", f"#{tab}_cfg_scale"),
        "distilled_cfg": ("number", f"#{tab}_distilled_cfg_scale"),
        "batch_count": ("number", f"#{tab}_batch_count"),
        "batch_size": ("number", f"#{tab}_batch_size"),
        # AnimateDiff: a batch is the frames of a video, and no fewer than what it sees at once.
        "video": ("checkbox", f"#{tab}-ad-enable"),
        "frames": ("number", f"#{tab}-ad-video-length"),
        "frames_at_once": ("number", f"#{tab}-ad-batch-size"),
        "width": ("number", f"#{tab}_width"),
        "height": ("number", f"#{tab}_height"),
        "prompt": ("text", f"#{tab}_prompt"),
        "negative_prompt": ("text", f"#{tab}_neg_prompt"),
        "controlnet": ("any", f"[id^={tab}_controlnet][id$=enable_checkbox] input[type=checkbox]"),
        # The list of checkpoints of A1111, then of Forge; Forge's choice of what its page is for.
        "checkpoint": ("text", "#setting_sd_model_checkpoint, .model_selection"),
        "preset": ("choice", "#forge_ui_preset"),
        "script": ("text", f"#{tab}_script_container #script_list"),
    }
    if tab == "img2img":
        denoising = ("number", "#img2img_denoising_strength")
        return {**found, "denoising": denoising, "exactly": ("option", "img2img_fix_steps")}
    return {
        **found,
        "hires": ("checked", "#txt2img_hr-visible-checkbox"),
        "hires_sampler": ("text", "#hr_sampler"),
        "hires_steps": ("number", "#txt2img_hires_steps"),
        "hires_cfg": ("number", "#txt2img_hr_cfg"),
        "hires_scale": ("number", "#txt2img_hr_scale"),
        "hires_width": ("number", "#txt2img_hr_resize_x"),
        "hires_height": ("number", "#txt2img_hr_resize_y"),
    }


def lists(host: type) -> "dict[str, accordion.Listed]":
    """What the settings that are a name on a list are picked from."""
    kinds = {
        CHECKPOINTS: (checkpoints.choices, checkpoints.find, checkpoints.refresh),
        REWARDS: (rewards.choices, rewards.find),
    }
    found = {
        s.name: accordion.Listed(*kinds[s.listed], free=partial(free, host, s) if s.in_memory else None)
        for s in SETTINGS
        if s.listed
    }
    return {**found, "weak_without": accordion.Listed(lambda: list(host.PARTS))}


def free(host: type, setting) -> None:
    """Free the memory of what was last chosen there."""
    abilities = [gap.ability for gap in GAPS if setting in gap.settings]
    if not abilities:
        rewards.KEPT.free()
    elif host.has(abilities[0]):
        host.able(abilities[0]).kept.free()


def gaps_of(host: type) -> tuple:
    return tuple(gap for gap in GAPS if not gap.ability or host.has(gap.ability))


def presets_of(host: type) -> dict:
    """The built-in presets that this host can do, by name."""
    return presets.built_in(gaps_of(host))


def guide() -> str:
    """The address of docs/guide where this extension came from; "" where that is not known."""
    config = configparser.ConfigParser(strict=False)
    try:
        config.read(ROOT / ".git" / "config", encoding="utf8")
        origin = urlsplit(config.get('remote "origin"', "url", fallback=""))
    except (configparser.Error, ValueError):
        return ""
    # The name alone of who asks: before it may stand a password.
    known = origin.scheme == "https" and origin.hostname
    return f"https://{origin.hostname}{origin.path.removesuffix('.git')}/blob/HEAD/docs/guide/" if known else ""


def page(host: type) -> accordion.Page:
    known = samplers()
    footnotes = {label: cost.footnote_of(function) for label, (function, _) in known.items()}
    gaps, built_in = gaps_of(host), presets_of(host)
    store = presets.Store(Path(data_path) / PRESETS, built_in)
    return accordion.Page(
        presets=store,
        facts=Facts(
            kinds={label: cost.kind_of(*function) for label, function in known.items()},
            footnotes={label: note for label, note in footnotes.items() if note},
            skips_uncond=host.skips_uncond,
            unguided=host.unguided,
            pairs=host.pairs,
            gaps=gaps,
            presets=built_in,
            find_preset=store.find,
            misfit=checkpoints.misfit if host.has("checkpoint") else lambda settings, loaded: "",
            reward_bytes=rewards.bytes_of,
            model_bytes=host.able("architecture").bytes_of if host.has("architecture") else lambda settings: 0,
            uncommented=reading.without_comments,
            company=lambda settings: regions.cautions(reading.loaded(), has_prompt_gap(settings)),
        ),
        fields=fields,
        last_run=runs.LAST.html,
        guide=guide(),
    )
