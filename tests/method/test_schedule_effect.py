"""UniPC and DPM adaptive, which do not simply continue from the latent that they pass to the model: the reflection does
to the paper's mixture what it does in DDIM and in Euler. The truth has half of its mass in the left mode."""

from types import SimpleNamespace

import pytest
import torch
from k_diffusion import sampling

from lib_w2sd.method.reflection import Sigma, VariancePreserving

from .. import samplers
from ..mixture import SIGMA_MAX, SIGMA_MIN, STRONG, WEAK, Sides, reflecting
from ..reflected import reflected

ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).cumprod(0).double()
NORMAL = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)[:, None, None, None]


def eps(mixture):
    """The mixture's model in timesteps; latents of shape [B, 1, 1, 1]."""

    def model(x, t):
        abar = VariancePreserving(ALPHAS_CUMPROD).alpha_bar(x, t).flatten().expand(len(x))
        signal, sigma = abar.sqrt(), (1 - abar).sqrt()
        x = x[..., 0, 0]
        return ((x - signal[:, None] * mixture.denoised(x, signal, sigma)) / sigma[:, None])[..., None, None]

    model.inner_model = SimpleNamespace(inner_model=SimpleNamespace(alphas_cumprod=ALPHAS_CUMPROD))
    return model


def left_mass(func, models, coordinates, inversion, x, **arguments):
    settings = reflected(lambda_steps=-1, inversion=inversion)
    sample = reflecting(func, settings, Sides(coordinates, *models)) if inversion else func
    return (
        (sample(models[0], x.clone(), callback=lambda info: None, disable=True, **arguments) < 0).double().mean().item()
    )


@pytest.mark.parametrize("inversion", [None, "paper", "matched", "fixed-point"])
def test_unipc_as_ddim(inversion):
    how = (eps(STRONG), eps(WEAK)), VariancePreserving(ALPHAS_CUMPROD), inversion, NORMAL
    mass = {
        func.__name__: left_mass(func, *how, timesteps=torch.arange(20) * 50 + 1)
        for func in (samplers.unipc, samplers.ddim)
    }
    low, high = {None: (0.30, 0.35), "paper": (0.44, 0.49), "matched": (0.46, 0.50), "fixed-point": (0.48, 0.53)}[
        inversion
    ]
    assert low < mass["unipc"] < high and mass["unipc"] == pytest.approx(mass["ddim"], abs=0.02)


@pytest.mark.parametrize(
    "inversion,expected", [(None, 0.318), ("paper", 0.353), ("matched", 0.442), ("fixed-point", 0.499)]
)
def test_dpm_adaptive(inversion, expected):
    """About 11 steps; Euler at 8 and 20: .294 and .309, paper .362 and .452, matched .461 and .487."""
    mass = left_mass(
        sampling.sample_dpm_adaptive,
        (
            lambda x, sigma: STRONG.in_sigma(x[..., 0, 0], sigma)[..., None, None],
            lambda x, sigma: WEAK.in_sigma(x[..., 0, 0], sigma)[..., None, None],
        ),
        Sigma(),
        inversion,
        NORMAL * SIGMA_MAX,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
    )
    assert mass == pytest.approx(expected, abs=0.02)
