"""The reflection operator against diffusers' schedulers, against Theorem 1, and in the design's table."""

import math

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_w2sd.method import reflection
from lib_w2sd.method.reflection import INVERSIONS, Flow, Sigma, VariancePreserving, reflect

from .mixture import STRONG, WEAK, Mixture, modes

# Stable Diffusion 1.5's noise schedule, in float64 (its schedulers compute it in float32).
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS_CUMPROD = (1 - BETAS).cumprod(0)


class ToyNetwork:
    """eps(x, t): smooth, not linear, other for every seed; x [B, C, H, W] float64, t [B]."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.mix = torch.randn(4, 4, 3, 3, generator=generator, dtype=torch.float64) / 6
        self.frequency = torch.randn(4, 1, 1, generator=generator, dtype=torch.float64)

    def __call__(self, x, t):
        time = torch.sin(self.frequency * torch.as_tensor(t).reshape(-1, 1, 1, 1) / 100)
        return torch.tanh(torch.nn.functional.conv2d(x, self.mix.to(x), padding=1) + time.to(x)) + 0.3 * x


STRONG_NET, WEAK_NET = ToyNetwork(1), ToyNetwork(2)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def schedulers(steps):
    """diffusers' DDIM and its inverse at SD1.5's settings, in float64."""
    config = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "timestep_spacing": "leading",
        "steps_offset": 1,
    }
    ddim = diffusers.DDIMScheduler(**config, set_alpha_to_one=False)
    inverse = diffusers.DDIMInverseScheduler(**config, set_alpha_to_one=False)
    for scheduler in (ddim, inverse):
        scheduler.set_timesteps(steps)
        scheduler.alphas_cumprod = ALPHAS_CUMPROD
    return ddim, inverse


def oracle_steps(steps):
    """(t, t_next) of every step but the last."""
    ddim, _ = schedulers(steps)
    timesteps = ddim.timesteps.tolist()
    return list(zip(timesteps[:-1], timesteps[1:]))


def round_trip(x, t, steps):
    """Algorithm 1, line 7, by diffusers: one DDIM step with the strong network, DDIM inversion with the weak."""
    ddim, inverse = schedulers(steps)
    x_next = ddim.step(STRONG_NET(x, t), t, x).prev_sample
    return inverse.step(WEAK_NET(x_next, t), t, x_next).prev_sample


@pytest.mark.parametrize("steps", [8, 20, 50])
def test_paper_inversion_is_ddim_and_its_inverse_in_timestep_coordinates(steps):
    coordinates, x = VariancePreserving(ALPHAS_CUMPROD), noise(2, 4, 5, 5)
    for t, t_next in oracle_steps(steps):
        reflected = reflect(x, t, t_next, STRONG_NET, WEAK_NET, coordinates, "paper")
        torch.testing.assert_close(reflected.x, round_trip(x, t, steps), rtol=1e-9, atol=0)


@pytest.mark.parametrize("steps", [8, 20, 50])
def test_paper_inversion_is_ddim_and_its_inverse_in_sigma_coordinates(steps):
    sigma_of = ((1 - ALPHAS_CUMPROD) / ALPHAS_CUMPROD) ** 0.5

    def denoiser(network, t):
        # The network is always asked at timestep t, and sees its own, variance-preserving coordinates.
        return lambda x, sigma: x - sigma * network(x / (1 + sigma**2) ** 0.5, t)

    x = noise(2, 4, 5, 5)
    for t, t_next in oracle_steps(steps):
        scale = ALPHAS_CUMPROD[t] ** 0.5
        models = denoiser(STRONG_NET, t), denoiser(WEAK_NET, t)
        reflected = reflect(x / scale, sigma_of[t], sigma_of[t_next], *models, Sigma(), "paper")
        torch.testing.assert_close(reflected.x * scale, round_trip(x, t, steps), rtol=1e-9, atol=1e-12)


def test_paper_inversion_in_flow_coordinates_is_two_euler_steps():
    x, t, t_next = noise(2, 4, 5, 5), 0.8, 0.6
    velocity = STRONG_NET(x, t)
    x_next = x + (t_next - t) * velocity
    expected = x_next + (t - t_next) * WEAK_NET(x_next, t)

    def denoiser(network):
        return lambda x, sigma: x - sigma * network(x, sigma)

    reflected = reflect(x, t, t_next, denoiser(STRONG_NET), denoiser(WEAK_NET), Flow(), "paper")
    torch.testing.assert_close(reflected.x, expected, rtol=1e-9, atol=1e-12)


PLANE = (
    Mixture((0.2, 0.5, 0.3), ((-3, 1), (0, 2), (4, -2)), 0.7),
    Mixture((0.6, 0.1, 0.3), ((-3, 1), (0, 2), (4, -2)), 0.7),
)
points = {"seed": st.integers(0, 2**31 - 1), "batch": st.integers(1, 5)}


@given(sigma=st.floats(0.05, 40), ratio=st.floats(0.1, 0.99), **points)
def test_matched_inversion_is_theorem_1_in_sigma_coordinates(sigma, ratio, seed, batch):
    """denoised = x + sigma^2 score, so d = -sigma score and eq. (5) has the factor sigma (sigma - sigma')."""
    strong, weak = PLANE
    x, t = 5 * noise(batch, 2, seed=seed), torch.full((batch,), sigma, dtype=torch.float64)
    gap = strong.score(x, torch.ones_like(t), t) - weak.score(x, torch.ones_like(t), t)
    expected = x + sigma * (sigma - ratio * sigma) * gap
    reflected = reflect(x, t, ratio * sigma, strong.in_sigma, weak.in_sigma, Sigma(), "matched")
    torch.testing.assert_close(reflected.x, expected, rtol=1e-9, atol=1e-9)


@given(sigma=st.floats(0.02, 0.98), ratio=st.floats(0.1, 0.99), **points)
def test_matched_inversion_is_theorem_1_in_flow_coordinates(sigma, ratio, seed, batch):
    """denoised = (x + sigma^2 score) / (1 - sigma): the factor is sigma (sigma - sigma') / (1 - sigma)."""
    strong, weak = PLANE
    x, t = 3 * noise(batch, 2, seed=seed), torch.full((batch,), sigma, dtype=torch.float64)
    gap = strong.score(x, 1 - t, t) - weak.score(x, 1 - t, t)
    expected = x + sigma * (sigma - ratio * sigma) / (1 - sigma) * gap
    reflected = reflect(x, t, ratio * sigma, strong.in_flow, weak.in_flow, Flow(), "matched")
    torch.testing.assert_close(reflected.x, expected, rtol=1e-9, atol=1e-8)


@given(t=st.integers(1, 999), back=st.integers(1, 998), **points)
def test_matched_inversion_is_theorem_1_in_timestep_coordinates(t, back, seed, batch):
    """eps = -sqrt(1 - abar) score; the factor follows from the DDIM step's linear form."""
    strong, weak = PLANE
    t_next = max(t - back, 0)
    now, after = ALPHAS_CUMPROD[t], ALPHAS_CUMPROD[t_next]
    signal, sigma = now.sqrt().expand(batch), (1 - now).sqrt().expand(batch)

    def eps(mixture):
        return lambda x, t: (x - signal[:, None] * mixture.denoised(x, signal, sigma)) / sigma[:, None]

    x = 2 * noise(batch, 2, seed=seed)
    gap = strong.score(x, signal, sigma) - weak.score(x, signal, sigma)
    factor = sigma[0] * (sigma[0] - (now / after).sqrt() * (1 - after).sqrt())
    reflected = reflect(x, t, t_next, eps(strong), eps(weak), VariancePreserving(ALPHAS_CUMPROD), "matched")
    torch.testing.assert_close(reflected.x, x + factor * gap, rtol=1e-9, atol=1e-9)


COORDINATES = {
    "sigma": (Sigma(), 7.3, 5.1),
    "flow": (Flow(), 0.83, 0.71),
    "timesteps": (VariancePreserving(ALPHAS_CUMPROD.float()), 601, 551),
}


def model_of(coordinates, network):
    """A model in the convention of `coordinates`: eps, or denoised."""
    if isinstance(coordinates, VariancePreserving):
        return network
    return lambda x, t: x - torch.as_tensor(t).reshape(-1, 1, 1, 1).to(x) * network(x, t)


@pytest.mark.parametrize("inversion", ["matched", "fixed-point"])
@pytest.mark.parametrize("name", COORDINATES)
@given(shape=st.tuples(st.integers(1, 3), st.just(4), st.integers(1, 6), st.integers(1, 6)), seed=st.integers(0, 999))
def test_no_gap_is_the_identity_to_the_last_bit(name, inversion, shape, seed):
    coordinates, t, t_next = COORDINATES[name]
    x = 8 * noise(*shape, seed=seed, dtype=torch.float32)
    model = model_of(coordinates, STRONG_NET)
    reflected = reflect(x, t, t_next, model, model, coordinates, inversion)
    assert torch.equal(reflected.x, x)
    assert not reflected.gap.any()


@pytest.mark.parametrize("name", COORDINATES)
def test_paper_inversion_without_a_gap_leaves_only_the_inversion_error(name):
    """E_t of Appendix E.3: not zero, and of second order in the step."""
    coordinates, t, _ = COORDINATES[name]
    x, model = noise(1, 4, 6, 6), model_of(coordinates, STRONG_NET)

    def error(t_next):
        return (reflect(x, t, t_next, model, model, coordinates, "paper").x - x).norm()

    far, near = (581, 591) if name == "timesteps" else (t * 0.98, t * 0.99)
    assert error(near) > 0
    assert error(far) / error(near) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("name", COORDINATES)
def test_fixed_point_rounds_converge_to_the_exact_inverse(name, monkeypatch):
    """Taking the weak model's step from x~ leads back to where the strong model's step led."""
    coordinates, t, t_next = COORDINATES[name]
    if name == "timesteps":
        coordinates = VariancePreserving(ALPHAS_CUMPROD)
    if name == "sigma":
        t_next = 0.95 * t  # with a longer step this network's iteration is no contraction
    x = noise(2, 4, 6, 6)
    strong, weak = (model_of(coordinates, network) for network in (STRONG_NET, WEAK_NET))

    def reached_by_weak(y):
        a, b = coordinates.step(y, t, t_next)
        return a * y + b * coordinates.direction(y, weak(y, t), t)

    def distance():
        a, b = coordinates.step(x, t, t_next)
        target = a * x + b * coordinates.direction(x, strong(x, t), t)
        y = reflect(x, t, t_next, strong, weak, coordinates, "fixed-point").x
        return (reached_by_weak(y) - target).norm() / target.norm()

    three_rounds = distance()
    monkeypatch.setattr(reflection, "FIXED_POINT_ROUNDS", 200)
    assert distance() < 1e-12 < three_rounds


@pytest.mark.parametrize("inversion", INVERSIONS)
def test_calls_of_each_inversion(inversion):
    """One strong call; one weak call, or one a round; the strong one before any weak one, all at t."""
    calls, x = [], noise(1, 4, 6, 6)

    def model(kind):
        def call(x, t):
            calls.append((kind, t))
            return 0.5 * x if kind == "strong" else 0.4 * x

        return call

    reflect(x, 7.0, 5.0, model("strong"), model("weak"), Sigma(), inversion)
    assert calls == [("strong", 7.0)] + [("weak", 7.0)] * (3 if inversion == "fixed-point" else 1)


@given(t=st.floats(-1, 1001))
def test_between_two_timesteps_log_alpha_bar_is_linear(t):
    """There UniPC asks; at a whole one it is the table's number, to the bit."""
    coordinates, x = VariancePreserving(ALPHAS_CUMPROD), noise(1, 4, 2, 2)
    at = min(max(t, 0.0), 999.0)
    expected = np.exp(np.interp(at, np.arange(1000), ALPHAS_CUMPROD.log().numpy()))
    found = coordinates.alpha_bar(x, torch.tensor([t], dtype=torch.float64))
    assert found.shape == (1, 1, 1, 1) and found.item() == pytest.approx(expected, rel=1e-9)
    assert coordinates.alpha_bar(x, round(at)) == ALPHAS_CUMPROD[round(at)]


def test_unknown_inversion_is_an_error():
    with pytest.raises(ValueError, match="paper, matched, fixed-point.*'ddim'"):
        reflect(noise(1, 4, 2, 2), 7.0, 5.0, STRONG_NET, WEAK_NET, Sigma(), "ddim")


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize("name", COORDINATES)
@given(strength=st.floats(0, 2), seed=st.integers(0, 999))
def test_strength_scales_the_move(name, inversion, strength, seed):
    coordinates, t, t_next = COORDINATES[name]
    x = noise(2, 4, 5, 5, seed=seed, dtype=torch.float32)
    strong, weak = (model_of(coordinates, network) for network in (STRONG_NET, WEAK_NET))
    arguments = (x, t, t_next, strong, weak, coordinates, inversion)
    full, part, none = (reflect(*arguments, strength).x for strength in (1.0, strength, 0.0))
    assert torch.equal(none, x)
    assert torch.equal(full, reflect(*arguments).x)
    torch.testing.assert_close(part, x + strength * (full - x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_latent_keeps_its_dtype_though_the_model_answers_in_another(inversion, dtype):
    x, seen = noise(1, 4, 4, 4, dtype=torch.float32).to(dtype), set()

    def model(x, t):
        seen.add(x.dtype)
        return 0.9 * x.float()

    assert reflect(x, torch.tensor([7.0]), 5.0, model, model, Sigma(), inversion).x.dtype == dtype
    assert seen == {dtype}


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize("name", COORDINATES)
@given(extra=st.lists(st.integers(1, 4), max_size=3), batch=st.integers(1, 4), seed=st.integers(0, 999), data=st.data())
def test_a_batch_of_times_is_each_picture_at_its_own(name, inversion, extra, batch, seed, data):
    """`t` and `t_next` as tensors of shape [B], over latents of any number of dimensions."""
    coordinates, t, t_next = COORDINATES[name]
    if name == "timesteps":
        times = st.tuples(st.integers(300, 999), st.integers(1, 299))
    else:
        times = st.tuples(st.floats(0.6, 0.99), st.floats(0.1, 0.5))
    pairs = data.draw(st.lists(times, min_size=batch, max_size=batch))
    starts, ends = (torch.tensor(column) for column in zip(*pairs))
    x = noise(batch, *extra, seed=seed, dtype=torch.float32)

    def model(factor):
        return lambda x, t: torch.tanh(factor * x)

    arguments = (model(0.7), model(1.4), coordinates, inversion)
    together = reflect(x, starts, ends, *arguments).x
    for k, (start, end) in enumerate(pairs):
        alone = reflect(x[k : k + 1], start, end, *arguments).x
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- section 2 of the design


class Unscaled(Sigma):
    """What a careless port does: D_w(x'; sigma), a picture of the wrong size."""

    def at_time(self, x_next, t, t_next):
        return x_next


# Mass of the left mode, standard deviations of the left and the right mode: at T = 8, 20, 50, and strong against
# itself at T = 20. From one run of 40,000 samples.
TABLE = {
    "none": ((0.294, 0.68, 0.58), (0.309, 0.55, 0.51), (0.314, 0.52, 0.50), None),
    "unscaled": ((0.313, 0.41, 0.33), (0.449, 0.31, 0.28), (0.482, 0.37, 0.36), (0.253, 0.50, 0.37)),
    "paper": ((0.362, 0.45, 0.42), (0.452, 0.47, 0.43), (0.482, 0.47, 0.45), (0.285, 0.57, 0.59)),
    "matched": ((0.461, 0.47, 0.50), (0.487, 0.45, 0.47), (0.494, 0.45, 0.47), (0.309, 0.55, 0.51)),
    "fixed-point": ((0.527, 0.54, 0.52), (0.516, 0.47, 0.48), (0.506, 0.47, 0.47), (0.309, 0.55, 0.51)),
}
COLUMNS = ((8, WEAK), (20, WEAK), (50, WEAK), (20, STRONG))
ROWS = {
    "none": (None, Sigma()),
    "unscaled": ("paper", Unscaled()),
    **{name: (name, Sigma()) for name in INVERSIONS},
}


def misses(row, column, of):
    """The figures of the table's row `of` that `row`, run anew, misses: by more than 4 standard errors of the table's
    own sampling, and half a unit of its last digit."""
    inversion, coordinates = ROWS[row]
    steps, weak = COLUMNS[column]
    found = modes(steps, inversion, coordinates, weak)
    rounding = (0.0005, 0.005, 0.005)
    return [
        (wanted, figure)
        for wanted, (figure, error), half in zip(TABLE[of][column], found, rounding)
        if not math.isclose(wanted, figure, rel_tol=0, abs_tol=4 * error + half)
    ]


CELLS = [(row, column) for row in TABLE for column in range(4) if TABLE[row][column]]


@pytest.mark.parametrize(("row", "column"), CELLS, ids=[f"{r}-T{COLUMNS[c][0]}{'-self' * (c == 3)}" for r, c in CELLS])
def test_table_of_the_design(row, column):
    assert misses(row, column, of=row) == []


@pytest.mark.parametrize("column", range(4), ids=["T8", "T20", "T50", "T20-self"])
def test_unscaled_form_does_not_pass_for_the_paper(column):
    assert misses("unscaled", column, of="paper")


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
@pytest.mark.parametrize("shift", [1.0, 3.0, 9.0])
def test_flow_of_gaussians_on_a_shifted_schedule(shift, inversion):
    """Data of spread s: denoised = (1 - sigma) s^2 x / ((1 - sigma)^2 s^2 + sigma^2), so the velocity is x times a
    number, and the whole reflection too. Latents of five dimensions, as videos have."""
    x = torch.randn(2, 16, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigmas = [shift * s / (1 + (shift - 1) * s) for s in (0.95, 0.75, 0.5, 0.25)]
    for sigma, after in zip(sigmas[:-1], sigmas[1:]):

        def denoised(spread, sigma=sigma):
            return (1 - sigma) * spread**2 / ((1 - sigma) ** 2 * spread**2 + sigma**2)

        strong, weak = ((1 - denoised(spread)) / sigma for spread in (0.5, 2.0))
        step = after - sigma
        if inversion == "paper":
            expected = (1 + step * strong) * (1 - step * weak)
        elif inversion == "matched":
            expected = 1 + step * (strong - weak)
        else:
            expected = 1.0
            for _ in range(3):
                expected = 1 + step * (strong - weak * expected)

        def model(spread, denoised=denoised):
            return lambda x, t: denoised(spread) * x

        at = torch.full((2,), sigma, dtype=torch.float64)
        found = reflect(x, at, after, model(0.5), model(2.0), Flow(), inversion)
        torch.testing.assert_close(found.x, x * expected)
        assert expected != 1
