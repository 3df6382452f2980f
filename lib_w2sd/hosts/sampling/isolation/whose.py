"""Whether a function that is in force is the WebUI's own, or somebody else's in its place."""

import sys

HOSTS = ("modules", "modules_forge", "backend", "ldm_patched")


def is_a_hosts_own(function) -> bool:
    """Whether the code that runs is in the WebUI's own file: others put theirs on the instance, on the class or into
    the module, bound, as a partial, or wrapped under the host's name."""
    function = getattr(function, "__func__", function)
    code, module = getattr(function, "__code__", None), getattr(function, "__module__", "") or ""
    if code is None or module.partition(".")[0] not in HOSTS:
        return False
    return code.co_filename == getattr(sys.modules.get(module), "__file__", None)
