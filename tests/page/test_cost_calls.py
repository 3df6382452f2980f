"""The calls of a pass, counted at once, against looking at each of them as the host does."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from lib_w2sd.method import ways
from lib_w2sd.page import cost
from lib_w2sd.page.settings import Settings

KINDS = (cost.ONE, cost.TWO, cost.THREE, cost.FAST, cost.TIMESTEPS, cost.PLMS, cost.HALF)
# As the host's slider has them (to the hundredth), and what floats make of a part.
SHARES = st.one_of(st.integers(0, 100).map(lambda n: n / 100), st.floats(0, 1))


@st.composite
def passes(draw):
    return cost._Sampling(
        draw(st.sampled_from(KINDS)),
        draw(st.integers(1, 60)),
        draw(st.sampled_from((1.0, 7.0))),
        1.0,
        draw(st.none() | st.floats(0, 1)),
        draw(st.booleans()),
        draw(st.booleans()),
        (draw(SHARES), draw(st.integers(0, 2))),
    )


def is_unguided(one, call: int) -> bool:
    """Forge's own condition: modules/sd_samplers_cfg_denoiser.py, skip_early_cond."""
    share, after = one.early
    steps = cost.steps_made(cost.ONE, one.steps, one.denoising, one.exactly) * (2 if one.kind == cost.TWO else 1)
    return share > 0 and call >= after and call / max(steps, 1) <= share


def of_steps(steps: int, share: float):
    return cost._Sampling(cost.ONE, steps, 7.0, 1.0, None, False, early=(share, 0))


@given(passes(), st.integers(1, 2))
@example(of_steps(100, 0.29), 2)  # 0.29 * 100 is below 29, and 29 / 100 is 0.29
@example(of_steps(6, math.nextafter(5 / 6, 0)), 2)  # times 6 it is 5, and 5 / 6 is more
def test_rows_of_a_pass(one, of_call):
    assert one.taking(of_call) == sum(1 if is_unguided(one, call) else of_call for call in range(one.calls))


@given(
    passes(),
    st.builds(
        Settings,
        lambda_steps=st.integers(-1, 60),
        first_step=st.integers(1, 60),
        every=st.integers(1, 5),
        inversion=st.sampled_from(ways.WAYS),
    ),
)
def test_calls_at_whose_place_the_sides_are_asked(one, settings):
    before = 1 if settings.inversion == ways.PREVIOUS_GAP else 0
    each = cost.CALLS.get(one.kind, 1) if settings.inversion == ways.AUTO_GUIDANCE else 1
    steps = settings.plan_of(one.hires).steps(one.made)
    calls = [one.first_call(step - before) + k for step in steps for k in range(each)]
    without = sum(is_unguided(one, call) for call in calls)
    assert one.asked_beside(settings) == (len(calls) - without, without)


def test_no_number_of_steps_takes_long():
    """Counted one by one these would take hours."""
    one = cost._Sampling(cost.TWO, 10**9, 7.0, 1.0, None, False, early=(0.5, 1))
    guided, without = one.asked_beside(Settings(lambda_steps=-1, inversion=ways.AUTO_GUIDANCE))
    assert guided + without == 2 * (10**9 - 1)
    assert one.taking(2) == 2 * one.calls - 10**9
