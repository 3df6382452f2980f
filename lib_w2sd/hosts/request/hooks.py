"""What the WebUI calls, and when: the hooks of a request, its XYZ axes, and how a job that cannot be done ends.

A host logs what a hook raises and goes on without the script, which would sell a plain picture as W2SD's. What a
sampling function raises ends the job, and its text reaches the page and the API.
"""

import functools
import inspect
from dataclasses import replace

from modules import progress as job_at_work

from ...errors import LacksError, SamplerError, SettingError, W2SDError
from ...gaps import without_effect
from ...method.trace import Trace
from ...page import runs, xyz
from ...page.settings import BY_NAME, COMPARISON, Settings, parse
from ..compatibility import requirements
from ..models import checkpoints, rewards
from ..sampling import progress
from ..sampling.sampling_pass import TRACE, SamplingPass
from . import arguments, comparison, refusal

ORIGINAL = "w2sd_original"


def settings_of(p, args) -> Settings:
    settings = parse(args)
    asked = settings.enabled and hasattr(p, comparison.ASKED)
    if not asked:
        return settings
    return replace(settings, comparison=True, measure=settings.measure or settings.comparison_with == "same push")


def before_request(p, args) -> None:
    """Once a request, before the host has touched it."""
    try:
        settings = settings_of(p, args)
    except W2SDError:
        return  # before_sampling ends the job with it
    if settings.enabled and comparison.is_due(p) and not in_grid(p):
        comparison.prepare(p)


def in_grid(p) -> bool:
    """Whether the request is a cell of the host's X/Y/Z plot, which shows nothing of a cell but its picture."""
    chosen = p.script_args[0]  # in the list of the tab's scripts, from 1; 0: none
    return bool(chosen) and p.scripts.selectable_scripts[chosen - 1].title() == xyz.SCRIPT


def before_process(host: type, p, args) -> None:
    """Once a request, before anything is made: a new trace, and the settings in the infotext."""
    comparison.expect_both(p)
    try:
        settings = settings_of(p, args)
    except W2SDError:
        return  # before_sampling ends the job with it
    # A grid's cells are not compared.
    not_compared = {name: BY_NAME[name].default for name in COMPARISON}
    written = replace(settings, **not_compared) if settings.comparison and in_grid(p) else settings
    checkpoints.write_infotext(written, p.extra_generation_params)
    setattr(p, TRACE, Trace() if settings.enabled else None)
    runs.LAST.begin(job_at_work.current_task, getattr(p, TRACE))
    if settings.enabled:
        for note in without_effect(settings):
            p.comment(f"W2SD: {note}")
        refused = host.refusal(p)
        if refused:
            p.sample = failing(SettingError(refused))


def before_sampling(host: type, p, args) -> None:
    """Before every sampling pass: the sampler reflects, or raises what is wrong."""
    sampler = getattr(p, "sampler", None)
    try:
        settings = settings_of(p, args)
        if settings.enabled:
            attach(SamplingPass(host(p), settings))
        elif hasattr(sampler, "func"):
            sampler.func = original(sampler.func)
    except (AttributeError, ImportError) as error:
        fail_at_sampling(sampler, LacksError(requirements.sentence([f"what it looked for ({error})"], "do this in")))
    except Exception as error:
        fail_at_sampling(sampler, error)


def attach(one_pass: SamplingPass) -> None:
    """Make the pass's sampler reflect."""
    sampler = one_pass.p.sampler
    if not callable(getattr(sampler, "func", None)):
        raise SamplerError(f"W2SD cannot reflect the sampler {one_pass.p.sampler_name}: it has no sampling function.")
    func = original(sampler.func)
    reflecting = one_pass.reflecting(func)
    passes = getattr(one_pass.p, TRACE).passes
    sampler.func = functools.wraps(func)(refusal.refusing()(progress.weighed(reflecting, passes)))
    setattr(sampler.func, ORIGINAL, func)


def original(func):
    """The sampling function under an earlier pass's wrapper: img2img and Forge's hires pass use a sampler again."""
    return getattr(func, ORIGINAL, func)


def failing(error: Exception):
    @refusal.refusing()
    def fail(*args, **kwargs):
        raise error

    return fail


def fail_at_sampling(sampler, error: Exception) -> None:
    fail = failing(error)
    if callable(getattr(sampler, "func", None)):
        sampler.func = functools.wraps(original(sampler.func))(fail)
    else:
        sampler.sample = sampler.sample_img2img = fail


def add_xyz_axes() -> None:
    """Give the host's XYZ grid our axes, once."""
    from modules import scripts

    for script in scripts.scripts_data:
        if script.script_class.__module__ == "xyz_grid.py":
            have = {option.label for option in script.module.axis_options}
            lists = {
                "weak_checkpoint": (checkpoints.choices, checkpoints.find),
                "weak_refiner_checkpoint": (checkpoints.choices, checkpoints.find),
                "weak_model": (checkpoints.choices, checkpoints.find),
                "reward": (rewards.choices, rewards.find),
            }
            for option in xyz.options(script.module.AxisOption, arguments.given, arguments.put, lists):
                if option.label not in have:
                    option.apply, option.confirm = refusal.refusing()(option.apply), refusal.refusing()(option.confirm)
                    script.module.axis_options.append(option)


def describe(host: type) -> dict:
    """Which host this is, and the signatures of what W2SD relies on (None: not there)."""

    def signature(path):
        try:
            return str(inspect.signature(requirements.found(path)))
        except (ImportError, AttributeError, TypeError, ValueError):
            return None

    return {
        "host": host.name,
        "weak_checkpoint": checkpoints.describe(),
        "relies_on": {requirements.name_of(path): signature(path) for path in host.RELIES_ON},
        "missing": [],
        "missing_for_gaps": {ability: lacking for ability in host.ABILITIES if (lacking := host.lacks(ability))},
    }
