"""The host's progress, which counts steps, with W2SD on: the share of the work that is done."""

import json

import pytest


def bar(host):
    return host.modules["progress"].progressapi()


@pytest.mark.parametrize("inversion", ["paper", "matched"])
@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "Heun"])
def test_progress_is_the_share_of_the_rows(host, inversion, sampler):
    unet, seen = host.unet, []
    unet.before_call = lambda _: seen.append((bar(host), sum(unet.calls)))
    host.txt2img({"lambda_steps": 4, "inversion": inversion}, steps=8, sampler_name=sampler)
    total = sum(host.calls)
    (run,) = host.trace()
    # The largest distance between what is said and what is done: less than what one reflected step takes, where
    # counting steps would be off by all that the reflections take more.
    step = max(sum(e["rows"] for e in run["evaluations"] if e["step"] == i) for i in range(run["steps"]))
    assert max(abs(said - rows / total) for said, rows in seen) <= step / total + 1e-9
    assert seen[-1][0] > 0.8
    said = [one for one, _ in seen]
    assert said == sorted(said)
    assert bar(host) >= said[-1], "while the picture is decoded"


def test_everybody_else_sees_the_hosts_own_number(host):
    """An extension may format it, index by it, count to it, write it down."""
    state, seen = host.shared.state, []

    def use(_):
        step = state.sampling_step
        seen.append((type(step), f"{step:03d}", [*range(step)][-1:], "abcdefgh"[step], json.dumps(step)))
        assert state.dict()["sampling_step"] is step

    host.unet.before_call = use
    host.txt2img(None, steps=6)
    plain, seen[:] = list(dict.fromkeys(map(repr, seen))), []
    host.txt2img({"lambda_steps": 4, "inversion": "matched"}, steps=6)
    assert list(dict.fromkeys(map(repr, seen))) == plain


def test_the_number_stays_the_one_that_the_host_has_set(host):
    state = host.shared.state
    host.txt2img(None, steps=6)
    plain = state.sampling_step
    host.txt2img({"lambda_steps": 2}, steps=6)
    assert state.sampling_step == plain and type(state.sampling_step) is int


def test_the_bar_stays_where_it_is_until_the_host_sets_a_number(host):
    state = host.shared.state
    host.txt2img({"lambda_steps": 2}, steps=6)
    assert bar(host) == 1.0
    state.sampling_step = 3
    assert bar(host) == 0.5
    assert "sampling_step" not in vars(type(state))


def test_a_number_is_weighed_as_it_is_set(host):
    """What the host does after setting it may take long enough for the page to look."""
    from lib_w2sd.hosts.sampling.progress import Counter

    state, seen = host.shared.state, []
    state.job_count, state.sampling_steps = 1, 8
    counter = Counter(type(state), lambda step: step / 4)
    for step in (1, 2, 3):
        state.sampling_step = step
        seen.append(bar(host) * state.sampling_steps)
        assert state.sampling_step == step
    assert seen == [0.25, 0.5, 0.75]
    counter.gone()
    assert bar(host) == 3 / 8


@pytest.mark.parametrize("settings", [[False], {"lambda_steps": 0}])
def test_off_the_host_counts_as_ever(host, settings):
    host.txt2img(settings, steps=6)
    assert "sampling_step" not in vars(type(host.shared.state))
