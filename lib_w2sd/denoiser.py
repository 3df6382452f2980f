"""The model object handed to the sampler: the host's denoiser, with a reflection before some of its calls.

A sampler continues from the tensor that it passes to the model. Writing x~ into that tensor at the first call
of a step is therefore all that Algorithm 1 asks: the sampler's own step then starts from the reflected latent.
"""

import functools
import inspect
from contextlib import AbstractContextManager
from typing import Protocol

from . import schedule
from .reflection import reflect


class Sides(Protocol):
    """The strong and the weak side of one sampling run, as the host evaluates them."""

    coordinates: object

    def strong(self, x, t, kwargs: dict): ...

    def weak(self, x, t, kwargs: dict): ...

    def rows(self) -> int:
        """UNet rows evaluated so far."""

    def sharing(self, inversion: str) -> AbstractContextManager:
        """Around one reflection: rows evaluated within need not be evaluated twice."""

    def step_as_weak(self, x, t, kwargs: dict):
        """The sampler's own call, made as the weak side would make it."""

    def weak_first(self, kwargs: dict) -> bool:
        """Whether, asked at one place, the weak side's rows serve the strong side rather than the other way round."""


class ReflectingDenoiser:
    """Calls `model`; at the first call of each of the first `window.reflect` steps it reflects the latent before.

    Attributes are read from and written to `model`: samplers look for inner_model and leave flags there.
    """

    _OWN = ("_model", "_window", "_sides", "_inversion", "_strength", "_trace")

    def __init__(self, model, window: schedule.Window, sides: Sides, inversion: str, strength: float, trace):
        self._model, self._window, self._sides = model, window, sides
        self._inversion, self._strength, self._trace = inversion, strength, trace

    def __call__(self, x, t, **kwargs):
        step = self._window.advance(t)
        if step is not None:
            self._reflect(x, t, step, kwargs)
        with self._evaluation("step", t):
            return self._model(x, t, **kwargs)

    def _reflect(self, x, t, step: schedule.Step, kwargs: dict):
        def evaluated(kind, side):
            def model(x, t):
                with self._evaluation(kind, t):
                    return side(x, t, kwargs)

            return model

        strong, weak = evaluated("strong", self._sides.strong), evaluated("weak", self._sides.weak)
        where, how = self._sides.coordinates, (self._inversion, self._strength)
        with self._sides.sharing(self._inversion):
            if self._inversion != "paper" and self._sides.weak_first(kwargs):
                weak(x, t)
            reflected = reflect(x, t, step.end, strong, weak, where, *how)
        x.copy_(reflected.x)
        self._trace.reflection(self._window.index, t, step.end, reflected.gap)

    def _evaluation(self, kind, t):
        return self._trace.evaluation(kind, self._window.index, t, self._sides.rows)

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "_model"), name)

    def __setattr__(self, name, value):
        if name in self._OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._model, name, value)


class WeakDenoiser(ReflectingDenoiser):
    """Makes every call of the sampler as the weak side would: what the strong side is set against, to look at."""

    def __call__(self, x, t, **kwargs):
        self._window.advance(t)
        with self._evaluation("weak", t):
            return self._sides.step_as_weak(x, t, kwargs)


def reflecting(func, settings, open_sides, new_pass, hires_pass: bool = False, two_calls: bool = False):
    """The sampling function `func`, reflecting.

    settings    what to do, see settings.Settings
    open_sides  open_sides(model, arguments) -> context manager that yields Sides for one run
    new_pass    new_pass(sampler=, steps=, reflected=, inversion=) -> trace.Pass
    two_calls   the host marks the sampler as one of two model calls a step
    """
    signature = inspect.signature(func)

    @functools.wraps(func)
    def sample(model, x, *args, **kwargs):
        arguments = signature.bind(model, x, *args, **kwargs).arguments
        lambda_steps = settings.lambda_of(hires_pass)
        if not settings.acts_in(hires_pass):
            return func(model, x, *args, **kwargs)
        steps = schedule.steps_of(func.__name__, arguments, two_calls)
        kind = WeakDenoiser if settings.weak_alone else ReflectingDenoiser
        reflect_steps = 0 if settings.weak_alone else schedule.reflected_steps(lambda_steps, len(steps))
        window = schedule.Window(func.__name__, steps, reflect_steps)
        trace = new_pass(sampler=func.__name__, steps=len(steps), reflected=reflect_steps, inversion=settings.inversion)
        sides: AbstractContextManager[Sides] = open_sides(model, arguments)
        try:
            with sides as opened:
                denoiser = kind(model, window, opened, settings.inversion, settings.strength, trace)
                if kwargs.get("callback"):
                    kwargs["callback"] = _confirming(window, kwargs["callback"])
                # The first state may be the caller's own noise: it is not ours to write into.
                return func(denoiser, x.clone(), *args, **kwargs)
        finally:
            trace.close()

    return sample


def _confirming(window: schedule.Window, callback):
    @functools.wraps(callback)
    def confirmed(info):
        window.confirm(info["i"])
        return callback(info)

    return confirmed
