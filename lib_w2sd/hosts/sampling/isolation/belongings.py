"""What scripts, callbacks and guidance functions hold, found by following them, and put back as it was.

An extension counts calls, remembers what it has seen and draws numbers in places of its own: attributes of its script,
a list, a function's closure, its module. All that can be reached from those of its functions that take part in a call
of the denoiser is its to keep, and the sampler's own calls alone may change it.
"""

import functools
import random
import sys
import sysconfig
import types
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from modules import shared

from . import kept

HOST = Path(shared.__file__).parents[1]
OURS = [Path(__file__).parents[4] / name for name in ("lib_w2sd", "scripts")]
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
# The host's folders whose code is an extension's, or a script of the list.
EXTENSIONS = ("extensions", "extensions-builtin", "scripts")
# Kept by their content up to this many numbers, larger ones by which they are: a model's weights are no memory.
LARGEST = 1 << 22
# What the host does with a layer's weights as it loads and moves them.
OF_A_LAYER = (
    *vars(torch.nn.Module()),
    *("forge_patched_weights", "forge_force_cast_weights", "parameters_manual_cast", "prev_parameters_manual_cast"),
    *("weight_function", "bias_function"),
)
PLAIN = {int, float, complex, str, bytes, bool, type(None), types.BuiltinFunctionType, torch.dtype, torch.device}


@functools.cache
def is_theirs(file: "str | None") -> bool:
    """Whether code of this file is neither the host's, nor a library's, nor ours."""
    if not file or file.startswith("<"):
        return False
    path = Path(file)
    if any(folder in path.parents for folder in (*OURS, *LIBRARIES)):
        return False
    return HOST not in path.parents or path.relative_to(HOST).parts[0] in EXTENSIONS


def written_in(function) -> "str | None":
    """The file of a function, of a method's or of what is made of one; of an object, its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return file_of(function if isinstance(function, types.FunctionType) else type(function))


def file_of(owner) -> "str | None":
    """Where a function, a class or a module was written."""
    if isinstance(owner, types.FunctionType):
        return owner.__code__.co_filename
    if isinstance(owner, types.ModuleType):
        return getattr(owner, "__file__", None)
    module = sys.modules.get(owner.__module__)
    if module is not None:
        return getattr(module, "__file__", None)
    # The hosts load their scripts' files without making them known to Python; what has no function of its own there is
    # named by the script.
    functions = (value for value in vars(owner).values() if isinstance(value, types.FunctionType))
    files = (function.__code__.co_filename for function in functions)
    return next((file for file in files if not file.startswith("<")), f"/{owner.__module__}")


class Belongings:
    """All that can be reached from `roots` as it is now. put_back() makes it so again, as often as wanted.

    roots    functions, objects, classes, modules of others; lists and tables
    objects  [(object of the host, names that are not its)], whose attributes are kept too
    layers   of the host's network, on which others keep what they remember, and on their classes
    """

    def __init__(self, roots, objects=(), layers=()):
        self._objects = {id(one): (one, leaving) for one, leaving in objects}
        self._layers = {id(one) for layer in layers for one in (layer, type(layer))}
        self._kept, self._seen, self._passing = [], {}, set()
        queue = deque([*(one for one, _ in self._objects.values()), *layers, *map(type, layers), *roots])
        while queue:
            one = queue.popleft()
            if (type(one) in PLAIN and id(one) not in self._objects) or id(one) in self._seen:
                continue
            self._seen[id(one)] = one  # held: an id is one object's as long as that lives
            queue.extend(self._followed(one))

    def put_back(self) -> None:
        for one in self._kept:
            one.put_back()

    def changed(self) -> bool:
        """Whether others remember something else than here."""
        return any(one.changed() for one in self._lasting())

    def since(self, before: "Belongings") -> list:
        """What makes the changes once more that came between `before` and now, but for those of the host's objects and
        of random generators: what others remember."""
        then = {id(one.owner): one for one in before._kept}
        changes = (one.since(then.get(id(one.owner))) for one in self._lasting())
        return [change for change in changes if change is not None]

    def _lasting(self):
        return (one for one in self._kept if id(one.owner) not in self._passing)

    def _followed(self, one) -> list:
        """Keeps one thing; what it leads to."""
        if isinstance(one, (torch.Tensor, np.ndarray)):
            if _changeable(one):
                self._kept.append(kept.Numbers(one))
            return []
        if state_of(one):
            self._kept.append(kept.Generator(one, state_of(one)))
            return []
        if isinstance(one, dict):
            return self._table(one)
        if isinstance(one, (list, set, bytearray, deque)):
            self._kept.append(kept.Collection(one))
            return _to_follow(one)
        if isinstance(one, (tuple, frozenset)):
            return _to_follow(one)
        if isinstance(one, types.FunctionType):
            return self._function(one)
        if isinstance(one, types.MethodType):
            return [one.__func__, one.__self__]
        if isinstance(one, functools.partial):
            return [one.func, one.args, one.keywords]
        if isinstance(one, types.ModuleType):
            return self._table(vars(one), dunder=False) if is_theirs(file_of(one)) else []
        if isinstance(one, type):
            return self._class(one)
        return self._object(one)

    def _table(self, owner, dunder: bool = True, leaving: tuple = ()) -> list:
        """A dictionary, or a class; of a module's or an object's without the names that Python gives it."""
        table = kept.Table(owner, lambda key: key not in leaving and (dunder or not str(key).startswith("__")))
        self._kept.append(table)
        return _to_follow(table.content.values())

    def _function(self, one: types.FunctionType) -> list:
        if not is_theirs(file_of(one)):
            return self._cells(one) if one.__closure__ else []
        found = [*self._cells(one), *(one.__defaults__ or ()), one.__kwdefaults__]
        return found + self._table(vars(one)) + self._names(one)

    def _names(self, one: types.FunctionType) -> list:
        """The module that a function is written in, once for all of its functions."""
        table = one.__globals__
        if id(table) in self._seen:
            return []
        self._seen[id(table)] = table
        return self._table(table, dunder=False)

    def _cells(self, one: types.FunctionType) -> list:
        cells = []
        for cell in one.__closure__ or ():
            with suppress(ValueError):  # nothing in it yet
                cells.append(kept.Cell(cell))
        self._kept += cells
        return [cell.content for cell in cells]

    def _class(self, one: type) -> list:
        if not is_theirs(file_of(one)) and id(one) not in self._layers:
            return []
        found = self._table(one, dunder=False)
        return [*found, *one.__bases__]

    def _object(self, one) -> list:
        """An object of others; the host's and the libraries' are their own."""
        asked = self._objects.get(id(one))
        if asked is None and not is_theirs(file_of(type(one))) and id(one) not in self._layers:
            return []
        # A network's weights and layers are what it is, not what it remembers.
        leaving = OF_A_LAYER if isinstance(one, torch.nn.Module) else ()
        if asked:
            leaving = (*leaving, *asked[1])
        if not hasattr(one, "__dict__"):
            return []
        if asked:
            self._passing.add(id(vars(one)))
        found = self._table(vars(one), leaving=leaving)
        return found if asked else [*found, type(one)]


def _to_follow(values) -> list:
    """Without what leads nowhere: a module may hold a hundred thousand words."""
    return [value for value in values if type(value) not in PLAIN]


def _changeable(one) -> bool:
    """Of a tensor or an array: whether its numbers are kept."""
    if isinstance(one, np.ndarray):
        return one.size <= LARGEST and one.dtype != object and one.flags.writeable
    if isinstance(one, torch.nn.Parameter) or one.requires_grad or one.numel() > LARGEST:
        return False
    # Numbers that stand for several of its places cannot be written to, by nobody.
    once = (
        all(stride or size < 2 for size, stride in zip(one.shape, one.stride())) if one.layout == torch.strided else 0
    )
    return bool(once) and not one.is_meta


def state_of(one):
    """What puts a random generator back to where it is now; None of what is none."""
    if isinstance(one, random.Random) and not isinstance(one, random.SystemRandom):
        return functools.partial(one.setstate, one.getstate())
    if isinstance(one, np.random.RandomState):
        return functools.partial(one.set_state, one.get_state())
    if isinstance(one, np.random.Generator):
        return functools.partial(setattr, one.bit_generator, "state", one.bit_generator.state)
    if isinstance(one, torch.Generator):
        return functools.partial(one.set_state, one.get_state())
    return None
