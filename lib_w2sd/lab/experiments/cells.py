"""Scores of one way to sample, each measured once and kept in a JSON file beside the report that quotes it."""

import json
from pathlib import Path

import torch

from ...page.settings import Settings
from ..models import drawing as models
from ..models import prompts
from ..models.scores import Scores, score

SEEDS, EACH = 8, 2  # seeds, and pictures a seed of each of the 20 prompts (an even number: see models.noise)


class NotMeasured(LookupError):
    """A cell that is not in the file, where nothing new is to be measured."""


class Cells:
    """The measured cells of one experiment.

    path      of the JSON file; None keeps nothing
    seeds     independent repetitions, from which the intervals follow
    each      pictures a seed of every prompt
    progress  progress(text) is called before each cell that has to be sampled
    measured  only what the file has: a cell that it has not raises NotMeasured
    """

    def __init__(
        self, path: "Path | None", seeds: int = SEEDS, each: int = EACH, progress=None, measured: bool = False
    ):
        self.path, self.seeds, self.each, self.progress, self.measured = path, seeds, each, progress, measured
        self._kept = json.loads(path.read_text()) if path and path.exists() else {}

    def get(
        self, name: str, steps: int, settings: "Settings | None" = None, gap: "models.Gap | None" = None,
        sampler: str = "Euler", note: str = "", draw=models.draw,
    ) -> Scores:  # fmt: skip
        """Scores of the gap `name` at `steps`; plain strong sampling without `settings`.

        gap   another gap than the one called `name`; then `note` says how it differs
        draw  another function than models.draw, likewise
        """
        key = ", ".join([name, f"T={steps}", _told(settings), sampler, f"{self.seeds}x{self.each}", note]).strip(", ")
        if key not in self._kept:
            if self.measured:
                raise NotMeasured(key)
            if self.progress:
                self.progress(key)
            found = self._measure(gap or models.GAPS[name], steps, settings, sampler, draw)
            self._kept[key] = {"rows": round(found.rows, 3), **found.values}
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                rounded = {k: _rounded(v) for k, v in sorted(self._kept.items())}
                self.path.write_text(json.dumps(rounded, indent=0) + "\n")
        kept = dict(self._kept[key])
        return Scores(rows=kept.pop("rows"), values=kept)

    def _measure(self, gap, steps, settings, sampler, draw) -> Scores:
        texts = prompts.every_prompt() * self.each
        x, rows = [], 0
        for seed in range(self.seeds):
            torch.manual_seed(seed)  # for samplers that draw noise of their own
            run = draw(gap, texts, models.noise(seed, len(texts)), steps, settings, sampler)
            x.append(run.x)
            rows += run.rows
        count = self.seeds * len(texts)
        return score(torch.cat(x), prompts.labels(texts * self.seeds), self.seeds, rows / count, gap.style)


def _rounded(values: dict) -> dict:
    return {k: v if isinstance(v, float) else [round(float(each), 5) for each in v] for k, v in values.items()}


def _told(settings: "Settings | None") -> str:
    if settings is None:
        return "plain"
    told = f"lambda={settings.lambda_steps} {settings.inversion} strength={settings.strength:g}"
    strong = "own" if settings.strong_cfg is None else f"{settings.strong_cfg:g}"
    return f"{told} cfg={strong}/{settings.weak_cfg:g}"
