"""What the WebUI calls, and when: the hooks of a request, its XYZ axes, and how a job that cannot be done ends.

A host logs what a hook raises and goes on without the script, which would sell a plain picture as W2SD's. What a
sampling function raises ends the job, and its text reaches the page and the API.
"""

import functools
import inspect
from dataclasses import replace

from modules import progress as job_at_work
from modules import shared

from ...errors import LacksError, SamplerError, SettingError, W2SDError
from ...gaps import without_effect
from ...method.trace import Trace
from ...page import infotext, runs, xyz
from ...page.settings import Settings, parse
from ..compatibility import requirements
from ..models import checkpoints
from ..sampling import isolation, progress
from ..sampling.sampling_pass import TRACE, SamplingPass
from . import arguments, cells, comparison, ends, refusal

ORIGINAL = "w2sd_original"


def settings_of(p, args) -> Settings:
    settings = parse(args)
    asked = settings.enabled and hasattr(p, comparison.ASKED)
    return replace(settings, comparison=True).with_measure() if asked else settings


def before_request(p, args) -> None:
    """Once a request, before the host has touched it."""
    try:
        settings = settings_of(p, args)
    except W2SDError:
        return  # before_sampling ends the job with it
    if settings.enabled and comparison.is_due(p):
        comparison.prepare(p)


def before_process(host: type, p, args) -> None:
    """Once a request, before anything is made: a new trace, and the settings in the infotext."""
    comparison.expect_both(p)
    setattr(p, TRACE, None)
    try:
        settings = settings_of(p, args)
    except W2SDError as error:
        p.sample = failing(p, error)  # rather than at the sampler, which a script's own p.sample need not ask
        return
    checkpoints.write_infotext(settings, p.extra_generation_params)
    setattr(p, TRACE, Trace() if settings.enabled else None)
    runs.LAST.begin(job_at_work.current_task, getattr(p, TRACE))
    if settings.enabled:
        for note in without_effect(settings):
            p.comment(f"W2SD: {note}")
        refused = host.refusal(p)
        if refused:
            p.sample = failing(p, SettingError(refused))


def before_sampling(host: type, p, args) -> None:
    """Before every sampling pass: the sampler reflects, or raises what is wrong."""
    sampler = getattr(p, "sampler", None)
    try:
        settings = settings_of(p, args)
        if settings.enabled:
            with isolation.draws_kept():
                attach(SamplingPass(host(p), settings))
        elif hasattr(sampler, "func"):
            sampler.func = original(sampler.func)
    except (AttributeError, ImportError) as error:
        fail_at_sampling(p, LacksError(requirements.sentence([f"what it looked for ({error})"], "do this in")))
    except Exception as error:
        fail_at_sampling(p, error)


def attach(one_pass: SamplingPass) -> None:
    """Make the pass's sampler reflect."""
    sampler = one_pass.p.sampler
    if not callable(getattr(sampler, "func", None)):
        raise SamplerError(f"W2SD cannot reflect the sampler {one_pass.p.sampler_name}: it has no sampling function.")
    func = original(sampler.func)
    reflecting, trace = one_pass.reflecting(func), getattr(one_pass.p, TRACE)
    weighed = progress.weighed(reflecting, trace.passes)

    @functools.wraps(func)
    @ends.reached(one_pass.p)
    @refusal.refusing()
    def sample(*args, **kwargs):
        trace.sampled.append(one_pass.webui.hires_pass)
        return weighed(*args, **kwargs)

    sampler.func = sample
    setattr(sampler.func, ORIGINAL, func)


def after_sampling(p, args) -> None:
    """Once a batch: what somebody else has sampled is not sold as W2SD's. A script may bring a p.sample of its own
    (img2img alternative test), an extension put another sampler or sampling function in the place of ours."""
    trace = getattr(p, TRACE, None)
    if trace is None:
        return
    settings, state = settings_of(p, args), shared.state
    sampled, trace.sampled = trace.sampled, []
    wanted = [hires_pass for hires_pass in passes_of(p) if settings.acts_in(hires_pass)]
    missing = [hires_pass for hires_pass in wanted if hires_pass not in sampled]
    params = p.extra_generation_params
    if sampled and (not missing or state.interrupted or state.skipped or state.stopping_generation):
        if not infotext.is_on(params):  # another batch was not ours
            checkpoints.write_infotext(settings, params)
        return
    if not missing:
        return
    script = arguments.chosen_script(p)
    who = f"the script {script}" if script else "another extension"
    nothing = missing == wanted
    what = "nothing was improved" if nothing else f"the {'hires' if missing[0] else 'first'} pass was not improved"
    told = f"W2SD: {what}: {who} samples it in its own way, not through the sampling function that W2SD improves."
    if nothing:
        infotext.write(Settings(), params)
        if not trace.passes:
            trace.said, Trace.last = told, trace
    if told not in p.comments:
        print(told)  # the API's answer has no comments
    p.comment(told)


def after_request(p) -> None:
    """Once a request, at its end: one that the user has ended before it sampled anything says so."""
    trace, state = getattr(p, TRACE, None), shared.state
    ended = state.interrupted or state.skipped or state.stopping_generation
    if trace is not None and ended and not (trace.passes or trace.said):
        trace.said, Trace.last = "Last run: interrupted before its first step.", trace


def passes_of(p) -> list:
    """Whether a hires pass, of each sampling pass of a batch."""
    if not getattr(p, "enable_hr", False):
        return [False]
    return [True] if getattr(p, "firstpass_image", None) is not None else [False, True]


def original(func):
    """The sampling function under an earlier pass's wrapper: img2img and Forge's hires pass use a sampler again."""
    return getattr(func, ORIGINAL, func)


def failing(p, error: Exception):
    @ends.reached(p)
    @refusal.refusing()
    def fail(*args, **kwargs):
        Trace.last = Trace(str(error))  # and not that of the run before
        raise error

    return fail


def fail_at_sampling(p, error: Exception) -> None:
    fail, sampler = failing(p, error), p.sampler
    if callable(getattr(sampler, "func", None)):
        sampler.func = functools.wraps(original(sampler.func))(fail)
    else:
        sampler.sample = sampler.sample_img2img = fail


def add_xyz_axes(lists: dict) -> None:
    """Give the host's XYZ grid our axes, once. `lists`: page.lists."""
    from modules import scripts

    for script in scripts.scripts_data:
        if script.script_class.__module__ == "xyz_grid.py":
            have = {option.label for option in script.module.axis_options}
            for option in xyz.options(script.module.AxisOption, arguments.given, arguments.put, lists):
                if option.label not in have:
                    option.apply, option.confirm = cells.keeping(option.apply), refusal.refusing()(option.confirm)
                    script.module.axis_options.append(option)
            cells.say_in(script.module)


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
