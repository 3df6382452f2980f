"""Gaussian mixtures: diffusion models known in closed form, and the paper's 1-D case (Figure 25)."""

from contextlib import contextmanager, nullcontext

import torch
from k_diffusion.sampling import get_sigmas_karras, sample_euler

from lib_w2sd.method import sampling, trace

from .reflected import reflected


class Mixture:
    """sum_i weights_i N(means_i, width^2 I) over R^d, `means` of shape [n, d]; float64."""

    def __init__(self, weights, means=((-4.0,), (4.0,)), width=0.5):
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.means = torch.tensor(means, dtype=torch.float64)
        self.width = width

    def denoised(self, x, signal, sigma):
        """E[clean | x] where x = signal * clean + sigma * noise; x [B, d], signal and sigma [B]."""
        signal, sigma = signal[:, None, None], sigma[:, None, None]
        variance = (signal * self.width) ** 2 + sigma**2
        away = x[:, None, :] - signal * self.means  # [B, n, d]
        log_density = self.weights.log() - (away**2 / (2 * variance)).sum(-1)
        mean = self.means + signal * self.width**2 / variance * away
        return (log_density.softmax(-1)[..., None] * mean).sum(1)

    def score(self, x, signal, sigma):
        """grad log p_t(x), by automatic differentiation of torch's own density: no formula shared with `denoised`."""
        distributions, at = torch.distributions, x.detach().requires_grad_()
        scale = ((signal * self.width) ** 2 + sigma**2).sqrt()[:, None, None].expand(-1, *self.means.shape)
        parts = distributions.Independent(distributions.Normal(signal[:, None, None] * self.means, scale), 1)
        density = distributions.MixtureSameFamily(distributions.Categorical(self.weights), parts)
        return torch.autograd.grad(density.log_prob(at).sum(), at)[0]

    def in_sigma(self, x, sigma):
        """A denoiser in k-diffusion's coordinates."""
        return self.denoised(x, torch.ones_like(sigma), sigma)

    def in_flow(self, x, sigma):
        """A denoiser in rectified flow's."""
        return self.denoised(x, 1 - sigma, sigma)


class Sides:
    """denoiser.Sides of two plain functions model(x, t)."""

    def __init__(self, coordinates, strong, weak, reward=None):
        self.coordinates, self._strong, self._weak, self.rewards = coordinates, strong, weak, reward
        self._generator = torch.Generator().manual_seed(1)

    def strong(self, x, t, kwargs):
        return self._strong(x, t)

    def weak(self, x, t, kwargs):
        return self._weak(x, t)

    def step_as_weak(self, x, t, kwargs):
        return self._weak(x, t)

    def rows(self):
        return 0

    def sharing(self, wanted):
        return nullcontext()

    def announce(self, x, t, kwargs):
        pass

    def as_before(self, x, t, kwargs):
        return nullcontext((x, t, kwargs))

    def weak_first(self, kwargs):
        return False

    def own(self, denoiser, x, t, kwargs):
        return denoiser(x, t, **kwargs), True

    def own_scale(self, kwargs):
        return 7.0

    def step_is_strong(self, kwargs):
        return False

    def only_scales(self, kwargs):
        return None

    def noise(self, x):
        return torch.randn(x.shape, generator=self._generator, dtype=x.dtype)


def reflecting(func, settings, sides, **kwargs):
    """sampling.reflecting over plain sides; the runs' traces are in `passes` of what it returns."""
    passes = []

    @contextmanager
    def open_sides(model, arguments):
        yield sides

    def new_pass(**about):
        passes.append(trace.Pass(name="test", **about))
        return passes[-1]

    sample = sampling.reflecting(func, settings, open_sides, new_pass, **kwargs)
    sample.passes = passes
    return sample


# The mixture of the design's table: the truth has half of its mass in each mode.
STRONG, WEAK = Mixture((0.3, 0.7)), Mixture((0.1, 0.9))
SIGMA_MIN, SIGMA_MAX = 0.03, 30.0


def modes(steps: int, inversion, coordinates, weak, n: int = 10_000):
    """Mass of the left mode and the two modes' standard deviations, each with its sampling error at 40,000 samples.

    Sampling is deterministic, so its start may be the normal distribution's `n` quantiles in place of random
    numbers: what comes out is the distribution itself, to about 1e-4, and the same on every machine.
    """
    sigmas = get_sigmas_karras(steps, SIGMA_MIN, SIGMA_MAX).double()
    x = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None] * sigmas[0]
    sample = sample_euler
    if inversion is not None:
        settings = reflected(lambda_steps=-1, inversion=inversion)
        sample = reflecting(sample_euler, settings, Sides(coordinates, STRONG.in_sigma, weak.in_sigma))
    y = sample(STRONG.in_sigma, x, sigmas, disable=True)[:, 0]

    mass = (y < 0).double().mean()
    found = [(mass.item(), (mass * (1 - mass) / 40_000).sqrt().item())]
    for mode in (y[y < 0], y[y >= 0]):
        away = mode - mode.mean()
        variance = (away**2).mean()
        spread = ((away**4).mean() - variance**2) / (4 * variance * 40_000 * len(mode) / n)
        found.append((variance.sqrt().item(), spread.sqrt().item()))
    return found
