"""What is measured of a way to draw pictures, kept from run to run, and set against another way's, paired by prompt.

reward    cosine of picture and prompt by the judge, which was trained apart from the model
name      share of the pictures from which the judge finds the name again, among all names
distance  Fréchet's, in the judge's picture features, to all real pictures, times 100
variety   mean cosine distance between two pictures of one prompt: a gain must not be a loss of this in disguise
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..emoji import judge

MEASURES = {"reward": "reward", "name": "name found", "distance": "Fréchet ↓", "variety": "variety"}


class NotMeasured(LookupError):
    """A way that was not measured before the time was over."""


class Results:
    """What was measured, kept in one JSON file after every way: a run goes on where it was stopped.

    measure   measure(way) -> {measure: a number for each prompt, ...}
    minutes   for so long is measured what is not there yet; None: as long as it takes
    """

    def __init__(
        self, path: Path, measure: Callable, measures: "dict[str, str]" = MEASURES, minutes: "float | None" = None
    ):
        self.path, self.measure, self.measures = path, measure, measures
        self.end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        self.kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def of(self, way) -> dict:
        """Raises NotMeasured."""
        if way.key not in self.kept:
            if time.monotonic() > self.end:
                raise NotMeasured(way.key)
            self.kept[way.key] = self.measure(way)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.kept, indent=0), encoding="utf-8")
            print(way.key, {name: round(mean(self.kept[way.key], name), 4) for name in self.measures}, flush=True)
        return self.kept[way.key]

    def has(self, way) -> bool:
        """Whether it is there, after measuring it if there is time."""
        try:
            return bool(self.of(way))
        except NotMeasured:
            return False

    def gain(self, way, other, name: str) -> "tuple[float, float]":
        """difference() of two ways."""
        return difference(self.of(way), self.of(other), name)

    def line(self, told: str, one: dict, reference: dict, measures: "tuple | None" = None) -> list:
        """A table's: the differences to the reference, bold where the interval leaves zero out; empty where a way has not
        what a measure is of."""
        cells = [told, f"{one['rows']:g}"]
        for name in measures or self.measures:
            if name not in one:
                cells.append("")
            elif one is reference:
                cells.append(f"{mean(one, name):.3f} (the reference)")
            else:
                cells.append(marked(*difference(one, reference, name)))
        return cells


def marked(by: float, half: float, digits: int = 3) -> str:
    """A difference with its interval, bold where that leaves zero out."""
    mark = "**" if abs(by) > half else ""
    return f"{mark}{by:+.{digits}f}{mark} ± {half:.{digits}f}"


def measured(pictures: torch.Tensor, every: list, each: int, real: "dict | None" = None) -> dict:
    """Of pictures [N, 3, 64, 64] from 0 to 1, asked for with the Captions `every`, `each` in a row with the same one.

    Everything is kept by prompt, so that any two ways can be set against each other. `real`: see judge.frechet.
    """
    features = judge.features(pictures)
    reward = judge.reward(pictures, [caption.text() for caption in every]).view(-1, each).mean(1)
    found = torch.tensor(judge.retrieved(pictures, every)["name"]).float().view(-1, each).mean(1)
    by_prompt = features.view(-1, each, features.shape[1])
    unit = torch.nn.functional.normalize(by_prompt, dim=2)
    alike = ((unit @ unit.transpose(1, 2)).sum(dim=(1, 2)) - each) / (each * (each - 1))
    # Jackknife: the distance with each prompt left out in turn.
    parts = [torch.cat([by_prompt[:i], by_prompt[i + 1 :]]).flatten(0, 1) for i in range(len(by_prompt))]
    without = torch.tensor([judge.frechet(part, real) for part in parts])
    found = {"reward": reward, "name": found, "variety": 1 - alike, "distance": without}
    return {**{name: rounded(values) for name, values in found.items()}, "all": round(judge.frechet(features, real), 3)}


def rounded(values: torch.Tensor) -> list:
    return [round(v, 4) for v in values.tolist()]


def mean(one: dict, name: str) -> float:
    return one["all"] if name == "distance" else sum(one[name]) / len(one[name])


def difference(one: dict, other: dict, name: str) -> "tuple[float, float]":
    """Mean of one - other, paired by prompt, and half of its 95 % interval (of the distance: by jackknife)."""
    pairs = torch.tensor(one[name], dtype=torch.float64) - torch.tensor(other[name], dtype=torch.float64)
    n = len(pairs)
    if name == "distance":
        return one["all"] - other["all"], 1.96 * float(((n - 1) / n * (pairs - pairs.mean()).square().sum()).sqrt())
    return float(pairs.mean()), 1.96 * float(pairs.std() / n**0.5)
