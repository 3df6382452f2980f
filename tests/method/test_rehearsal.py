"""Samplers that no table knows: what a run over a few pixels, without the model, tells of them and what it does not."""

import functools
from types import SimpleNamespace

import fastapi
import pytest
import torch

from lib_w2sd.errors import SamplerError
from lib_w2sd.method import schedule

from ..webui.host import Heard, same_pictures
from .test_schedule import EVERY, Recording


def renamed(func):
    """The sampler under a name of its own, as an extension has it."""

    def sample_by_another_name(model, x, *args, **kwargs):
        return func(model, x, *args, **kwargs)

    wrapped = functools.wraps(func)(sample_by_another_name)
    wrapped.__name__ = f"extension_{func.__name__}"
    return wrapped


# Samplers whose steps do not follow from their sigmas alone, or that reach what they continue from through the model
OWN_WAYS = {"restart", "dpm_fast", "dpm_fast, eta", "lcm"}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in OWN_WAYS])
def test_every_known_sampler_is_understood_under_another_name(name):
    func, more = EVERY[name]
    known = Recording(name, 9, 4)
    arguments = {"model": known.model, "x": known.initial, **known.arguments, "extra_args": {}}
    asked = len(known.of("model"))
    told = schedule.steps_of(renamed(func), arguments)
    assert told == schedule.steps_of(func, arguments)
    assert len(known.of("model")) == asked, "the rehearsal asked the model"
    assert torch.equal(known.initial, known.before)


def res_solver(report_at_end=False, copies=False):
    """In the manner of "Refined Exponential Solver": the second call between the sigmas, and exponential steps."""

    def sample_res_solver(model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None):
        noise_sampler = noise_sampler or (lambda here, there: torch.randn_like(x))
        for i in range(len(sigmas) - 1):
            here, there = sigmas[i], sigmas[i + 1]

            def report(x=x, i=i):
                callback({"x": x.clone() if copies else x, "i": i})

            denoised = model(x, here.expand(len(x)), **(extra_args or {}))
            if not report_at_end:
                report()
            if there == 0:
                x = denoised
            else:
                between = (here * there) ** 0.5
                middle = (between / here) * x + (1 - between / here) * denoised
                denoised = (denoised + model(middle, between.expand(len(x)), **(extra_args or {}))) / 2
                x = (there / here) * x + (1 - there / here) * denoised
                x = x + noise_sampler(here, there) * there * 0.1
            if report_at_end:
                report(x)
        return x

    return sample_res_solver


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("at_end", [False, True])
def test_refined_exponential_solver(at_end, copies):
    """With the noise of the whole picture, which does not fit a few pixels."""
    noise = torch.ones(2, 4, 3, 3)
    run = Recording("res", 8, 4, func=res_solver(at_end, copies), noise_sampler=lambda *_: noise)
    assert [len(run.of(kind)) for kind in ("strong", "weak", "model")] == [4, 4, 15]
    at = [run.events[k + 1] for k, event in enumerate(run.events) if event[0] == "weak"]
    assert [event[0] for event in at] == ["model"] * 4
    assert [event[3] for event in at] == pytest.approx([float(sigma) for sigma in run.arguments["sigmas"][:4]])


def test_noise_is_drawn_as_without_a_rehearsal():
    def sample_with_noise(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for i, (here, there) in enumerate(zip(sigmas[:-1], sigmas[1:])):
            denoised = model(x, here.expand(len(x)))
            callback({"x": x, "i": i})
            x = denoised + (x - denoised) * there / here + torch.randn_like(x) * there
        return x

    torch.manual_seed(3)
    before = torch.get_rng_state()
    sigmas = torch.linspace(5, 0, 6)
    steps = schedule.steps_of(sample_with_noise, {"model": None, "x": torch.ones(2, 4, 9, 9), "sigmas": sigmas})
    assert [step.calls for step in steps] == [1] * 5 and torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------------------------ what it does not tell


def one_step(x, denoised, here, there):
    return denoised + (x - denoised) * there / here


def sample_copying(model, x, sigmas, callback=None):
    for i, (here, there) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        denoised = model(x * 1, here.expand(len(x)))
        callback({"x": x, "i": i})
        x = one_step(x, denoised, here, there)
    return x


def sample_by_the_answer(model, x, sigmas, callback=None):
    for i, (here, there) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        denoised = model(x, here.expand(len(x)))
        callback({"x": x, "i": i})
        if denoised.norm() > 0:
            denoised = model(one_step(x, denoised, here, there), there.clamp(min=0.1).expand(len(x)))
        x = one_step(x, denoised, here, there)
    return x


def sample_silently(model, x, sigmas):
    for here, there in zip(sigmas[:-1], sigmas[1:]):
        denoised = model(x, here.expand(len(x)))
        x = one_step(x, (denoised + model(x, here.expand(len(x)))) / 2, here, there)
    return x


def sample_counting_calls(model, x, sigmas, callback=None):
    for i, (here, there) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        for k in range(2):
            denoised = model(x, here.expand(len(x)))
            callback({"x": x, "i": 2 * i + k})
        x = one_step(x, denoised, here, there)
    return x


def sample_elsewhere(model, x, sigmas, extra_args=None, callback=None, disable=None):
    for i, (here, there) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        denoised = model(x, (here / 2).expand(len(x)), **(extra_args or {}))
        callback({"x": x, "i": i})
        x = one_step(x, denoised, here, there)
    return x


def sample_needing_the_network(model, x, sigmas, callback=None):
    return model.inner_model.no_such_thing(x)


@pytest.mark.parametrize(
    ("func", "why"),
    [
        (sample_copying, "does not continue from the latent"),
        (sample_by_the_answer, "depends on the model's answers"),
        (sample_silently, "does not show"),
        (sample_counting_calls, "do not count the 5 steps"),
        (sample_elsewhere, "does not show"),
        (sample_needing_the_network, "cannot be rehearsed without the model .AttributeError"),
    ],
)
def test_what_a_rehearsal_does_not_tell_is_refused_with_the_reason(func, why):
    arguments = {"model": SimpleNamespace(), "x": torch.ones(2, 4, 9, 9), "sigmas": torch.linspace(5, 0, 6)}
    with pytest.raises(SamplerError, match=f"cannot reflect the sampler {func.__name__}: .*{why}.*Choose another"):
        schedule.steps_of(func, arguments)
    assert torch.equal(arguments["x"], torch.ones(2, 4, 9, 9))


# ------------------------------------------------------------------------------------------ in a WebUI


@pytest.fixture
def added(host):
    """add(func, options) makes it the sampler "Extension's" of the host."""
    sd_samplers = host.modules["sd_samplers"]

    def add(func, options=None):
        data = sd_samplers.SamplerData("Extension's", lambda: sd_samplers.KDiffusionSampler(func), options or {})
        sd_samplers.all_samplers_map["Extension's"] = data
        return {"sampler_name": "Extension's"}

    return add


@pytest.mark.parametrize("name", ["Heun", "DPM++ 2M", "DPM++ SDE", "Euler a"])
def test_an_extensions_sampler_makes_the_picture_of_the_one_that_it_is(host, added, name):
    """Noise of the picture's own seeds and all, whatever the rehearsal drew."""
    options = dict(
        next(data for label, _, _, data in host.modules["sd_samplers_kdiffusion"].samplers_k_diffusion if label == name)
    )
    ours = added(renamed(host.sampler_function(name)), options)
    settings = {"lambda_steps": 3, "inversion": "paper"}
    for ask in ({}, {"batch_size": 2, "eta": 1.0}):
        known, extensions = host.txt2img(settings, sampler_name=name, **ask), host.txt2img(settings, **ours, **ask)
        assert same_pictures(known, extensions)
        assert host.trace()[-1]["reflected"] == 3
    assert not same_pictures(known, host.txt2img(sampler_name=name, **ask))


def test_the_hosts_progress_is_the_real_runs(host, added):
    heard = Heard()
    state = host.shared.state
    host.unet.before_call = lambda call: heard.append((call, float(state.sampling_step)))
    host.txt2img({"lambda_steps": 1}, **added(res_solver()))
    seen = heard.taken()
    assert seen[0] == (0, 0) and [step for _, step in seen] == sorted(step for _, step in seen)


def test_a_sampler_that_cannot_be_rehearsed_makes_no_call(host, added):
    plain = host.txt2img(**added(sample_elsewhere))
    with pytest.raises(fastapi.HTTPException, match="cannot reflect the sampler sample_elsewhere") as refusal:
        host.txt2img({}, **added(sample_elsewhere))
    assert refusal.value.status_code == 422 and host.calls == []
    assert same_pictures(host.txt2img(**added(sample_elsewhere)), plain)
