"""Whose a function, a class or a module is: the WebUI's own, a library's, ours or somebody else's."""

import functools
import sys
import sysconfig
import types
from pathlib import Path

from modules import shared

HOSTS = ("modules", "modules_forge", "backend", "ldm_patched")
HOST = Path(shared.__file__).parents[1]
OURS = [Path(__file__).parents[4] / name for name in ("lib_w2sd", "scripts")]
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
# Where else packages lie: another environment's that this one uses too, a user's, Debian's.
PACKAGES = {"site-packages", "dist-packages"}
# The host's folders whose code is an extension's, or a script of the list.
EXTENSIONS = ("extensions", "extensions-builtin", "scripts")


def is_a_hosts_own(function) -> bool:
    """Whether the code that runs is in the WebUI's own file: others put theirs on the instance, on the class or into
    the module, bound, as a partial, or wrapped under the host's name."""
    function = getattr(function, "__func__", function)
    code, module = getattr(function, "__code__", None), getattr(function, "__module__", "") or ""
    if code is None or module.partition(".")[0] not in HOSTS:
        return False
    return code.co_filename == getattr(sys.modules.get(module), "__file__", None)


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
