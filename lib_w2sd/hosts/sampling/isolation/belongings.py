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
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import torch
from modules import shared

from . import kept

HOST = Path(shared.__file__).parents[1]
OURS = [Path(__file__).parents[4] / name for name in ("lib_w2sd", "scripts")]
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
# Where else packages lie: another environment's that this one uses too, a user's, Debian's.
PACKAGES = {"site-packages", "dist-packages"}
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
# Tables. Those with ways of their own to answer may make what is asked for: transformers' import every model there is.
READ_AS_THEY_ARE = (dict.items, OrderedDict.items)
PLAIN = {int, float, complex, str, bytes, bool, type(None), types.BuiltinFunctionType, torch.dtype, torch.device}


@functools.cache
def is_theirs(file: "str | None") -> bool:
    """Whether code of this file is neither the host's, nor a library's, nor ours."""
    if not file or file.startswith("<"):
        return False
    path = Path(file)
    if any(place in (path, *path.parents) for place in (*OURS, *LIBRARIES)) or PACKAGES & set(path.parts):
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
    return _file_of_class(owner)


@functools.lru_cache(maxsize=10_000)
def _file_of_class(owner: type) -> "str | None":
    module = sys.modules.get(owner.__module__)
    if module is not None:
        return getattr(module, "__file__", None)
    # The hosts load their scripts' files without making them known to Python; what has no function of its own there is
    # named by the script.
    functions = (value for value in vars(owner).values() if isinstance(value, types.FunctionType))
    files = (function.__code__.co_filename for function in functions)
    return next((file for file in files if not file.startswith("<")), f"/{owner.__module__}")


class Place:
    """Something that was come by.

    kept        what is kept of it
    leads       what it leads to
    wanted      (whether it is one of the host's objects that are asked about, or a layer or its class)
    attributes  an object's, where they are kept
    """

    def __init__(self, one, kept_of_it: list, leads: list, attributes: "dict | None" = None):
        self.one, self.kept, self.leads, self.attributes = one, kept_of_it, leads, attributes
        self.wanted = False, False

    def stands(self, wanted: tuple) -> bool:
        """Whether it would be come by as it was."""
        if wanted != self.wanted or (self.attributes is not None and vars(self.one) is not self.attributes):
            return False
        return all(one.stands() for one in self.kept)


class Belongings:
    """All that can be reached from `roots` as it is now. put_back() makes it so again, as often as wanted.

    roots    functions, objects, classes, modules of others; lists and tables
    objects  [(object of the host, names that are not its)], whose attributes are kept too
    layers   of the host's network, on which others keep what they remember, and on their classes
    earlier  Belongings of much the same: what stands since then is not looked at anew
    """

    def __init__(self, roots, objects=(), layers=(), earlier: "Belongings | None" = None):
        self._objects = {id(one): (one, leaving) for one, leaving in objects}
        self._layers = {id(one) for layer in layers for one in (layer, type(layer))}
        # By id: a place holds what it is of, and an id is one object's as long as that lives.
        self._kept, self._places, new = [], {}, []
        known = earlier._places if earlier else {}
        queue = deque([*(one for one, _ in self._objects.values()), *layers, *map(type, layers), *roots])
        while queue:
            one = queue.popleft()
            if id(one) in self._places:
                continue
            wanted = id(one) in self._objects, id(one) in self._layers
            if type(one) in PLAIN and not any(wanted):
                continue
            place = known.get(id(one))
            if place is None or not place.stands(wanted):
                place = self._place(one)
                place.wanted = wanted
                new.append(place)
            self._places[id(one)] = place
            self._kept += place.kept
            queue.extend(place.leads)
        self._passing = {id(vars(one)) for one, _ in self._objects.values() if hasattr(one, "__dict__")}
        for place in reversed(new):  # most of it is a library's or the host's: that way nobody needs to go again
            place.leads = list({id(one): one for one in place.leads if self._is_something(one)}.values())

    def _is_something(self, one) -> bool:
        place = self._places.get(id(one))
        return place is not None and bool(place.kept or place.leads)

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
        changes = (one.since(then.get(id(one.owner))) for one in self._lasting() if then.get(id(one.owner)) is not one)
        return [change for change in changes if change is not None]

    def _lasting(self):
        return (one for one in self._kept if id(one.owner) not in self._passing)

    def _place(self, one) -> Place:
        if isinstance(one, (torch.Tensor, np.ndarray)):
            return Place(one, [kept.Numbers(one)] if _changeable(one) else [], [])
        if isinstance(one, dict):
            if type(one).items not in READ_AS_THEY_ARE:
                place = self._object(one)
                place.leads += _to_follow(dict.values(one))
                return place
            # The names of a module's functions, but for those that Python gives it.
            return self._table(one, one, dunder="__builtins__" not in one)
        if isinstance(one, (list, set, bytearray, deque)):
            return Place(one, [kept.Collection(one)], _to_follow(one))
        if isinstance(one, (tuple, frozenset)):
            return Place(one, [], _to_follow(one))
        if isinstance(one, types.FunctionType):
            return self._function(one)
        if isinstance(one, types.MethodType):
            return Place(one, [], [one.__func__, one.__self__])
        if isinstance(one, functools.partial):
            return Place(one, [], [one.func, one.args, one.keywords])
        if isinstance(one, types.ModuleType):
            return Place(one, [], [vars(one)] if is_theirs(file_of(one)) else [])
        if isinstance(one, type):
            return self._class(one)
        return self._object(one)

    def _table(self, one, owner, dunder: bool = True, leaving: tuple = ()) -> Place:
        """A dictionary, or a class; without the names that Python gives it, or that are left out."""
        table = kept.Table(owner, lambda key: key not in leaving and (dunder or not str(key).startswith("__")))
        return Place(one, [table], _to_follow(table.content.values()))

    def _function(self, one: types.FunctionType) -> Place:
        cells = [kept.Cell(cell) for cell in one.__closure__ or ()]
        leads = [cell.content for cell in cells]
        if not is_theirs(file_of(one)):
            return Place(one, cells, _to_follow(leads))
        own = kept.Table(vars(one), lambda _: True)
        leads += [*(one.__defaults__ or ()), one.__kwdefaults__, *own.content.values(), one.__globals__]
        return Place(one, [*cells, own], _to_follow(leads))

    def _class(self, one: type) -> Place:
        if not is_theirs(file_of(one)) and id(one) not in self._layers:
            return Place(one, [], [])
        place = self._table(one, one, dunder=False)
        place.leads += one.__bases__
        return place

    def _object(self, one) -> Place:
        """A random generator, or an object of others; the host's and the libraries' are their own."""
        if _is_generator(type(one)):
            return Place(one, [kept.Generator(one, state_of(one))], [])
        asked = self._objects.get(id(one))
        if asked is None and not is_theirs(file_of(type(one))) and id(one) not in self._layers:
            return Place(one, [], [])
        if not hasattr(one, "__dict__"):
            return Place(one, [], [])
        # A network's weights and layers are what it is, not what it remembers.
        leaving = OF_A_LAYER if isinstance(one, torch.nn.Module) else ()
        if asked:
            leaving = (*leaving, *asked[1])
        place = self._table(one, vars(one), leaving=leaving)
        place.attributes = vars(one)
        place.leads += [] if asked else [type(one)]
        return place


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


@functools.cache
def _is_generator(kind: type) -> bool:
    """Asked once a class: some libraries' classes take their time to say what is theirs."""
    if issubclass(kind, random.SystemRandom):  # has no state
        return False
    return issubclass(kind, (random.Random, np.random.RandomState, np.random.Generator, torch.Generator))


def state_of(one):
    """What puts a random generator back to where it is now."""
    if isinstance(one, random.Random):
        return functools.partial(one.setstate, one.getstate())
    if isinstance(one, np.random.Generator):
        return functools.partial(setattr, one.bit_generator, "state", one.bit_generator.state)
    return functools.partial(one.set_state, one.get_state())  # NumPy's older one, and torch's
