"""The host's progress, which counts steps, with W2SD on: the share of the work that is done."""

import pytest


def progress(state):
    """As both hosts compute it (progress.py), for a single job."""
    return 1 / 1 * state.sampling_step / state.sampling_steps


@pytest.mark.parametrize("inversion", ["paper", "matched"])
@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "Heun"])
def test_progress_is_the_share_of_the_rows(host, inversion, sampler):
    state, unet, seen = host.shared.state, host.unet, []

    def before_call(_):
        seen.append((progress(state) if state.sampling_steps else 0.0, sum(unet.calls)))
        assert all(type(value) is int for value in state.dict().values()), "the API's encoder knows no other"

    unet.before_call = before_call
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


def test_everything_else_takes_the_step_for_its_number(host):
    from lib_w2sd.hosts.sampling.progress import WeighedStep

    step = WeighedStep(6, 2.5)
    assert 0.5 * step / 10 == 0.125
    assert step == 6 and step % 4 == 2 and step / 3 == 2 and step - 1 == 5 and step >= 6 and int(step) == 6
    host.txt2img({"lambda_steps": 2}, steps=6)
    assert host.shared.state.sampling_step == 6 and type(host.shared.state.sampling_step) is int
    assert "dict" not in vars(host.shared.state)


def test_a_number_is_weighed_as_it_is_set(host):
    """What the host does after setting it may take long enough for the page to look."""
    from lib_w2sd.hosts.sampling.progress import Counter
    from lib_w2sd.hosts.sampling.swapped import swapped

    class State:
        sampling_step = 0

    state, seen = State(), []
    with swapped(State, "sampling_step", Counter(lambda step: step / 4)):
        for step in (1, 2, 3):
            state.sampling_step = step
            seen.append(state.sampling_step)
    assert seen == [0.25, 0.5, 0.75]
    assert State.sampling_step == 0 and state.sampling_step == 0.75
    state.sampling_step = 4
    assert state.sampling_step == 4


def test_off_the_host_counts_as_ever(host):
    host.txt2img([False], steps=6)
    assert type(host.shared.state.sampling_step) is int
    host.txt2img({"lambda_steps": 0}, steps=6)
    assert type(host.shared.state.sampling_step) is int
