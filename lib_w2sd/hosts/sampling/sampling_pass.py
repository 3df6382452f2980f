"""One sampling pass of a request, from the hook before it to its last step."""

import functools
from contextlib import contextmanager

from modules import shared
from modules.processing import StableDiffusionProcessingImg2Img

from ...gaps import sides_of
from ...method import sampling
from ...method.reflection import Flow, Sigma, VariancePreserving
from ...method.trace import Pass, Trace
from ...page.settings import BY_NAME, Settings
from ..models import checkpoints, rewards
from ..request import told
from . import isolation
from .isolation.noise import Noises
from .network import Network
from .rows import SharedRows
from .sides import HostSides
from .webui import WebUI

TRACE = "w2sd_trace"


class SamplingPass:
    """gaps.gap.Host for the pass that `webui` stands for. Raises W2SDError where what the settings ask for cannot be.

    Encodes the sides' prompts, so before sampling: that may push the UNet off the GPU.
    """

    def __init__(self, webui: WebUI, settings: Settings):
        self.webui, self.p, self.settings = webui, webui.p, settings
        self.shared_rows = SharedRows(webui)
        self.acts = settings.acts_in(webui.hires_pass)
        self.begun = webui.hires_pass and settings.acts_in(False)
        if settings.weak_checkpoint and settings.weak_refiner_checkpoint:
            with BY_NAME["weak_refiner_checkpoint"].named():
                checkpoints.find(settings.weak_refiner_checkpoint)  # now rather than half way
        if settings.reward and self.acts and not settings.weak_alone:
            rewards.check(self.p, settings)
            self.judge = rewards.Judge(settings, webui.load_unet)
        self.build_sides()

    def build_sides(self) -> None:
        """The strong and the weak side, for the checkpoint in use."""
        self.strong_side, self.weak_side = sides_of(self.settings, self)
        self.webui.prompts.forget()
        self.built_for = self.webui.checkpoint()

    # ------------------------------------------------------------------ what a gap may ask: gaps.gap.Host

    def has(self, ability: str) -> bool:
        return self.webui.has(ability)

    def able(self, ability: str):
        return self.webui.able(ability)

    def own_prompts(self) -> "tuple[list, list]":
        return self.webui.prompts.own()

    def read(self, text: str, negative: bool) -> list:
        return self.webui.prompts.read(text, negative)

    def read_by_others(self, prompts: list, negative_prompts: list, other: "tuple[bool, bool]", anew: bool):
        return self.webui.prompts.read_by_others(prompts, negative_prompts, other, anew)

    def encode(self, texts: list, negative: bool, model=None):
        return self.webui.prompts.encode(texts, negative, model)

    def comment(self, text: str) -> None:
        self.p.comment(text)

    # ------------------------------------------------------------------ one run of the sampler

    def reflecting(self, func):
        """The sampling function `func` of the pass's sampler, reflecting."""
        trace = getattr(self.p, TRACE, None) or Trace()
        setattr(self.p, TRACE, trace)
        return sampling.reflecting(
            func,
            self.settings,
            self.sides,
            functools.partial(trace.add, name=self.pass_name()),
            hires_pass=self.webui.hires_pass,
            keeping=isolation.noise_kept,
        )

    @contextmanager
    def sides(self, denoiser, arguments):
        """denoiser.Sides for one run of the host's `denoiser`, whose UNet's rows are counted."""
        self.webui.denoiser = denoiser
        self.coordinates = self.coordinates_of(denoiser, arguments)
        with Network(self.webui, self.shared_rows.meter, self.trace().toggles).in_use() as network:
            self.webui.layers = network.layers
            sides = HostSides(self, network, self.coordinates)
            with isolation.draws_kept():
                sides.evaluator.follow_network()
            yield sides
            told.after_a_run(self, network.installed)
            models = [side.model for side in (self.strong_side, self.weak_side) if side.model is not None]
            self.trace().overlays = [of.as_dict() for of in (*network.installed, *models)]
        if getattr(shared.cmd_opts, "w2sd_verbose", False):
            print(self.trace().summary())

    @functools.cached_property
    def noises(self) -> Noises:
        """Those that Re-Sampling draws."""
        return Noises(self.p, "W2SD")

    def trace(self) -> Pass:
        return getattr(self.p, TRACE).passes[-1]

    def coordinates_of(self, denoiser, arguments):
        if "timesteps" in arguments:
            return VariancePreserving(denoiser.inner_model.inner_model.alphas_cumprod)
        return Flow() if self.webui.is_flow() else Sigma()

    def pass_name(self) -> str:
        if self.webui.hires_pass:
            return "hires"
        return "img2img" if isinstance(self.p, StableDiffusionProcessingImg2Img) else "txt2img"
