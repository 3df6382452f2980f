"""Noise of W2SD's own, of the pictures' seeds: the same request draws the same."""

import zlib

import torch


class Noises:
    """For each picture a sequence of its own. `purpose`: those of another are others."""

    def __init__(self, seeds, purpose: str):
        # Not the seeds themselves: these give the noise that the picture starts from.
        own = [zlib.crc32(f"{purpose} {int(seed)}".encode()) for seed in seeds]
        self.generators = [torch.Generator().manual_seed(seed) for seed in own]

    def drawn(self, shape) -> torch.Tensor:
        """The next of each picture: [B, ...], on the CPU."""
        of = self.generators
        return torch.stack([torch.randn(shape[1:], generator=of[i % len(of)]) for i in range(shape[0])])
