"""How far a gap pushes along the guidance, and how much of it elsewhere: the effective guidance scale."""

from dataclasses import dataclass

import torch


@dataclass
class Found:
    """A gap d_strong - d_weak, and how much of it lies along the guidance g = d_cond - d_uncond at the same place.

    along   k of gap = k g + rest: to first order the sampler's step is then the one at CFG `own` + strength * k, the
            effective guidance scale (calibrated by projection, as arXiv 2602.22570 does to set methods side by side)
    across  |rest| / |gap|
    """

    gap: torch.Tensor
    along: "torch.Tensor | float | None" = None
    across: "torch.Tensor | float | None" = None
    own: float = 1.0

    def __add__(self, other: "Found") -> "Found":
        """Of two rounds of one step."""
        gap = self.gap + other.gap
        if self.along is None or other.along is None:
            return Found(gap)
        return Found(gap, self.along + other.along, (self.across + other.across) / 2, self.own)


def along(gap: torch.Tensor, g: torch.Tensor) -> tuple:
    """k and |rest| / |gap| of gap = k g + rest, means over the batch [B, ...]."""
    gap, g = gap.flatten(1).float(), g.flatten(1).float()
    k = (gap * g).sum(1) / (g * g).sum(1).clamp(min=1e-20)
    rest = (gap - k[:, None] * g).norm(dim=1) / gap.norm(dim=1).clamp(min=1e-20)
    return k.mean(), rest.mean()
