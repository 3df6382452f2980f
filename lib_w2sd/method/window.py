"""Where a run is: which model call is the first of which step, and whether that step is reflected."""

import math
import sys
from collections.abc import Callable

import torch

from ..errors import SamplerError
from .schedule import LARGEST_CHURN, START, Plan, Step, keeping, steps_of


class Window:
    """Follows a run call by call: the steps `reflect` of `steps` are reflected, each at its first call.

    ahead   1 for a sampler that evaluates the model where a step is predicted to end before it reports that step: at
            its callback it is one call ahead, and what it hands there is the latent that it continues from
    apart   whether the tensor of a model call is a temporary, and the latent, in variance-preserving coordinates, is
            only seen by the callback
    """

    def __init__(self, name: str, steps: list[Step], reflect: range, ahead: int = 0, apart: bool = False):
        self.name, self.steps, self.reflect, self.ahead, self.apart = name, steps, reflect, ahead, apart
        self.index = -1  # of the step that the latest call belongs to
        self.begins = False  # whether that call is the step's first
        self._until = reflect[-1] + 1 if reflect else 0
        self._calls_left = 0

    @property
    def total(self) -> int:
        """Steps of the run."""
        return len(self.steps)

    @property
    def reflected(self) -> int:
        """How many of them are reflected."""
        return len(self.reflect)

    def reflects(self, index: int) -> bool:
        """Whether this step is one of them."""
        return index in self.reflect

    def advance(self, t) -> "Step | None":
        """Count one model call at `t` (sigma or timestep); the step, if it is now to be reflected, else None.

        Raises SamplerError when the sampler is not where its schedule says.
        """
        self.begins = not self._calls_left
        if self._calls_left:
            self._calls_left -= 1
            return None
        self.index += 1
        if self.index >= self._until:
            # Nothing left to decide; the count goes on for the trace, as far as the plan reaches.
            self._calls_left = self.steps[self.index].calls - 1 if self.index < len(self.steps) else 0
            return None
        step = self.steps[self.index]
        self._calls_left = step.calls - 1
        at = _number(t)
        if not step.start * (1 - START) <= at <= step.start * LARGEST_CHURN * (1 + START):
            self._lost(f"step {self.index + 1} starts at {step.start:g} in its schedule, but it evaluates at {at:g}")
        return step if self.reflects(self.index) else None

    def confirm(self, info: dict):
        """The sampler's callback reports step `info["i"]` (from 0). Raises SamplerError where the count above is
        another."""
        i = info["i"] + self.ahead
        if min(i, self.index) < self._until and i != self.index:
            self._lost(f"it reports step {i + 1} where its schedule has step {self.index + 1}")

    def _lost(self, how: str):
        raise SamplerError(
            f"W2SD cannot reflect the sampler {self.name}: {how}. Choose another sampler, or turn W2SD off."
        )


class AdaptiveWindow:
    """DPM adaptive (arXiv 2206.00927, Appendix C): a step's length is known only when the step begins, from what the
    sampler last told its callback; and a step whose error was too large is taken again from the same latent, shorter.

    Lengths are in -log sigma. A step that is taken again keeps its `index`.
    """

    ahead, apart = 0, False

    def __init__(self, plan: Plan, sigma_min: float, order: int = 3, h_init: float = 0.05):
        """order, h_init: the sampler's own arguments, model calls a step and the first step's length."""
        self._planned = plan.steps(sys.maxsize)
        self.sigma_min, self.order = float(sigma_min), order
        self._length = abs(h_init)
        self._calls_left, self._accepted = 0, 0
        self.index, self.begins, self._reflected = -1, False, set()

    @property
    def total(self) -> int:
        """Steps of the run so far."""
        return self.index + 1

    @property
    def reflected(self) -> int:
        """How many of them are reflected."""
        return len(self._reflected)

    def reflects(self, index: int) -> bool:
        """As Window.reflects; a step that has not begun may turn out to be the last."""
        return index in (self._reflected if index <= self.index else self._planned)

    def advance(self, t) -> "Step | None":
        """As Window.advance. The last step is never reflected here either, though it ends above sigma 0."""
        self.begins = not self._calls_left
        if self._calls_left:
            self._calls_left -= 1
            return None
        self._calls_left = self.order - 1
        self.index = self._accepted
        start = _number(t)
        end = max(self.sigma_min, start * math.exp(-self._length))
        self._reflected.discard(self.index)
        if self.index not in self._planned or end <= self.sigma_min * (1 + 1e-5):
            return None
        self._reflected.add(self.index)
        return Step(start, end, self.order)

    def confirm(self, info: dict):
        """The sampler's callback: `h`, the next step's length, and `n_accept`, the steps not taken back."""
        self._length, self._accepted = float(info["h"]), info["n_accept"]


def window_of(func, arguments: dict, plan: Plan, keeping: Callable = keeping) -> "Window | AdaptiveWindow":
    """The window of a run that reflects as `plan` says; see steps_of."""
    name = func.__name__
    if name == "sample_dpm_adaptive":
        own = {key: arguments[key] for key in ("sigma_min", "order", "h_init") if key in arguments}
        return AdaptiveWindow(plan, **own)
    steps = steps_of(func, arguments, keeping)
    return Window(name, steps, plan.steps(len(steps)), ahead=int(name == "unipc"), apart=name == "sample_unipc")


def _number(t) -> float:
    return float(torch.as_tensor(t).flatten()[0])
