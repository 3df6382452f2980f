"""What a WebUI says of itself, where one differs from the other: twelve things, in a subclass for each.

One object stands for one sampling pass.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modules import prompt_parser, script_callbacks, shared

from ...gaps import Side
from ...gaps.pipeline import PARTS
from ..compatibility.abilities import Abilities
from . import isolation
from .prompts import Prompts, regions


@dataclass(frozen=True)
class Company:
    """Who else is at work in a pass.

    guides            cond and uncond are put together by somebody who may need both at any scale: Dynamic Thresholding,
                      self-attention and perturbed-attention guidance
    tells_rows_apart  another extension is told which rows are the prompt's and which the negative prompt's, or may
                      change the network's answers to them: none may then stand in another's place
    listens           another extension hears of every call
    reads_along       one that guides has something called with the network, and may go by what that has noted in the
                      call (self-attention guidance by the attention's scores)
    """

    guides: bool
    tells_rows_apart: bool
    listens: bool
    reads_along: bool = False


# The host's callbacks before and after the network, and after guidance.
BEFORE, AFTER, GUIDED = "callbacks_cfg_denoiser", "callbacks_cfg_denoised", "callbacks_cfg_after_cfg"


class WebUI(Abilities):
    skips_uncond = False  # whether the host itself leaves the uncond rows out at CFG 1
    PARTS: "tuple[str, ...]" = PARTS  # of gaps.pipeline.PARTS, those that this host can leave out
    KEEPS: "tuple[Callable, ...]" = ()  # each gives a list: what else of this host's an extra evaluation leaves alone
    # Names and signatures that W2SD relies on (see requirements), also for /w2sd/v1/host.
    RELIES_ON = (
        "modules.sd_samplers_cfg_denoiser:CFGDenoiser.forward(cond, uncond, cond_scale, s_min_uncond)",
        "modules.sd_samplers_cfg_denoiser:CFGDenoiser.update_inner_model",
        "modules.sd_samplers_common:store_latent",
        "modules.sd_samplers_common:Sampler.initialize",
        "modules.sd_samplers_common:Sampler.launch_sampling",
        "modules.prompt_parser:SdConditioning.__init__(is_negative_prompt, width, height)",
        "modules.prompt_parser:MulticondLearnedConditioning.__init__(shape, batch)",
        "modules.prompt_parser:ComposableScheduledPromptConditioning.__init__",
        "modules.prompt_parser:get_learned_conditioning",
        "modules.prompt_parser:get_multicond_learned_conditioning",
        "modules.extra_networks:parse_prompts",
        "modules.scripts:Script.setup",
        "modules.scripts:Script.process",
        "modules.scripts:Script.process_batch",
        "modules.scripts:Script.process_before_every_sampling",
        "modules.scripts:Script.post_sample",
        "modules.infotext_utils:PasteField.__init__",
        "modules.sd_samplers_timesteps_impl:ddim",
        "modules.sd_samplers_timesteps_impl:plms",
    )

    def __init__(self, p):
        self.p, self.sampler = p, p.sampler
        self.hires_pass = bool(getattr(p, "is_hr_pass", False))
        self.prompts = Prompts(self)
        self.denoiser = None  # the host's CFGDenoiser, once a run has begun
        self.layers: Callable[[], isolation.Layers] | None = None  # of the UNet in use, likewise
        self.left_out = 0  # rows that the host has asked for in extra calls, and that count for nothing

    @classmethod
    def refusal(cls, p) -> str:
        """Why nothing of a request can be reflected, though W2SD is on; "" mostly."""
        return ""

    @classmethod
    def before_encoding(cls, p) -> None:
        """Once a batch, before its prompts are encoded."""

    @classmethod
    def unguided(cls) -> dict:
        """Where the host leaves the guidance out by its options, see forecast.Facts."""
        opts = shared.opts
        return {"early": opts.skip_early_cond, "early_after": 0, "minimum_sigma": opts.s_min_uncond}

    @classmethod
    def listened_to(cls, *callbacks: str) -> bool:
        """Whether an extension listens to the host's denoiser, but for those that are known to do nothing now."""
        entries = [entry for name in callbacks for entry in script_callbacks.callback_map[name]]
        listeners = [getattr(entry, "callback", entry) for entry in entries]
        return not all(map(regions.is_off, listeners))

    @classmethod
    def pairs(cls) -> frozenset:
        """CFG scales at which an evaluation asks for both kinds of rows since an extension listens, see Picture."""
        return frozenset({0.0, 1.0} if cls.listened_to(AFTER) else ())

    @property
    def size(self) -> "tuple[int, int]":
        """Width and height that this pass draws."""
        p = self.p
        return (p.hr_upscale_to_x, p.hr_upscale_to_y) if self.hires_pass else (p.width, p.height)

    # ------------------------------------------------------------------ what differs from host to host

    def unet(self):
        """The object whose `apply_model` every UNet call goes through."""
        raise NotImplementedError

    def load_unet(self, shape=None) -> None:
        """Have the UNet where it computes, after other models have; with room for latents of this shape."""

    def has_room(self, shape) -> bool:
        """The host's own rule for making one call of cond and uncond."""
        raise NotImplementedError

    def is_flow(self) -> bool:
        """Whether the network is a flow model, which sees its latent unscaled."""
        raise NotImplementedError

    def is_one_video(self) -> bool:
        """Whether the pictures of a batch are the frames of one video."""
        return False

    def company(self) -> Company:
        """Who else is at work."""
        raise NotImplementedError

    def unread(self) -> frozenset:
        """Names of what the host hands to the network, which does not read it."""
        return frozenset()

    def checkpoint(self):
        """What the network's weights are of; another once a refiner has taken over."""
        return shared.sd_model.sd_checkpoint_info

    def apply_refiner(self, x, t) -> None:
        """What the host's denoiser does first in a call: let the refiner take over if this is where it does."""
        raise NotImplementedError

    def cfg_scale(self, kwargs: "dict | None" = None) -> float:
        """The CFG scale of the pass; with a call's keywords, of that call if it is the sampler's own. No object."""
        return isolation.plain(self.p.cfg_scale if kwargs is None else kwargs["cond_scale"])

    def encode(self, built: Callable, texts: list, negative: bool):
        """built(SdConditioning) of `texts` as this pass makes its own."""
        width, height = self.size
        return built(prompt_parser.SdConditioning(texts, is_negative_prompt=negative, width=width, height=height))

    def conds(self, kwargs: dict, side: Side) -> dict:
        """The cond and the uncond of a call under `side`; `kwargs`: the sampler's own."""
        return {
            "cond": side.cond if side.cond is not None else kwargs["cond"],
            "uncond": side.uncond if side.uncond is not None else kwargs["uncond"],
        }

    def call(self, x, t, ask: dict, own: bool = False, whole: bool = False):
        """One call of the host's denoiser; an extra one evaluates only the rows that count.

        own    in the place of the sampler's own: with everything that such a call leaves behind
        whole  with all rows; an extra one without raises LeftOutByHost where the host asks for none that count
        """
        raise NotImplementedError
