"""Table 14: what an error in the inversion costs, for each form of it and for noise of a given size."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ...method.reflection import Flow
from .. import sampling
from ..emoji import models
from ..emoji.draw import STEPS
from .results import Results, marked
from .statistics import table
from .ways import SAMPLERS, Ground, Way, asked, itself, measure, plain, reflected

NOISE = (0.05, 0.2, 0.4, 1.0)
GROUND, LAMBDA = Ground(SAMPLERS[0]), STEPS - 1


@dataclass
class Noisy:
    """A model whose direction d = (x - D) / sigma errs by k times unit noise: eq. (35)."""

    model: models.Model
    k: float

    @property
    def autoencoder(self):
        return self.model.autoencoder

    def encode(self, texts):
        return self.model.encode(texts)

    def __call__(self, x, sigma, cond):
        s = sigma[:, None, None, None]
        return self.model(x, sigma, cond) - s * self.k * torch.randn_like(x)


@contextmanager
def unscaled():
    """Within, the network is asked at the size that x_{t-1} has in k-diffusion's coordinates: the wrong form."""
    before = sampling.Pair.coordinates
    sampling.Pair.coordinates = Flow()  # the same direction and step, but no rescaling
    try:
        yield
    finally:
        sampling.Pair.coordinates = before


@dataclass(frozen=True)
class Unscaled(Way):
    """A way that is drawn within unscaled()."""


def measured(way: Way) -> dict:
    """ways.measure, also of the Unscaled."""
    if isinstance(way, Unscaled):
        with unscaled():
            return measure(way)
    return measure(way)


def ways() -> dict:
    def of(way, **more):
        return reflected(GROUND, 1.0, "checkpoint", asked("checkpoint", 1.0, way, lam=LAMBDA), **more)

    found = {"plain": plain(GROUND, 1.0), **{way: of(way) for way in ("paper", "matched", "fixed-point")}}
    # Whatever these change is the inversion's error, and no gap.
    for way in ("paper", "fixed-point"):
        found[f"{way}, strong against itself"] = itself(GROUND, 1.0, LAMBDA, way)
    wrong = of("paper", note="unscaled")
    found["paper, unscaled"] = Unscaled(wrong.key, wrong.family, wrong.told, wrong.asks)
    for k in NOISE:
        found[f"matched, k = {k:g}"] = of("matched", note=f"k={k:g}", weak=Noisy(models.load("weak"), k))
    return found


def section(out: Path, results: Results) -> str:
    every = ways()
    base, exact = results.of(every["plain"]), every["matched"]
    lines = [results.line(told, results.of(way), base) for told, way in every.items()]
    losses = [results.gain(every[f"matched, k = {k:g}"], exact, "reward") for k in NOISE]
    against = ", ".join(f"{marked(*loss)} at {k:g}" for k, loss in zip(NOISE, losses))
    return (
        "## Table 14: the inversion's error\n\n`python -m lib_w2sd.lab inversion-error`. "
        f"{GROUND.told}, checkpoint gap at CFG 1, T = {STEPS}, lambda {LAMBDA}. k: noise in the weak direction, eq. (35). The paper: HPS v2 33.60 at "
        "k = 0, 32.93 at 0.005, 19.53 at 0.01 (strong alone 32.80). Strong against itself has no gap: what it changes is "
        "error alone (`matched` changes nothing there, to the last bit).\n\n"
        + table(["", "rows", *results.measures.values()], lines)
        + f"\nThe reward's change from k = 0: {against}. Held, that any error takes from the gain: "
        f"{'yes' if all(by < 0 for by, _ in losses) else 'no'}.\n"
    )
