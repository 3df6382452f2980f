"""What a gap is: one kind of difference between the strong and the weak side of a reflection (paper, Table 1)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..setting import Setting

# Figure 12: what a weak side at least as strong as the strong one does.
NEGATIVE_GAIN = "that turns the gain around (Figure 12)"
# Presets of ours for models that make a picture in 4 to 9 steps at CFG 1: the second and the third one are pushed, the
# cheapest of what was measured (docs/paper/cfg-1.md).
FEW_STEPS = {"lambda_steps": 3, "strength": 1.0, "inversion": "previous-gap"}
FEW = 9


class Overlay(Protocol):
    """What is changed in the UNet around the evaluations of one side: other weights, a LoRA difference."""

    def as_dict(self) -> dict:
        """What the trace says of it, after the run."""

    def installed(self, unet) -> AbstractContextManager:
        """Around the use of one UNet in a sampling run: prepare, and in the end leave the UNet as it was."""

    def on(self) -> AbstractContextManager:
        """Around one evaluation; it is entered and left at every reflected step, so well under a millisecond."""


class Model(Protocol):
    """A whole model of its own: network, text encoders, autoencoder."""

    def as_dict(self) -> dict:
        """What the trace says of it, after the run."""

    def read(self, prompts: list, negative_prompts: list) -> None:
        """What it is to draw, one a picture."""

    def answer(self, signal, noise, level, scale: float):
        """What it takes for the clean latent, in the loaded model's space: see method.bridge.

        signal, noise  what the loaded model sees in its own latents [B, ...]
        level          noise for the signal: [B]
        scale          its CFG scale
        """


@dataclass(frozen=True)
class Side:
    """One side of a gap. None, and nothing, stand for what the sampling pass itself uses.

    cfg_scale      classifier-free guidance scale (paper, 4.2)
    cond, uncond   the host's own cond objects
    overlays       changes of the UNet, switched on around this side's evaluations
    inputs         scales that the network takes as an input, by the name that conds have for them (paper, E.6)
    encoding       context manager in which this side's prompts are to be encoded
    loras          lora_scales.Uses of the side, where the gap is to another checkpoint: what that has merged into it
    """

    cfg_scale: "float | None" = None
    cond: Any = None
    uncond: Any = None
    overlays: "tuple[Overlay, ...]" = ()
    inputs: dict = field(default_factory=dict)
    encoding: "AbstractContextManager | None" = None
    loras: tuple = ()
    model: "Model | None" = None


@dataclass(frozen=True)
class Picture:
    """What is known of a picture before it is made, for cost and warnings.

    cfg            CFG scale
    loras          whether the prompt names LoRAs
    checkpoint     the loaded checkpoint, as the page names it
    distilled_cfg  distilled CFG scale; None where the page has none
    flux           the page is set up for a model that takes one
    pairs          CFG scales, of 0 and 1, at which a prompt's rows are not asked for without its negative prompt's, nor
                   these without those (AnimateDiff; an extension that listens)
    steps          as the slider says
    controlnet     whether a ControlNet unit is on; None: not known
    negative       whether there is a negative prompt
    """

    cfg: float = 7.0
    loras: bool = True
    checkpoint: str = ""
    distilled_cfg: "float | None" = None
    flux: bool = False
    pairs: frozenset = frozenset()
    steps: int = 20
    controlnet: "bool | None" = None
    negative: bool = False


def no_words(picture: Picture) -> str:
    return ""


def few_steps(picture: Picture) -> str:
    """Of a preset for models that make a picture in few steps without guidance: why it is not for this picture."""
    if picture.cfg == 1 and picture.steps <= FEW:
        return ""
    return f"This preset is for CFG 1 and 4 to {FEW} steps; yours are CFG {picture.cfg:g} and {picture.steps} steps."


@dataclass(frozen=True)
class Preset:
    """Settings by name.

    about         what it is for, in two lines of a narrow window; what it takes, the page says
    worth         how far up it stands in the list: the order of what pays (docs/paper/buys.md)
    first         first(picture) -> why it is what to try first for a picture like this; "" mostly
    unsuited      unsuited(picture) -> a sentence that says why it is not for a picture like this; "" mostly
    fields        the settings it fills; the others stay as they are
    halves_steps  the page's steps too, and lambda with them
    stays         settings that are the user's, whatever else the preset fills
    needs         what the user still has to give: a setting, or "prompt" for something in the picture's own
    ask           the words for that, while it is missing
    """

    name: str
    about: str
    fields: dict
    halves_steps: bool = False
    stays: "tuple[str, ...]" = ()
    needs: str = ""
    ask: str = ""
    worth: int = 0
    first: "Callable[[Picture], str]" = no_words
    unsuited: "Callable[[Picture], str]" = no_words


class Host(Protocol):
    """What a gap may ask of the WebUI, for one sampling pass."""

    acts: bool  # whether this pass is any other than the plain one
    begun: bool  # whether some of the request is made already: too late to refuse what only makes no gap

    def has(self, ability: str) -> bool:
        """Whether this host can do its part of the gap."""

    def able(self, ability: str):
        """The host's own part of the gap. Raises SettingError where this host has none."""

    def read(self, text: str, negative: bool) -> list:
        """A text of the settings as the host would read it as the picture's own prompt, one a picture: comments,
        wildcards and placeholders are done with, extra networks still stand in it."""

    def read_by_others(self, prompts: list, negative_prompts: list, other: "tuple[bool, bool]", anew: bool):
        """(prompts, negative prompts, overlays): what extensions that take prompts for themselves leave of texts that
        were read, and what has them draw from these. `other`: which are not the pass's own; `anew`: to be encoded
        another way. Raises SettingError where one cannot."""

    def encode(self, texts: list, negative: bool):
        """The host's cond object of texts, one a picture."""

    def comment(self, text: str) -> None:
        """Tell the user, below the gallery."""


class Gap:
    """One kind of difference. A subclass, in a file of its own, says everything about it but what a host has to do.

    name      of its switch and section in the accordion's element ids
    switch    the words of its switch: what the weak side has
    settings  in the order shown
    experts   names of those that are shown among the experts'
    given     what its switch fills in when it is turned on; what it does not name, only the user can choose
    off       its settings' values under which it is none
    ability   the host's own part, see Host.able; "": every host can do it
    """

    name: str
    switch: str
    settings: "tuple[Setting, ...]" = ()
    experts: "tuple[str, ...]" = ()
    given: dict = {}
    ability: str = ""

    @property
    def off(self) -> dict:
        return {s.name: s.default for s in self.settings}

    def presets(self) -> "tuple[Preset, ...]":
        """The paper's settings for this gap."""
        return ()

    def differs(self, settings, picture: Picture) -> bool:
        """Whether the two sides differ in this, and the difference counts."""
        raise NotImplementedError

    def other_rows(self, settings, picture: Picture) -> bool:
        """Whether, asked at one place, the weak side needs other UNet rows than the strong side: what it costs."""
        return self.differs(settings, picture)

    def moves_strong(self, settings) -> bool:
        """Whether the strong side has other rows than the sampler's own call, but for its CFG scale."""
        return False

    def through_pixels(self, settings) -> str:
        """The model that the weak side is, where it meets the strong one in pixels (method.bridge); "" mostly."""
        return ""

    def touched(self, settings, picture: Picture) -> bool:
        """Whether its section of the accordion has anything to show."""
        return any(getattr(settings, name) != value for name, value in self.off.items())

    def offered(self, picture: Picture) -> bool:
        """Whether a picture like this can have the gap, where the host can."""
        return True

    def without_effect(self, settings) -> list:
        """What the user asked for that cannot count, in sentences."""
        return []

    def idle(self, settings, picture: Picture) -> str:
        """The words for its switch being on and nothing in it chosen yet."""
        return f"The weak version has {self.switch}: nothing is chosen below yet, so it has not."

    def cautions(self, settings, picture: Picture) -> list:
        """What is worth a warning before the click, in sentences."""
        return []

    def check(self, settings) -> None:
        """Raises SettingError where the settings ask for something that cannot be together with it."""

    def sides(self, settings, host: Host, strong: Side, weak: Side) -> "tuple[Side, Side]":
        """The two sides with this gap between them. Before sampling, and raises W2SDError where it cannot be."""
        raise NotImplementedError
