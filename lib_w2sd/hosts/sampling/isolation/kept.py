"""Single places where something is kept: each as it was at one moment, put back whole, or only what has changed since
another.

A class here has `put_back()`, `changed()`: whether it is another now, and `since(before)`: what puts the change back
that came between `before`, the same place earlier (None: it was not there), and this one; None where there is none.
`stands()`: whether it would be kept as it is, told without waiting for a GPU's numbers.
"""

import functools
import operator

import torch

_MISSING = object()


def remove(owner, name):
    owner.pop(name, None) if isinstance(owner, dict) else delattr(owner, name)


class Table:
    """The entries of a dictionary, or a class' attributes. `is_kept(name)`: whether an entry counts."""

    def __init__(self, owner, is_kept):
        self.owner, self.is_kept = owner, is_kept
        self.now = vars(owner) if isinstance(owner, type) else owner
        whole = dict(list(self.now.items()))
        # A module's names are looked at where they are more or fewer: it may have hundreds.
        self.names, self.values = [] if "__builtins__" in whole else list(whole), list(whole.values())
        self.content = {name: value for name, value in whole.items() if is_kept(name)}

    def stands(self) -> bool:
        return not self.changed()

    def changed(self) -> bool:
        now = self.now
        # Nearly always all of it is as it was, and a table may be long.
        if len(now) == len(self.values) and _same(list(now.values()), self.values):
            if not self.names or _same(list(now), self.names):
                return False
        return any(now.get(name, _MISSING) is not value for name, value in self.content.items()) or any(
            name not in self.content and self.is_kept(name) for name in list(now)
        )

    def put(self, content: dict, gone) -> None:
        for name in gone:
            if name in self.now:
                remove(self.owner, name)
        for name, value in content.items():
            if self.now.get(name, _MISSING) is not value:
                setattr(self.owner, name, value) if isinstance(self.owner, type) else self.owner.update({name: value})

    def put_back(self):
        if not self.changed():
            return
        gone = [name for name in self.now if name not in self.content and self.is_kept(name)]
        self.put(self.content, gone)

    def since(self, before):
        then = before.content if before is not None else {}
        other = {name: value for name, value in self.content.items() if then.get(name, _MISSING) is not value}
        # What does not count here may have counted there, where the same was come to by another way.
        gone = [name for name in then if name not in self.content and self.is_kept(name)]
        return functools.partial(self.put, other, gone) if other or gone else None


class Collection:
    """What is in a list, a set, a queue."""

    def __init__(self, owner):
        self.owner, self.content = owner, list(owner)

    def stands(self) -> bool:
        return not self.changed()

    def changed(self) -> bool:
        return not _same(self.owner, self.content)

    def put_back(self):
        if self.changed():
            self.owner.clear()
            (self.owner.update if isinstance(self.owner, set) else self.owner.extend)(self.content)

    def since(self, before):
        return None if before is not None and _same(before.content, self.content) else self.put_back


def _same(a, b) -> bool:
    return len(a) == len(b) and all(map(operator.is_, a, b))


class Cell:
    """A variable that functions have in common; it may have no value yet."""

    def __init__(self, owner):
        self.owner, self.content = owner, _in(owner)
        self.is_empty = self.content is _MISSING

    def stands(self) -> bool:
        return not self.changed()

    def changed(self) -> bool:
        return _in(self.owner) is not self.content

    def put_back(self):
        if not self.changed():
            return
        if self.is_empty:
            del self.owner.cell_contents
        else:
            self.owner.cell_contents = self.content

    def since(self, before):
        return None if before is not None and before.content is self.content else self.put_back


def _in(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


class Numbers:
    """What stands in a tensor or an array."""

    def __init__(self, owner):
        self.owner, self.content = owner, owner.clone() if isinstance(owner, torch.Tensor) else owner.copy()
        self.version = _version_of(owner)

    def stands(self) -> bool:
        # Not by the version: what is written by way of `data` or of NumPy is not counted.
        on_cpu = not isinstance(self.owner, torch.Tensor) or self.owner.device.type == "cpu"
        return on_cpu and _equal(self.owner, self.content)

    def changed(self) -> bool:
        # Torch counts what is written to a tensor: numbers on a GPU need not be waited for.
        if self.version is not None and self.version == _version_of(self.owner):
            return False
        return not _equal(self.owner, self.content)

    def put_back(self):
        self.owner[...] = self.content
        self.version = _version_of(self.owner)

    def since(self, before):
        return None if before is not None and _equal(before.content, self.content) else self.put_back


def _version_of(one) -> "int | None":
    return one._version if isinstance(one, torch.Tensor) and not one.is_inference() else None


def _equal(a, b) -> bool:
    return a.shape == b.shape and bool((a == b).all())


class Generator:
    """How far a random generator is; no memory of what was asked."""

    def __init__(self, owner, put_back):
        self.owner, self.put_back = owner, put_back

    def stands(self) -> bool:
        return False

    def changed(self) -> bool:
        return False

    def since(self, before):
        return None
