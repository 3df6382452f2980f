"""Runs a strong and a weak model through k-diffusion's samplers, with the extension's own reflection.

Here stands what the WebUI does elsewhere: a denoiser with classifier-free guidance, and the two sides of the gap.
A network is any function network(x, sigma, cond) -> denoised, x [B, ...], sigma [B], cond [B, ...] or None.
"""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ..gaps import Side
from ..method import bridge
from ..method.reflection import Sigma
from ..method.rows import RowMeter
from ..method.sampling import reflecting
from ..method.trace import Pass
from ..page.settings import Settings

SAMPLERS = {
    "Euler": "sample_euler",
    "Euler a": "sample_euler_ancestral",
    "Heun": "sample_heun",
    "DPM++ 2M": "sample_dpmpp_2m",
}


class Guided:
    """A network under classifier-free guidance: uncond + scale * (cond - uncond), only the rows that count.

    minimum  the least sigma with guidance: the hosts' "Negative Guidance minimum sigma", in all steps
    """

    def __init__(self, network: Callable, meter: RowMeter, minimum: float = 0.0):
        self.network, self.meter, self.minimum = network, meter, minimum

    def __call__(self, x, sigma, cond=None, uncond=None, cond_scale=1.0):
        if cond_scale == 1 or (self.minimum and sigma[0] < self.minimum):
            return self._rows(x, sigma, cond)
        if cond_scale == 0:
            return self._rows(x, sigma, uncond)
        both = self._rows(torch.cat([x, x]), torch.cat([sigma, sigma]), torch.cat([cond, uncond]))
        with_cond, without = both.chunk(2)
        return without + cond_scale * (with_cond - without)

    def _rows(self, x, sigma, cond):
        self.meter.under = (id(self.network),)  # rows of one network are no other's
        return self.meter.call(self.network, (x, sigma, cond), {})


class Pair:
    """denoiser.Sides for two networks, which may be one and the same."""

    coordinates = Sigma()

    def __init__(self, strong: Guided, weak: Guided, sides: "tuple[Side, Side]", reward: "Callable | None" = None):
        self._strong, self._weak = strong, weak
        self._sides, self._reward = sides, reward
        self.unguided = False
        self._generator = torch.Generator().manual_seed(1)  # of the noise that Re-Sampling draws

    def strong(self, x, t, kwargs):
        return self._evaluate(self._strong, x, t, kwargs, self._sides[0])

    def weak(self, x, t, kwargs):
        return self._evaluate(self._weak, x, t, kwargs, self._sides[1])

    def step_as_weak(self, x, t, kwargs):
        return self.weak(x, t, kwargs)

    def _evaluate(self, model: Guided, x, t, kwargs, side: Side):
        return model(
            x,
            t,
            cond=kwargs.get("cond") if side.cond is None else side.cond,
            uncond=kwargs.get("uncond") if side.uncond is None else side.uncond,
            cond_scale=self._scale(side, kwargs),
        )

    def _scale(self, side: Side, kwargs) -> float:
        return kwargs.get("cond_scale", 1.0) if side.cfg_scale is None else side.cfg_scale

    def rows(self) -> int:
        return self._strong.meter.rows

    def sharing(self, wanted: bool):
        return self._strong.meter.sharing() if wanted else nullcontext()

    def announce(self, x, t, kwargs):
        pass

    def as_before(self, x, t, kwargs):
        return nullcontext((x, t, kwargs))

    def own(self, denoiser, x, t, kwargs):
        return denoiser(x, t, **kwargs), True

    def own_scale(self, kwargs) -> float:
        return kwargs.get("cond_scale", 1.0)

    def step_is_strong(self, kwargs) -> bool:
        return self._sides[0] == Side()

    def only_scales(self, kwargs):
        if self._strong.network is not self._weak.network or self._sides[1] != Side(self._sides[1].cfg_scale):
            return None
        return self._scale(self._sides[0], kwargs), self._scale(self._sides[1], kwargs)

    @property
    def prompt_alone(self):
        def at(scale):
            return lambda x, t, kwargs: self._evaluate(self._strong, x, t, kwargs, Side(scale))

        return at(1.0), at(0.0)

    def noise(self, x):
        # Drawn on the CPU, as a WebUI's: the same on every device.
        return torch.randn(x.shape, generator=self._generator, dtype=x.dtype).to(x.device)

    def rewards(self, signal):
        return self._reward(signal)

    def weak_first(self, kwargs) -> bool:
        one_row, weak = (0.0, 1.0), self._sides[1]
        only_guidance = weak == Side(weak.cfg_scale) and self._strong.network is self._weak.network
        return (
            only_guidance
            and self._scale(self._sides[0], kwargs) in one_row
            and self._scale(weak, kwargs) not in one_row
        )


class Apart(Pair):
    """A pair whose weak network has latents of its own: asked through pixel space (method.bridge)."""

    def __init__(self, strong, weak, sides, reward, spaces: tuple):
        super().__init__(strong, weak, sides, reward)
        self._spaces, self._seen = spaces, None

    def strong(self, x, t, kwargs):
        self._seen = super().strong(x, t, kwargs)
        return self._seen

    def weak(self, x, t, kwargs):
        where, sigma = self.coordinates, t[:, None, None, None]

        def answer(picture, noise):
            return Pair.weak(self, picture + sigma * noise, t, kwargs)

        noise = where.noise(x, self._seen, t)
        return bridge.predicted(self._seen, noise, *self._spaces, answer, self._own_noise)

    def _own_noise(self, shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def step_is_strong(self, kwargs) -> bool:
        return False  # so that the strong side is asked, and seen, before the weak one

    def only_scales(self, kwargs):
        return None

    def weak_first(self, kwargs) -> bool:
        return False


@dataclass
class Run:
    """What a sampling run gave.

    x           the samples [B, ...]
    rows        network rows evaluated, for the whole batch
    trace       trace.Pass, or None where nothing was reflected
    trajectory  the latents at the start of each step, and the samples: [T + 1, B, ...]; only when asked for
    """

    x: torch.Tensor
    rows: int
    trace: "Pass | None" = None
    trajectory: "torch.Tensor | None" = None
    sigmas: "torch.Tensor | None" = field(default=None, repr=False)


def _k_diffusion():
    """Not asked for by who brings a sampler of his own."""
    from k_diffusion import sampling

    return sampling


def karras(steps: int, sigma_min: float, sigma_max: float):
    """Karras' schedule with the closing zero: [steps + 1]."""
    return _k_diffusion().get_sigmas_karras(steps, sigma_min, sigma_max)


@torch.inference_mode()
def sample(
    strong: Callable,
    noise,
    sigmas,
    settings: "Settings | None" = None,
    weak: "Callable | None" = None,
    cond: Any = None,
    uncond: Any = None,
    cond_scale: float = 1.0,
    weak_cond: Any = None,
    weak_uncond: Any = None,
    sampler: "str | Callable" = "Euler",
    keep: bool = False,
    step: "Callable | None" = None,
    reward: "Callable | None" = None,
    spaces: "tuple | None" = None,
    guided: "int | None" = None,
) -> Run:
    """Sample from unit `noise` with the strong network; with `settings`, reflected (Algorithm 1).

    weak       the weak network; None: the strong one, then the gap is in the settings' CFG scales or in weak_cond
    sampler    one of SAMPLERS, or a sampling function of k-diffusion's kind
    keep       keep the trajectory
    step       called after every step
    spaces     (strong, weak) bridge.Space, where the two have latents of their own
    reward     reward(samples) -> a score each [B], where the settings have the strong side chosen by one (Algorithm 2)
    guided     guidance in so many of the first steps only; None: in all
    """
    meter = RowMeter()
    model = Guided(strong, meter, 0.0 if guided is None else float(sigmas[guided - 1]))
    asked = settings or Settings()
    sides = Side(asked.strong_cfg), Side(asked.weak_cfg, weak_cond, weak_uncond)
    kind, more = (Apart, (spaces,)) if spaces else (Pair, ())
    pair = kind(model, model if weak is None else Guided(weak, meter), sides, reward, *more)
    latents, passes = [], []

    @contextmanager
    def open_sides(model, arguments):
        yield pair

    def new_pass(**kwargs):
        passes.append(Pass(name="lab", **kwargs))
        return passes[-1]

    def callback(info):
        if keep:
            latents.append(info["x"].clone())
        if step:
            step()

    func = sampler if callable(sampler) else getattr(_k_diffusion(), SAMPLERS[sampler])
    if settings is not None and settings.enabled:
        func = reflecting(func, settings, open_sides, new_pass)
    extra = {"cond": cond, "uncond": uncond, "cond_scale": cond_scale}
    x = func(model, noise * sigmas[0], sigmas, extra_args=extra, callback=callback, disable=True)
    trajectory = torch.stack([noise * sigmas[0], *latents[1:], x]) if keep else None
    return Run(x, meter.rows, passes[0] if passes else None, trajectory, sigmas)
