"""Single places where something is kept: each as it was at one moment, put back whole, or only what has changed since
another.

A class here has `put_back()` and `since(before)`: what puts the change back that came between `before`, the same place
earlier (None: it was not there), and this one; None where there is none.
"""

import functools

import torch

_MISSING = object()


def remove(owner, name):
    owner.pop(name, None) if isinstance(owner, dict) else delattr(owner, name)


class Table:
    """The entries of a dictionary, or a class' attributes. `is_kept(name)`: whether an entry counts."""

    def __init__(self, owner, is_kept):
        self.owner, self.is_kept, self.content = owner, is_kept, {}
        self.content = {name: value for name, value in list(self.now().items()) if is_kept(name)}

    def now(self):
        return vars(self.owner) if isinstance(self.owner, type) else self.owner

    def put(self, content: dict, gone) -> None:
        for name in gone:
            if name in self.now():
                remove(self.owner, name)
        for name, value in content.items():
            if self.now().get(name, _MISSING) is not value:
                setattr(self.owner, name, value) if isinstance(self.owner, type) else self.owner.update({name: value})

    def put_back(self):
        gone = [name for name in self.now() if name not in self.content and self.is_kept(name)]
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

    def put_back(self):
        if not _same(self.owner, self.content):
            self.owner.clear()
            (self.owner.update if isinstance(self.owner, set) else self.owner.extend)(self.content)

    def since(self, before):
        return None if before is not None and _same(before.content, self.content) else self.put_back


def _same(a, b) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b))


class Cell:
    """A variable that functions have in common."""

    def __init__(self, owner):
        self.owner, self.content = owner, owner.cell_contents

    def put_back(self):
        if self.owner.cell_contents is not self.content:
            self.owner.cell_contents = self.content

    def since(self, before):
        return None if before is not None and before.content is self.content else self.put_back


class Numbers:
    """What stands in a tensor or an array."""

    def __init__(self, owner):
        self.owner, self.content = owner, owner.clone() if isinstance(owner, torch.Tensor) else owner.copy()

    def put_back(self):
        self.owner[...] = self.content

    def since(self, before):
        if before is not None and before.content.shape == self.content.shape:
            same = before.content == self.content
            if bool(same.all()):
                return None
        return self.put_back


class Generator:
    """How far a random generator is; no memory of what was asked."""

    def __init__(self, owner, put_back):
        self.owner, self.put_back = owner, put_back

    def since(self, before):
        return None
