"""The checkpoint gap: another checkpoint's UNet in the place of the loaded one (paper, 4.1, Table 2).

The file is opened and checked before anything is loaded; only the UNet is read, one tensor at a time, each into
what the loaded UNet's tensor is (dtype, device, memory format). Switching then exchanges the tensors of the two
by reference, which costs microseconds a tensor and copies nothing. No host, no user interface.
"""

import gc
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import CheckpointMemoryError, is_out_of_memory
from .file import WeightsFile


class Slot(NamedTuple):
    """Where a module keeps one of its tensors: `store[key]`, the store being its dictionary `kind`."""

    module: torch.nn.Module
    kind: str  # _parameters or _buffers
    key: str

    @property
    def store(self) -> dict:
        return vars(self.module)[self.kind]

    @property
    def tensor(self):
        return self.store[self.key]


def slots_of(unet: torch.nn.Module) -> "dict[str, Slot]":
    """Every tensor of the UNet that a checkpoint holds, by name: parameters and persistent buffers."""
    found = {}
    for prefix, module in unet.named_modules():
        for kind, left_out in (("_parameters", ()), ("_buffers", module._non_persistent_buffers_set)):
            for key, tensor in vars(module)[kind].items():
                if tensor is not None and key not in left_out:
                    found[f"{prefix}.{key}" if prefix else key] = Slot(module, kind, key)
    return found


def slot_named(unet: torch.nn.Module, name: str) -> Slot:
    """The place of a parameter, whether or not the module has it at present."""
    prefix, _, key = name.rpartition(".")
    return Slot(unet.get_submodule(prefix), "_parameters", key)


def layout_of(slots: "dict[str, Slot]") -> tuple:
    """What a second UNet has to be like to take the place of this one. Not the device: that is followed."""
    return tuple((name, tuple(slot.tensor.shape), slot.tensor.dtype) for name, slot in slots.items())


def size_of(tensor: torch.Tensor) -> int:
    return tensor.nelement() * tensor.element_size()


def like(
    tensor: torch.Tensor, strong: torch.Tensor, via: "torch.dtype | None" = None, dtype: "torch.dtype | None" = None
) -> torch.Tensor:
    """`tensor` as the loaded UNet's tensor `strong` is: dtype, device, memory format, parameter or buffer.

    via    a dtype that the host itself goes through on loading, so that the rounding is the same
    dtype  another than the loaded tensor's
    """
    if via is not None and tensor.is_floating_point():
        tensor = tensor.to(via)
    data = strong.data
    pinned = data.device.type == "cpu" and torch.cuda.is_available() and data.is_pinned()
    placed = torch.empty_like(data, dtype=dtype, pin_memory=pinned).copy_(tensor)
    return torch.nn.Parameter(placed, requires_grad=False) if isinstance(strong, torch.nn.Parameter) else placed


NO_ROOM = "but there is not enough memory for a second UNet beside the loaded one. Choose none, or free memory."


@dataclass
class Weights:
    """A weak UNet in memory: its tensors by name; while it is installed for a run, none."""

    name: str
    tensors: dict
    bytes: int = 0
    peak_bytes: int = 0  # while loading: the UNet so far, and the tensor just read
    seconds: float = 0.0
    scales: dict = field(default_factory=dict)  # by layer, of weights that are stored scaled where the loaded are not
    zero_terminal: bool = False  # its file is marked as trained with a schedule that ends in noise alone

    def to(self, device) -> None:
        for name, tensor in self.tensors.items():
            if tensor is not None and tensor.device != device:
                self.tensors[name] = moved(tensor, device)

    def as_dict(self) -> dict:
        kept = ("name", "bytes", "peak_bytes", "seconds")
        return {key: getattr(self, key) for key in kept}


def moved(tensor, device):
    """`tensor` on `device`; a parameter stays one."""
    there = tensor.to(device)
    if isinstance(tensor, torch.nn.Parameter) and not isinstance(there, torch.nn.Parameter):
        there = torch.nn.Parameter(there, requires_grad=False)
    return there


def load(file: WeightsFile, name: str, slots: "dict[str, Slot]", place: Callable = like) -> Weights:
    """The UNet in `file`, each tensor as `place(tensor, strong)` makes it. `slots` are the loaded UNet's.

    The file must fit (fit.check_fit). Raises CheckpointError where it cannot be read to its end,
    CheckpointMemoryError where memory runs out; what was loaded until then is freed.
    """
    start, weights = time.perf_counter(), Weights(name, {})
    try:
        with reporting_memory(name):
            for key, slot in slots.items():
                tensor = file.read(key)
                placed = place(tensor, slot.tensor)
                weights.peak_bytes = max(weights.peak_bytes, weights.bytes + size_of(tensor) + size_of(placed))
                weights.tensors[key] = placed
                weights.bytes += size_of(placed)
    except BaseException:
        weights.tensors.clear()
        raise
    weights.seconds = time.perf_counter() - start
    return weights


@contextmanager
def reporting_memory(name: str, why: str = NO_ROOM):
    """Running out of memory within becomes a CheckpointMemoryError, with what could be freed freed."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return
    # Outside of the except block: the traceback would keep alive what was loaded so far.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise CheckpointMemoryError(name, why)


class Cache:
    """Keeps the last weak UNet between requests: one, because each is as large as the loaded one."""

    def __init__(self):
        self.weights: Weights | None = None
        self._key, self._layout = None, None

    def get(self, path, layout: tuple, extra, load: Callable[[], Weights]) -> Weights:
        """The UNet of the file at `path` for `layout` (layout_of) under `extra`; loaded unless it is the one kept."""
        stat = Path(path).stat()
        key = (str(path), stat.st_mtime_ns, stat.st_size, layout, extra)
        if self.weights is None or key != self._key:
            self.free()
            self.weights, self._key, self._layout = load(), key, layout
        return self.weights

    def free(self) -> None:
        if self.weights is not None:
            self.weights.tensors.clear()
            self.weights = self._key = self._layout = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def free_unless(self, layout: tuple) -> None:
        """Free what fits no UNet of this layout."""
        if layout != self._layout:
            self.free()


@dataclass(eq=False)
class CheckpointOverlay:
    """gaps.Overlay: the UNet's tensors are exchanged with those of `weights`.

    find    find(unet) -> its Slots by name, at the time of the sampling run
    around  around() -> context manager: what the host needs to be told while the weak tensors are in place
    settle  called before every exchange: whatever of the UNet is under way to another device is taken back
    done    done(weights), after the run
    also    also() -> what else is exchanged: [dictionary, key, value for the weak side] each
    named   named() -> context manager: whose setting it is that a CheckpointError speaks of
    takes_back  what is put in the weak tensors' place during the run ends with it: where the host itself puts nothing
            there, others may (CD Tuner)
    """

    weights: Weights
    find: "Callable[[object], dict[str, Slot]]"
    around: Callable = nullcontext
    settle: Callable = lambda: None
    done: Callable = lambda weights: None
    also: "Callable[[], list]" = list
    named: Callable = nullcontext
    takes_back: bool = False

    @contextmanager
    def installed(self, unet):
        slots, tensors = self.find(unet), self.weights.tensors
        # A module looks its tensors up in one dictionary: exchanging that one is quicker than each tensor.
        table = {}
        for slot in slots.values():
            table.setdefault((id(slot.module), slot.kind), [vars(slot.module), slot.kind, dict(slot.store)])
        for name, slot in slots.items():
            # What only one of the two has (a bias made by a LoRA) is None in the other.
            table[id(slot.module), slot.kind][2][slot.key] = tensors.get(name)
        # Out of the cache for the run: it may be freed from elsewhere meanwhile, and the tensors may be moved.
        tensors.clear()
        self._table = list(table.values())
        self._own = {id(weak): dict(weak) for _, _, weak in self._table}
        try:
            self._follow()
            self._table += self.also()
            yield
        finally:
            for name, slot in slots.items():
                weak = table[id(slot.module), slot.kind][2]
                tensor = (self._own[id(weak)] if self.takes_back else weak)[slot.key]
                if tensor is not None:
                    tensors[name] = tensor
            self._table, self._own = [], {}
            self.done(self.weights)

    @contextmanager
    def on(self):
        with self.around():
            self.settle()
            if self._strayed():
                self._follow()
            self._exchange()
            try:
                yield
            finally:
                self.settle()
                self._exchange()

    def _exchange(self):
        for entry in self._table:
            owner, key, other = entry
            owner[key], entry[2] = other, owner[key]

    def _pairs(self):
        """(weak dictionary, its key, strong tensor, weak tensor), where there are both."""
        for owner, kind, weak in self._table:
            for key, tensor in weak.items() if kind in ("_parameters", "_buffers") else ():
                if tensor is not None and owner[kind].get(key) is not None:
                    yield weak, key, owner[kind][key], tensor

    def _strayed(self) -> bool:
        """Whether the host has moved its UNet since; all of it moves together, so one tensor tells."""
        return next((strong.device != weak.device for _, _, strong, weak in self._pairs()), False)

    def _follow(self):
        """Each weak tensor goes where the strong one is."""
        with self.named(), reporting_memory(self.weights.name):
            for store, key, strong, weak in self._pairs():
                if strong.device != weak.device:
                    own, store[key] = self._own[id(store)], moved(weak, strong.device)
                    own[key] = store[key] if own.get(key) is weak else moved(own[key], strong.device)

    def as_dict(self) -> dict:
        return self.weights.as_dict()


CACHE = Cache()
