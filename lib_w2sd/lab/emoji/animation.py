"""Clips to learn motion from: an emoji that shifts, turns, grows, bounces or swings, on white.

No word tells how: the text encoder, which is frozen, knows none for it, so motion is what the model makes of it.
"""

import math

import torch
from torch.nn import functional as F

FRAMES = 8
# At most, over a whole clip; how far a clip goes is drawn evenly between none of it and this.
SHIFT, TURN, GROW, BOUNCE, SWING = 20.0, 60.0, 0.35, 12.0, 25.0  # pixels, degrees, share, pixels, degrees
SMALLEST, LARGEST = 0.8, 1.0  # the emoji's size where it does not grow
KINDS = ("shift", "turn", "grow", "bounce", "swing")


def paths(count: int, generator: torch.Generator) -> dict:
    """How each of `count` clips moves: {"right", "down": pixels, "angle": degrees, "size": share}, each [count, FRAMES]."""

    def drawn(low=0.0, high=1.0):
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    kind = torch.randint(len(KINDS), (count, 1), generator=generator)
    far, sign = drawn(), torch.randint(2, (count, 1), generator=generator) * 2 - 1
    time = torch.linspace(0, 1, FRAMES)
    even, wave = sign * far * (time - 0.5), far * torch.sin(2 * math.pi * (time + drawn()))
    direction = drawn(0, 2 * math.pi)

    def of(name, value):
        return torch.where(kind == KINDS.index(name), value, torch.zeros(()))

    return {
        "right": of("shift", SHIFT * even * direction.cos()),
        "down": of("shift", SHIFT * even * direction.sin()) + of("bounce", BOUNCE * (far / 2 - wave.abs())),
        "angle": of("turn", TURN * even) + of("swing", SWING * wave),
        "size": drawn(SMALLEST, LARGEST) * (1 - of("grow", GROW * (far / 2 + even))),
    }


def moved(pictures: torch.Tensor, path: dict) -> torch.Tensor:
    """Clips [N, FRAMES, 3, H, W] of pictures [N, 3, H, W] from 0 to 1, white where nothing is left to show."""
    n, _, height, width = pictures.shape
    angle = path["angle"].deg2rad()
    cos, sin = angle.cos() / path["size"], angle.sin() / path["size"]
    right, down = path["right"] * 2 / width, path["down"] * 2 / height
    # From a place in the frame back to the place in the picture.
    back = torch.stack(
        [cos, sin, -cos * right - sin * down, -sin, cos, sin * right - cos * down],
        dim=2,
    ).view(n * FRAMES, 2, 3)
    grid = F.affine_grid(back, (n * FRAMES, 3, height, width), align_corners=False)
    ink = F.grid_sample((1 - pictures).repeat_interleave(FRAMES, 0), grid, align_corners=False)
    return (1 - ink).clamp(0, 1).unflatten(0, (n, FRAMES))


def animated(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pictures [N, 3, H, W] from 0 to 1, each moving in its own way: [N, FRAMES, 3, H, W]."""
    return moved(pictures, paths(len(pictures), generator))
