"""The model object handed to the sampler: the host's denoiser, with a reflection before some of its calls.

A sampler continues from the tensor that it passes to the model. Writing x~ into that tensor at the first call
of a step is therefore all that Algorithm 1 asks: the sampler's own step then starts from the reflected latent.

Two samplers want more. UniPC (arXiv 2302.04867) passes a prediction of its latent, takes the model's answer there for
the answer at the latent, and hands the latent itself to its callback: prediction and latent take the same move. On
sigmas (Forge Neo's) it keeps both in variance-preserving coordinates, and passes a temporary: x' = x sqrt(1 + sigma^2).
From the answer D it takes the noise (x' - D) / sigma, and from that and its own x the signal, which is D again, so that
the temporary has to stay where it is while the answer is the moved one's. DPM adaptive takes steps back, and with them
their reflections.
"""

from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from ..errors import NoPictureError, OutOfMemory, is_out_of_memory
from . import ways
from .push import Found, along
from .reflection import VariancePreserving, reflect
from .resampling import resampled, turned
from .schedule import Step
from .window import AdaptiveWindow, Window


class Sides(Protocol):
    """The strong and the weak side of one sampling run, as the host evaluates them."""

    coordinates: object

    def strong(self, x, t, kwargs: dict): ...

    def weak(self, x, t, kwargs: dict): ...

    def rows(self) -> int:
        """UNet rows evaluated so far."""

    def sharing(self, wanted: bool) -> AbstractContextManager:
        """Around evaluations at one place: rows evaluated within need not be evaluated twice, if that is `wanted`."""

    def announce(self, x, t, kwargs: dict):
        """Within sharing, before the first evaluation: the weak side's rows may travel in its call."""

    def as_before(self, x, t, kwargs: dict) -> "AbstractContextManager[tuple]":
        """Around the sampler's own call: the sides, asked within about the copies (x, t, kwargs) that this gives,
        answer as they would have before that call."""

    def step_as_weak(self, x, t, kwargs: dict):
        """The sampler's own call, made as the weak side would make it."""

    def weak_first(self, kwargs: dict) -> bool:
        """Whether, asked at one place, the weak side's rows serve the strong side rather than the other way round."""

    def own_scale(self, kwargs: dict) -> float:
        """The CFG scale of the sampler's own call."""

    def step_is_strong(self, kwargs: dict) -> bool:
        """Whether the sampler's own call is what the strong side would answer there."""

    def only_scales(self, kwargs: dict) -> "tuple[float, float] | None":
        """The CFG scales of strong and weak side, where nothing else tells them apart."""

    def own(self, denoiser, x, t, kwargs: dict) -> tuple:
        """The sampler's own call: (its output, whether the host guided as the scale says)."""

    unguided: bool  # set by an evaluation in which the host did not guide, or not the host alone, whatever its scale

    prompt_alone: tuple  # (x, t, kwargs) -> output of the strong side at CFG 1, and at CFG 0

    def noise(self, x) -> torch.Tensor:
        """Normal noise of x's shape, drawn from the pictures' own seeds, in a sequence of its own."""

    def rewards(self, signal) -> torch.Tensor:
        """The score [B] of each clean picture [B, ...] (a latent), see choosing."""


class ReflectingDenoiser:
    """Calls `model`; at the first call of each step that `window` names it reflects the latent before (or,
    auto-guidance, changes the answer to every call of it; see ways).

    Attributes are read from and written to `model`: samplers look for inner_model and leave flags there.
    """

    _OWN = ("_model", "_window", "_sides", "_settings", "_trace")
    _OWN += ("_before", "_move", "_gaps", "_unguided", "_unchecked")

    def __init__(self, model, window: "Window | AdaptiveWindow", sides: Sides, settings, trace):
        self._model, self._window, self._sides = model, window, sides
        self._settings, self._trace = settings, trace
        self._before = (-1, None)  # the latest step that was reflected, and its latent before
        self._move = None  # what this call's reflection has added to its latent
        self._gaps = {}  # previous-gap: those found in the latest two steps, by the step's number
        self._unguided = -1  # the latest step whose own call was without guidance, whatever its scale
        self._unchecked = []  # (side, step, whether its output was finite): still on the device

    def __call__(self, x, t, **kwargs):
        self.check()
        step, self._move = self._window.advance(t), None
        self._sides.unguided = False
        way, index = self._settings.inversion, self._window.index
        if step is not None and way != ways.AUTO_GUIDANCE:
            x = x.clone() if self._window.apart else x
            self._move_latent(x, t, step, kwargs)
        if way == ways.PREVIOUS_GAP and self._window.begins and self._window.reflects(index + 1):
            output, _, _, found = self._with_both(x, t, kwargs)
            self._gaps = {key: self._gaps[key] for key in self._gaps if key == index - 1} | {index: found}
            return output
        if way == ways.AUTO_GUIDANCE and self._window.reflects(index):
            at = t.clone()
            output, strong, weak, found = self._with_both(x, t, kwargs)
            if step is not None:
                self._note(at, step, found)
            return output + self._settings.strength * (strong - weak)
        return self._stepped(x, t, kwargs)

    def _stepped(self, x, t, kwargs: dict):
        """The sampler's own call."""
        with self._evaluation("step", t):
            output, guided = self._sides.own(self._model, x, t, kwargs)
        if not guided:
            self._unguided = self._window.index
            self._trace.unguided(self._window.index)
        return output

    def reported(self, info: dict):
        """The sampler reports a step to its callback."""
        self._window.confirm(info)
        if (self._window.ahead or self._window.apart) and self._move is not None:
            # The model's answer, at the moved prediction, and the latent it is taken for belong together.
            info["x"].add_(self._move)

    def check(self):
        """Raises NoPictureError if a side has given NaN or infinity since the last check.

        A call late: by then the device has done that evaluation, so there is nothing to wait for.
        """
        unchecked, self._unchecked = self._unchecked, []
        if unchecked and not torch.stack([finite for _, _, finite in unchecked]).all():
            # Where both are none the strong one comes first: the weak one may have been asked at what it gave.
            side, step, _ = min((entry for entry in unchecked if not entry[2]), key=lambda entry: entry[0])
            raise NoPictureError(
                f"W2SD: the {side} side gave NaN or infinity at step {step + 1}, with {_given(self._settings, side)}; "
                "allowed is what gives numbers. Change that, or give the UNet more precision (--upcast-sampling, "
                "--no-half)."
            )

    def _move_latent(self, x, t, step: Step, kwargs: dict):
        """Write x~ into x."""
        index, before = self._before
        if index == self._window.index:
            x.copy_(before)  # the sampler has taken the step back, its reflection with it
        self._before = (self._window.index, x.clone())
        once = self._settings.inversion == ways.PREVIOUS_GAP
        found = None
        for _ in range(1 if once else self._settings.rounds):
            new, one = self._moved(x, t, step, kwargs)
            found = one if found is None else found + one
            x.copy_(new)
        self._move = x - self._before[1]
        if self._window.apart:
            self._move = VariancePreserving.of_sigma(self._move, t)
        self._note(t, step, found)

    def _moved(self, x, t, step: Step, kwargs: dict) -> "tuple[torch.Tensor, Found]":
        """x~, and the gap that it follows from."""
        way, strength, where = self._settings.inversion, self._settings.strength, self._sides.coordinates
        a, b = where.step(x, t, step.end)
        if way == ways.PREVIOUS_GAP:
            found = self._gaps[self._window.index - 1]
            return (x + strength * (b / a) * found.gap).to(x.dtype), found
        answers = {}

        def evaluated(kind, side):
            def model(x, t):
                answers[kind] = self._asked(kind, side, x, t, kwargs)
                return answers[kind]

            return model

        strong, weak = evaluated("strong", self._sides.strong), evaluated("weak", self._sides.weak)
        if way == ways.RE_SAMPLING:
            new = resampled(x, t, step.end, strong(x, t), self._sides.noise(x), where, strength)
            return new, Found((new - x) * (a / b) / (strength or 1.0))
        inversion = "matched" if way == ways.ADVANCED_RE_SAMPLING else way
        with self._sharing():
            if inversion != "paper":
                weak(x, t) if self._sides.weak_first(kwargs) else self._sides.announce(x, t, kwargs)
            reflected = reflect(x, t, step.end, strong, weak, where, inversion, strength)
            found = self._found(reflected.gap, x, t, kwargs, at_one_place=way == "matched")
        if way != ways.ADVANCED_RE_SAMPLING:
            return reflected.x, found
        noise = turned(self._sides.noise(x), (b / a) * reflected.gap)
        new = resampled(x, t, step.end, answers["strong"], noise, where, strength)
        return new, found

    def _with_both(self, x, t, kwargs: dict) -> tuple:
        """The sampler's own call, and both sides at its place: (its output, strong, weak, Found)."""
        sides = {"strong": self._sides.strong, "weak": self._sides.weak}
        with self._sharing():
            # A side whose rows hold all the others' comes first.
            if self._sides.own_scale(kwargs) in (0, 1):
                scales = zip(sides, self._sides.only_scales(kwargs) or ())
                for kind in [kind for kind, scale in scales if scale not in (0, 1)][:1]:
                    self._asked(kind, sides[kind], x, t, kwargs)
            self._sides.announce(x, t, kwargs)
            with self._sides.as_before(x, t, kwargs) as before:
                # Whoever listens to the sampler's own call may change what it is handed; the sides are asked about
                # what there was.
                output = self._stepped(x, t, kwargs)
                if self._sides.step_is_strong(kwargs):
                    strong = self._noted("strong", output)
                else:
                    strong = self._asked("strong", self._sides.strong, *before)
                weak = self._asked("weak", self._sides.weak, *before)
                where, (x, t, _) = self._sides.coordinates, before
                gap = where.direction(x, strong, t) - where.direction(x, weak, t)
                return output, strong, weak, self._found(gap, *before, at_one_place=True)

    def _found(self, gap, x, t, kwargs: dict, at_one_place: bool) -> "Found":
        """The gap with its part along the guidance: known where only the CFG scales differ, else measured if asked."""
        if self._sides.unguided:  # what the scales say was not done
            return Found(gap)
        scales = self._sides.only_scales(kwargs) if at_one_place else None
        if scales is not None:
            return Found(gap, scales[0] - scales[1], 0.0, self._sides.own_scale(kwargs))
        if not self._settings.measure:
            return Found(gap)
        where = self._sides.coordinates
        cond, uncond = (self._asked("measure", side, x, t, kwargs) for side in self._sides.prompt_alone)
        g = where.direction(x, cond, t) - where.direction(x, uncond, t)
        return Found(gap, *along(gap, g), self._sides.own_scale(kwargs))

    def _note(self, t, step: Step, found: "Found"):
        pushed = {}
        if found.along is not None and self._unguided != self._window.index:
            effective = found.own + self._settings.strength * found.along
            pushed = {"effective_cfg": effective, "across": found.across}
        self._trace.reflection(self._window.index, t, step.end, found.gap, **pushed)

    def _sharing(self):
        settings = self._settings
        return self._sides.sharing(settings.inversion != "paper" or settings.measure)

    def _asked(self, kind: str, side, x, t, kwargs: dict):
        with self._evaluation(kind, t), _naming_memory(kind):
            return self._noted(kind, side(x, t, kwargs))

    def _noted(self, kind, output):
        self._unchecked.append((kind, self._window.index, torch.isfinite(output).all()))
        return output

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
        self.check()
        self._window.advance(t)
        with self._evaluation("weak", t):
            return self._noted("weak", self._sides.step_as_weak(x, t, kwargs))


def _given(settings, side: str) -> str:
    """What makes the side another than the picture's own, for the user."""
    kind = type(settings)
    default, always = vars(kind()), getattr(kind, "ALWAYS", ())
    told = [
        f"{name} {value!r}"
        for name, value in vars(settings).items()
        if name.startswith(f"{side}_") and (name in always or value != default[name])
    ]
    return ", ".join(told) or "the picture's own settings"


@contextmanager
def _naming_memory(side: str):
    """Running out of memory within becomes an OutOfMemory error that says where."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"W2SD: there was not enough memory for the {side} side's evaluation: {error}. Free memory, make a smaller "
            "picture or batch, choose inversion paper (which asks for one side at a time), or turn W2SD off."
        ) from error
