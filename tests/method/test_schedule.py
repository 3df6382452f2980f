"""Every sampler of the hosts, with models that write down what they are asked: when, and for which tensor."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from k_diffusion import sampling

from lib_w2sd.errors import SamplerError
from lib_w2sd.method import schedule
from lib_w2sd.method.reflection import Sigma, VariancePreserving, reflect
from lib_w2sd.method.window import Window

from .. import samplers
from ..mixture import Sides, reflecting
from ..reflected import reflected

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
# In sigmas of a flow.
FLOW = {"dpmpp_2s_ancestral_RF": (samplers.sample_dpmpp_2s_ancestral_RF, {})}
OTHERS = {
    "heunpp2": (samplers.sample_heunpp2, {}),
    "kohaku": (samplers.sample_Kohaku_LoNyu_Yog, {}),
    "dpm_fast": (sampling.sample_dpm_fast, {}),
    "dpm_fast, eta": (sampling.sample_dpm_fast, {"eta": 1.0, "noise_sampler": white_noise}),
}
TIMESTEPS = {
    "ddim": (samplers.ddim, {}),
    "ddim, eta": (samplers.ddim, {"eta": 1.0}),
    "plms": (samplers.plms, {}),
}
IN_SIGMA = {**ONE_CALL, **TWO_CALLS, **FLOW, **OTHERS}
EVERY = {**IN_SIGMA, **TIMESTEPS}


def strong_model(x, t):
    return 0.8 * x


def weak_model(x, t):
    return 0.6 * x - 0.1


class Recording:
    """One sampling run with a gap; `events` in order: (kind, tensor object, its value then, time or step number)."""

    def __init__(self, name, steps, lambda_steps, start=0, inversion="matched", func=None, **more):
        self.events, self.infos = [], []
        known, arguments = EVERY.get(name, (func, more))
        func = func or known
        x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(steps))
        if name in TIMESTEPS or func is samplers.unipc:
            self.coordinates = VariancePreserving(ALPHAS_CUMPROD)
            timesteps = torch.arange(steps + 1 - start) * (1000 // (steps + 1)) + 1
            arguments = {**arguments, "timesteps": timesteps}
        else:
            self.coordinates = Sigma()
            sigmas = sampling.get_sigmas_karras(steps, 0.03, 1.0 if name in FLOW else 14.6)[start:]
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

        self.model = model = record("model", strong_model)
        model.inner_model = SimpleNamespace(inner_model=SimpleNamespace(alphas_cumprod=ALPHAS_CUMPROD))
        sides = Sides(self.coordinates, record("strong", strong_model), record("weak", weak_model))
        settings = reflected(lambda_steps=lambda_steps, inversion=inversion)
        sample = reflecting(func, settings, sides)
        self.initial, self.before = x, x.clone()
        self.result = sample(model, x, **arguments, callback=self.callback, disable=True)
        self.trace = sample.passes[-1] if sample.passes else None

    def callback(self, info):
        self.events.append(("callback", info["x"], info["x"].clone(), info["i"]))
        self.infos.append({**info, "x": info["x"].clone()})

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


@pytest.mark.parametrize("name", [*ONE_CALL, *TWO_CALLS, *FLOW, "heunpp2", "kohaku"])
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


@pytest.mark.parametrize("name", ["dpm_fast", "heun", "restart", "heunpp2", "kohaku", *FLOW])
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
    plan = schedule.steps_of(EVERY[name][0], run.arguments)
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
    steps = schedule.steps_of(samplers.restart_sampler, {"sigmas": sigmas, "restart_list": wanted})
    assert len(plan) > 12
    assert [value for step in steps for value in (step.start, step.end)] == pytest.approx(
        [value for pair in plan for value in pair]
    )


@given(sigma=st.floats(0.1, 10), off=st.floats(0.005, 0.9))
def test_a_call_below_its_step_is_a_mismatch(sigma, off):
    window = Window("sample_new", [schedule.Step(sigma, sigma / 2), schedule.Step(sigma / 2, 0)], range(1))
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
def test_unknown_sampler_of_two_calls_is_reflected_at_the_first(second, lambda_steps):
    run = Recording("unheard of", 8, lambda_steps, func=two_call_sampler(SECOND_CALLS[second]))
    check_reflections(run, 7 if lambda_steps == -1 else lambda_steps)


UNIPC_STEPS = 7


def unipc_by_hand(x, lambda_steps, inversion):
    """Algorithm 1 around UniPC of order 1 in its own words: a step ends at a predicted latent. There the model is
    asked, and there the reflection is made; the corrected latent takes the same move."""
    where = VariancePreserving(ALPHAS_CUMPROD)
    times = torch.linspace(999.0, 0.0, UNIPC_STEPS + 1).tolist()

    def reflected(k, x):
        if k >= lambda_steps:
            return x
        return reflect(x, times[k], times[k + 1], strong_model, weak_model, where, inversion).x

    def clean(x, t):
        abar = where.alpha_bar(x, t)
        return (x - (1 - abar) ** 0.5 * strong_model(x, t)) / abar**0.5

    x = reflected(0, x)
    known = clean(x, times[0])
    for k in range(1, UNIPC_STEPS + 1):
        now, after = where.alpha_bar(x, times[k - 1]), where.alpha_bar(x, times[k])
        kept = ((1 - after) / (1 - now)) ** 0.5
        added = after**0.5 - now**0.5 * kept
        at = kept * x + added * known
        if k == UNIPC_STEPS:
            return at
        following = clean(reflected(k, at), times[k])
        x = kept * x + added * (known + following) / 2 + (reflected(k, at) - at)
        known = following


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("lambda_steps", [0, 1, 2, 5, 6, 7, -1])
def test_unipc_moves_the_latent_it_continues_from_as_its_prediction(lambda_steps, inversion):
    run = Recording("unipc", UNIPC_STEPS, lambda_steps, start=1, func=samplers.unipc, inversion=inversion)
    expected = UNIPC_STEPS - 1 if lambda_steps == -1 else min(lambda_steps, UNIPC_STEPS - 1)
    torch.testing.assert_close(run.result, unipc_by_hand(run.before, expected, inversion), rtol=1e-4, atol=1e-5)
    assert len(run.of("strong")) == expected
    assert [event[3] for event in run.of("callback")] == list(range(UNIPC_STEPS))
    assert torch.equal(run.initial, run.before)


def test_unipcs_plan_is_where_it_asks():
    run = Recording("unipc", 9, 1, func=samplers.unipc)
    arguments = {"model": run.model, "x": run.before, **run.arguments, "is_img2img": True}
    seen = [event for event in run.events if event[0] == "model"]
    steps = schedule.steps_of(samplers.unipc, {**arguments, "is_img2img": False})
    assert [step.start for step in steps] == [event[3] for event in seen]
    assert {step.calls for step in steps} == {1}
    assert schedule.steps_of(samplers.unipc, arguments)[0].start == run.arguments["timesteps"][-1]
    assert len(run.of("model")) == len(seen), "the rehearsal asked the model"


def unipc_on_sigmas_by_hand(x, sigmas, lambda_steps, inversion):
    """The same on sigmas, with the latent in k-diffusion's coordinates throughout: the sampler's own ones are these
    over sqrt(1 + sigma^2)."""
    sigmas = [*sigmas[:-1].tolist(), 0.001]

    def reflected(k, x):
        return (
            x
            if k >= lambda_steps
            else reflect(x, sigmas[k], sigmas[k + 1], strong_model, weak_model, Sigma(), inversion).x
        )

    for k, sigma in enumerate(sigmas[:-1]):
        at = reflected(k, x if k == 0 else predicted)  # noqa: F821
        answer = strong_model(at, sigma)
        if k:
            signal = (known + answer) / 2  # noqa: F821
            x = signal + sigma / sigmas[k - 1] * (x - signal)
            x = x + at - predicted  # noqa: F821
        else:
            x = at
        known = answer
        predicted = known + sigmas[k + 1] / sigma * (x - known)
    return predicted


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("lambda_steps", [0, 1, 2, 5, 6, 7, -1])
def test_unipc_on_sigmas_moves_the_latent_that_only_its_callback_sees(lambda_steps, inversion):
    run = Recording("unipc on sigmas", 7, lambda_steps, func=samplers.sample_unipc, inversion=inversion)
    expected = 6 if lambda_steps == -1 else min(lambda_steps, 6)
    by_hand = unipc_on_sigmas_by_hand(run.before, run.arguments["sigmas"], expected, inversion)
    torch.testing.assert_close(run.result, by_hand, rtol=1e-4, atol=1e-4)
    assert len(run.of("strong")) == expected
    assert [event[3] for event in run.of("callback")] == list(range(7))
    assert torch.equal(run.initial, run.before)


def test_unipc_on_sigmas_is_pushed_where_euler_is():
    """Towards the gap, by about as much: not backwards."""
    moves = {}
    for name, func in (("euler", None), ("unipc on sigmas", samplers.sample_unipc)):
        plain, reflected = (Recording(name, 12, lambda_steps, func=func).result for lambda_steps in (0, 6))
        moves[name] = reflected - plain
    euler, unipc = moves.values()
    assert torch.nn.functional.cosine_similarity(euler.flatten(), unipc.flatten(), dim=0) > 0.9
    assert 0.5 < (unipc.norm() / euler.norm()).item() < 2


def adaptive(lambda_steps, inversion="matched", **arguments):
    """A run of DPM adaptive, and its attempts at a step: (events of each, the callback's info at its end)."""
    run = Recording("adaptive", 8, lambda_steps, inversion=inversion, func=sampling.sample_dpm_adaptive, **arguments)
    ends = [k for k, event in enumerate(run.events) if event[0] == "callback"]
    return run, list(zip([run.events[a + 1 : b] for a, b in zip([-1, *ends[:-1]], ends)], run.infos))


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("lambda_steps", [0, 1, 3, 6, -1])
@pytest.mark.parametrize("order", [2, 3])
def test_dpm_adaptive_is_reflected_once_for_each_step_that_it_keeps(order, lambda_steps, inversion):
    run, attempts = adaptive(lambda_steps, inversion, order=order, h_init=3.0, rtol=0.002)
    assert run.infos[0]["n_reject"] == 1 and run.infos[-1]["n_reject"] > 1, "nothing was taken back"
    state, kept, length = run.before, 0, 3.0
    for events, info in attempts:
        sigma = events[0][3]
        end = max(run.arguments["sigma_min"], sigma * math.exp(-length))
        is_last = end == run.arguments["sigma_min"]
        reflected = kept < (math.inf if lambda_steps == -1 else lambda_steps) and not is_last
        first = next(event for event in events if event[0] == "model")
        if reflected:
            asked = next(event for event in events if event[0] == "strong")
            torch.testing.assert_close(asked[2], state)  # without the move of an attempt that was taken back
            at = torch.full((2,), sigma)
            expected = reflect(state, at, end, strong_model, weak_model, Sigma(), inversion)
            torch.testing.assert_close(first[2], expected.x)
        else:
            assert {event[0] for event in events} == {"model"}
            assert torch.equal(first[2], state)
        assert len([event for event in events if event[0] == "model"]) == order
        length = info["h"]
        if info["n_accept"] > kept:
            state, kept = info["x"], info["n_accept"]
    if lambda_steps:
        assert (run.trace.steps, run.trace.reflected) == (kept, kept - 1 if lambda_steps == -1 else lambda_steps)
        assert [r["step"] for r in run.trace.reflections] == list(range(run.trace.reflected))


def test_dpm_adaptive_without_a_gap_is_plain():
    plain, _ = adaptive(0, h_init=3.0, rtol=0.002)
    settings = reflected(lambda_steps=-1, inversion="matched")
    sample = reflecting(sampling.sample_dpm_adaptive, settings, Sides(Sigma(), strong_model, strong_model))
    result = sample(strong_model, plain.before, **plain.arguments, callback=lambda info: None, disable=True)
    assert len(sample.passes[-1].reflections) > 3
    assert torch.equal(result, plain.result)


def test_sampler_of_unknown_arguments_is_refused():
    def sample_by_feeling(model, x, mood, callback=None, disable=None):
        raise AssertionError("must not start")

    with pytest.raises(SamplerError, match="sample_by_feeling: it was given neither sigmas nor timesteps"):
        reflecting(sample_by_feeling, reflected(), None)(None, torch.zeros(1), "good")


@given(st.integers(-1, 200), st.integers(1, 20), st.integers(1, 5), st.booleans(), st.integers(1, 150))
def test_planned_steps(lambda_steps, first, every, later, total):
    """Lambda of them, from the first on, every n-th; never the run's last."""
    found = list(schedule.Plan(lambda_steps, first, every, later).steps(total))
    could_be = [i for i in range(total - 1) if i >= first - 1 and (i - first + 1) % every == 0]
    chosen = could_be if lambda_steps == -1 else could_be[:lambda_steps]
    assert found == [i for i in chosen if i > 0 or not later]
