import functools

from backend.nn.vae import IntegratedAutoencoderKL


class VAE:
    """Pictures [B, H, W, 3] from 0 to 1. Made when it is asked for: few tests do."""

    def __init__(self, *of):
        self.of = of

    @functools.cached_property
    def first_stage_model(self):
        return IntegratedAutoencoderKL(*self.of)

    def decode(self, samples_in):
        return ((self.first_stage_model.decode(samples_in) + 1) / 2).clamp(0, 1).movedim(1, -1)

    def encode(self, pixel_samples):
        return self.first_stage_model.encode(pixel_samples.movedim(-1, 1) * 2 - 1)
