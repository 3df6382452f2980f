"""Counts the rows that go through the UNet, hands out rows that it has just seen instead of computing them again, and
lets rows of one side travel in the other side's call.

The second use is what makes `matched` inversion with a pure guidance gap cost one cond/uncond pair: strong and
weak ask the same network for the same rows and only weigh them differently afterwards. The third spares a call where
they ask for different rows, or under different overlays, at the same place.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

# What a host passes along that follows from the input.
NOT_INPUT = ("control", "control_model")
# Forge's options that say which rows are which, and in the newest Neos whether their call is one of several; with any
# other, a call is somebody's who may count on its rows.
_OF_ROWS = {"cond_or_uncond", "uuids", "sigmas", "cond_mark", "cond_indices", "uncond_indices", "split_conditions"}
# What a host puts beside them for every call of a run: Forge Neo the whole schedule.
HOSTS_OWN = {"sampling_sigmas"}


def _leaves(value, rows: int, unread: frozenset = frozenset()):
    """The tensors and plain values inside an argument that the network reads, flattened; tensors of `rows` rows first
    in kind."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            if key == "transformer_options":
                # Patches of the network: the same rows under others are another question (perturbed attention).
                yield from _leaves({k: v for k, v in value[key].items() if k not in _OF_ROWS}, rows, unread)
            elif key not in NOT_INPUT and key not in unread:
                yield key
                yield from _leaves(value[key], rows, unread)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item, rows, unread)
    else:
        yield value


def _same(a, b, rows: int, seen_rows: int, at: int) -> bool:
    """Whether input leaf `a` (of `rows` rows) equals `b` (of `seen_rows` rows) from row `at` on."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.ndim and b.ndim and a.shape[0] == rows and b.shape[0] == seen_rows:
            b = b[at : at + rows]
        return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    return a is b or (type(a) is type(b) and not isinstance(a, torch.Tensor) and bool(a == b))


def counted(shape: tuple) -> int:
    """The rows of a call on latents of this shape; of a video, [rows, channels, frames, height, width], its frames."""
    return shape[0] * (shape[2] if len(shape) == 5 else 1)


class RowsApart(RuntimeError):
    """A layer does not see the batch's rows, so a change cannot be made for some of them alone."""


class _Unlike(Exception):
    """Two calls cannot be made one."""


def _joined(a, b, rows: "tuple[int, int]", unread: frozenset = frozenset()):
    """One argument of two calls of `rows` rows as that of a call of all of them."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        by_row = a.ndim and b.ndim and (a.shape[0], b.shape[0]) == rows
        if a.dtype == b.dtype and a.device == b.device and a.shape[by_row:] == b.shape[by_row:]:
            if by_row:
                return torch.cat((a, b))
            if torch.equal(a, b):
                return a
    elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys() and "control" not in a:
        one = {}
        for key in a:
            if key == "transformer_options":
                one[key] = _options(a[key], b[key], rows)
            else:
                one[key] = a[key] if key in unread else _joined(a[key], b[key], rows, unread)
        return one
    elif isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        return type(a)(_joined(x, y, rows, unread) for x, y in zip(a, b))
    elif a is b or (type(a) is type(b) and isinstance(a, (bool, int, float, str)) and a == b):
        return a
    raise _Unlike


def _options(a: dict, b: dict, rows: "tuple[int, int]") -> dict:
    own = a.keys() & HOSTS_OWN
    if not a.keys() == b.keys() <= _OF_ROWS | HOSTS_OWN or not all(_same(a[key], b[key], 0, 0, 0) for key in own):
        raise _Unlike
    one = {**a, **{key: a[key] + b[key] for key in a if key in ("cond_or_uncond", "uuids")}}
    if "cond_mark" in a:
        one["cond_mark"] = torch.cat((a["cond_mark"], b["cond_mark"]))
    for key in ("cond_indices", "uncond_indices"):
        if key in a:
            one[key] = a[key] + [i + rows[0] for i in b[key]]
    return one


@dataclass
class Rows:
    """One call's rows: what was asked, and once they are there, the network's output."""

    under: tuple
    args: tuple
    kwargs: dict
    unread: frozenset = frozenset()
    uncounted: int = 0
    output: "torch.Tensor | None" = None

    def __post_init__(self):
        self.n = self.args[0].shape[0]
        self.leaves = list(_leaves((self.args, self.kwargs), self.n, self.unread))

    def holds(self, other: "Rows") -> "int | None":
        """Where the other's rows begin among these, None if they are not here."""
        if other.under == self.under and len(other.leaves) == len(self.leaves):
            for at in range(0, self.n - other.n + 1, other.n):
                if all(_same(a, b, other.n, self.n, at) for a, b in zip(other.leaves, self.leaves)):
                    return at
        return None


class RowMeter:
    """Stands in front of one function `network(x, ...)`, x of shape [rows, ...].

    rows      evaluated so far, see counted
    asked     rows that it was called with so far, evaluated or not
    may_join  may_join(shape of x) -> whether a call of that size may be made of two
    unread    unread() -> names of keywords that the network does not read
    """

    def __init__(self, may_join=lambda shape: False, unread=frozenset):
        self.rows = self.asked = 0
        self.unread = unread
        self.under: tuple = ()  # what the network runs under (overlays); rows are shared only under the same
        self.may_join = may_join
        self._seen: list[Rows] | None = None
        self._waiting: list[Rows] = []
        self._noting = False

    @contextmanager
    def sharing(self):
        """Within, rows already evaluated within are not evaluated again."""
        self._seen, self._waiting = [], []
        try:
            yield
        finally:
            self._seen, self._waiting = None, []

    @contextmanager
    def noting(self):
        """Within, the network is not asked, and zeros are handed out; the next calls take the rows along."""
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    def call(self, network, args: tuple, kwargs: dict):
        self.asked += len(args[0])
        if self._seen is None:
            self.rows += counted(args[0].shape)
            return network(*args, **kwargs)
        asked = Rows(self.under, args, kwargs, self.unread())
        if self._noting:
            self._waiting.append(asked)
            return torch.zeros_like(args[0])
        for seen in self._seen:
            at = seen.holds(asked)
            if at is not None:
                self.rows += seen.uncounted
                seen.uncounted = 0
                return seen.output[at : at + asked.n].clone()
        self.rows += counted(args[0].shape)
        output = self._with_those_waiting(network, asked)
        if output is None:
            output = network(*args, **kwargs)
        asked.output = output.clone()
        self._seen.append(asked)
        return output

    def _with_those_waiting(self, network, asked: Rows):
        """The output of a call that rows waiting took part in, None if there was none."""
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            if asked.holds(other) is not None:
                continue
            apart = other.under != asked.under
            if apart and not all(getattr(o, "mixes_rows", False) for o in asked.under + other.under):
                continue
            if apart and set(asked.under) & set(other.under):
                continue
            n, m = asked.n, other.n
            if not self.may_join((n + m, *asked.args[0].shape[1:])):
                continue
            try:
                args, kwargs = _joined((asked.args, asked.kwargs), (other.args, other.kwargs), (n, m), asked.unread)
                with ExitStack() as stack:
                    if apart:
                        for overlay in asked.under:
                            stack.enter_context(overlay.on(slice(0, n), n + m))
                        for overlay in other.under:
                            stack.enter_context(overlay.on(slice(n, n + m), n + m))
                    output = network(*args, **kwargs)
            except (_Unlike, RowsApart):
                continue
            other.output, other.uncounted = output[n:].clone(), counted(other.args[0].shape)
            self._seen.append(other)
            self._waiting = [w for w in waiting if w is not other]
            return output[:n]
        return None
