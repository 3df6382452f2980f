"""A sampler that no table knows, run once or twice over a few pixels without the model, to see what it asks and when.

Nothing is told but what the sampler does in the open: which tensors it passes to the model, at which sigma or timestep,
and what it reports to its callback. Where that does not say which model call is the first of which step, or the
sampler would not continue from the tensor that it passes there, it cannot be reflected.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from inspect import signature
from typing import NamedTuple

import torch

PIXELS = 8  # in each direction; some samplers halve their latent for a call, or take its corners apart


class Unclear(Exception):
    """The rehearsal does not tell; the text says why."""


class Call(NamedTuple):
    """One model call: what it was asked about, and where."""

    x: torch.Tensor
    t: float


class Report(NamedTuple):
    """One call of the callback: what it was handed."""

    x: "torch.Tensor | None"
    i: "int | None"


class _Deaf:
    """In the model's place: answers without a network, and writes down when it was asked."""

    def __init__(self, model, answer: Callable, events: list, nudge: float = 0.0):
        self._model, self._answer, self._events, self._nudge = model, answer, events, nudge

    def __call__(self, x, t, **kwargs):
        if self._nudge:
            x.add_(self._nudge)
            self._nudge = 0.0
        self._events.append(Call(x.clone(), float(torch.as_tensor(t).flatten()[0])))
        self.last_noise_uncond = self._answer(x)  # what the host's denoiser keeps for some samplers
        return self._answer(x)

    def __getattr__(self, name):
        return getattr(self._model, name)


def rehearse(func, arguments: dict, kept: AbstractContextManager, answer=torch.zeros_like, nudge: float = 0.0) -> list:
    """The Calls and Reports of one run of `func`, in order.

    arguments  what the real run is called with; its tensors are not touched
    kept       around the run: what it draws from (generators, the host's own noise) is put back afterwards
    answer     answer(x): the model's
    nudge      added to the tensor of the first model call, in place
    """
    x, wanted, events = arguments["x"], signature(func).parameters, []
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(1, *x.shape[1:-2], *(min(n, PIXELS) for n in x.shape[-2:]), generator=generator)
    few = few.to(x) * (arguments["sigmas"][0].to(x) if "sigmas" in arguments else 1.0)
    own = {
        "model": _Deaf(arguments["model"], answer, events, nudge),
        "x": few,
        "extra_args": dict(arguments.get("extra_args") or {}),
        "callback": lambda info: events.append(Report(torch.clone(info["x"]) if "x" in info else None, info.get("i"))),
        "disable": True,
        "noise_sampler": lambda *args, **kwargs: torch.zeros_like(few),
    }
    with kept:
        func(**{**arguments, **{name: value for name, value in own.items() if name in wanted}})
    return events


def first_calls(events: list, starts: list, tolerance: "tuple[float, float]") -> "list[int]":
    """Which of the model calls are the first of a step: their places among the calls, one a step.

    starts     where the schedule says that the steps start
    tolerance  how far below and above that a call may be, as factors
    Raises Unclear.
    """
    calls = [k for k, event in enumerate(events) if isinstance(event, Call)]
    reports = [k for k, event in enumerate(events) if isinstance(event, Report)]
    if reports and [events[k].i for k in reports] != list(range(len(starts))):
        raise Unclear(f"its reports do not count the {len(starts)} steps of its schedule")

    def place(found) -> "list[int] | None":
        """Places among the calls, if there is one a step and each at its step's start."""
        if len(found) != len(starts) or None in found or len(set(found)) != len(found):
            return None
        low, high = tolerance
        fits = all(s * low - 1e-6 <= events[k].t <= s * high + 1e-6 for k, s in zip(found, starts))
        return [calls.index(k) for k in found] if fits and found[0] == calls[0] else None

    def same(pairs) -> bool:
        """Whether what is reported is what the model is asked about."""
        return all(
            None not in pair and events[pair[1]].x is not None and torch.equal(*(events[k].x for k in pair))
            for pair in pairs
        )

    # Reported after a step's first call, as k-diffusion does; or at a step's end, where the next one goes on from it.
    after = [max((k for k in calls if k < r), default=None) for r in reports]
    at_end = [min((k for k in calls if k > r), default=None) for r in [-1, *reports[:-1]]] if reports else []
    found = (same(zip(after, reports)) and place(after)) or (same(zip(at_end[1:], reports)) and place(at_end))
    found = found or place(calls)
    if not found:
        raise Unclear("which of its model calls are the first of a step does not show")
    return found


def calls_a_step(func, arguments: dict, starts: list, tolerance: tuple, keeping: Callable) -> "list[int]":
    """The model calls of each step, the first at its start and on the sampler's own latent.

    keeping  keeping() -> see rehearse: `kept`
    Raises Unclear.
    """
    try:
        events = rehearse(func, arguments, keeping())
        others = rehearse(func, arguments, keeping(), answer=lambda x: x * 0.5)
        nudged = rehearse(func, arguments, keeping(), nudge=1.0)
    except Exception as error:
        raise Unclear(f"it cannot be rehearsed without the model ({type(error).__name__}: {error})") from error
    places = first_calls(events, starts, tolerance)
    if [event.t for event in events if isinstance(event, Call)] != [e.t for e in others if isinstance(e, Call)]:
        raise Unclear("when it asks the model depends on the model's answers")
    plain, moved = ([event for event in run if isinstance(event, Call)] for run in (events, nudged))
    if any(torch.equal(moved[k].x, plain[k].x) for k in places[:2]):
        raise Unclear("it does not continue from the latent that it passes to the model")
    ends = [*places[1:], len(plain)]
    return [end - start for start, end in zip(places, ends)]
