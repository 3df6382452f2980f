"""What pairs of scores say, at any time: intervals that hold however often one looks, and whenever one stops.

A usual 95 % interval is meant for one look, at a number of pairs chosen before. Who looks after every pair and stops
when it is clear finds a difference between a thing and itself far more often than in 5 % of all cases. These do not.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A winning rate and its confidence sequence; ties count for neither side."""

    wins: int
    losses: int
    ties: int
    low: float
    high: float

    @property
    def value(self) -> float:
        decided = self.wins + self.losses
        return self.wins / decided if decided else 0.5

    @property
    def clear(self) -> bool:
        """Whether one of the two wins more often than not."""
        return self.low > 0.5 or self.high < 0.5


@dataclass(frozen=True)
class Mean:
    value: float
    half: float


def rate(differences: "list[float]", alpha: float = 0.05) -> Rate:
    """How often a pair's difference is positive.

    The interval is Robbins' (Ann. Math. Statist. 41, 1970): the p whose likelihood, against all others' mixed by
    Beta(1/2, 1/2), is above alpha. For the true p that ratio is a martingale, which by Ville's inequality ever falls
    to alpha with a probability of at most alpha.
    """
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    mixed = _log_beta(wins + 0.5, losses + 0.5) - _log_beta(0.5, 0.5)

    def inside(p: float) -> bool:
        return mixed - (wins and wins * math.log(p)) - (losses and losses * math.log1p(-p)) < -math.log(alpha)

    best, tiny = min(max(wins / max(1, wins + losses), 1e-9), 1 - 1e-9), 1e-9
    low = 0.0 if inside(tiny) else _edge(inside, best, tiny)
    high = 1.0 if inside(1 - tiny) else _edge(inside, best, 1 - tiny)
    return Rate(wins, losses, len(differences) - wins - losses, low, high)


def mean(differences: "list[float]", alpha: float = 0.05, tightest: int = 50) -> Mean:
    """The mean difference with half of its asymptotic confidence sequence.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences" (arXiv 2103.06476), theorem 2.2; it is narrowest, against the usual interval, at `tightest` pairs.
    """
    n = len(differences)
    if n < 2:
        return Mean(sum(differences) / n if n else 0.0, math.inf)
    value = sum(differences) / n
    variance = sum((d - value) ** 2 for d in differences) / (n - 1)
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest
    spread = n * rho2 + 1
    half = math.sqrt(variance * 2 * spread / (n * n * rho2) * math.log(math.sqrt(spread) / alpha))
    return Mean(value, half)


def majority(of_rewards: "list[list[float]]") -> "list[float]":
    """Each pair's verdict by most of the rewards, -1 to 1: no single one's taste decides (arXiv 2602.22570 warns of
    that). With one reward, its own sign."""
    signs = [[(d > 0) - (d < 0) for d in differences] for differences in of_rewards]
    return [sum(pair) / len(pair) for pair in zip(*signs)]


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(inside, within: float, outside: float) -> float:
    for _ in range(60):
        middle = (within + outside) / 2
        within, outside = (middle, outside) if inside(middle) else (within, middle)
    return within
