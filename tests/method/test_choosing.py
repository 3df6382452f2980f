"""Algorithm 2: the strong side chosen by a reward, on mixtures known in closed form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from k_diffusion import sampling

from lib_w2sd.method.choosing import changed_over, picked
from lib_w2sd.method.reflection import Flow, Sigma, VariancePreserving

from ..mixture import SIGMA_MAX, SIGMA_MIN, STRONG, WEAK, Sides, reflecting
from ..reflected import reflected

SAMPLERS = ["euler", "heun", "dpmpp_2m", "dpmpp_2s_ancestral", "dpm_adaptive"]
SIGMAS = sampling.get_sigmas_karras(8, SIGMA_MIN, SIGMA_MAX).double()
START = torch.special.ndtri((torch.arange(64, dtype=torch.float64) + 0.5) / 64)[:, None] * SIGMAS[0]
ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=6), st.floats(0, 3))
def test_as_the_paper_writes_it(rewards, threshold):
    """Lines 8 to 12, one picture after the other."""
    first, second = (torch.tensor(values, dtype=torch.float64) for values in zip(*rewards))
    told = [not (r1 > r2 and abs(r1 - r2) > threshold) for r1, r2 in rewards]
    assert changed_over(first, second, threshold).tolist() == told


def test_pictures_are_picked_one_by_one():
    a, b = torch.zeros(3, 2, 2), torch.ones(3, 2, 2)
    assert picked(torch.tensor([True, False, True]), a, b)[:, 0, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("where", [Sigma(), Flow(), VariancePreserving(ALPHAS_CUMPROD)], ids=["sigma", "flow", "vp"])
def test_the_clean_picture_of_an_answer(where):
    signal, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = 600 if isinstance(where, VariancePreserving) else 0.7
    alpha, beta = where.levels(signal, t)
    x = alpha * signal + beta * noise
    answer = noise if isinstance(where, VariancePreserving) else signal
    assert torch.allclose(where.signal(x, answer, t), signal)


def run(sampler, settings, reward=None, first=STRONG, second=WEAK):
    """(samples, trace) with `first` as the picture's own model."""
    func = reflecting(
        getattr(sampling, f"sample_{sampler}"), settings, Sides(Sigma(), first.in_sigma, second.in_sigma, reward)
    )
    torch.manual_seed(0)
    if sampler == "dpm_adaptive":
        x = func(first.in_sigma, START, SIGMA_MIN, SIGMA_MAX, disable=True)
    else:
        x = func(first.in_sigma, START, SIGMAS, disable=True)
    return x, func.passes[0].as_dict()


def settings_of(**given):
    return reflected(**{"lambda_steps": -1, **given})


class Told:
    """A reward that is told what to answer: `first_wins` for each picture. M1's pictures are scored first."""

    def __init__(self, first_wins):
        self.first_wins, self.asked = first_wins, 0

    def __call__(self, signal):
        self.asked += 1
        of_the_first = torch.as_tensor(self.first_wins).expand(len(signal)).double()
        return of_the_first if self.asked % 2 else 1 - of_the_first


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_the_first_always_wins_it_is_algorithm_1(sampler, inversion):
    x, trace = run(sampler, settings_of(inversion=inversion, reward="r"), Told(True))
    plain, other = run(sampler, settings_of(inversion=inversion))
    assert torch.equal(x, plain)
    assert [r["gap_norm"] for r in trace["reflections"]] == [r["gap_norm"] for r in other["reflections"]]
    assert not any(any(r["second_is_strong"]) for r in trace["reflections"])


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_the_second_always_wins_it_is_algorithm_1_the_other_way_round(sampler, inversion):
    """Its own step too (line 15); only the last, which is never reflected, is the picture's own model's."""
    x, trace = run(sampler, settings_of(inversion=inversion, reward="r"), Told(False))
    swapped, other = run(sampler, settings_of(inversion=inversion), first=WEAK, second=STRONG)
    one, two = ([r["gap_norm"] for r in run["reflections"]] for run in (trace, other))
    if sampler == "dpm_adaptive":  # goes on as long as its last step asks for
        one, two = one[:-1], two[: len(one) - 1]
    assert one == pytest.approx(two, rel=1e-12) and len(one) > 3
    assert all(all(r["second_is_strong"]) for r in trace["reflections"])


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_every_picture_of_a_batch_has_its_own_choice(sampler, inversion):
    wins = torch.arange(len(START)) % 3 == 0
    mixed, trace = run(sampler, settings_of(inversion=inversion, reward="r"), Told(wins))
    first, _ = run(sampler, settings_of(inversion=inversion, reward="r"), Told(True))
    second, _ = run(sampler, settings_of(inversion=inversion, reward="r"), Told(False))
    assert torch.equal(mixed, torch.where(wins[:, None], first, second))
    assert trace["reflections"][0]["second_is_strong"] == (~wins).tolist()
    assert trace["reflections"][0]["rewards"][:2] == [[1.0, 0.0], [0.0, 1.0]]


def test_a_reward_finds_the_better_model_without_being_told():
    """Of two models the one that knows where most of the mass is; the reward is the truth's own density."""
    truth = STRONG

    def density(signal):
        # As the truth would have it with some noise on it: so that no mode's middle is everything.
        ones = torch.ones(len(signal), dtype=torch.float64)
        return truth.denoised(signal, ones, 2 * ones)[:, 0]

    shares = []
    for first, second in ((STRONG, WEAK), (WEAK, STRONG)):
        _, trace = run("euler", settings_of(reward="r"), lambda signal: -density(signal), first, second)
        shares.append(sum(map(sum, (r["second_is_strong"] for r in trace["reflections"][:4]))))
    # -density is larger on the left, where the strong one puts more: it leads, whichever of the two it is.
    assert shares[0] < shares[1]


def test_a_threshold_keeps_the_second_until_the_first_is_clearly_better():
    def almost(margin):
        told = Told(True)
        return lambda signal: told(signal) * margin

    for margin, second in ((0.05, True), (0.2, False)):
        _, trace = run("euler", settings_of(reward="r", reward_threshold=0.1), almost(margin))
        assert all(all(r["second_is_strong"]) == second for r in trace["reflections"])
