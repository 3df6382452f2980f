"""The autoencoder: diffusers' real one with random weights, in the host's calls."""

import torch
from diffusers import AutoencoderKL

from tests.webui.network import seeded


class DiagonalGaussianDistribution:
    def __init__(self, parameters):
        self.mean, log = parameters.chunk(2, dim=1)
        self.std = torch.exp(0.5 * log.clamp(-30, 20))

    def sample(self):
        return self.mean + self.std * torch.randn(self.mean.shape)

    def mode(self):
        return self.mean


class IntegratedAutoencoderKL(torch.nn.Module):
    scaling_factor, shift_factor = 0.18215, 0.0

    def __init__(self, checkpoint: str, channels: int):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seeded(f"vae {checkpoint}").initial_seed())
            self.network = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(8,) * 4,
                norm_num_groups=4,
                latent_channels=channels,
                mid_block_add_attention=False,
            )

    def encode(self, x):
        parameters = self.network.quant_conv(self.network.encoder(x))
        return DiagonalGaussianDistribution(parameters).sample()

    def decode(self, z):
        return self.network.decoder(self.network.post_quant_conv(z))

    def process_in(self, latent):
        return (latent - self.shift_factor) * self.scaling_factor

    def process_out(self, latent):
        return latent / self.scaling_factor + self.shift_factor
