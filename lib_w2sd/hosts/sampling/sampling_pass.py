"""What AUTOMATIC1111's WebUI (seen with 1.10.1) and Forge (June 2025, dfdcbab6) have in common.

One object of a subclass stands for one sampling pass: it evaluates the strong and the weak side through the host's
own CFGDenoiser, so that masks, prompt editing and other extensions' callbacks shape them as they shape the
sampler's own calls, and it takes back everything that such an extra call leaves behind.
"""

import functools
import importlib
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

import torch
from modules import extra_networks, prompt_parser, script_callbacks, shared
from modules.processing import StableDiffusionProcessingImg2Img

from ...errors import LacksError, RefinerCheckpointError, SettingError, UnfitCheckpoint
from ...gaps import Picture, Side, asked_for, sides_of
from ...method import sampling
from ...method.reflection import Flow, Sigma, VariancePreserving
from ...method.rows import RowMeter
from ...method.trace import Pass, Trace
from ...page.settings import Settings
from ..compatibility import requirements
from ..compatibility.signatures import takes
from ..models import checkpoints, rewards
from ..models.pipeline_parts import LeftOut
from . import isolation
from .conds import of_one_length
from .noise import Noises
from .swapped import swapped

TRACE = "w2sd_trace"
HOSTS = __package__.rpartition(".")[0]


class WebUI:
    """One sampling pass of a request in a WebUI: `p` is its processing object, `settings` what the user asked for."""

    name: str
    # What this host does for a gap, by the gap's `ability`: "module" of this package, or "module:name".
    ABILITIES: dict = {}
    skips_uncond = False  # whether the host itself leaves the uncond rows out at CFG 1
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
        "modules.scripts:Script.process_before_every_sampling",
        "modules.infotext_utils:PasteField.__init__",
        "modules.sd_samplers_timesteps_impl:ddim",
        "modules.sd_samplers_timesteps_impl:plms",
    )

    def __init__(self, p, settings: Settings):
        self.p, self.settings = p, settings
        self.sampler = p.sampler
        self.hires_pass = bool(getattr(p, "is_hr_pass", False))
        self.meter = RowMeter(self.may_join)
        self.noises = None  # those that Re-Sampling draws
        self.begun = self.hires_pass and settings.acts_in(False)
        if settings.weak_checkpoint and settings.weak_refiner_checkpoint:
            checkpoints.find(settings.weak_refiner_checkpoint, RefinerCheckpointError)  # now rather than half way
        if settings.reward and settings.acts_in(self.hires_pass) and not settings.weak_alone:
            rewards.check(p, settings)
            self.judge = rewards.Judge(settings, self.load_unet)
        self.build_sides()

    # ------------------------------------------------------------------ what differs from host to host

    @classmethod
    def refusal(cls, p) -> str:
        """Why nothing of a request can be reflected, though W2SD is on; "" mostly."""
        return ""

    def unet(self):
        """The object whose `apply_model` every UNet call goes through."""
        raise NotImplementedError

    def is_flow(self) -> bool:
        raise NotImplementedError

    def load_unet(self, shape=None) -> None:
        """Have the UNet where it computes, after other models have; with room for latents of this shape."""

    def is_one_video(self) -> bool:
        """Whether the pictures of a batch are the frames of one video."""
        return False

    def request_scale(self, kwargs) -> float:
        """The CFG scale that the sampler's own call at this pass uses."""
        return kwargs["cond_scale"]

    def guidance_is_another_extensions(self) -> bool:
        """Whether cond and uncond are put together by somebody who may need both at any scale: Dynamic Thresholding,
        self-attention and perturbed-attention guidance."""
        raise NotImplementedError

    def rows_are_told_apart(self) -> bool:
        """Whether another extension is told which rows are the prompt's and which the negative prompt's (NegPiP and
        Regional Prompter by the order of the pair, ControlNet's "more important" modes and IP-Adapter by marks): none
        may then stand in another's place."""
        own = ("callbacks_cfg_denoiser", "callbacks_cfg_denoised")
        return self.listened_to(*own) or self.guidance_is_another_extensions()

    def listened_to(self, *callbacks: str) -> bool:
        """Whether an extension listens to the host's denoiser."""
        listeners = [entry for name in callbacks for entry in script_callbacks.callback_map[name]]
        return not all(self.is_idle(getattr(entry, "callback", entry)) for entry in listeners)

    def is_idle(self, listener) -> bool:
        """Whether a callback is known to do nothing in this request."""
        return False

    def call(self, x, t, kwargs):
        """One call of the host's denoiser; evaluates only the rows that count."""
        raise NotImplementedError

    def apply_refiner(self, x, t) -> None:
        """What the host's denoiser does first in a call: let the refiner take over if this is where it does."""
        raise NotImplementedError

    def step_call(self, x, t, kwargs):
        """The same with everything that a call leaves behind: the sampler's own."""
        return self.call(x, t, kwargs)

    def conditioning(self, texts: list, negative: bool):
        """SdConditioning of `texts` as this pass makes its own."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what a gap may ask: gaps.gap.Host

    @classmethod
    def has(cls, ability: str) -> bool:
        return ability in cls.ABILITIES and not cls.lacks(ability)

    @classmethod
    def lacks(cls, ability: str) -> list:
        """What this host lacks for a gap, which reaches further into it than the rest."""
        room = cls.ABILITIES[ability].partition(":")[0]
        lacking = requirements.missing(requirements.BY_ROOM.get(room, ()))
        try:
            return lacking or (importlib.import_module(f"{HOSTS}.{room}") and [])
        except Exception as error:  # whatever it is: the other gaps do not need it
            return [f"what {room} needs ({error})"]

    @classmethod
    def able(cls, ability: str):
        """This host's own part of a gap."""
        if ability not in cls.ABILITIES:
            raise SettingError(f"W2SD: this WebUI ({cls.name}) cannot make the {ability} gap.")
        lacking = cls.lacks(ability)
        if lacking:
            raise LacksError(
                f"W2SD cannot make a {ability} gap in this WebUI, which lacks {requirements.listed(lacking)}."
            )
        room, _, name = cls.ABILITIES[ability].partition(":")
        found = importlib.import_module(f"{HOSTS}.{room}")
        return getattr(found, name) if name else found

    def comment(self, text: str) -> None:
        self.p.comment(text)

    # ------------------------------------------------------------------ conds

    def own_prompts(self):
        """The pass's prompts and negative prompts, one a picture, extra networks already taken out."""
        p, hr = self.p, "hr_" if self.hires_pass else ""
        return list(getattr(p, f"{hr}prompts")), list(getattr(p, f"{hr}negative_prompts"))

    def cond_steps(self):
        """The steps that prompt editing counts in: of the first pass, and of the hires pass or None."""
        p = self.p
        if not self.hires_pass:
            return p.firstpass_steps, None
        return p.firstpass_steps, self.sampler.config.total_steps(p.hr_second_pass_steps or p.steps)

    def encode(self, texts: list, negative: bool, model=None):
        build = prompt_parser.get_learned_conditioning if negative else prompt_parser.get_multicond_learned_conditioning
        texts, _ = extra_networks.parse_prompts(texts)
        old = [shared.opts.use_old_scheduling] if takes(build, "use_old_scheduling") else []
        conds = build(model or shared.sd_model, self.conditioning(texts, negative), *self.cond_steps(), *old)
        return of_one_length(conds) if negative else conds

    def build_sides(self):
        """The strong and the weak side. Before sampling: encoding a prompt may push the UNet off the GPU."""
        self.acts = self.settings.acts_in(self.hires_pass)
        self.strong_side, self.weak_side = sides_of(self.settings, self)
        self.own_uncond = None
        self.encoded_for = self.checkpoint()

    def uncond(self):
        """The pass's own uncond where the host made none, because its own CFG scale is 1."""
        if self.own_uncond is None:
            self.own_uncond = self.encode(self.own_prompts()[1], True)
        return self.own_uncond

    def checkpoint(self):
        return shared.sd_model.sd_checkpoint_info

    # ------------------------------------------------------------------ denoiser.Sides

    def rows(self) -> int:
        return self.meter.rows

    def sharing(self, wanted: bool):
        """Rows that one side has just evaluated serve the other too, where both are asked at one place."""
        return self.meter.sharing() if wanted else nullcontext()

    def announce(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        if self.asks_for_other_rows(kwargs):
            with self.meter.noting():
                self.evaluate(x, t, kwargs, self.weak_side)

    def own_scale(self, kwargs) -> float:
        return self.request_scale(kwargs)

    def step_is_strong(self, kwargs) -> bool:
        # But for "Negative guidance minimum sigma", which drops the guidance of the sampler's own call (see evaluate).
        return self.strong_side == Side() and not kwargs.get("s_min_uncond")

    def only_scales(self, kwargs):
        strong, weak = self.strong_side, self.weak_side
        if replace(strong, cfg_scale=None) != Side() or replace(weak, cfg_scale=None) != Side():
            return None
        if self.guidance_is_another_extensions():  # whose pictures do not go with the scale
            return None
        return self.scale_of(strong, kwargs), self.scale_of(weak, kwargs)

    @property
    def prompt_alone(self):
        def at(scale):
            def asked(x, t, kwargs):
                return self.evaluate(x, t, kwargs, replace(self.strong_side, cfg_scale=scale))

            return asked

        return at(1.0), at(0.0)

    def noise(self, x):
        if self.noises is None:
            self.noises = Noises(self.p.seeds, "W2SD")
        return self.noises.drawn(x.shape).to(x)

    def rewards(self, signal):
        scores = self.judge.scores(signal, self.own_prompts()[0])
        # Frames chosen one by one would not follow each other.
        return scores.mean().expand_as(scores) if self.is_one_video() else scores

    def weak_first(self, kwargs) -> bool:
        """Whether the weak side's rows hold the strong side's: it needs a cond/uncond pair, the strong side one."""
        strong = self.scale_of(self.strong_side, kwargs)
        one_row, another = (0.0, 1.0), self.scale_of(self.weak_side, kwargs)
        return strong in one_row and another not in one_row and self.weak_side == Side(self.weak_side.cfg_scale)

    def asks_for_other_rows(self, kwargs) -> bool:
        """Whether the weak side's rows, asked at one place with the strong side's, could travel in the same call.

        To learn which they are, the host's denoiser is run once more without its network: not if another extension
        listens to it, which would be told of a picture that is none, or guides (self-attention guidance needs what the
        network itself has recorded).
        """
        overlays = self.strong_side.overlays + self.weak_side.overlays
        if self.weak_side.model is not None:
            return False
        if self.rows_are_told_apart() or self.listened_to("callbacks_cfg_after_cfg"):
            return False
        if not all(getattr(overlay, "mixes_rows", False) for overlay in overlays):
            return False
        scales = {self.scale_of(side, kwargs) for side in (self.strong_side, self.weak_side)}
        other_conds = self.weak_side.cond is not None or self.weak_side.uncond is not None
        other_conds = other_conds or self.strong_side.inputs != self.weak_side.inputs
        return bool(overlays) or other_conds or scales == {0.0, 1.0}

    def may_join(self, shape) -> bool:
        """Whether two calls may be made one: not beyond twice the pair of rows that the host itself makes one of."""
        return shape[0] <= 4 * len(self.p.prompts) and self.has_room(shape)

    def has_room(self, shape) -> bool:
        """The host's own rule for making one call of cond and uncond."""
        raise NotImplementedError

    def scale_of(self, side: Side, kwargs) -> float:
        return side.cfg_scale if side.cfg_scale is not None else self.request_scale(kwargs)

    def strong(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        return self.evaluate(x, t, kwargs, self.strong_side)

    def weak(self, x, t, kwargs):
        self.follow_refiner(x, t, kwargs)
        return self.evaluate(x, t, kwargs, self.weak_side)

    def evaluate(self, x, t, kwargs: dict, side: Side):
        """The denoiser's output at (x, t) under `side`, as if it had never been asked. `kwargs`: the sampler's."""
        if side.model is not None:
            return self.through_pixels(x, t, kwargs, side)
        # "Negative guidance minimum sigma" would drop the guidance that this evaluation is about.
        ask = {**self.asked(kwargs, side), "s_min_uncond": 0.0}
        self.follow_unet()
        with self.untraced(), self.switched_on(side):
            return self.call(x.clone(), t, ask)

    def through_pixels(self, x, t, kwargs: dict, side: Side):
        """The answer of a side that is another model (method.bridge), as the loaded one would give it: what it is asked
        about is what the strong side sees here."""
        output, where = self.evaluate(x, t, kwargs, self.strong_side), self.coordinates
        alpha, beta = where.levels(x, t)
        level = (torch.as_tensor(beta / alpha, dtype=torch.float32)).reshape(-1).expand(x.shape[0])
        signal = where.signal(x, output, t)
        with self.untraced():
            found = side.model.answer(signal, where.noise(x, output, t), level, self.scale_of(side, kwargs))
        self.load_unet(x.shape)
        if self.denoiser.mask is not None:
            # Outside of the mask the picture is given to both.
            found = signal + (found - signal) * self.denoiser.nmask
        return where.output(x, found.to(x), t)

    def asked(self, kwargs: dict, side: Side) -> dict:
        """The denoiser's keywords under `side`."""
        ask = {
            **kwargs,
            "cond_scale": self.scale_of(side, kwargs),
            "cond": side.cond if side.cond is not None else kwargs["cond"],
            "uncond": side.uncond if side.uncond is not None else kwargs["uncond"],
        }
        if ask["uncond"] is None and ask["cond_scale"] != 1:
            ask["uncond"] = self.uncond()
        return ask

    def step_as_weak(self, x, t, kwargs):
        if getattr(self.p, "refiner_checkpoint_info", None) is not None:
            # It would be loaded in the middle of this very call, into the weak checkpoint's tensors.
            raise SettingError(
                "W2SD: weak_alone (Draw with the weak side alone) was given True, with a refiner; allowed is one of "
                "the two."
            )
        ask = self.asked(kwargs, self.weak_side)
        self.follow_unet()
        with self.switched_on(self.weak_side):
            return self.step_call(x, t, ask)

    @contextmanager
    def switched_on(self, side: Side):
        start = time.perf_counter()
        with ExitStack() as stack:
            for overlay in side.overlays:
                stack.enter_context(overlay.on())
            stack.enter_context(swapped(self.meter, "under", side.overlays))
            on = time.perf_counter() - start
            yield
            start = time.perf_counter()
        if side.overlays:
            self.trace().toggles.append((on + time.perf_counter() - start) * 1e3)

    def follow_refiner(self, x, t, kwargs):
        """Let the refiner take over here rather than in the call, if that is where it would: in the middle of a side it
        would meet that side's overlays. Then, as after one in the sampler's own call, the sides are built anew."""
        self.apply_refiner(x, t)
        if self.checkpoint() is self.encoded_for:
            return
        extra_args = self.sampler.sampler_extra_args
        kwargs["cond"], kwargs["uncond"] = extra_args["cond"], extra_args["uncond"]
        self.begun, settings = True, self.settings
        if settings.weak_checkpoint and settings.weak_refiner_checkpoint:
            self.settings = replace(settings, weak_checkpoint=settings.weak_refiner_checkpoint)
        try:
            self.build_sides()
        except UnfitCheckpoint:
            # Which refiner takes over is the user's choice, and the picture half made: from here on the sides
            # differ in everything but the checkpoint.
            self.p.comment("W2SD: the weak checkpoint does not fit the refiner; from there on it was left out.")
            self.settings = replace(self.settings, weak_checkpoint="")
            self.build_sides()
        self.overlaid_unet = None

    def untraced(self):
        """Around an extra evaluation: what it leaves behind is taken back."""
        return isolation.taken_back(self.p, self.sampler, self.denoiser)

    # ------------------------------------------------------------------ one run of the sampler

    @contextmanager
    def sides(self, model, arguments):
        """denoiser.Sides for one run: the host's denoiser is known, and its UNet's rows are counted."""
        self.denoiser = model
        self.coordinates = self.coordinates_of(model, arguments)
        with ExitStack() as self.overlaid, ExitStack() as self.metered, self.counting_a_refiners_rows():
            self.overlaid_unet, self.metered_unet, self.installed = None, None, ()
            self.follow_unet()
            yield self
            self.tell_of_no_gap()
            self.tell_of_windows()
            models = [side.model for side in (self.strong_side, self.weak_side) if side.model is not None]
            self.trace().overlays = [of.as_dict() for of in (*self.installed, *models)]
        if getattr(shared.cmd_opts, "w2sd_verbose", False):
            print(self.trace().summary())

    def tell_of_no_gap(self):
        """At the end of a run: a gap that was none at any step is not to be sold as one."""
        run = self.trace()
        asked = asked_for(self.settings, Picture(self.picture_cfg(), flux=self.is_flow()))
        if asked and run.reflections and not run.gap_norms().any():
            where = " in the hires pass" if self.hires_pass else ""
            told = f"W2SD: strong and weak side were the same at every reflected step{where}, so W2SD changed nothing"
            self.comment(f"{told}; asked for was: the weak side has {', '.join(asked)}.")
            print(told)  # the API's answer has no comments

    def tell_of_windows(self):
        """At the end of a run: what a weak side does without may have had no effect at the last reflected steps."""
        for overlay in self.installed:
            if isinstance(overlay, LeftOut) and (told := overlay.told(self.trace().reflections)):
                self.comment(told)
                print(told)  # the API's answer has no comments

    def picture_cfg(self) -> float:
        """The CFG scale of the pass."""
        return self.p.cfg_scale

    def trace(self) -> Pass:
        return getattr(self.p, TRACE).passes[-1]

    def coordinates_of(self, model, arguments):
        if "timesteps" in arguments:
            return VariancePreserving(model.inner_model.inner_model.alphas_cumprod)
        return Flow() if self.is_flow() else Sigma()

    def counting_a_refiners_rows(self):
        """A refiner takes over inside some call of the host's denoiser; its rows count from that call on."""
        update = self.denoiser.update_inner_model

        def updated():
            update()
            self.follow_rows()

        return swapped(self.denoiser, "update_inner_model", updated)

    def follow_rows(self):
        """Count at the UNet in use; a refiner may have brought another."""
        unet = self.unet()
        if unet is not self.metered_unet:
            self.metered.close()
            network = unet.apply_model
            counted = functools.wraps(network)(lambda *args, **kwargs: self.meter.call(network, args, kwargs))
            self.metered.enter_context(swapped(unet, "apply_model", counted))
            self.metered_unet = unet

    def follow_unet(self):
        """Have the overlays installed in the UNet in use, and count there, outermost."""
        unet = self.unet()
        overlays = tuple(dict.fromkeys(self.strong_side.overlays + self.weak_side.overlays))
        if unet is not self.overlaid_unet or set(overlays) != set(self.installed):
            self.metered.close()
            self.overlaid.close()
            self.metered_unet, self.overlaid_unet, self.installed = None, None, ()
            for overlay in overlays:
                self.overlaid.enter_context(overlay.installed(unet))
            self.overlaid_unet, self.installed = unet, overlays
        self.follow_rows()

    def reflecting(self, func):
        """The sampling function `func` of the pass's sampler, reflecting."""
        trace = getattr(self.p, TRACE, None) or Trace()
        setattr(self.p, TRACE, trace)
        return sampling.reflecting(
            func,
            self.settings,
            self.sides,
            functools.partial(trace.add, name=self.pass_name()),
            hires_pass=self.hires_pass,
            keeping=isolation.noise_kept,
        )

    def pass_name(self) -> str:
        if self.hires_pass:
            return "hires"
        return "img2img" if isinstance(self.p, StableDiffusionProcessingImg2Img) else "txt2img"
