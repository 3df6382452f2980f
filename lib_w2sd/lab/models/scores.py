"""How good a set of pictures is: by a classifier that was trained on the real ones."""

import functools
from dataclasses import dataclass

import torch

from ..experiments.statistics import Interval, interval
from . import weights
from .data import CLASSES
from .network import SIZE

LABELS = {
    "distance": "Fréchet distance ↓",
    "accuracy": "class accuracy ↑",
    "attribute": "attribute accuracy ↑",
    "stripes": "stripe contrast",
}
DIGITS = {"distance": 2, "accuracy": 3, "attribute": 3, "stripes": 3}


@functools.cache
def _judge():
    return weights.load("classifier")


@functools.cache
def _real(style: str):
    statistics = weights.statistics()
    return statistics[f"{style}.mean"], statistics[f"{style}.covariance"]


@torch.inference_mode()
def judge(x):
    """Features [N, 64], class [N] and attribute [N] of pictures from -1 to 1 [N, 1, 16, 16]."""
    model = _judge()
    features = torch.cat([model.features(part.clamp(-1, 1)) for part in x.split(512)])
    h = features.relu()
    return features.double(), model.kind(h).argmax(dim=1), model.attribute(h).argmax(dim=1)


def frechet(features, style: str = "plain") -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) between the features [N, D] and those of the real pictures."""
    mean, covariance = _real(style)
    own_mean, own = features.mean(dim=0), features.T.cov()
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ own @ root).clamp(min=0).sqrt().sum()
    return float((mean - own_mean).square().sum() + covariance.trace() + own.trace() - 2 * cross)


def stripe_contrast(x) -> torch.Tensor:
    """How much darker the striped rows are, as a share of the picture's light: 0 without stripes, 0.6 in the style."""
    light = (x.clamp(-1, 1) + 1).mean(dim=(1, 3))
    rows = torch.arange(SIZE) % 4 < 2
    dark, bright = light[:, rows].mean(dim=1), light[:, ~rows].mean(dim=1)
    return (bright - dark) / (bright + dark).clamp(min=1e-6)


@dataclass(frozen=True)
class Scores:
    """Jackknife pseudo-values of each score, one a seed: their mean is the score of all pictures together.

    Two sets drawn from the same seeds are compared seed by seed, which takes the seeds' own luck out.
    """

    values: dict
    rows: float

    def interval(self, name: str) -> Interval:
        return interval(self.values[name])

    def gain(self, other: "Scores", name: str) -> Interval:
        """This set's score minus the other's, paired by seed."""
        return interval([a - b for a, b in zip(self.values[name], other.values[name])])

    def show(self, name: str) -> str:
        return self.interval(name).show(DIGITS[name])


def direction(gain, name: str) -> int:
    """0: better, 1: worse, 2: the interval holds 0."""
    if abs(gain.mean) <= gain.half:
        return 2
    return 0 if (gain.mean < 0) == (name == "distance") else 1


def marked(gain, name: str) -> str:
    """A difference with its interval, in bold where the interval leaves 0 out on the better side, * on the worse."""
    text = gain.show(2 if name == "distance" else 3)
    return (f"**{text}**", f"{text} *", text)[direction(gain, name)]


def counted(gains: list) -> str:
    """better / worse / undecided, among differences [(gain, score's name)]."""
    found = [direction(gain, name) for gain, name in gains]
    return " / ".join(str(found.count(kind)) for kind in range(3))


def held(gains: list) -> str:
    """Whether W2SD helps, by differences [(gain, score's name)]: some better and none worse; some of both; none better."""
    found = [direction(gain, name) for gain, name in gains]
    if 0 not in found:
        return "no"
    return "in part" if 1 in found else "yes"


def _jackknife(score, seeds: int) -> list:
    """Pseudo-values of score(rows), where rows is a function of the seeds that are left in."""
    everything, every = score(range(seeds)), list(range(seeds))
    return [seeds * everything - (seeds - 1) * score(every[:i] + every[i + 1 :]) for i in every]


def score(x, wanted, seeds: int, rows: float, style: str = "plain") -> Scores:
    """Score pictures x [seeds * n, 1, 16, 16] (seed by seed) that were asked for with labels `wanted` [seeds * n, 2]."""
    features, kind, attribute = judge(x)
    features = features.view(seeds, -1, features.shape[1])
    per_picture = {
        "accuracy": (kind == wanted[:, 0]).double(),
        "attribute": (attribute == wanted[:, 1]).double(),
        "stripes": stripe_contrast(x).double(),
    }
    values = {name: v.view(seeds, -1).mean(dim=1).tolist() for name, v in per_picture.items()}
    values["distance"] = _jackknife(lambda left: frechet(features[list(left)].flatten(0, 1), style), seeds)
    return Scores(values, rows)


def shares(x) -> torch.Tensor:
    """The share of each class among pictures: [10]."""
    return torch.bincount(judge(x)[1], minlength=len(CLASSES)).double() / len(x)
