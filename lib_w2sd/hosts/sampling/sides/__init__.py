"""The strong and the weak side of a run, as the method asks them."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

from ....errors import SettingError
from ....gaps import Side
from .. import isolation
from ..isolation.swapped import swapped
from ..webui import AFTER, GUIDED
from .evaluator import Evaluator


class HostSides:
    """denoiser.Sides of one run of a sampling pass (sampling_pass.SamplingPass).

    network      network.Network
    coordinates  reflection's, of the latents that the sampler's calls have
    """

    def __init__(self, one_pass, network, coordinates):
        self.one_pass, self.webui, self.network = one_pass, one_pass.webui, network
        self.shared_rows, self.coordinates = one_pass.shared_rows, coordinates
        self.evaluator = Evaluator(one_pass, network, coordinates)

    @property
    def _strong(self) -> Side:
        return self.one_pass.strong_side

    @property
    def _weak(self) -> Side:
        return self.one_pass.weak_side

    @property
    def unguided(self) -> bool:
        return self.evaluator.unguided

    @unguided.setter
    def unguided(self, value: bool):
        self.evaluator.unguided = value
        self.evaluator.untouched = False  # set as a call of the sampler's begins

    def strong(self, x, t, kwargs):
        self.evaluator.follow_refiner(x, t, kwargs)
        return self.evaluator.evaluate(x, t, kwargs, self._strong, "strong")

    def weak(self, x, t, kwargs):
        self.evaluator.follow_refiner(x, t, kwargs)
        return self.evaluator.evaluate(x, t, kwargs, self._weak, "weak")

    def step_as_weak(self, x, t, kwargs):
        if getattr(self.webui.p, "refiner_checkpoint_info", None) is not None:
            # It would be loaded in the middle of this very call, into the weak checkpoint's tensors.
            raise SettingError(
                "W2SD: weak_alone (Draw with the weak side alone) was given True, with a refiner; allowed is one of "
                "the two."
            )
        ask, self.evaluator.untouched = self.evaluator.asked(kwargs, self._weak), False
        with self.evaluator.switched_on(self._weak), self.webui.prompts.as_encoded(self._weak.cond, self._weak.uncond):
            return self.webui.call(x, t, ask, own=True)

    def own(self, denoiser, x, t, kwargs):
        before, scale = self.evaluator.asked_for(), self.webui.cfg_scale(kwargs)
        self.evaluator.untouched = False
        output = denoiser(x, t, **kwargs)
        return output, self.evaluator.is_guided(kwargs["cond"], scale, before) and not self.webui.company().guides

    def rows(self) -> int:
        return self.shared_rows.meter.rows

    def sharing(self, wanted: bool):
        """Rows that one side has just evaluated serve the other too, where both are asked at one place. Not where
        others read afterwards what theirs has noted in the network's call (Incantations' S-CFG, self-attention
        guidance)."""
        layers = self.network.layers()
        noted = layers.are_heard() or self.webui.company().reads_along
        noted = noted or (self.webui.listened_to(AFTER, GUIDED) and layers.functions())
        return self.shared_rows.meter.sharing() if wanted and not noted else nullcontext()

    def announce(self, x, t, kwargs):
        self.evaluator.follow_refiner(x, t, kwargs)
        scales = {self.evaluator.scale_of(side, kwargs) for side in (self._strong, self._weak)}
        functions = self.network.layers().functions()
        # Whoever stands in the network's place may take rows that travel for the others' (block caches).
        if not functions and self.shared_rows.could_travel(self._strong, self._weak, scales):
            with self.shared_rows.meter.noting():
                self.evaluator.evaluate(x, t, kwargs, self._weak, "weak")

    @contextmanager
    def as_before(self, x, t, kwargs):
        with swapped(self.evaluator, "before", self.evaluator.moment(kwargs)):
            yield isolation.copied((x, t, {**kwargs, "cond_scale": self.webui.cfg_scale(kwargs)}))

    def own_scale(self, kwargs) -> float:
        return self.webui.cfg_scale(kwargs)

    def step_is_strong(self, kwargs) -> bool:
        # But for "Negative guidance minimum sigma", which drops the guidance of the sampler's own call (see evaluate).
        if self._strong != Side() or kwargs.get("s_min_uncond"):
            return False
        call = getattr(self.webui.denoiser, "step", 1) - 1  # the one just made
        return self.evaluator.memories.shared("strong", call, self.evaluator.before, self.evaluator.moment(kwargs))

    def only_scales(self, kwargs):
        strong, weak = self._strong, self._weak
        if replace(strong, cfg_scale=None) != Side() or replace(weak, cfg_scale=None) != Side():
            return None
        if self.webui.company().guides:  # whose pictures do not go with the scale
            return None
        return self.evaluator.scale_of(strong, kwargs), self.evaluator.scale_of(weak, kwargs)

    def weak_first(self, kwargs) -> bool:
        """Whether the weak side's rows hold the strong side's: it needs a cond/uncond pair, the strong side one."""
        strong, weak = self.evaluator.scale_of(self._strong, kwargs), self.evaluator.scale_of(self._weak, kwargs)
        return strong in (0.0, 1.0) and weak not in (0.0, 1.0) and self._weak == Side(self._weak.cfg_scale)

    @property
    def prompt_alone(self):
        def at(scale):
            side = replace(self._strong, cfg_scale=scale)
            return lambda x, t, kwargs: self.evaluator.evaluate(x, t, kwargs, side, f"strong at CFG {scale}")

        return at(1.0), at(0.0)

    def noise(self, x):
        return self.one_pass.noises.drawn(x.shape).to(x)

    def rewards(self, signal):
        self.evaluator.untouched = False
        with isolation.draws_kept():
            scores = self.one_pass.judge.scores(signal, self.webui.prompts.own()[0])
        # Frames chosen one by one would not follow each other.
        return scores.mean().expand_as(scores) if self.webui.is_one_video() else scores
