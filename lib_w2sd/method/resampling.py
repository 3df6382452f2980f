"""Re-Sampling: the way back with new noise instead of a weak model (arXiv 2502.00473, E.4, Algorithms 3 and 4; RePaint,
arXiv 2201.09865).

A strong step takes x = alpha * signal + beta * noise from level t to t_next. Noise added to what it gives brings that
back to level t:

    x_Re = (alpha / alpha_next) * x_next + eta * eps,    eta^2 = beta^2 - (alpha / alpha_next)^2 * beta_next^2

With the noise n that the strong model sees in x, this is the part s = 1 of

    x_Re(s) = x + (sqrt(beta^2 - s^2 eta^2) - beta) * n + s * eta * eps

which keeps the level at every strength s from 0, the latent itself, to 1. (Algorithm 3 as it is printed adds the noise
to x_t; what it says it does, and its source, add it to x_{t-1}.)
"""

import torch


def resampled(x: torch.Tensor, t, t_next, output, noise, coordinates, strength: float = 1.0) -> torch.Tensor:
    """x_Re, shape and dtype of the latent.

    x, t, t_next, coordinates  as reflection.reflect has them
    output                     the strong model's, at (x, t)
    noise                      eps, of x's shape, normal
    strength                   s, taken as 1 where it is more: there is no more noise to renew
    """
    s = min(strength, 1.0)
    alpha, beta = coordinates.levels(x, t)
    alpha_next, beta_next = coordinates.levels(x, t_next)
    eta2 = beta * beta - (alpha / alpha_next * beta_next) ** 2
    kept = torch.as_tensor(beta * beta - s * s * eta2).clamp(min=0) ** 0.5
    seen = coordinates.noise(x, output, t)
    return (x + (kept - beta) * seen + s * torch.as_tensor(eta2).clamp(min=0) ** 0.5 * noise).to(x.dtype)


def turned(noise: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Algorithm 4's choice: of each picture of the batch, noise whose similarity with `wanted`, the move of a
    reflection, is not negative.

    The algorithm draws until that is so. The normal distribution is the same when mirrored, and the mirror image of
    refused noise is accepted: what comes out has the same distribution, after one draw.
    """
    likeness = (noise * wanted).flatten(1).sum(dim=1)
    sign = torch.where(likeness < 0, -1.0, 1.0).to(noise.dtype)
    return noise * sign.reshape(-1, *[1] * (noise.ndim - 1))
