"""Counts the rows that go through the UNet, and hands out rows that it has just seen instead of computing them again.

The second use is what makes `matched` inversion with a pure guidance gap cost one cond/uncond pair: strong and
weak ask the same network for the same rows and only weigh them differently afterwards.
"""

from contextlib import contextmanager

import torch

# What a host passes along that says nothing about the input, or follows from it.
NOT_INPUT = ("transformer_options", "control", "control_model")


def _leaves(value, rows: int):
    """The tensors and plain values inside an argument, flattened; tensors of `rows` rows first in kind."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            if key not in NOT_INPUT:
                yield from _leaves(value[key], rows)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item, rows)
    else:
        yield value


def _same(a, b, rows: int, seen_rows: int, at: int) -> bool:
    """Whether input leaf `a` (of `rows` rows) equals `b` (of `seen_rows` rows) from row `at` on."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.ndim and b.ndim and a.shape[0] == rows and b.shape[0] == seen_rows:
            b = b[at : at + rows]
        return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    return a is b or (type(a) is type(b) and not isinstance(a, torch.Tensor) and bool(a == b))


class RowMeter:
    """Stands in front of one function `network(x, ...)`, x of shape [rows, ...]."""

    def __init__(self):
        self.rows = 0
        self.under: tuple = ()  # what the network runs under (overlays); rows are shared only under the same
        self._seen: list | None = None

    @contextmanager
    def sharing(self):
        """Within, rows already evaluated within are not evaluated again."""
        self._seen = []
        try:
            yield
        finally:
            self._seen = None

    def call(self, network, args: tuple, kwargs: dict):
        n = args[0].shape[0]
        if self._seen is None:
            self.rows += n
            return network(*args, **kwargs)
        leaves = list(_leaves((args, kwargs), n))
        for under, seen, m, output in self._seen:
            if under == self.under and len(seen) == len(leaves):
                for at in range(0, m - n + 1, n):
                    if all(_same(a, b, n, m, at) for a, b in zip(leaves, seen)):
                        return output[at : at + n].clone()
        output = network(*args, **kwargs)
        self.rows += n
        self._seen.append((self.under, leaves, n, output.clone()))
        return output
