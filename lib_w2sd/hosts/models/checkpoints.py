"""Weak checkpoints as the WebUIs know them: by their own names and hashes, beside the loaded one."""

import functools
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from modules import sd_models, shared

from ...errors import CheckpointError
from ...page import infotext
from ...weights import exchange as checkpoint
from ...weights.exchange import CACHE, CheckpointOverlay, Slot, Weights
from ...weights.file import WeightsFile, open_weights
from ...weights.fit import architecture, check_fit, unfit
from ...weights.names import Known, NotMeant, meant


def choices() -> list:
    """The names of the host's checkpoints, for a list to pick from."""
    return sorted((info.name for info in sd_models.checkpoints_list.values()), key=str.casefold)


def refresh() -> None:
    """Look for checkpoint files again."""
    sd_models.list_models()


def find(given: str):
    """The host's CheckpointInfo for a whole name, a title or a hash. Raises CheckpointError, with the nearest
    names.

    Not as the host finds its own: that takes a part of a name for it, and does not look at a title's hash.
    """
    infos = list(sd_models.checkpoints_list.values())
    known = [_known(info) for info in infos]
    try:
        found = meant(given, known)
        if "[" in given and not found.hashes:
            # A title, of a file that has not been hashed yet: now it is, where the host does that.
            info = infos[known.index(found)]
            hash_of(info)
            known[known.index(found)] = _known(info)
            found = meant(given, known)
    except NotMeant as error:
        allowed = "allowed are whole names, titles and hashes of the WebUI's checkpoints, or nothing"
        raise CheckpointError(given, f"{error}; {allowed}.") from error
    return infos[known.index(found)]


def _known(info) -> Known:
    hashes = [info.shorthash, info.sha256] if info.shorthash else []
    if hashes and getattr(info, "hash", None):
        hashes.append(info.hash)  # that of titles of 2022
    model_name = getattr(info, "model_name", info.name_for_extra)  # ersatzForge has none
    others = (model_name, info.name_for_extra, str(info.filename))
    return Known(info.name, others, tuple(one.lower() for one in hashes if one))


def misfit(settings, loaded: str) -> str:
    """Why the weak checkpoint cannot be used with the loaded one, whose title this is, by what their files' first bytes
    say; "" where nothing speaks against it, or is known."""
    if not (settings.weak_checkpoint and loaded):
        return ""
    try:
        weak = _kind_of(find(settings.weak_checkpoint))
    except CheckpointError as error:
        return str(error).removeprefix("W2SD: ")
    with suppress(CheckpointError):
        own = _kind_of(find(loaded))
        if weak and own and weak != own:
            return f"The weak checkpoint is {weak} and yours is {own}: it will be refused."
    return ""


def _kind_of(info) -> "str | None":
    """The architecture of a checkpoint; None of a file that would have to be read whole."""
    path = Path(info.filename)
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return None
    return _kind_in(str(path), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _kind_in(path: str, changed: int) -> "str | None":
    with suppress(CheckpointError):
        return architecture(open_weights(path, path).shapes)
    return None


class WeakCheckpoint:
    """The checkpoint gap of one sampling pass. Subclasses say what differs from host to host."""

    kept = CACHE
    # Kinds of file that this host reads beside safetensors and pickles: suffix -> WeightsFile class.
    OPENERS: dict = {}

    def __init__(self, p, settings, loras: tuple = ()):
        self.p, self.settings, self.loras = p, settings, loras

    # ------------------------------------------------------------------ what differs from host to host

    def diffusion_model(self):
        """The loaded UNet."""
        raise NotImplementedError

    def prediction(self) -> "str | None":
        """What the loaded checkpoint predicts: eps, v, edm, flow; None: unknown."""
        raise NotImplementedError

    def refuse_loaded(self, given: str) -> None:
        """Raise CheckpointError where the loaded UNet is of a kind that nothing can take the place of."""

    def zero_terminal(self) -> bool:
        """Whether the loaded checkpoint's file says that it was trained with a schedule that ends in noise alone
        ("ztsnr"), and the host therefore samples on such a one."""
        return False

    def slots(self) -> "dict[str, Slot]":
        """The loaded UNet's tensors that its checkpoint has, and not those that a LoRA has added."""
        return checkpoint.slots_of(self.diffusion_model())

    def named(self, file: WeightsFile, shapes: dict) -> WeightsFile:
        """The file, its tensors called as the loaded UNet's, whose shapes by name these are."""
        return file

    def comparable(self, shapes: dict) -> dict:
        """The shapes of a UNet without what says only how this host stores it."""
        return shapes

    def place(self, info, file):
        """place(tensor, strong) for checkpoint.load of the checkpoint `info`, opened as `file`."""
        return checkpoint.like

    def load_scales(self, file, slots: "dict[str, Slot]", weights: Weights) -> None:
        """Whatever `comparable` has left out."""

    def merged(self) -> tuple:
        """The Uses among `self.loras` that the host merges into weights; the others it computes on the fly."""
        raise NotImplementedError

    def merge_loras(self, file, weights: Weights) -> None:
        """Merge those into `weights` as the host merges them into the loaded UNet."""
        raise NotImplementedError

    def announce(self, weights: Weights) -> None:
        """Tell the host's memory manager, before sampling, what will be needed."""

    def overlay(self, weights: Weights) -> CheckpointOverlay:
        return CheckpointOverlay(
            weights, lambda unet: self.installed_slots(weights), also=partial(self.also, weights), done=self.done
        )

    def also(self, weights: Weights) -> list:
        """See CheckpointOverlay."""
        return []

    def done(self, weights: Weights) -> None:
        """See CheckpointOverlay."""

    def installed_slots(self, weights: Weights) -> "dict[str, Slot]":
        """What is exchanged: every tensor that either of the two has at the time of the run."""
        unet = self.diffusion_model()
        slots = checkpoint.slots_of(unet)
        return {**slots, **{name: checkpoint.slot_named(unet, name) for name in weights.tensors if name not in slots}}

    # ------------------------------------------------------------------ one pass

    def is_the_loaded_one(self) -> bool:
        """Whether the weak checkpoint's file is the loaded checkpoint's, or known to hold the same."""
        loaded, weak = shared.sd_model.sd_checkpoint_info, find(self.settings.weak_checkpoint)
        same_hash = weak.sha256 is not None and weak.sha256 == loaded.sha256
        return same_hash or Path(weak.filename).resolve() == Path(loaded.filename).resolve()

    def opened(self) -> CheckpointOverlay:
        """The overlay, its weights loaded. Raises CheckpointError; the loaded checkpoint is not touched."""
        given = self.settings.weak_checkpoint
        info = find(given)
        if "[" in given and not _known(info).hashes:
            self.p.comment(f"W2SD: {info.name} was taken by its name; this WebUI knows no hash of it to compare.")
        self.refuse_loaded(given)
        slots = self.slots()
        shapes = {name: tuple(slot.tensor.shape) for name, slot in slots.items()}
        self.check_hires(given, shapes)
        load = partial(self._load, given, info, slots, shapes)
        try:
            # Equal LoRAs in equal files at equal scales make equal weights.
            merged = tuple((use.file, use.unet, use.dyn, Path(use.file).stat().st_mtime_ns) for use in self.merged())
            weights = CACHE.get(info.filename, checkpoint.layout_of(slots), (self.rounding(info), merged), load)
        except FileNotFoundError as error:
            missing = Path(error.filename or info.filename).name
            raise CheckpointError(given, f"but the file {missing} is not there any more.") from error
        if weights.zero_terminal != self.zero_terminal():
            words = ("is not", "is") if weights.zero_terminal else ("is", "is not")
            self.p.comment(
                f"W2SD: the loaded checkpoint {words[0]} marked ztsnr (zero terminal SNR) and the weak one {words[1]}: "
                "both are asked on the loaded one's schedule, which the weak one was not trained with. The gap is then "
                "not in the weights alone."
            )
        self.announce(weights)
        return self.overlay(weights)

    def by_its_name(self, path: str, shapes: dict) -> "str | None":
        """What the host takes a file's network to predict for its name alone; None where it does not go by that."""

    def rounding(self, info):
        """Whatever else decides what the same file becomes in memory."""

    def _load(self, given, info, slots, shapes) -> Weights:
        file = self.named(open_weights(given, info.filename, self.OPENERS), shapes)
        file.shapes, shapes = self.comparable(file.shapes), self.comparable(shapes)
        check_fit(file, info.filename, shapes, self.prediction(), self.by_its_name(info.filename, file.shapes))
        weights = checkpoint.load(file, info.name, {name: slots[name] for name in shapes}, self.place(info, file))
        self.load_scales(file, slots, weights)
        weights.zero_terminal = "ztsnr" in file.markers
        if self.merged():
            with checkpoint.reporting_memory(given):
                self.merge_loras(file, weights)
        return weights

    def check_hires(self, given, shapes: dict) -> None:
        """Whether a UNet of these shapes will fit the hires pass, if that one has a checkpoint of its own and is
        reflected: better refused now than after the first pass."""
        info = getattr(self.p, "hr_checkpoint_info", None)
        if info is None or getattr(self.p, "is_hr_pass", False) or not self.settings.lambda_of(True):
            return
        theirs = self.named(open_weights(info.name, info.filename, self.OPENERS), shapes).shapes
        why = unfit(self.comparable(shapes), self.comparable(theirs))
        if why:
            for loaded in ("the loaded checkpoint's", "the loaded one"):
                why = why.replace(loaded, "the hires pass's")
            raise CheckpointError(given, f"{why}. Turn the hires pass off in W2SD, or choose another.")


def write_infotext(settings, params: dict) -> None:
    """Checkpoints go in by the host's own names for them, with their hashes."""
    found = {}
    for name in infotext.HASHES:
        with suppress(CheckpointError):  # before_sampling ends the job with it
            if given := getattr(settings, name):
                found[name] = find(given)
    settings = replace(settings, **{name: info.name for name, info in found.items()})
    infotext.write(settings, params, {name: hash_of(info) for name, info in found.items()})


def on_model_loaded(host: type) -> None:
    """Free a weak UNet that has the layout of another checkpoint than the one just loaded."""
    if CACHE.weights is not None and host.has("checkpoint"):
        try:
            CACHE.free_unless(checkpoint.layout_of(host.able("checkpoint")(None, None).slots()))
        except AttributeError:  # no UNet where ours was: another kind of model altogether
            CACHE.free()


def describe() -> "dict | None":
    """The weak UNet kept in memory."""
    return CACHE.weights.as_dict() if CACHE.weights else None


def hash_of(info) -> "str | None":
    """The short hash that the host gives a checkpoint; it keeps those it has computed. None with --no-hashing."""
    return info.shorthash or info.calculate_shorthash()
