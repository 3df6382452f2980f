"""Gaussian mixtures with closed-form densities, scores and denoisers: the paper's toy data (section 3.2)."""

import math
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Mixture:
    """sum_k weights[k] * N(means[k], deviation^2 I), and what noise makes of it.

    means      [K, D]
    weights    [K], they sum to 1
    deviation  of every mode
    """

    means: torch.Tensor
    weights: torch.Tensor
    deviation: float

    def reweighted(self, *weights: float) -> "Mixture":
        """The same modes, with other weights."""
        return replace(self, weights=torch.tensor(weights, dtype=self.weights.dtype))

    def _joint(self, x, sigma):
        """log(weights[k] * N(x; means[k], (deviation^2 + sigma^2) I)): [B, K]; and the variance: [B, 1]."""
        variance = (self.deviation**2 + torch.as_tensor(sigma, dtype=x.dtype) ** 2).reshape(-1, 1)
        squares = (x[:, None, :] - self.means).square().sum(dim=2)
        dimensions = self.means.shape[1]
        normal = -squares / (2 * variance) - dimensions / 2 * (2 * math.pi * variance).log()
        return normal + self.weights.log(), variance

    def log_density(self, x, sigma=0.0):
        """log p_sigma(x), x [B, D]: the mixture convolved with noise of deviation sigma. [B]."""
        return self._joint(x, sigma)[0].logsumexp(dim=1)

    def posterior(self, x, sigma=0.0):
        """gamma(mu | x), which mode x came from: [B, K], eq. (15)."""
        return self._joint(x, sigma)[0].softmax(dim=1)

    def score(self, x, sigma=0.0):
        """grad log p_sigma(x): [B, D], eq. (16)."""
        joint, variance = self._joint(x, sigma)
        return (joint.softmax(dim=1) @ self.means - x) / variance

    def __call__(self, x, sigma, cond=None):
        """D(x; sigma) = x + sigma^2 grad log p_sigma(x), the ideal denoiser (Tweedie): a model for k-diffusion."""
        return x + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) ** 2 * self.score(x, sigma)

    def sample(self, count: int, generator=None):
        """`count` draws: [count, D]."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[which] + self.deviation * noise

    def nearest(self, x):
        """The number of the mode that each x [B, D] lies nearest to: [B]."""
        return (x[:, None, :] - self.means).square().sum(dim=2).argmin(dim=1)

    def distance(self, x, directions: int = 32) -> float:
        """Sliced Wasserstein-1 distance of the sample x [N, D] to this mixture; in 1-D the Wasserstein distance.

        Every projection of the mixture is a 1-D mixture, whose quantiles are exact: only x has sampling error.
        """
        angles = torch.arange(directions, dtype=x.dtype) * math.pi / directions
        lines = torch.stack([angles.cos(), angles.sin()], dim=1) if x.shape[1] == 2 else torch.ones(1, 1, dtype=x.dtype)
        levels = (torch.arange(len(x), dtype=x.dtype) + 0.5) / len(x)
        total = 0.0
        for line in lines:
            centres = self.means @ line
            grid = torch.linspace(centres.min() - 6 * self.deviation, centres.max() + 6 * self.deviation, 4001)
            grid = grid.to(x.dtype)
            steps = (grid[:, None] - centres) / (self.deviation * 2**0.5)
            cdf = ((1 + steps.erf()) / 2) @ self.weights
            at = torch.searchsorted(cdf, levels).clamp(1, len(grid) - 1)
            share = ((levels - cdf[at - 1]) / (cdf[at] - cdf[at - 1]).clamp(min=1e-12)).clamp(0, 1)
            quantiles = torch.lerp(grid[at - 1], grid[at], share)
            total += float(((x @ line).sort().values - quantiles).abs().mean())
        return total / len(lines)


@dataclass(frozen=True)
class Case:
    """What the paper sets against each other: the truth and two models of it. `rare`: the mode that they miss."""

    name: str
    truth: Mixture
    strong: Mixture
    weak: Mixture
    rare: int = 0


def one_dimension(dtype=torch.float32) -> Case:
    """Figures 4, 5, 21 and 25: peaks at -4 and 4; strong has seen few of the left one, weak hardly any."""
    truth = Mixture(torch.tensor([[-4.0], [4.0]], dtype=dtype), torch.tensor([0.5, 0.5], dtype=dtype), 0.5)
    return Case("1-D", truth, truth.reweighted(0.3, 0.7), truth.reweighted(0.1, 0.9))


def two_dimensions(dtype=torch.float32) -> Case:
    """Figure 6: four peaks, of which both models miss the one at the bottom left."""
    means = torch.tensor([[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0], [3.0, 3.0]], dtype=dtype)
    truth = Mixture(means, torch.full((4,), 0.25, dtype=dtype), 0.6)
    return Case("2-D", truth, truth.reweighted(0.13, 0.29, 0.29, 0.29), truth.reweighted(0.04, 0.32, 0.32, 0.32))
