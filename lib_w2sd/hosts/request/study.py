"""A study (lib_w2sd.evaluate) from the WebUI's own page: this process draws its pictures, as it does a grid's cells."""

import time
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from modules import processing, shared
from PIL import Image

from ... import rewards
from ...errors import SettingError, W2SDError
from ...evaluate import prompts, report, study
from ...evaluate.ways import BESIDE, Way, beside, facts_of
from ...evaluate.webui import Drawn
from ...page import presets
from ...page.settings import COMPARISON, SETTINGS, parse
from ..models.rewards import OnDevice, find
from ..sampling.sampling_pass import TRACE
from . import arguments

FIRST_SEED = 1000  # where the page's is -1: another one each time would never go on with what is there
DEFAULTS = {s.name: s.default for s in SETTINGS}
# Of the host's request, what makes two studies different ones, where it has them.
ASKED = (
    "negative_prompt steps cfg_scale width height sampler_name scheduler styles distilled_cfg_scale denoising_strength "
    "enable_hr hr_scale hr_upscaler hr_second_pass_steps hr_resize_x hr_resize_y hr_cfg subseed_strength"
).split()


class StoppedError(W2SDError):
    """The user has interrupted."""


@dataclass
class Choices:
    """The script's controls, in their order; see evaluate.page.build."""

    prompts: str = ""
    pairs: int = 50
    until_clear: bool = True
    rewards: "list[str]" = ()
    presets: "list[str]" = ()
    beside: "list[str]" = tuple(BESIDE)
    name: str = "study"


class Here:
    """This WebUI, as evaluate.webui.WebUI is one at an address."""

    def __init__(self, p):
        self.p = p

    def draw(self, request: dict, w2sd: "dict | None") -> Drawn:
        one = copy(self.p)
        one.extra_generation_params, one.comments = dict(self.p.extra_generation_params), {}
        for name in ("prompt", "seed", "steps", "cfg_scale"):
            setattr(one, name, request[name])
        if one.subseed == -1:
            one.subseed = one.seed
        one.batch_size = one.n_iter = 1
        one.do_not_save_samples = one.do_not_save_grid = True
        arguments.put(one, {"enabled": False} if w2sd is None else {**DEFAULTS, **w2sd, "enabled": True})
        begun = time.perf_counter()
        processed = processing.process_images(one)
        seconds = time.perf_counter() - begun
        state = shared.state
        if state.interrupted or state.skipped or state.stopping_generation:
            raise StoppedError("Stopped.")
        trace = getattr(one, TRACE, None) if w2sd is not None else None
        facts = facts_of(trace.as_dict()["passes"]) if trace else {}
        return Drawn(processed.images[processed.index_of_first_image].convert("RGB"), seconds, facts)


def folder(grids: str, name: str) -> Path:
    """Where the study of that name is, among a tab's grids. Raises SettingError for what is no name."""
    if not presets.NAME.fullmatch(name.strip()):
        raise SettingError(f"Name of the study was given {name!r}; allowed are letters, digits and .,()+- and spaces.")
    return Path(grids) / "w2sd" / name.strip()


def ways_of(given: dict, choices: Choices, built_in: dict) -> "tuple[Way, ...]":
    """What is compared. Raises SettingError if there is nothing with W2SD."""
    own = {name: value for name, value in given.items() if name not in ("enabled", *COMPARISON)}
    found = [Way("W2SD", own)] if given.get("enabled") else []
    for name in choices.presets:
        if name not in built_in:
            raise SettingError(f"Preset was given {name!r}; allowed is {', '.join(built_in)}.")
        preset = built_in[name]
        kept = {setting: own[setting] for setting in preset.stays if setting in own}
        found.append(Way(name, {**kept, **preset.fields}))
    if not found:
        raise SettingError("W2SD is off and no preset was chosen; allowed is one of the two, to compare plain with.")
    for way in found:
        parse([{**way.w2sd, "enabled": True}])
    unknown = [name for name in choices.beside if name not in BESIDE]
    if unknown:
        raise SettingError(f"What you could do instead was given {unknown[0]!r}; allowed is {', '.join(BESIDE)}.")
    return (Way("plain"), *found, *beside(found[0].name, choices.beside))


def prompts_of(p, choices: Choices) -> "list[str]":
    behind = p.prompt[0] if isinstance(p.prompt, list) else p.prompt
    listed = prompts.listed(choices.prompts)
    found = [prompts.with_behind(line, behind) if behind.strip() else line for line in listed] or [behind]
    if not any(prompt.strip() for prompt in found):
        raise SettingError("Prompts: there is none; allowed is one a line, or a prompt above.")
    return found


def request_of(p) -> dict:
    chosen = p.override_settings.get("sd_model_checkpoint") or shared.opts.sd_model_checkpoint
    return {"checkpoint": chosen, **{name: getattr(p, name) for name in ASKED if hasattr(p, name)}}


def asked(p, choices: Choices, built_in: dict) -> study.Asked:
    seed = p.seed[0] if isinstance(p.seed, list) else p.seed
    first = FIRST_SEED if seed in (None, "", -1, "-1") else int(seed)
    return study.Asked(prompts_of(p, choices), ways_of(arguments.given(p), choices, built_in), request_of(p), first)


def run(p, choices: Choices, built_in: dict) -> processing.Processed:
    """Draw, score and write what is asked; the sheets of pairs as its pictures. An interrupt ends it early."""
    if choices.pairs < 1:
        raise SettingError(f"Pairs was given {choices.pairs}; allowed is 1 or more.")
    where = folder(p.outpath_grids, choices.name)
    about = asked(p, choices, built_in)
    judges = [OnDevice(rewards.opened(str(find(name)))) for name in choices.rewards]
    kept = study.Study(where, about)
    missing = choices.pairs - len(kept.finished())
    shared.state.job_count = max(1, missing) * len(about.ways)

    def tell(line):
        shared.state.textinfo = line
        print(f"W2SD: {line}")

    names = [judge.name for judge in judges]
    try:
        study.run(kept, [Here(p)], judges, int(choices.pairs), choices.until_clear, tell, study.in_turn)
    except StoppedError:
        pass  # of what is there
    finally:
        told = report.write(kept, names)
    _, pictures = report.shown(where) if told else ("", [])
    sheets = [Image.open(picture).convert("RGB") for picture, _ in pictures]
    about_them = (
        f"{report.words(kept, names)} Tables and the blind test: Show the results, below the script's settings. "
        f"Everything is in {where.resolve()}."
    )
    return processing.Processed(p, sheets, seed=about.first_seed, info=about_them)
