"""Calls of ours that nobody notices: what an evaluation or an encoding hands on is a copy, and what others keep is
afterwards as it was.

HANDED and KEPT say what is covered. The suite's sweep (tests/live/test_sweep.py) holds it beside every extension,
option and script that a WebUI has.
"""

import copy
import functools
import random
import sys
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from modules import script_callbacks, sd_samplers_common, shared

from .belongings import Belongings
from .layers import Layers
from .places import state_of
from .swapped import swapped
from .whose import file_of, is_theirs

# Copies, which whoever gets them may change in place.
HANDED = ("the latent", "sigma or the timestep", "the image's conditioning", "the prompts' conds")
# As it was before, however an evaluation of ours or an encoding ends.
KEPT = (
    "the random generators of torch, its device, Python and NumPy, and those that an extension made for itself",
    "the denoiser: its step, marks of padding, last noise, mask, inverted mask, initial latent, and what is put on "
    "its model",
    "the sampler: its last latent, the arguments of its calls",
    "the network: functions and weights that others have put in the place of its layers'",
    "the request: infotext, comments, whatever else an extension has written on it",
    "the progress: the step's number, how many there are, the preview",
    "numbers, lists, tables, tensors and arrays that scripts, callbacks, guidance functions and their modules hold",
    "a CFG scale, eta or noise level that is an object and changes by being used",
    "what encoding a prompt writes down: hashes of embeddings, emphasis, comments",
)
CALLBACKS = ("callbacks_cfg_denoiser", "callbacks_cfg_denoised", "callbacks_cfg_after_cfg")
# Not a memory of calls: a refiner brings another model, and a sampler is told what function it has.
OF_A_MODEL = ("model_wrap", "model_wrap_cfg", "func")
PROGRESS = ("sampling_step", "sampling_steps", "current_image_sampling_step", "textinfo")


def copied(value):
    """Arguments of a call of the denoiser: every tensor in them is another, nothing else is."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a schedule of prompts
        return type(value)(*map(copied, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value))
    if isinstance(value, dict):
        one = copy.copy(value)
        one.update({key: copied(item) for key, item in value.items()})
        return one
    if type(value).__module__ == "modules.prompt_parser":
        one = copy.copy(value)
        vars(one).update({name: copied(item) for name, item in vars(value).items()})
        return one
    return value


class Moment:
    """Everything that KEPT lists, as it is now. put_back() makes it so again, as often as wanted."""

    def __init__(
        self, webui, layers: "Layers | None" = None, values=(), earlier: "Moment | None" = None, untouched: bool = False
    ):
        """
        layers     of the network, where it is to be called
        values     the arguments of the call
        earlier    another one of the pass: with it, only what has changed since takes its time
        untouched  nobody else's code has run since `earlier` was put back: what others remember is what it was
        """
        still = earlier and untouched
        self._belongings = earlier._belongings if still else self._held(webui, layers, values, earlier)
        self._others = [*generators(), *([layers.as_they_are()] if layers else [])]
        self._weights = layers.weights_as_they_are() if layers else lambda: None
        self._progress = {name: getattr(shared.state, name) for name in PROGRESS if hasattr(shared.state, name)}
        self.standing = None  # what stood as changes() was asked for

    @staticmethod
    def _held(webui, layers, values, earlier) -> Belongings:
        p = webui.p
        scripts = [script for script in p.scripts.alwayson_scripts if is_theirs(file_of(type(script)))]
        # AnimateDiff puts its forward on the denoiser's model in the first call, and what that needs on itself.
        wrap = getattr(webui.denoiser, "inner_model", None)
        known = [p, webui.sampler, webui.denoiser, wrap, *draws_from(p), *objects_among([*vars(p).values(), *values])]
        known += [one for kept in webui.KEEPS for one in kept()]
        functions, kept_on = layers.of_others() if layers else ([], [])
        roots = [*listeners(), *scripts, *patches(), *functions]
        objects = [(one, OF_A_MODEL) for one in known if one is not None]
        return Belongings(roots, objects, kept_on, earlier and earlier._belongings)

    def changes(self, present) -> list:
        """What others remember since then that they did not (Belongings.since). `present()`: the Moment that it is now,
        asked for where there is anything, since to look everywhere takes longer than to look where things were."""
        self.standing = self._belongings.standing()
        return present()._belongings.since(self._belongings) if self._belongings.changed(self.standing) else []

    def changes_until(self, present: "Moment") -> list:
        """changes(), where all is as it is in `present`."""
        unchanged = present._belongings.as_just_seen()
        return present._belongings.since(self._belongings) if self._belongings.changed(unchanged) else []

    def put_back(self, weights: bool = True, standing: "frozenset | None" = None) -> None:
        """`weights`: those of the network too. Not where the host itself may have moved them. `standing`: what is known
        to be as it was (Belongings.standing)."""
        self._belongings.put_back(standing)
        if weights:
            self._weights()
        for put_back in self._others:
            put_back()
        for name, value in self._progress.items():
            if getattr(shared.state, name) is not value:
                setattr(shared.state, name, value)

    def put_back_from(self, present: "Moment", weights: bool = True) -> None:
        """put_back(), where all is as it is in `present`."""
        self.put_back(weights, present._belongings.as_just_seen())


@contextmanager
def unnoticed(now: Moment, at: "Moment | None" = None, weights: bool = True):
    """Around an evaluation or an encoding: afterwards all is as it is `now`; within, as it was `at` another moment.
    `weights`: see Moment.put_back. Where changes() of the moment within is asked for, it is the last of all."""
    start = at or now
    start.standing = None
    try:
        if at is not None:
            at.put_back_from(now, weights)
        with swapped(sd_samplers_common, "store_latent", lambda _: None):
            yield
    finally:
        now.put_back(weights, start.standing)


def patches() -> list:
    """The host's own record of what extensions have put in its functions' place: Incantations does so in every call."""
    record = getattr(sys.modules.get("modules.patches"), "originals", None)
    return [] if record is None else [record]


def listeners() -> list:
    entries = [entry for name in CALLBACKS for entry in script_callbacks.callback_map.get(name, ())]
    return [getattr(entry, "callback", entry) for entry in entries]


def draws_from(p) -> list:
    """The host's generators of the pictures' own seeds."""
    rng = getattr(p, "rng", None)
    return [one for one in (rng, *getattr(rng, "generators", ())) if hasattr(one, "__dict__")]


def objects_among(values) -> list:
    """Numbers with a memory of their own."""
    return [value for value in values if isinstance(value, (int, float)) and hasattr(value, "__dict__")]


def plain(number):
    """The number, where it may be an object that looks like one."""
    return number if type(number) in (int, float) else float(number)


def used(number):
    """What a number gives where it is multiplied next: it may be an object that gives another one every time."""
    if type(number) in (int, float):
        return number
    before = Belongings([], [(one, ()) for one in objects_among([number])])
    try:
        return float(number * 1.0)
    finally:
        before.put_back()


def on_gpu() -> list:
    """The devices whose generator has to be put back, but for the CPU's."""
    return [shared.device] if getattr(shared.device, "type", None) == "cuda" else []


def generators() -> list:
    """What puts every generator that all share back to where it is now."""
    cpu = torch.random.get_rng_state()
    found = [lambda: torch.random.set_rng_state(cpu)]
    found += [functools.partial(torch.cuda.set_rng_state, torch.cuda.get_rng_state(one), one) for one in on_gpu()]
    rng = sys.modules.get("modules.rng")
    if getattr(rng, "nv_rng", None) is not None:  # put in another's place by every seed
        hosts = copy.deepcopy(rng.nv_rng)
        found.append(lambda: setattr(rng, "nv_rng", copy.deepcopy(hosts)))
    return [*found, state_of(random._inst), state_of(np.random.mtrand._rand)]


@contextmanager
def draws_kept():
    """Around what prepares a run, or a part of it: a network that is made draws its first weights, and what the host
    draws next (the noise of its VAE's encoder, say) would be others."""
    before = generators()
    try:
        yield
    finally:
        for put_back in before:
            put_back()


# Where encoding notes what a picture's infotext and log are to say of it: embeddings and their hashes, the emphasis.
NOTES = (
    ("modules.sd_hijack:model_hijack", ("extra_generation_params", "comments", "fixes")),  # A1111
    ("backend.text_processing.classic_engine", ("last_extra_generation_params",)),  # Forge
    ("backend.args:dynamic_args", ("last_extra_generation_params",)),  # Forge Neo
)


@contextmanager
def unnoted(p):
    """Around an encoding: what it notes for the infotext and the log, which would be the next picture's."""
    holders = [(p, ("extra_generation_params", "comments"))]
    holders.append((shared.sd_model, ("extra_generation_params", "comments")))
    for path, names in NOTES:
        module, _, attribute = path.partition(":")
        holder = sys.modules.get(module)
        holders.append((getattr(holder, attribute, None) if attribute else holder, names))
    notes = [(holder, name) for holder, names in holders for name in names if hasattr(holder, name)]
    before = [(holder, name, getattr(holder, name), copy.copy(getattr(holder, name))) for holder, name in notes]
    try:
        yield
    finally:
        for holder, name, kept, content in before:
            if isinstance(kept, dict):
                kept.clear()
                kept.update(content)
            elif isinstance(kept, list):
                kept[:] = content
            if getattr(holder, name) is not kept:
                setattr(holder, name, kept)


@contextmanager
def noise_kept():
    """Around a rehearsal of the sampler: whatever it draws noise from is as before, and the picture's own seeds are
    not asked."""
    sampling, rng = sys.modules.get("k_diffusion.sampling"), sys.modules.get("modules.rng")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(on_gpu()))
        if hasattr(sampling, "torch"):  # the host puts its own, with the picture's seeds, in torch's place
            stack.enter_context(swapped(sampling, "torch", torch))
        if hasattr(rng, "nv_rng"):
            stack.enter_context(swapped(rng, "nv_rng", copy.deepcopy(rng.nv_rng)))
        yield
