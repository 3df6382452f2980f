"""What extensions write down while the host encodes a text, to read it when the text is drawn.

Neutral Prompt stands in the host's reading of prompts and leaves the tree of the latest in a module of its own, from
which it puts cond and uncond together in every call, the sampler's own among them.
"""

import functools
import sys
import types
from contextlib import contextmanager
from pathlib import Path

from modules import shared

HOST = Path(shared.__file__).parents[1]
EXTENSIONS = ("extensions", "extensions-builtin")
NOT_THEIRS = ("modules", "lib_w2sd")


class Written:
    """Around an encoding. Afterwards all is as before; what there was meanwhile is there again within in_place()."""

    def __init__(self, p):
        self._tables = tables(p)

    def __enter__(self):
        self._before = [(table, dict(table)) for table in self._tables]
        return self

    def __exit__(self, *error):
        self._found = []
        for table, before in self._before:
            changed = {name for name in {*table, *before} if table.get(name, before) is not before.get(name, before)}
            if changed:
                there = {name: table[name] for name in changed if name in table}
                self._found.append((table, before, changed, there))
                _put(table, before, changed)
        del self._before

    @contextmanager
    def in_place(self):
        own = [(table, dict(table)) for table, *_ in self._found]
        for table, _, changed, there in self._found:
            _put(table, there, changed)
        try:
            yield
        finally:
            for (table, before), (_, _, changed, _) in zip(own, self._found):
                _put(table, before, changed)


def _put(table: dict, values: dict, names: set) -> None:
    for name in names:
        if name in values:
            table[name] = values[name]
        else:
            table.pop(name, None)


def tables(p) -> list:
    """The names of extensions' modules, and of the scripts that are at work and of the modules that they are from."""
    found = {id(vars(module)): vars(module) for module in list(sys.modules.values()) if is_an_extensions(module)}
    for script in p.scripts.alwayson_scripts:
        functions = [f for f in vars(type(script)).values() if isinstance(f, types.FunctionType)]
        for table in (vars(script), *(f.__globals__ for f in functions)):
            if table.get("__name__", "").partition(".")[0] not in NOT_THEIRS:
                found[id(table)] = table
    return list(found.values())


def is_an_extensions(module) -> bool:
    if not isinstance(module, types.ModuleType) or module.__name__.partition(".")[0] in NOT_THEIRS:
        return False
    return _among_extensions(getattr(module, "__file__", None))


@functools.cache
def _among_extensions(file: "str | None") -> bool:
    path = Path(file or "")
    return HOST in path.parents and path.relative_to(HOST).parts[0] in EXTENSIONS
