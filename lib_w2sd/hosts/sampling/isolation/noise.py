"""Noise of W2SD's own, of the pictures' seeds: the same request draws the same."""

import math
import zlib

import torch


class Noises:
    """For each picture of a pass a sequence of its own. `purpose`: those of another are others.

    A picture is known by its seed and, as far as the variation strength goes, by its variation seed: at 0 it is the
    seed's, at 1 the variation seed's, as the noise that the host starts from.
    """

    def __init__(self, p, purpose: str):
        self._purpose, self._seeds = purpose, [int(seed) for seed in p.seeds]
        strength = float(getattr(p, "subseed_strength", 0) or 0)
        # The host's own rule for a list of them that is too short.
        variations = [*map(int, p.subseeds), *[0] * len(self._seeds)] if strength else self._seeds
        self._generators = [self._generator(seed) for seed in self._seeds]
        # A variation that is the seed itself is none.
        self._variations = [
            self._generator(variation) if variation != seed else None
            for seed, variation in zip(self._seeds, variations)
        ]
        self._angle = strength * math.pi / 2

    def _generator(self, seed: int) -> torch.Generator:
        # Not of the seed itself: that gives the noise that the picture starts from.
        return torch.Generator().manual_seed(zlib.crc32(f"{self._purpose} {seed}".encode()))

    def drawn(self, shape) -> torch.Tensor:
        """The next of each picture: [B, ...], on the CPU."""
        return torch.stack([self._next(i % len(self._seeds), shape[1:]) for i in range(shape[0])])

    def _next(self, i: int, shape) -> torch.Tensor:
        own = torch.randn(shape, generator=self._generators[i])
        if self._variations[i] is None:
            return own
        # On the arc between the two: normal again, whatever the strength.
        return math.cos(self._angle) * own + math.sin(self._angle) * torch.randn(shape, generator=self._variations[i])
