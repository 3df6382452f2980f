"""The strong and the weak side of a run, evaluated through the host's own CFGDenoiser.

So masks, prompt editing and other extensions' callbacks shape them as they shape the sampler's own calls.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch

from ...errors import SettingError
from ...gaps import Side
from . import isolation
from .isolation.memories import Memories
from .isolation.swapped import swapped
from .refiner import Refiner
from .rows.one_kind import LeftOutByHost


class HostSides:
    """denoiser.Sides of one run of a sampling pass (sampling_pass.SamplingPass).

    network      network.Network
    coordinates  reflection's, of the latents that the sampler's calls have
    """

    def __init__(self, one_pass, network, coordinates):
        self.one_pass, self.webui, self.network = one_pass, one_pass.webui, network
        self.shared_rows, self.coordinates = one_pass.shared_rows, coordinates
        self.refiner = Refiner(one_pass)
        self.memories = Memories()
        self.before = None  # the moment that sides are asked at, where it is not the present
        self.unguided = False

    @property
    def _strong(self) -> Side:
        return self.one_pass.strong_side

    @property
    def _weak(self) -> Side:
        return self.one_pass.weak_side

    # ------------------------------------------------------------------ denoiser.Sides

    def strong(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        return self.evaluate(x, t, kwargs, self._strong, "strong")

    def weak(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        return self.evaluate(x, t, kwargs, self._weak, "weak")

    def step_as_weak(self, x, t, kwargs):
        if getattr(self.webui.p, "refiner_checkpoint_info", None) is not None:
            # It would be loaded in the middle of this very call, into the weak checkpoint's tensors.
            raise SettingError(
                "W2SD: weak_alone (Draw with the weak side alone) was given True, with a refiner; allowed is one of "
                "the two."
            )
        ask = self.asked(kwargs, self._weak)
        with self.switched_on(self._weak), self.webui.prompts.as_encoded(self._weak.cond, self._weak.uncond):
            return self.webui.call(x, t, ask, own=True)

    def own(self, denoiser, x, t, kwargs):
        before, scale = self._asked_for(), self.webui.cfg_scale(kwargs)
        output = denoiser(x, t, **kwargs)
        return output, self._guided(kwargs["cond"], scale, before) and not self.webui.company().guides

    def _asked_for(self) -> int:
        """Rows that the host has asked the network for."""
        return self.shared_rows.meter.asked + self.webui.left_out

    def _guided(self, cond, scale: float, before: int) -> bool:
        """Whether a call at this scale has asked for more than the prompts' rows."""
        return scale == 1 or self._asked_for() - before > sum(len(parts) for parts in cond.batch)

    def rows(self) -> int:
        return self.shared_rows.meter.rows

    def sharing(self, wanted: bool):
        """Rows that one side has just evaluated serve the other too, where both are asked at one place."""
        return self.shared_rows.meter.sharing() if wanted else nullcontext()

    def announce(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        scales = {self.scale_of(side, kwargs) for side in (self._strong, self._weak)}
        functions = self.network.layers().functions()
        # Whoever stands in the network's place may take rows that travel for the others' (block caches).
        if not functions and self.shared_rows.could_travel(self._strong, self._weak, scales):
            with self.shared_rows.meter.noting():
                self.evaluate(x, t, kwargs, self._weak, "weak")

    @contextmanager
    def as_before(self, x, t, kwargs):
        with swapped(self, "before", self.moment(kwargs)):
            yield isolation.copied((x, t, {**kwargs, "cond_scale": self.webui.cfg_scale(kwargs)}))

    def own_scale(self, kwargs) -> float:
        return self.webui.cfg_scale(kwargs)

    def step_is_strong(self, kwargs) -> bool:
        # But for "Negative guidance minimum sigma", which drops the guidance of the sampler's own call (see evaluate).
        if self._strong != Side() or kwargs.get("s_min_uncond"):
            return False
        call = getattr(self.webui.denoiser, "step", 1) - 1  # the one just made
        return self.memories.shared("strong", call, self.before, lambda: self.moment(kwargs))

    def only_scales(self, kwargs):
        strong, weak = self._strong, self._weak
        if replace(strong, cfg_scale=None) != Side() or replace(weak, cfg_scale=None) != Side():
            return None
        if self.webui.company().guides:  # whose pictures do not go with the scale
            return None
        return self.scale_of(strong, kwargs), self.scale_of(weak, kwargs)

    def weak_first(self, kwargs) -> bool:
        """Whether the weak side's rows hold the strong side's: it needs a cond/uncond pair, the strong side one."""
        strong, weak = self.scale_of(self._strong, kwargs), self.scale_of(self._weak, kwargs)
        return strong in (0.0, 1.0) and weak not in (0.0, 1.0) and self._weak == Side(self._weak.cfg_scale)

    @property
    def prompt_alone(self):
        def at(scale):
            side = replace(self._strong, cfg_scale=scale)
            return lambda x, t, kwargs: self.evaluate(x, t, kwargs, side, f"strong at CFG {scale}")

        return at(1.0), at(0.0)

    def noise(self, x):
        return self.one_pass.noises.drawn(x.shape).to(x)

    def rewards(self, signal):
        scores = self.one_pass.judge.scores(signal, self.webui.prompts.own()[0])
        # Frames chosen one by one would not follow each other.
        return scores.mean().expand_as(scores) if self.webui.is_one_video() else scores

    # ------------------------------------------------------------------ one evaluation

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
        before = self._asked_for()
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
        self.unguided = self.unguided or others or not self._guided(ask["cond"], ask["cond_scale"], before)
        return output

    def through_pixels(self, x, t, kwargs: dict, side: Side):
        """The answer of a side that is another model (method.bridge), as the loaded one would give it: what it is asked
        about is what the strong side sees here."""
        output, where = self.evaluate(x, t, kwargs, self._strong, "weak"), self.coordinates
        alpha, beta = where.levels(x, t)
        level = (torch.as_tensor(beta / alpha, dtype=torch.float32)).reshape(-1).expand(x.shape[0])
        signal = where.signal(x, output, t)
        with isolation.unnoticed(self.moment(kwargs), self.before):
            found = side.model.answer(signal, where.noise(x, output, t), level, self.scale_of(side, kwargs))
        self.webui.load_unet(x.shape)
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
        now = self.moment(kwargs)
        with isolation.unnoticed(now, self.before):
            call = getattr(self.webui.denoiser, "step", 0)
            with self.memories.of(name, call, self.before or now, lambda: self.moment(kwargs)):
                yield

    def moment(self, kwargs) -> isolation.Moment:
        """All that an evaluation may not change, as it is now."""
        return isolation.Moment(self.webui, self.network.layers(), kwargs.values())

    @contextmanager
    def switched_on(self, side: Side):
        """Within, the UNet is the side's."""
        self.follow_network()
        with self.network.under(side.overlays):
            yield

    def follow_network(self) -> None:
        self.network.follow(self._strong.overlays + self._weak.overlays)

    def follow_refiner(self, x, t, kwargs) -> None:
        # Beside the sampler's own call it has been followed before it, and by now the next step would be its turn.
        if self.before is None and self.refiner.follow(x, t, kwargs):
            self.network.renew()
            self.memories.forget()
