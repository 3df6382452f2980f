"""The autoencoder: diffusers' AutoencoderKL in Stable Diffusion's layout, factor 8, 4 latent channels, made small.

Another has 8, for a model of another architecture.
"""

import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

SCALING = 0.18215  # Stable Diffusion 1.5's: latents times this have about unit variance
CHANNELS = (32, 32, 64, 128)  # the WebUI's normalisation has 32 groups: multiples of 32
NOISE = 0.1  # what the decoder is trained to bear, in units of the latents' deviation


def new(latents: int = 4) -> AutoencoderKL:
    """With random weights; `latents`: channels."""
    levels = len(CHANNELS)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=latents,
        norm_num_groups=32,
        sample_size=64,
        scaling_factor=SCALING,
    )


def mean(model: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """Latents [B, C, H/8, W/8] of pictures x [B, 3, H, W] from -1 to 1, without posterior noise and unscaled."""
    return model.quant_conv(model.encoder(x))[:, : model.config.latent_channels]


def decode(model: AutoencoderKL, z: torch.Tensor) -> torch.Tensor:
    """Pictures from unscaled latents."""
    return model.decoder(model.post_quant_conv(z))


def loss_of(model: AutoencoderKL, x: torch.Tensor, generator: torch.Generator) -> "tuple[torch.Tensor, torch.Tensor]":
    """The loss and the mean square error (pictures from -1 to 1). Latents are held near unit variance, and disturbed."""
    z = mean(model, x)
    y = decode(model, z + NOISE * torch.randn(z.shape, generator=generator))
    spread = z.var(dim=(0, 2, 3))
    held = z.mean(dim=(0, 2, 3)).square().mean() + (spread - 1).square().mean()
    return difference(y, x) + 0.01 * held, F.mse_loss(y, x)


def difference(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """How far a decoded picture y is from x: squares, edges and hue."""
    edges = sum((y.diff(dim=d) - x.diff(dim=d)).abs().mean() for d in (2, 3))
    # Without it red and green, and blue and purple, are told apart last of all.
    r, g, b = F.avg_pool2d(y - x, 4).unbind(1)
    hue = (r - g).square().mean() + (b - (r + g) / 2).square().mean()
    return F.mse_loss(y, x) + 0.1 * F.l1_loss(y, x) + 0.1 * edges + hue


def augmented(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """uint8 [B, 3, 64, 64] as floats from -1 to 1; mirrored, shifted by up to 2 pixels, some with channels exchanged."""
    x = pictures.float() / 127.5 - 1
    shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
    x = F.pad(x, (2, 2, 2, 2), value=1.0)[..., 2 + shift[0] : 66 + shift[0], 2 + shift[1] : 66 + shift[1]]
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    for i in (torch.rand(len(x), generator=generator) < 0.15).nonzero().flatten().tolist():
        x[i] = x[i][torch.randperm(3, generator=generator)]
    return x.contiguous()


@torch.no_grad()
def settle(model: AutoencoderKL, pictures: torch.Tensor, posterior: float = 0.03) -> None:
    """Fold the latents' mean and covariance over `pictures` into the quant convolutions, for good.

    After it the latents times SCALING have mean 0 and covariance 1 over their channels, as the diffusion model wants
    them, and the posterior's deviation is `posterior` of that, which a WebUI's img2img draws from.
    """
    z = torch.cat([mean(model, part.float() / 127.5 - 1) for part in pictures.split(64)])
    flat = z.permute(1, 0, 2, 3).flatten(1).double()
    centre, covariance = flat.mean(1), flat.cov()
    values, vectors = torch.linalg.eigh(covariance)
    whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T / SCALING
    back = torch.linalg.inv(whiten)
    quant, post, n = model.quant_conv, model.post_quant_conv, model.config.latent_channels
    w, b = quant.weight[:n, :, 0, 0].double(), quant.bias[:n].double()
    quant.weight[:n, :, 0, 0] = (whiten @ w).float()
    quant.bias[:n] = (whiten @ (b - centre)).float()
    quant.weight[n:] = 0
    quant.bias[n:] = 2 * torch.log(torch.tensor(posterior / SCALING))
    p = post.weight[:, :, 0, 0].double()
    post.bias += (p @ centre).float()
    post.weight[:, :, 0, 0] = (p @ back).float()


@torch.inference_mode()
def psnr(model: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """Decibels for each picture, uint8 [N, 3, 64, 64]."""
    errors = []
    for part in pictures.split(64):
        x = part.float() / 127.5 - 1
        y = decode(model, mean(model, x)).clamp(-1, 1)
        errors.append(((x - y) / 2).square().mean(dim=(1, 2, 3)))
    return -10 * torch.cat(errors).log10()
