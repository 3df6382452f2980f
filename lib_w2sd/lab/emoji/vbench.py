"""VBench's measures of a clip (arXiv 2311.17982, github.com/Vchitect/VBench), at our scale.

Its formulas are kept; its networks, which know photographs of full size, have others stand in for them:

subject consistency     DINO's features: here the judge's, which was trained to tell what a picture shows
background consistency  CLIP's picture features, of the whole frame: here our own small CLIP's. Our background is white
                        throughout, so that this is a second opinion on the same thing, as VBench's largely is
motion smoothness       AMT's frame between two others: here both warped half way along their optical flow
dynamic degree          RAFT's optical flow: here TV-L1's (Zach et al. 2007, scikit-image)

Clips are [N, F, 3, H, W] from 0 to 1.
"""

import numpy as np
import torch
from skimage.registration import optical_flow_tvl1
from torch.nn import functional as F

from . import clip, judge

FASTEST = 0.05  # share of a frame's pixels that say how fast it moves
THRESHOLD = 6 / 256  # pixels from one frame to the next for each of the shorter side, from which on it has moved
MOVED = 4 / 16  # share of a clip's frames that have to move


def flow(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Where the pixels of picture `one` [3, H, W] went in `other`: [2, H, W], pixels down and right."""
    gray = [(0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]).numpy() for x in (one, other)]
    # A third of the default's rounds: on pictures as small as these, a few percent less motion for half the time.
    return torch.from_numpy(np.stack(optical_flow_tvl1(*gray, num_warp=3, num_iter=5))).float()


def warped(picture: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Picture [3, H, W] with each pixel taken from `by` [2, H, W] further down and right; white from outside."""
    height, width = picture.shape[1:]
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([(right + by[1] + 0.5) * 2 / width - 1, (down + by[0] + 0.5) * 2 / height - 1], dim=-1)
    return 1 - F.grid_sample(1 - picture[None], places[None], align_corners=False)[0]


def between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The frame that ought to lie between two [3, H, W]."""
    by = flow(one, other)
    return (warped(one, -by / 2) + warped(other, by / 2)) / 2


def consistency(features: torch.Tensor) -> torch.Tensor:
    """How alike each frame is to the first and to the one before: mean cosine, not below 0. [N, F, W] -> [N]."""
    unit = F.normalize(features, dim=2)
    first, before = (unit[:, 1:] * unit[:, :1]).sum(2), (unit[:, 1:] * unit[:, :-1]).sum(2)
    return (first.clamp(min=0) + before.clamp(min=0)).mean(1) / 2


def subject_consistency(clips: torch.Tensor) -> torch.Tensor:
    """[N], at most 1."""
    return consistency(judge.features(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))


def background_consistency(clips: torch.Tensor) -> torch.Tensor:
    """[N], at most 1."""
    return consistency(clip.features(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))


def smoothness(clips: torch.Tensor) -> torch.Tensor:
    """1 minus the mean error of every second frame, put together from the two beside it: [N], at most 1."""
    found = []
    for frames in clips:
        pairs = range(1, len(frames) - 1, 2)
        errors = [(between(frames[i - 1], frames[i + 1]) - frames[i]).abs().mean() for i in pairs]
        found.append(1 - torch.stack(errors).mean())
    return torch.stack(found)


def speed(clips: torch.Tensor) -> torch.Tensor:
    """How far the fastest pixels go from each frame to the next, in pixels: [N, F - 1]."""
    found = []
    for frames in clips:
        lengths = [flow(one, other).norm(dim=0).flatten() for one, other in zip(frames[:-1], frames[1:])]
        found.append(torch.stack([x.topk(int(FASTEST * len(x))).values.mean() for x in lengths]))
    return torch.stack(found)


def dynamic(speeds: torch.Tensor, size: int) -> torch.Tensor:
    """Which clips move at all, 0 or 1, of their speed() [N, F - 1]: [N]. size: of the frames' shorter side, pixels."""
    frames = speeds.shape[1] + 1
    return ((speeds > THRESHOLD * size).sum(1) >= round(MOVED * frames)).float()
