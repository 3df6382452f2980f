"""Changes of single layers that can be switched on and off between two calls of a network. Torch, no host.

An `Overlay` is installed once a sampling run: every layer that it touches gets a `forward` of its own, on the
instance, which does what the layer did before unless the overlay is on. Switching is one assignment, whatever the
number of layers. No weight is written to, so none has to be restored.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..method.rows import RowsApart

EVERY_ROW = slice(None)


@dataclass
class Change:
    """What becomes of one layer.

    low_rank    (down, up): the layer's output plus up(down(x)). Linear: down [r, in], up [out, r]. Conv2d: down
                [r, in, kh, kw] with the layer's own stride, padding and dilation, up [out, r, 1, 1]. Scales included.
    parameters  other tensors in the place of the layer's parameters, by name
    attributes  other values of the layer's attributes, by name
    """

    low_rank: "tuple[torch.Tensor, torch.Tensor] | None" = None
    parameters: dict = field(default_factory=dict)
    attributes: dict = field(default_factory=dict)

    @property
    def beside(self) -> bool:
        """Whether the layer itself runs as it is, for any mixture of rows."""
        return not self.parameters and not self.attributes


def rows_here(overlay, rows: int) -> slice:
    """The overlay's rows in a layer that sees `rows` of them: tiled attention makes several of each."""
    each, rest = divmod(rows, overlay.of)
    if rest or not each:
        raise RowsApart(f"{rows} rows of a batch of {overlay.of}")
    return slice(overlay.rows.start * each, overlay.rows.stop * each)


def as_parameter(tensor: torch.Tensor) -> torch.nn.Parameter:
    # A host's quantised kinds are Parameters of their own and stay that.
    return tensor if isinstance(tensor, torch.nn.Parameter) else torch.nn.Parameter(tensor, requires_grad=False)


def concatenated(terms) -> tuple:
    """One (down, up) of several: [(scale, down, up), ...] gives sum of scale * up(down(x)). In float32."""
    down = torch.cat([down.float() for _, down, _ in terms])
    up = torch.cat([up.float() * scale for scale, _, up in terms], dim=1)
    return down, up


def with_mid(down: torch.Tensor, mid: torch.Tensor) -> torch.Tensor:
    """A 1x1 `down` [r, in, 1, 1] and the k x k `mid` [r', r, k, k] behind it (Tucker, "CP"), as one [r', in, k, k]."""
    return torch.einsum("nmkl,mj->njkl", mid.float(), down.float().flatten(1))


def worth_it(low_rank, weight_elements: int) -> bool:
    """Whether the low-rank form is the smaller one by half, in memory and so about in time.

    Where it is not, the layer is narrow or the rank is high, and another weight costs nothing at run time.
    """
    return sum(t.numel() for t in low_rank) * 2 <= weight_elements


class Layer:
    """The `forward` of one layer while overlays are installed there; `original` is what it was."""

    def __init__(self, module: torch.nn.Module):
        self.module, self.original = module, module.forward
        self.was_own = "forward" in vars(module)
        self.changes: list[tuple[Overlay, Change]] = []

    @classmethod
    def of(cls, module) -> "Layer":
        layer = vars(module).get("forward")
        if not isinstance(layer, cls):
            layer = module.forward = cls(module)
        return layer

    def add(self, overlay, change):
        self.changes.append((overlay, change))

    def remove(self, overlay):
        self.changes = [(o, change) for o, change in self.changes if o is not overlay]
        if not self.changes and vars(self.module).get("forward") is self:
            if self.was_own:
                self.module.forward = self.original
            else:
                del self.module.forward

    def __call__(self, *args, **kwargs):
        active = [(overlay, change) for overlay, change in self.changes if overlay.rows is not None]
        if not active:
            return self.original(*args, **kwargs)
        if active[0][0].rows is EVERY_ROW:
            return self.changed(active[0][1], *args, **kwargs)
        active = [(rows_here(overlay, args[0].shape[0]), change) for overlay, change in active]
        if all(change.beside for _, change in active):
            out = self.original(*args, **kwargs)
            for rows, change in active:
                self.add_low_rank(out[rows], args[0][rows], change)
            return out
        return self.split(active, *args, **kwargs)

    def split(self, active, x, *args, **kwargs):
        """Row by row ranges, each under its own change; ranges that no overlay names stay as they are."""
        parts, done = [], 0
        for rows, change in sorted(active, key=lambda entry: entry[0].start):
            if rows.start > done:
                parts.append(self.original(x[done : rows.start], *args, **kwargs))
            parts.append(self.changed(change, x[rows], *args, **kwargs))
            done = rows.stop
        if done < x.shape[0]:
            parts.append(self.original(x[done:], *args, **kwargs))
        return torch.cat(parts)

    def changed(self, change: Change, *args, **kwargs):
        if change.beside:
            out = self.original(*args, **kwargs)
        else:
            with self.replaced(change):
                out = self.original(*args, **kwargs)
        if change.low_rank is not None:
            self.add_low_rank(out, args[0], change)
        return out

    @contextmanager
    def replaced(self, change: Change):
        """Only inside the layer's own forward: a host that moves or reloads weights between layers finds its own."""
        parameters, attributes = self.module._parameters, vars(self.module)
        own = {name: parameters[name] for name in change.parameters}
        had = {name: attributes[name] for name in change.attributes if name in attributes}
        for name, value in change.parameters.items():
            if own[name] is not None and value.device != own[name].device:
                value = change.parameters[name] = as_parameter(value.to(own[name].device))
            parameters[name] = value
        attributes.update(change.attributes)
        try:
            yield
        finally:
            parameters.update(own)
            for name in change.attributes:
                attributes.pop(name, None)
            attributes.update(had)

    def add_low_rank(self, out: torch.Tensor, x: torch.Tensor, change: Change):
        """out += up(down(x)), in place."""
        down, up = change.low_rank
        if down.dtype != out.dtype or down.device != out.device:
            down, up = change.low_rank = (down.to(out), up.to(out))
        x = x.to(out.dtype)
        if down.ndim == 4:
            own = self.module
            out += F.conv2d(F.conv2d(x, down, None, own.stride, own.padding, own.dilation), up)
        elif out.is_contiguous():
            low = F.linear(x, down)
            out.view(-1, out.shape[-1]).addmm_(low.reshape(-1, low.shape[-1]), up.t())
        else:
            out += F.linear(F.linear(x, down), up)


class Overlay:
    """gaps.Overlay over single layers.

    changes  changes(unet) -> {module: Change}; asked once a run, when the UNet is loaded and before its first call
    """

    mixes_rows = True  # rows of both sides may share one call

    def __init__(self, changes):
        self.changes = changes
        self.rows: slice | None = None
        self.of = 0
        self.counts = {"layers": 0, "low_rank": 0}

    @contextmanager
    def installed(self, unet):
        layers = []
        try:
            changes = self.changes(unet)
            for module, change in changes.items():
                layers.append(Layer.of(module))
                layers[-1].add(self, change)
            self.counts = {"layers": len(layers), "low_rank": sum(c.low_rank is not None for c in changes.values())}
            yield
        finally:
            for layer in layers:
                layer.remove(self)

    @contextmanager
    def on(self, rows: slice = EVERY_ROW, of: int = 0):
        """Around one evaluation. `rows`: which rows of a batch `of` that many are meant; others may be another's."""
        before = self.rows, self.of
        self.rows, self.of = rows, of
        try:
            yield
        finally:
            self.rows, self.of = before

    def as_dict(self) -> dict:
        """For the trace: how many layers are touched, and how many of them by a low-rank term."""
        return {"gap": "lora", **self.counts}
