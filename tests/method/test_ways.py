"""The ways other than reflection with the step's own gap: closed forms, and someone else's Re-Sampling."""

import pytest
import torch
from diffusers import RePaintScheduler
from hypothesis import given
from hypothesis import strategies as st
from k_diffusion import sampling

from lib_w2sd.method import ways
from lib_w2sd.method.push import Found, along
from lib_w2sd.method.reflection import Flow, Sigma, VariancePreserving
from lib_w2sd.method.resampling import resampled, turned

from ..mixture import STRONG, WEAK, Sides, modes, reflecting
from ..reflected import reflected

ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0)
PLACES = {
    "sigma": (Sigma(), 5.0, 3.0),
    "flow": (Flow(), 0.8, 0.5),
    "vp": (VariancePreserving(ALPHAS_CUMPROD), 700, 600),
}


def answer(coordinates, signal, noise):
    """What a model that knows both would return."""
    if isinstance(coordinates, VariancePreserving):
        return noise
    return signal


@pytest.fixture
def normal():
    return torch.Generator().manual_seed(0)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# ------------------------------------------------------------------------------------- Re-Sampling


def test_as_diffusers_repaint_undoes_a_step(normal):
    """RePaint's own way back over one of its timesteps, by its authors' formula in diffusers."""
    scheduler = RePaintScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler.set_timesteps(1000)
    where = VariancePreserving(scheduler.alphas_cumprod.double())
    signal, seen = draw(normal, 2, 4, 8, 8), draw(normal, 2, 4, 8, 8)
    for t in (900, 500, 20):
        alpha, beta = where.levels(signal, t)
        alpha_next, beta_next = where.levels(signal, t - 1)
        x, after = alpha * signal + beta * seen, alpha_next * signal + beta_next * seen
        theirs = scheduler.undo_step(after, t, torch.Generator().manual_seed(7))
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(7), dtype=x.dtype)
        assert torch.allclose(resampled(x, t, t - 1, seen, noise, where), theirs, atol=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_at_every_strength_the_level_stays_and_at_none_the_latent_itself(place, normal):
    where, t, t_next = PLACES[place]
    signal, seen, noise = (draw(normal, 4, 4, 64, 64) for _ in range(3))
    alpha, beta = where.levels(signal, torch.tensor(t))
    x = alpha * signal + beta * seen
    output = answer(where, signal, seen)
    for strength in (0.0, 0.3, 1.0, 2.0):
        new = resampled(x, torch.tensor(t), t_next, output, noise, where, strength)
        left = (new - alpha * signal) / beta
        assert left.std().item() == pytest.approx(1, abs=0.01)
        if strength == 0:
            assert torch.allclose(new, x)
        else:
            assert not torch.allclose(new, x, atol=0.01)


@given(st.integers(0, 1000))
def test_turned_noise_is_the_drawn_one_or_its_mirror_image_and_agrees(seed):
    generator = torch.Generator().manual_seed(seed)
    noise, wanted = draw(generator, 5, 4, 3, 3), draw(generator, 5, 4, 3, 3)
    found = turned(noise, wanted)
    assert ((found * wanted).flatten(1).sum(1) >= 0).all()
    for one, drawn in zip(found, noise):
        assert torch.equal(one, drawn) or torch.equal(one, -drawn)


# ------------------------------------------------------------------------------------- effective guidance


@given(st.floats(-20, 20), st.floats(0, 5), st.integers(0, 1000))
def test_a_gap_is_parted_along_and_across(k, size, seed):
    generator = torch.Generator().manual_seed(seed)
    g = draw(generator, 1, 4, 8, 8)
    rest = draw(generator, 1, 4, 8, 8)
    rest -= (rest * g).sum() / (g * g).sum() * g
    rest *= size * g.norm() / rest.norm()
    found, across = along(k * g + rest, g)
    assert found.item() == pytest.approx(k, abs=1e-4)
    if abs(k) + size > 1e-3:
        assert across.item() == pytest.approx(size / (k * k + size * size) ** 0.5, abs=1e-4)


def test_two_rounds_of_a_step_add_up():
    both = Found(torch.ones(1), 3.0, 0.2, 5.0) + Found(torch.ones(1), 2.0, 0.4, 5.0)
    assert (both.gap.item(), both.along, both.own) == (2, 5, 5) and both.across == pytest.approx(0.3)


# ------------------------------------------------------------------------------------- in a run


@pytest.mark.parametrize("place", ["sigma", "flow"])
def test_with_a_constant_gap_euler_is_moved_alike_by_auto_guidance_and_previous_gap(place):
    """A x~ + B d(x~) against A x + B (d + gap), with a model whose answer the move itself does not change."""
    where, gap = PLACES[place][0], torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 4, 4)
    signal = torch.full((1, 1, 4, 4), 0.25, dtype=torch.float64)

    def strong(x, t):  # d = v for all x
        return x - t.view(-1, 1, 1, 1) * signal

    def weak(x, t):
        return strong(x, t) + t.view(-1, 1, 1, 1) * gap

    sigmas = torch.tensor([0.9, 0.7, 0.5, 0.2, 0.0], dtype=torch.float64)
    x = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    ends = {}
    for way in ("matched", *ways.ALONG):
        settings = reflected(lambda_steps=-1, inversion=way, strength=0.5)
        sample = reflecting(sampling.sample_euler, settings, Sides(where, strong, weak))
        ends[way] = sample(strong, x, sigmas, disable=True)
    pushes = {"matched": 0.9 - 0.2, "auto-guidance": 0.9 - 0.2, "previous-gap": 0.7 - 0.2}  # it has none at first
    for way, length in pushes.items():
        assert torch.allclose(ends[way], x - 0.9 * signal - 0.5 * length * gap), way


def left_mode(way, coordinates=None):
    return modes(20, way, coordinates or Sigma(), WEAK)[0][0]


def test_the_mixtures_neglected_mode_is_found_again():
    """Truth .5, strong alone .31, matched .487 (design): the gap of the step before comes nearly as far, Re-Sampling,
    which knows no weak model, does not."""
    plain, found = left_mode(None), {way: left_mode(way) for way in ways.WAYS}
    assert plain == pytest.approx(0.31, abs=0.01)
    for way in ("matched", "previous-gap", "auto-guidance"):
        assert 0.40 < found[way] < 0.60, (way, found)
    assert found["re-sampling"] < plain
    assert found["advanced-re-sampling"] > 0.9  # in one dimension half of all noise is refused: far too much


def test_rounds_are_taken_at_the_same_place_one_after_the_other():
    asked = []

    def strong(x, t):
        asked.append(round(float(t[0]), 3))
        return STRONG.in_sigma(x, t)

    sigmas = torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    settings = reflected(lambda_steps=1, rounds=3, inversion="matched")
    sample = reflecting(sampling.sample_euler, settings, Sides(Sigma(), strong, WEAK.in_sigma))
    sample(strong, torch.ones(2, 1, dtype=torch.float64), sigmas, disable=True)
    assert asked == [3.0] * 4 + [2.0, 1.0]
    assert len(sample.passes[0].reflections) == 1


def test_first_step_and_every():
    sigmas = torch.linspace(9, 0, 10, dtype=torch.float64)
    for way in ways.WAYS:
        settings = reflected(lambda_steps=3, first_step=3, every=2, inversion=way)
        sample = reflecting(sampling.sample_heun, settings, Sides(Sigma(), STRONG.in_sigma, WEAK.in_sigma))
        sample(STRONG.in_sigma, torch.ones(2, 1, dtype=torch.float64), sigmas, disable=True)
        assert [r["step"] for r in sample.passes[0].reflections] == [2, 4, 6], way
        assert sample.passes[0].reflected == 3


def test_a_step_taken_back_is_moved_anew_by_the_same_gap_of_the_step_before():
    """DPM adaptive: whatever it takes back, each kept step has one reflection, and only the first has none."""
    settings = reflected(lambda_steps=-1, inversion="previous-gap")
    sides = Sides(Sigma(), *(lambda x, s, m=m: m.in_sigma(x[..., 0, 0], s)[..., None, None] for m in (STRONG, WEAK)))
    sample = reflecting(sampling.sample_dpm_adaptive, settings, sides)
    x = torch.linspace(-60, 60, 50, dtype=torch.float64).view(-1, 1, 1, 1)
    sample(sides._strong, x, sigma_min=0.03, sigma_max=30.0, disable=True, callback=lambda info: None, rtol=0.01)
    steps = [r["step"] for r in sample.passes[0].reflections]
    assert len(steps) > 3 and steps == list(range(1, len(steps) + 1))
