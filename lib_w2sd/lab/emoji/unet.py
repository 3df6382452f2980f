"""The diffusion model: diffusers' UNet2DConditionModel in Stable Diffusion's layout, made small, and its loss.

It predicts v = alpha eps - sigma x (Salimans & Ho 2022), as Stable Diffusion 2 does: that is Karras et al.'s (2022)
preconditioning for data of unit variance, and worth much in a short training. The checkpoint's .yaml says so to a WebUI.
"""

import torch
from diffusers import UNet2DConditionModel

from .text import WIDTH

CHANNELS, HEADS = (96, 96), 4
DOWN, UP = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
BETAS = 0.00085, 0.0120, 1000  # Stable Diffusion's "scaled linear" schedule
MEAN, DEVIATION = -0.1, 1.3  # of ln sigma, in training


def new(latents: int = 4) -> UNet2DConditionModel:
    """With random weights; `latents`: channels."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=latents,
        out_channels=latents,
        down_block_types=DOWN,
        up_block_types=UP,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=HEADS,  # the number of heads, as diffusers calls it in SD1.5
        norm_num_groups=32,
    )


def sigmas() -> torch.Tensor:
    """Of the schedule's 1,000 timesteps, ascending: noise over signal."""
    low, high, steps = BETAS
    betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    return ((1 - kept) / kept).sqrt().float()


def timestep(sigma: torch.Tensor) -> torch.Tensor:
    """Between the schedule's, linear in ln sigma: as k-diffusion's DiscreteSchedule without quantisation. [B] -> [B]."""
    logs = sigmas().log()
    log = sigma.log().clamp(logs[0], logs[-1])
    low = (torch.searchsorted(logs, log, right=True) - 1).clamp(0, len(logs) - 2)
    return low + (log - logs[low]) / (logs[low + 1] - logs[low])


def denoise(model: UNet2DConditionModel, x: torch.Tensor, sigma: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
    """The denoised latents of x = latents + sigma * noise [B, 4, H, W]; sigma [B], cond [B, 77, W]."""
    s = sigma[:, None, None, None]
    scale = (1 + s * s).rsqrt()
    v = model(x * scale, timestep(sigma), cond, return_dict=False)[0]
    return x * scale * scale - v * s * scale


def loss_of(
    model, latents: torch.Tensor, cond: torch.Tensor, generator, mean: float = MEAN, frames: int = 1
) -> torch.Tensor:
    """Mean square error of v for each picture [B]; ln sigma is normal about `mean`, spread evenly over the batch.

    frames  so many rows in a row are one clip, and have one sigma
    """
    count = len(latents) // frames
    even = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    log = mean + DEVIATION * torch.special.ndtri(even.clamp(1e-4, 1 - 1e-4))
    every = sigmas()
    sigma = log.exp().clamp(every[0], every[-1])[torch.randperm(count, generator=generator)].repeat_interleave(frames)
    noise = torch.randn(latents.shape, generator=generator)
    s = sigma[:, None, None, None]
    scale = (1 + s * s).rsqrt()
    v = model((latents + s * noise) * scale, timestep(sigma), cond, return_dict=False)[0]
    return (v - (noise - s * latents) * scale).square().mean(dim=(1, 2, 3))
