"""The reflection operator of W2SD: arXiv 2502.00473, Algorithm 1, equations (1) to (5).

One deterministic (DDIM) step is linear in the latent and in the network's direction ``d``:

    x' = A * x + B * d(x)                                       eq. (1), with the strong model

and its inversion with the weak model solves the same line for the latent:

    x~ = (x' - B * d_weak) / A = x + (B / A) * (d_strong - d_weak)     eq. (2) to (5)

so every inversion is this one expression; they differ only in *where* the weak direction is evaluated:

    paper         network at (x', t), in the network's own coordinates       eq. (4)
    matched       at (x, t): Theorem 1, eq. (5), without the error E_t of Appendix E.3
    fixed-point   at (x~, t), by fixed-point iteration from x                the exact inverse, eq. (3)

Tensors in, tensors out. No host, no user interface.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

INVERSIONS = ("paper", "matched", "fixed-point")
FIXED_POINT_ROUNDS = 3


def _as(x: torch.Tensor, value):
    """`value` (a number, or a tensor of shape [] or [B]) so that it broadcasts over `x` of shape [B, ...]."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(x.device).reshape(value.shape + (1,) * (x.ndim - 1 if value.ndim else 0))


class Sigma:
    """k-diffusion's coordinates: x = signal + sigma * noise; the model returns the denoised signal.

    `t` is sigma; ``d = (x - denoised) / sigma`` is the predicted noise.
    """

    def direction(self, x, output, t):
        return (x - output) / _as(x, t)

    def levels(self, x, t):
        """alpha and beta of x = alpha * signal + beta * noise."""
        return 1.0, _as(x, t)

    def noise(self, x, output, t):
        """The noise that the model sees in x."""
        return self.direction(x, output, t)

    def signal(self, x, output, t):
        """What the model takes the clean picture for."""
        return output

    def output(self, x, signal, t):
        """The output of a model that takes `signal` for the clean picture."""
        return signal

    def step(self, x, t, t_next):
        """A and B of x' = A x + B d."""
        return 1.0, _as(x, t_next) - _as(x, t)

    def at_time(self, x_next, t, t_next):
        """`x_next` rescaled so that the network, asked at `t`, sees it exactly as it would see it at `t_next`.

        The network sees x / sqrt(1 + sigma^2). Without this factor the picture it gets has the wrong size.
        """
        return x_next * ((1 + _as(x_next, t) ** 2) / (1 + _as(x_next, t_next) ** 2)) ** 0.5


class Flow(Sigma):
    """Rectified flow (Flux, SD3): x = (1 - sigma) * signal + sigma * noise; the model returns the denoised signal.

    ``d = (x - denoised) / sigma`` is the velocity; the network sees x unscaled.
    """

    def levels(self, x, t):
        return 1 - _as(x, t), _as(x, t)

    def noise(self, x, output, t):
        return output + self.direction(x, output, t)

    def at_time(self, x_next, t, t_next):
        return x_next


class VariancePreserving:
    """Timestep samplers (DDIM, PLMS, UniPC): x = sqrt(abar) * signal + sqrt(1 - abar) * noise; the model returns eps.

    `t` is the timestep, an index into ``alphas_cumprod`` (shape [T], abar of each timestep); between two timesteps
    log abar is linear, as in UniPC (arXiv 2302.04867), which asks there.
    """

    def __init__(self, alphas_cumprod: torch.Tensor):
        self.alphas_cumprod = alphas_cumprod

    def alpha_bar(self, x, t):
        known = self.alphas_cumprod
        t = torch.as_tensor(t, device=known.device).clamp(0, len(known) - 1)
        below = t.floor().long()
        above = (below + 1).clamp(max=len(known) - 1)
        between = (t - below).to(known.dtype)
        return _as(x, (known[below] ** (1 - between) * known[above] ** between).to(x.device))

    @staticmethod
    def of_sigma(x, sigma):
        """`x` of k-diffusion's coordinates in these."""
        return x / (1 + _as(x, sigma) ** 2) ** 0.5

    def direction(self, x, output, t):
        return output

    def levels(self, x, t):
        abar = self.alpha_bar(x, t)
        return abar**0.5, (1 - abar) ** 0.5

    def noise(self, x, output, t):
        return output

    def signal(self, x, output, t):
        alpha, beta = self.levels(x, t)
        return (x - beta * output) / alpha

    def output(self, x, signal, t):
        alpha, beta = self.levels(x, t)
        return (x - alpha * signal) / beta

    def step(self, x, t, t_next):
        now, after = self.alpha_bar(x, t), self.alpha_bar(x, t_next)
        a = (after / now) ** 0.5
        return a, (1 - after) ** 0.5 - a * (1 - now) ** 0.5

    def at_time(self, x_next, t, t_next):
        return x_next


class Reflection(NamedTuple):
    """`x`: the reflected latent x~, shape and dtype of the latent given. `gap`: d_strong - d_weak, same shape."""

    x: torch.Tensor
    gap: torch.Tensor


def reflect(
    x: torch.Tensor,
    t,
    t_next,
    strong: Callable,
    weak: Callable,
    coordinates,
    inversion: str = "paper",
    strength: float = 1.0,
) -> Reflection:
    """x~ = M_inv^w(M^s(x, t), t): line 7 of Algorithm 1.

    x            latent, shape [B, ...]
    t            where the latent stands: sigma or timestep, a number or a tensor of shape [B]
    t_next       where the step goes (never sigma 0: there eq. (2) has no noise left to invert)
    strong, weak model(x, t) -> output, in the convention of `coordinates`
    strength     1: the paper's x~; in between: x + strength * (x~ - x)
    """
    d_strong = coordinates.direction(x, strong(x, t), t)
    a, b = coordinates.step(x, t, t_next)
    if inversion == "paper":
        y = coordinates.at_time(a * x + b * d_strong, t, t_next).to(x.dtype)
        gap = d_strong - coordinates.direction(y, weak(y, t), t)
    elif inversion == "matched":
        gap = d_strong - coordinates.direction(x, weak(x, t), t)
    elif inversion == "fixed-point":
        y = x
        for _ in range(FIXED_POINT_ROUNDS):
            gap = d_strong - coordinates.direction(y, weak(y, t), t)
            y = (x + (b / a) * gap).to(x.dtype)
    else:
        raise ValueError(f"inversion must be one of {', '.join(INVERSIONS)}; got {inversion!r}")
    return Reflection((x + strength * (b / a) * gap).to(x.dtype), gap)
