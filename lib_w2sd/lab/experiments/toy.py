"""The Gaussian mixtures of Figures 4, 5, 6, 21 and 25: weak, strong and W2SD through a real sampler."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ...page.settings import Settings
from ..figures import toy_plots
from ..sampling import karras, sample
from . import mixtures
from .statistics import interval, table

SIGMA_MIN, SIGMA_MAX = 0.02, 30.0
# The paper's algorithm, whatever the setting's default is. At CFG 1 on both sides: no guidance gap (appendix C.1).
AT_CFG_1 = Settings(enabled=True, lambda_steps=-1, strength=1.0, inversion="paper", strong_cfg=1.0, weak_cfg=1.0)
METHODS = {
    "weak": ("weak", None),
    "strong": ("strong", None),
    "W2SD": ("strong", AT_CFG_1),
    "W2SD, matched": ("strong", replace(AT_CFG_1, inversion="matched")),
    "ideal model": ("truth", None),
}


@dataclass
class Outcome:
    """Samples of one method in one case: [repetitions, N, D]; trajectories [T + 1, few, D]; rows a sample."""

    case: mixtures.Case
    steps: int
    method: str
    x: torch.Tensor
    trajectory: torch.Tensor
    sigmas: torch.Tensor
    rows: float


def run(case: mixtures.Case, steps: int, method: str, count: int, repetitions: int, progress=None) -> Outcome:
    """`repetitions` independent batches of `count` samples, each from its own seed."""
    model, settings = METHODS[method]
    sigmas = karras(steps, SIGMA_MIN, SIGMA_MAX)
    batches, trajectory, rows = [], None, 0
    for seed in range(repetitions):
        noise = torch.randn(count, case.truth.means.shape[1], generator=torch.Generator().manual_seed(seed))
        done = sample(getattr(case, model), noise, sigmas, settings, case.weak, keep=seed == 0)
        batches.append(done.x)
        rows += done.rows
        if seed == 0:
            trajectory = done.trajectory[:, :400].clone()
        if progress:
            progress()
    return Outcome(case, steps, method, torch.stack(batches), trajectory, sigmas, rows / (count * repetitions))


def masses(outcome: Outcome) -> list:
    """The share of the rare mode, one a repetition."""
    return [(outcome.case.truth.nearest(x) == outcome.case.rare).float().mean() for x in outcome.x]


def claims(outcomes: dict) -> list:
    """Per case and inversion: strong's mass of the rare mode and W2SD's beside the truth's, and whether it came closer."""
    lines = []
    for (name, steps, method), one in outcomes.items():
        if not method.startswith("W2SD"):
            continue
        truth, strong = one.case.truth.weights[one.case.rare], outcomes[name, steps, "strong"]
        gain = interval([abs(a - truth) - abs(b - truth) for a, b in zip(masses(one), masses(strong))])
        shown = [interval(masses(outcome)).show() for outcome in (strong, one)]
        lines.append([name, steps, method, f"{float(truth):.2f}", *shown, "yes" if gain.mean + gain.half < 0 else "no"])
    return lines


def row(outcome: Outcome) -> list:
    """A line of the table: mass of the rare mode, deviation in it and in the others, distance to the truth, cost."""
    truth, rare = outcome.case.truth, outcome.case.rare
    mass, inside, others, distance = masses(outcome), [], [], []
    for x in outcome.x:
        which = truth.nearest(x)
        variances = torch.stack([x[which == mode].var(dim=0).mean() for mode in range(len(truth.means))])
        inside.append(variances[rare].sqrt())
        others.append(variances[torch.arange(len(variances)) != rare].mean().sqrt())
        distance.append(truth.distance(x))
    cells = [interval(values).show() for values in (mass, inside, others, distance)]
    return [outcome.case.name, outcome.steps, outcome.method, *cells, f"{outcome.rows:g}"]


def truth_row(case: mixtures.Case, count: int, repetitions: int) -> list:
    draws = torch.stack(
        [case.truth.sample(count, torch.Generator().manual_seed(1000 + seed)) for seed in range(repetitions)]
    )
    line = row(Outcome(case, 0, "truth (drawn directly)", draws, None, None, 0.0))
    return [line[0], "", *line[2:-1], ""]


HEAD = ["case", "steps", "method", "mass of the rare mode", "its deviation", "other modes' deviation",
        "distance to the truth (W1)", "network rows a sample"]  # fmt: skip


def section(out: Path, results=None, count: int = 4000, repetitions: int = 8) -> str:
    """Write mixtures.png to `out`; the Markdown section with its table."""
    cases = [(mixtures.one_dimension(), 5), (mixtures.one_dimension(), 20), (mixtures.two_dimensions(), 20)]
    outcomes, rows = {}, []
    with tqdm(total=len(cases) * len(METHODS) * repetitions, desc="mixtures", unit="run") as bar:
        for case, steps in cases:
            if not any(line[0] == case.name for line in rows):
                rows.append(truth_row(case, count, repetitions))
            for method in METHODS:
                bar.set_postfix_str(f"{case.name}, {steps} steps, {method}")
                outcome = run(case, steps, method, count, repetitions, bar.update)
                outcomes[case.name, steps, method] = outcome
                rows.append(row(outcome))
    toy_plots.overview(outcomes, out / "mixtures.png")
    return (
        "## Gaussian mixtures (Figures 4, 5, 6, 21, 25)\n\n"
        "![densities and trajectories](mixtures.png)\n\n"
        "`python -m lib_w2sd.lab mixtures`. Closed-form denoisers, k-diffusion's Euler on Karras' schedule "
        f"(sigma {SIGMA_MAX:g} to {SIGMA_MIN:g}), lambda = T - 1; W2SD inverts as the paper does, `matched` as in "
        f"Theorem 1. Every figure is the mean of {repetitions} seeds of "
        f"{count} samples with its 95 % interval. The paper (figures, no numbers): W2SD balances the modes, at 5 steps "
        "as at 20. Held: the rare mode's mass is nearer the truth than strong's, the interval of the difference leaves 0 "
        "out.\n\n"
        + table(["case", "steps", "method", "rare mode, truth", "strong alone", "W2SD", "held"], claims(outcomes))
        + "\n"
        + table(HEAD, rows)
    )
