"""The strong side, chosen anew at every reflected step by a reward: arXiv 2502.00473, appendix D.2, Algorithm 2."""

import torch

from .denoiser import ReflectingDenoiser
from .push import Found
from .reflection import reflect


def changed_over(first: torch.Tensor, second: torch.Tensor, threshold: float) -> torch.Tensor:
    """Lines 8 to 12: for which pictures [B] M2 is the strong one. M1 is only where it is better by more than epsilon_r.

    first, second  rewards [B] of what M1 and M2 take the clean picture for
    threshold      epsilon_r >= 0
    """
    return ~((first > second) & ((first - second).abs() > threshold))


def picked(second: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Pictures of `b` where `second` [B] says so, else of `a`; both [B, ...]."""
    return torch.where(second.to(a.device).reshape(-1, *[1] * (a.ndim - 1)), b, a)


class ChoosingDenoiser(ReflectingDenoiser):
    """M1 is the sides' strong one, M2 their weak one; every picture of a batch has its own choice.

    Both are asked at the latent anyway where the inversion is `matched` or `fixed-point`; `paper` pays for M2 there,
    and once more on its way back. The step itself (line 15) is the chosen side's too.
    """

    _OWN = (*ReflectingDenoiser._OWN, "_choice", "_rewards")

    def __init__(self, *args):
        super().__init__(*args)
        self._choice = (-1, None)  # the latest step that was reflected, and for which pictures M2 is strong there
        self._rewards = None  # of M1 and M2 there, [B] each

    def _moved(self, x, t, step, kwargs):
        where, settings = self._sides.coordinates, self._settings
        first, second = self._both(x, t, kwargs)
        self._rewards = tuple(self._scored(x, t, output) for output in (first, second))
        second_is_strong = changed_over(*self._rewards, settings.reward_threshold)
        self._choice = (self._window.index, second_is_strong)

        def strong(x, t):
            return picked(second_is_strong, first, second)

        def weak(y, t):
            if y is x:
                return picked(second_is_strong, second, first)
            return self._asked_of(~second_is_strong, y, t, kwargs)

        reflected = reflect(x, t, step.end, strong, weak, where, settings.inversion, settings.strength)
        return reflected.x, Found(reflected.gap)

    def _stepped(self, x, t, kwargs):
        index, second = self._choice
        if index != self._window.index or not second.any():
            return super()._stepped(x, t, kwargs)
        if second.all():
            with self._evaluation("step", t):
                return self._noted("weak", self._sides.step_as_weak(x, t, kwargs))
        with self._sides.sharing(True):
            first = super()._stepped(x, t, kwargs)
            return picked(second, first, self._asked("weak", self._sides.weak, x, t, kwargs))

    def _both(self, x, t, kwargs) -> tuple:
        """What M1 and M2 answer at one place."""
        sides = [("strong", self._sides.strong), ("weak", self._sides.weak)]
        with self._sides.sharing(True):
            if self._sides.weak_first(kwargs):
                sides.reverse()
            else:
                self._sides.announce(x, t, kwargs)
            answers = {kind: self._asked(kind, side, x, t, kwargs) for kind, side in sides}
        return answers["strong"], answers["weak"]

    def _asked_of(self, second: torch.Tensor, x, t, kwargs):
        """What M2 answers for those pictures, and M1 for the others."""
        if second.all():
            return self._asked("weak", self._sides.weak, x, t, kwargs)
        if not second.any():
            return self._asked("strong", self._sides.strong, x, t, kwargs)
        return picked(second, *self._both(x, t, kwargs))

    def _scored(self, x, t, output) -> torch.Tensor:
        self.check()  # a picture that is none is not shown to a reward
        with self._evaluation("reward", t):
            return self._sides.rewards(self._sides.coordinates.signal(x, output, t))

    def _note(self, t, step, found):
        rewards = [[float(r) for r in pair] for pair in zip(*self._rewards)]
        self._trace.reflection(
            self._window.index, t, step.end, found.gap, rewards=rewards, second_is_strong=self._choice[1].tolist()
        )
