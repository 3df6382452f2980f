"""Evaluations of a side beside the sampler's own calls, through the host's own CFGDenoiser.

So masks, prompt editing and other extensions' callbacks shape them as they shape the sampler's own.
"""

from contextlib import contextmanager

import torch

from ....gaps import Side
from .. import isolation
from ..isolation.memories import Memories
from ..rows.one_kind import LeftOutByHost
from .refiner import Refiner


class Evaluator:
    """Of one run of a sampling pass (sampling_pass.SamplingPass).

    network      network.Network
    coordinates  reflection's, of the latents that the sampler's calls have
    """

    def __init__(self, one_pass, network, coordinates):
        self.one_pass, self.webui, self.network, self.coordinates = one_pass, one_pass.webui, network, coordinates
        self.refiner, self.memories = Refiner(one_pass), Memories()
        self.before = None  # the moment that sides are asked at, where it is not the present
        prompts = one_pass.webui.prompts
        self._latest, prompts.latest = prompts.latest, None  # moment that was looked at
        self.unguided = False  # see denoiser.Sides
        self.untouched = False  # whether nobody else's code has run since the latest moment was looked at or put back

    def evaluate(self, x, t, kwargs: dict, side: Side, name: str):
        """The denoiser's output at (x, t) under `side`, as if it had never been asked. `kwargs`: the sampler's; `name`:
        whose memory of earlier calls others meet."""
        if side.model is not None:
            return self.through_pixels(x, t, kwargs, side)
        try:
            return self._called(x, t, kwargs, side, name)
        except LeftOutByHost:
            return self._called(x, t, kwargs, side, name, whole=True)

    def _called(self, x, t, kwargs: dict, side: Side, name: str, whole: bool = False):
        before = self.asked_for()
        with (
            self.untraced(kwargs, name),
            self.switched_on(side),
            self.webui.prompts.as_encoded(side.cond, side.uncond),
        ):
            # "Negative guidance minimum sigma" would drop the guidance that this evaluation is about.
            ask = {**self.asked(kwargs, side), "s_min_uncond": 0.0}
            output = self.webui.call(*isolation.copied((x, t, ask)), whole=whole)
            # Asked within: who puts a function in the host's place as a call begins has it taken back afterwards.
            others = self.webui.company().guides
        self.unguided = self.unguided or others or not self.is_guided(ask["cond"], ask["cond_scale"], before)
        return output

    def through_pixels(self, x, t, kwargs: dict, side: Side):
        """The answer of a side that is another model (method.bridge), as the loaded one would give it: what it is asked
        about is what the strong side sees here."""
        output, where = self.evaluate(x, t, kwargs, self.one_pass.strong_side, "weak"), self.coordinates
        alpha, beta = where.levels(x, t)
        level = (torch.as_tensor(beta / alpha, dtype=torch.float32)).reshape(-1).expand(x.shape[0])
        signal, self.untouched = where.signal(x, output, t), False
        # The other model may take the network's room for a while: the host moves its weights, and knows where they are.
        with isolation.unnoticed(self.moment(kwargs), self.before, weights=False):
            found = side.model.answer(signal, where.noise(x, output, t), level, self.scale_of(side, kwargs))
        self.webui.load_unet(x.shape)
        self.untouched = False
        denoiser = self.webui.denoiser
        if denoiser.mask is not None:
            # Outside of the mask the picture is given to both.
            found = signal + (found - signal) * denoiser.nmask
        return where.output(x, found.to(x), t)

    def scale_of(self, side: Side, kwargs) -> float:
        return side.cfg_scale if side.cfg_scale is not None else self.webui.cfg_scale(kwargs)

    def asked(self, kwargs: dict, side: Side) -> dict:
        """The denoiser's keywords under `side`."""
        scale = self.scale_of(side, kwargs)
        if kwargs["uncond"] is None and side.uncond is None and scale != 1:
            kwargs = {**kwargs, "uncond": self.webui.prompts.uncond()}
        return {**kwargs, "cond_scale": scale, **self.webui.conds(kwargs, side)}

    @contextmanager
    def untraced(self, kwargs, name: str):
        """Around an extra evaluation: what it leaves behind is taken back, and kept for the next of that name."""
        now, self.untouched = self.moment(kwargs), False
        with isolation.unnoticed(now, self.before):
            call = getattr(self.webui.denoiser, "step", 0)
            with self.memories.of(name, call, self.before or now, lambda: self.moment(kwargs)):
                yield
        self._latest, self.untouched = now, True

    def moment(self, kwargs) -> isolation.Moment:
        """All that an evaluation may not change, as it is now."""
        layers, values = self.network.layers(), kwargs.values()
        self._latest = isolation.Moment(self.webui, layers, values, self._latest, self.untouched)
        self.untouched = True
        return self._latest

    @contextmanager
    def switched_on(self, side: Side):
        """Within, the UNet is the side's."""
        self.follow_network()
        with self.network.under(side.overlays):
            yield

    def follow_network(self) -> None:
        self.network.follow(self.one_pass.strong_side.overlays + self.one_pass.weak_side.overlays)

    def follow_refiner(self, x, t, kwargs) -> None:
        # Beside the sampler's own call it has been followed before it, and by now the next step would be its turn.
        if self.before is None and self.refiner.follow(x, t, kwargs):
            self.network.renew()
            self.memories.forget()
            self.untouched = False

    def asked_for(self) -> int:
        """Rows that the host has asked the network for."""
        return self.one_pass.shared_rows.meter.asked + self.webui.left_out

    def is_guided(self, cond, scale: float, before: int) -> bool:
        """Whether a call at this scale has asked for more than the prompts' rows."""
        return scale == 1 or self.asked_for() - before > sum(len(parts) for parts in cond.batch)
