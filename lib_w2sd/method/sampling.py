"""A sampling function of k-diffusion's kind, reflecting."""

import functools
import inspect
from contextlib import AbstractContextManager

from . import schedule
from .choosing import ChoosingDenoiser
from .denoiser import ReflectingDenoiser, Sides, WeakDenoiser
from .window import window_of


def kind_of(settings) -> "type[ReflectingDenoiser]":
    """What the sampler is given in its model's place."""
    if settings.weak_alone:
        return WeakDenoiser
    return ChoosingDenoiser if settings.reward else ReflectingDenoiser


def reflecting(func, settings, open_sides, new_pass, hires_pass: bool = False, keeping=schedule.keeping):
    """The sampling function `func`, reflecting.

    settings    what to do, see settings.Settings
    open_sides  open_sides(model, arguments) -> context manager that yields Sides for one run
    new_pass    new_pass(sampler=, steps=, reflected=, inversion=) -> trace.Pass
    keeping     see schedule.steps_of
    """
    signature = inspect.signature(func)

    @functools.wraps(func)
    def sample(model, x, *args, **kwargs):
        arguments = signature.bind(model, x, *args, **kwargs).arguments
        if not settings.acts_in(hires_pass):
            return func(model, x, *args, **kwargs)
        window = window_of(func, arguments, settings.plan_of(hires_pass), keeping)
        kind = kind_of(settings)
        trace = new_pass(
            sampler=func.__name__, steps=window.total, reflected=window.reflected, inversion=settings.inversion
        )
        sides: AbstractContextManager[Sides] = open_sides(model, arguments)
        try:
            with sides as opened:
                denoiser = kind(model, window, opened, settings, trace)
                if "callback" in signature.parameters:
                    kwargs["callback"] = _reporting(denoiser, kwargs.get("callback"))
                # The first state may be the caller's own noise: it is not ours to write into.
                result = func(denoiser, x.clone(), *args, **kwargs)
                denoiser.check()
                trace.ended = "whole"
                return result
        except Exception:
            trace.ended = "failed"
            raise
        except BaseException:  # so hosts interrupt and skip
            trace.ended = "interrupted"
            raise
        finally:
            # DPM adaptive knows only now.
            trace.steps, trace.reflected = window.total, window.reflected
            trace.close()

    return sample


def _reporting(denoiser: ReflectingDenoiser, callback):
    def reporting(info):
        denoiser.reported(info)
        if callback:
            callback(info)

    return functools.wraps(callback)(reporting) if callback else reporting
