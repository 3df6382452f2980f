"""One thing that is come by as others' functions are followed: what is kept of it, and what it leads to."""

import functools
import random
import types
from collections import OrderedDict, deque

import numpy as np
import torch

from . import kept
from .whose import file_of, is_theirs

# Kept by their content up to this many numbers, larger ones by which they are: a model's weights are no memory.
LARGEST = 1 << 22
# A table of more lists of words and numbers than this is looked up in, not written to: an extension's database.
MOST_LISTED = 1000
COLLECTIONS = (list, set, tuple, frozenset, deque)
# What the host does with a layer's weights as it loads and moves them.
OF_A_LAYER = (
    *vars(torch.nn.Module()),
    *("forge_patched_weights", "forge_force_cast_weights", "parameters_manual_cast", "prev_parameters_manual_cast"),
    *("weight_function", "bias_function"),
)
# Tables. Those with ways of their own to answer may make what is asked for: transformers' import every model there is.
READ_AS_THEY_ARE = (dict.items, OrderedDict.items)
PLAIN = {int, float, complex, str, bytes, bool, type(None), types.BuiltinFunctionType, torch.dtype, torch.device}


class Place:
    """Something that was come by.

    kept        what is kept of it
    leads       what it leads to
    attributes  an object's, where they are kept
    """

    def __init__(self, one, kept_of_it: list, leads: list, attributes: "dict | None" = None):
        self.one, self.kept, self.leads, self.attributes = one, kept_of_it, leads, attributes
        self.wanted = False, False  # whether it is one of the host's objects that are asked about; a layer or its class
        self.passed = []  # what it leads to where nothing is kept, nor further on

    def stands(self) -> bool:
        """Whether it would be come by as it was."""
        if self.attributes is not None and vars(self.one) is not self.attributes:
            return False
        return all(one.stands() for one in self.kept)

    def is_something(self) -> bool:
        return bool(self.kept or self.leads)


class Places:
    """How things are come by.

    objects  [(object of the host, names that are not its)], whose attributes are kept too
    layers   of the host's network, on which others keep what they remember, and on their classes
    """

    def __init__(self, objects, layers):
        self.objects = {id(one): (one, leaving) for one, leaving in objects}
        self.layers = {id(one): one for layer in layers for one in (layer, type(layer))}

    def wanted(self, one) -> "tuple[bool, bool]":
        return id(one) in self.objects, id(one) in self.layers

    def of(self, one) -> Place:
        place = self._of(one)
        place.wanted = self.wanted(one)
        return place

    def _of(self, one) -> Place:
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
        if not is_theirs(file_of(one)) and id(one) not in self.layers:
            return Place(one, [], [])
        place = self._table(one, one, dunder=False)
        place.leads += one.__bases__
        return place

    def _object(self, one) -> Place:
        """A random generator, or an object of others; the host's and the libraries' are their own."""
        if _is_generator(type(one)):
            return Place(one, [kept.Generator(one, state_of(one))], [])
        asked = self.objects.get(id(one))
        if asked is None and not is_theirs(file_of(type(one))) and id(one) not in self.layers:
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
    found = [value for value in values if type(value) not in PLAIN]
    return found if len(found) <= MOST_LISTED else _without_records(found)


def _without_records(values: list) -> list:
    records = {id(value) for value in values if _is_record(value)}
    return values if len(records) <= MOST_LISTED else [value for value in values if id(value) not in records]


def _is_record(value, deep: int = 3) -> bool:
    """`deep`: so many collections within each other; one may hold itself."""
    if type(value) in PLAIN:
        return True
    return bool(deep) and type(value) in COLLECTIONS and all(_is_record(one, deep - 1) for one in value)


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
