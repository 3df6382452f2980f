"""Which steps a sampler takes, of how many model calls each, and which of them are reflected.

A sampler is known here by its function's name and its arguments: k-diffusion's, and those that the WebUIs
add. Any other is rehearsed. So the whole plan of a run is known before its first model call; only DPM adaptive plans as
it goes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import SamplerError
from . import rehearsal

# Two model calls a step; at the last step, to sigma 0, only one.
TWO_CALLS = {
    "sample_heun",
    "sample_dpm_2",
    "sample_dpm_2_ancestral",
    "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_2s_ancestral_RF",
    "sample_dpmpp_sde",
    "restart_sampler",
}
ONE_CALL = {
    "sample_euler",
    "sample_euler_ancestral",
    "sample_lms",
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_3m_sde",
    "sample_lcm",
    "sample_ddpm",
    "sample_ipndm",
    "sample_ipndm_v",
    "sample_deis",
    "sample_er_sde",
    "sample_res_multistep",
    "sample_unipc",
    "sample_euler_cfg_pp",
    "sample_euler_ancestral_cfg_pp",
    "sample_dpmpp_2m_cfg_pp",
    "sample_res_multistep_cfg_pp",
    "sample_res_multistep_ancestral_cfg_pp",
    "sample_gradient_estimation_cfg_pp",
    "ddim",
    "ddim_cfgpp",
}

# sigma_hat of k-diffusion's churn is at most sqrt(2) times the schedule's sigma.
LARGEST_CHURN = 2**0.5
START = 1e-3  # how far from its schedule a step may start otherwise, as a part of it


@dataclass(frozen=True)
class Step:
    """One executed step: from `start` to `end` (sigma or timestep), `calls` model calls, the first at `start`."""

    start: float
    end: float
    calls: int = 1


def _pairs(values) -> list:
    values = [float(v) for v in values]
    return list(zip(values[:-1], values[1:]))


def _two_calls(pairs) -> list[Step]:
    return [Step(start, end, 1 if end == 0 else 2) for start, end in pairs]


def _plms(pairs) -> list[Step]:
    return [Step(start, end, 2 if i == 0 else 1) for i, (start, end) in enumerate(pairs)]


def _heunpp2(pairs) -> list[Step]:
    last = len(pairs) - 1
    return [Step(start, end, min(3, last - i + 1)) for i, (start, end) in enumerate(pairs)]


def _kohaku(pairs) -> list[Step]:
    """Kohaku LoNyu Yog: three calls, the second of them at -x, as long as the step's number is at most half of all."""
    return [Step(start, end, 3 if i <= len(pairs) / 2 else 1) for i, (start, end) in enumerate(pairs)]


def _dpm_fast(n, sigma_min, sigma_max) -> list[Step]:
    """DPM-Solver-fast: blocks of three calls, equal in log sigma; `n` counts model calls (arXiv 2206.00927, 3.4)."""
    n, blocks = int(n), int(n) // 3 + 1
    orders = [3] * (blocks - 2) + [2, 1] if n % 3 == 0 else [3] * (blocks - 1) + [n % 3]
    log_sigmas = torch.linspace(math.log(float(sigma_max)), math.log(float(sigma_min)), blocks + 1, dtype=torch.float64)
    return [Step(start, end, calls) for (start, end), calls in zip(_pairs(log_sigmas.exp()), orders)]


def _karras(n, sigma_min, sigma_max, rho=7.0) -> list[float]:
    """Karras et al. (2022), eq. (5), `n` values from sigma_max to sigma_min."""
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


def _restart(sigmas, restart_list=None) -> list[Step]:
    """Restart sampling (arXiv 2306.14878) as the WebUIs run it: from 20 steps on, part of the steps go to
    repeating the stretch between sigma 2 and 0.1."""
    sigmas = [float(s) for s in sigmas]
    steps = len(sigmas) - 1
    if restart_list is None:
        restart_list = {}
        if steps >= 20:
            repeated, times = (steps // 4, 2) if steps >= 36 else (9, 1)
            sigmas = [*_karras(steps - repeated * times, sigmas[-2], sigmas[0]), 0.0]
            restart_list = {0.1: [repeated + 1, times, 2]}
    nearest = {min(range(len(sigmas)), key=lambda i: abs(sigmas[i] - low)): v for low, v in restart_list.items()}
    pairs = []
    for i, pair in enumerate(_pairs(sigmas)):
        pairs.append(pair)
        if i + 1 in nearest:
            repeated, times, high = nearest[i + 1]
            top = min(range(len(sigmas)), key=lambda j: abs(sigmas[j] - high))
            if top < i + 1:
                pairs += _pairs(_karras(repeated, sigmas[i + 1], sigmas[top])) * times
    return _two_calls(pairs)


def _unipc(func, arguments, keeping) -> list[Step]:
    """UniPC: its times follow from options of the host, and not from what the model answers: it asks once a step, at
    the step's start; where the last one ends is not asked."""
    events = rehearsal.rehearse(func, arguments, keeping())
    return [Step(*pair) for pair in _pairs([*(e.t for e in events if isinstance(e, rehearsal.Call)), 0.0])]


def _rehearsed(func, arguments, pairs, keeping) -> list[Step]:
    """A sampler that is not known by its name."""
    starts = [start for start, _ in pairs]
    if len(pairs) < 2:  # nothing will be reflected
        return [Step(*pair) for pair in pairs]
    try:
        calls = rehearsal.calls_a_step(func, arguments, starts, (1 - START, LARGEST_CHURN * (1 + START)), keeping)
    except rehearsal.Unclear as error:
        raise SamplerError(
            f"W2SD cannot reflect the sampler {func.__name__}: {error}. Choose another sampler, or turn W2SD off."
        ) from error
    return [Step(*pair, calls=number) for pair, number in zip(pairs, calls)]


def keeping():
    """Around a rehearsal: torch's generator on the CPU is put back."""
    return torch.random.fork_rng(devices=[])


def steps_of(func, arguments: dict, keeping: Callable = keeping) -> list[Step]:
    """The executed steps of a sampling run.

    func       the sampler's function
    arguments  what it was called with: ``sigmas`` [T + 1] descending, or ``timesteps`` [T + 1] ascending,
               or ``n``, ``sigma_min`` and ``sigma_max``
    keeping    keeping() -> context manager around a run of `func` that is not the real one: it puts generators back
    Raises SamplerError where there are no steps to reflect.
    """
    name = func.__name__
    if name == "unipc":
        return _unipc(func, arguments, keeping)
    if "timesteps" in arguments:
        pairs = _pairs(arguments["timesteps"].flip(0))
        if name == "plms":
            return _plms(pairs)
        return [Step(*pair) for pair in pairs] if name in ONE_CALL else _rehearsed(func, arguments, pairs, keeping)
    if name == "sample_dpm_fast":
        return _dpm_fast(arguments["n"], arguments["sigma_min"], arguments["sigma_max"])
    if "sigmas" not in arguments:
        raise SamplerError(
            f"W2SD cannot reflect the sampler {name}: it was given neither sigmas nor timesteps, so its steps are "
            "not known. Choose another sampler, or turn W2SD off."
        )
    if name == "restart_sampler":
        return _restart(arguments["sigmas"], arguments.get("restart_list"))
    pairs = _pairs(arguments["sigmas"])
    if name == "sample_heunpp2":
        return _heunpp2(pairs)
    if name == "sample_Kohaku_LoNyu_Yog":
        return _kohaku(pairs)
    if name in TWO_CALLS:
        return _two_calls(pairs)
    return [Step(*pair) for pair in pairs] if name in ONE_CALL else _rehearsed(func, arguments, pairs, keeping)


@dataclass(frozen=True)
class Plan:
    """Which steps are reflected: `lambda_steps` of them (-1: as many as there are), from step `first` on (1: the run's
    first), every `every`-th.

    later  a step is only reflected where there is one before it

    The last step of a run is never reflected: it ends at sigma 0, where nothing is left to invert.
    """

    lambda_steps: int
    first: int = 1
    every: int = 1
    later: bool = False

    def steps(self, total: int) -> range:
        """Their numbers, from 0, in a run of `total` steps."""
        found = range(self.first - 1, max(total - 1, self.first - 1), self.every)
        found = found if self.lambda_steps < 0 else found[: self.lambda_steps]
        return found[1:] if self.later and 0 in found else found
