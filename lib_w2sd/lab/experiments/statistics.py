"""Means with their sampling error."""

import math
from typing import NamedTuple

from scipy.stats import t as student


class Interval(NamedTuple):
    """A mean over independent repetitions, and half of its 95 % confidence interval (Student's t)."""

    mean: float
    half: float

    def show(self, digits: int = 3) -> str:
        return f"{self.mean:.{digits}f} ± {self.half:.{digits}f}"


def interval(values) -> Interval:
    """95 % confidence interval of the mean of at least two repetitions."""
    values = [float(v) for v in values]
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return Interval(mean, math.nan)
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return Interval(mean, float(student.ppf(0.975, n - 1)) * error)


def table(head: list, rows: list) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"
