"""Every sampler of the hosts, with models that write down what they are asked: when, and for which tensor."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from k_diffusion import sampling

from lib_w2sd import schedule
from lib_w2sd.errors import SamplerError
from lib_w2sd.reflection import Sigma, VariancePreserving, reflect
from lib_w2sd.settings import Settings

from . import samplers
from .mixture import Sides, reflecting

ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).cumprod(0)


def white_noise(sigma, sigma_next):
    return torch.ones(2, 4, 3, 3)


ONE_CALL = {
    "euler": (sampling.sample_euler, {}),
    "euler, churned": (sampling.sample_euler, {"s_churn": 8.0}),
    "euler_ancestral": (sampling.sample_euler_ancestral, {}),
    "lms": (sampling.sample_lms, {}),
    "dpmpp_2m": (sampling.sample_dpmpp_2m, {}),
    "dpmpp_2m_sde": (sampling.sample_dpmpp_2m_sde, {"noise_sampler": white_noise}),
    "dpmpp_2m_sde, heun": (sampling.sample_dpmpp_2m_sde, {"noise_sampler": white_noise, "solver_type": "heun"}),
    "dpmpp_3m_sde": (sampling.sample_dpmpp_3m_sde, {"noise_sampler": white_noise}),
    "lcm": (samplers.sample_lcm, {}),
}
TWO_CALLS = {
    "heun": (sampling.sample_heun, {}),
    "heun, churned": (sampling.sample_heun, {"s_churn": 8.0}),
    "dpm_2": (sampling.sample_dpm_2, {}),
    "dpm_2, churned": (sampling.sample_dpm_2, {"s_churn": 40.0}),
    "dpm_2_ancestral": (sampling.sample_dpm_2_ancestral, {}),
    "dpmpp_2s_ancestral": (sampling.sample_dpmpp_2s_ancestral, {}),
    "dpmpp_sde": (sampling.sample_dpmpp_sde, {"noise_sampler": white_noise}),
    "restart": (samplers.restart_sampler, {}),
}
OTHERS = {
    "heunpp2": (samplers.sample_heunpp2, {}),
    "dpm_fast": (sampling.sample_dpm_fast, {}),
    "dpm_fast, eta": (sampling.sample_dpm_fast, {"eta": 1.0, "noise_sampler": white_noise}),
}
TIMESTEPS = {
    "ddim": (samplers.ddim, {}),
    "ddim, eta": (samplers.ddim, {"eta": 1.0}),
    "plms": (samplers.plms, {}),
}
IN_SIGMA = {**ONE_CALL, **TWO_CALLS, **OTHERS}
EVERY = {**IN_SIGMA, **TIMESTEPS}


def strong_model(x, t):
    return 0.8 * x


def weak_model(x, t):
    return 0.6 * x - 0.1


class Recording:
    """One sampling run with a gap; `events` in order: (kind, tensor object, its value then, time or step number)."""

    def __init__(self, name, steps, lambda_steps, start=0, inversion="matched", two_calls=False, func=None):
        self.events = []
        known, arguments = EVERY.get(name, (func, {}))
        func = func or known
        x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(steps))
        if name in TIMESTEPS or func is samplers.unipc:
            self.coordinates = VariancePreserving(ALPHAS_CUMPROD)
            timesteps = torch.arange(steps + 1 - start) * (1000 // (steps + 1)) + 1
            arguments = {**arguments, "timesteps": timesteps}
        else:
            self.coordinates = Sigma()
            sigmas = sampling.get_sigmas_karras(steps, 0.03, 14.6)[start:]
            x = x * sigmas[0]
            if func in (sampling.sample_dpm_fast, sampling.sample_dpm_adaptive):
                arguments = {**arguments, "sigma_max": sigmas[0].item(), "sigma_min": sigmas[-2].item()}
            else:
                arguments = {**arguments, "sigmas": sigmas}
            if func is sampling.sample_dpm_fast:
                arguments["n"] = len(sigmas) - 1
        self.arguments = arguments

        def record(kind, model):
            def call(x, t):
                self.events.append((kind, x, x.clone(), t.flatten()[0].item()))
                return model(x, t)

            return call

        model = record("model", strong_model)
        model.inner_model = SimpleNamespace(inner_model=SimpleNamespace(alphas_cumprod=ALPHAS_CUMPROD))
        sides = Sides(self.coordinates, record("strong", strong_model), record("weak", weak_model))
        settings = Settings(enabled=True, lambda_steps=lambda_steps, inversion=inversion)
        sample = reflecting(func, settings, sides, two_calls=two_calls)
        self.initial, self.before = x, x.clone()
        self.result = sample(model, x, **arguments, callback=self.callback, disable=True)

    def callback(self, info):
        self.events.append(("callback", info["x"], info["x"].clone(), info["i"]))

    def of(self, kind):
        return [event for event in self.events if event[0] == kind]

    def first_calls(self, reports_at_end):
        """The index in `events` of each step's first model call, told by the sampler's own callbacks."""
        models = [k for k, event in enumerate(self.events) if event[0] == "model"]
        callbacks = [k for k, event in enumerate(self.events) if event[0] == "callback"]
        if reports_at_end:
            return [min(k for k in models if k > after) for after in [-1, *callbacks[:-1]]]
        return [max(k for k in models if k < before) for before in callbacks]


def check_reflections(run, expected, reports_at_end=False):
    """`expected` reflections, one in each of the first steps, each written into the state of the step's first call."""
    first = run.first_calls(reports_at_end)
    reflected = [k for k in first if k >= 2 and run.events[k - 1][0] == "weak"]
    assert reflected == first[:expected]
    assert len(run.of("strong")) == len(run.of("weak")) == expected
    for number, k in enumerate(first):
        _, x, value, t = run.events[k]
        if not reports_at_end:
            # k-diffusion hands its callback the state itself.
            state = next(event for event in run.events[k:] if event[0] == "callback")
            assert state[1] is x
        elif number:
            state = [event for event in run.events[:k] if event[0] == "callback"][-1]
            before = run.events[k - 2][2] if number < expected else value
            assert torch.equal(state[2], before)
        if number < expected:
            (_, strong_x, was, strong_t), (_, weak_x, _, weak_t) = run.events[k - 2 : k]
            assert strong_x is x and weak_x is x
            assert strong_t == weak_t == t
            assert not torch.equal(was, value)


@pytest.mark.parametrize("lambda_steps", [0, 1, 3, 7, 8, 100, -1])
@pytest.mark.parametrize("name", EVERY)
def test_each_of_the_first_lambda_steps_is_reflected_once_at_its_own_state(name, lambda_steps):
    run = Recording(name, 8, lambda_steps)
    total = len(run.of("callback"))
    assert total == (3 if name.startswith("dpm_fast") else 8)
    most = total - 1
    check_reflections(run, most if lambda_steps == -1 else min(lambda_steps, most), name in TIMESTEPS)
    assert torch.equal(run.initial, run.before), "the caller's own noise was written into"


@pytest.mark.parametrize("name", [*ONE_CALL, *TWO_CALLS, "heunpp2"])
def test_the_reflected_state_is_the_operators_and_no_step_to_sigma_0_is_reflected(name):
    run = Recording(name, 9, -1)
    sigmas = run.arguments["sigmas"]
    first = run.first_calls(False)
    for i, k in enumerate(first[:-1]):
        (_, _, was, t), (_, _, value, _) = run.events[k - 2], run.events[k]
        assert t >= sigmas[i].item() * 0.999
        expected = reflect(was, torch.full((2,), t), sigmas[i + 1].item(), strong_model, weak_model, Sigma(), "matched")
        assert torch.equal(value, expected.x)
        assert sigmas[i + 1] > 0
    assert run.events[first[-1] - 1][0] != "weak"


@pytest.mark.parametrize("name", TIMESTEPS)
def test_the_reflected_state_is_the_operators_in_timesteps(name):
    run = Recording(name, 9, -1)
    timesteps = run.arguments["timesteps"].flip(0).tolist()
    for i, k in enumerate(run.first_calls(True)[:-1]):
        (_, _, was, t), (_, _, value, _) = run.events[k - 2], run.events[k]
        assert t == timesteps[i]
        where = VariancePreserving(ALPHAS_CUMPROD)
        expected = reflect(was, timesteps[i], timesteps[i + 1], strong_model, weak_model, where, "matched")
        assert torch.equal(value, expected.x)


@pytest.mark.parametrize("name", EVERY)
@given(steps=st.integers(2, 24), lambda_steps=st.integers(-1, 30), data=st.data())
def test_lambda_counts_executed_steps(name, steps, lambda_steps, data):
    """As in img2img, which enters the schedule midway."""
    start = data.draw(st.integers(0, steps - 2), label="start")  # some samplers cannot do a single step
    run = Recording(name, steps, lambda_steps, start)
    most = len(run.of("callback")) - 1
    check_reflections(run, most if lambda_steps == -1 else min(lambda_steps, most), name in TIMESTEPS)


@pytest.mark.parametrize("name", ["dpm_fast", "heun", "restart", "heunpp2"])
@given(steps=st.integers(1, 60))
@example(1)
@example(2)
@example(3)
@example(20)
@example(36)
@example(60)
def test_plan_of_the_run_is_what_the_sampler_does(name, steps):
    """Starts and number of calls of every step, for any number of steps."""
    run = Recording(name, steps, 1)
    plan = schedule.steps_of(EVERY[name][0].__name__, run.arguments)
    first = run.first_calls(False)
    models = [k for k, event in enumerate(run.events) if event[0] == "model"]
    starts = [run.events[k][3] for k in first]
    calls = [sum(a <= k < b for k in models) for a, b in zip(first, [*first[1:], len(run.events)])]
    assert [step.start for step in plan] == pytest.approx(starts, rel=1e-4)
    assert [step.calls for step in plan] == calls
    assert len(models) == sum(calls)
    rises = [step for step, after in zip(plan, plan[1:]) if step.end < after.start * 0.999]
    assert len(rises) == (0 if name != "restart" or steps < 20 else 1 if steps < 36 else 2)
    if name == "dpm_fast":
        assert len(models) == steps
        assert plan[-1].end == pytest.approx(run.arguments["sigma_min"])
    else:
        assert plan[-1].end == 0


def test_restart_with_a_list_of_its_own():
    sigmas = sampling.get_sigmas_karras(12, 0.03, 14.6)
    wanted = {0.1: [4, 2, 1.0], 1.0: [3, 1, 5.0]}
    plan = [(float(a), float(b)) for a, b in samplers.restart_plan(sigmas, wanted)]
    steps = schedule.steps_of("restart_sampler", {"sigmas": sigmas, "restart_list": wanted})
    assert len(plan) > 12
    assert [value for step in steps for value in (step.start, step.end)] == pytest.approx(
        [value for pair in plan for value in pair]
    )


@given(sigma=st.floats(0.1, 10), off=st.floats(0.005, 0.9))
def test_a_call_below_its_step_is_a_mismatch(sigma, off):
    window = schedule.Window("sample_new", [schedule.Step(sigma, sigma / 2), schedule.Step(sigma / 2, 0)], 1)
    with pytest.raises(SamplerError, match="sample_new"):
        window.advance(sigma * (1 - off))


def two_call_sampler(second_at):
    """A sampler that no table knows; its second call is at `second_at(sigma, sigma_next)`."""

    def sample_unheard_of(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:])):
            denoised = model(x, sigma.expand(2))
            callback({"x": x, "i": i})
            d = (x - denoised) / sigma
            if sigma_next > 0:
                between = second_at(sigma, sigma_next)
                middle = x + (between - sigma) * d
                d = (middle - model(middle, between.expand(2))) / between
            x = x + (sigma_next - sigma) * d
        return x

    return sample_unheard_of


SECOND_CALLS = {
    "at the next sigma": lambda sigma, sigma_next: sigma_next,
    "between": lambda sigma, sigma_next: (sigma * sigma_next) ** 0.5,
    "at the same sigma": lambda sigma, sigma_next: sigma,
}


@pytest.mark.parametrize("lambda_steps", [2, 3, 7, -1])
@pytest.mark.parametrize("second", SECOND_CALLS)
def test_unknown_sampler_of_two_calls_is_refused_rather_than_reflected_at_the_wrong_place(second, lambda_steps):
    with pytest.raises(SamplerError, match="cannot reflect the sampler sample_unheard_of: .*Choose another sampler"):
        Recording("unheard of", 8, lambda_steps, func=two_call_sampler(SECOND_CALLS[second]))


@pytest.mark.parametrize("second", SECOND_CALLS)
def test_sampler_that_the_host_marks_as_two_calls_is_reflected(second):
    run = Recording("unheard of", 8, 5, func=two_call_sampler(SECOND_CALLS[second]), two_calls=True)
    check_reflections(run, 5)


def test_sampler_marked_as_two_calls_that_makes_one_is_refused():
    with pytest.raises(SamplerError, match="sample_euler"):
        Recording("euler", 8, 5, two_calls=True)


REFUSED = {
    sampling.sample_dpm_adaptive: "it chooses its steps while it runs and takes rejected ones back",
    samplers.unipc: "it evaluates predicted latents, not the one it continues from",
}


@pytest.mark.parametrize("func", REFUSED, ids=lambda func: func.__name__)
def test_samplers_without_steps_to_reflect_are_refused_with_the_reason(func):
    with pytest.raises(SamplerError) as refusal:
        Recording(func.__name__, 8, 5, func=func)
    assert func.__name__ in str(refusal.value) and REFUSED[func] in str(refusal.value)
    assert refusal.value.status_code == 422
    # With nothing to reflect they run as ever.
    assert Recording(func.__name__, 8, 0, func=func).of("model")


def test_sampler_of_unknown_arguments_is_refused():
    def sample_by_feeling(model, x, mood, callback=None, disable=None):
        raise AssertionError("must not start")

    with pytest.raises(SamplerError, match="sample_by_feeling: it was given neither sigmas nor timesteps"):
        reflecting(sample_by_feeling, Settings(enabled=True), None)(None, torch.zeros(1), "good")


@given(lambda_steps=st.integers(-1, 200), total=st.integers(1, 150))
def test_number_of_reflected_steps(lambda_steps, total):
    reflected = schedule.reflected_steps(lambda_steps, total)
    assert 0 <= reflected <= total - 1
    assert reflected == (total - 1 if lambda_steps == -1 or lambda_steps >= total else lambda_steps)
