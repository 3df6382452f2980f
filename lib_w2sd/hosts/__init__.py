"""The only part of W2SD that imports the WebUI's own modules."""

from importlib.util import find_spec


def current():
    """The class for the host that this runs in."""
    if find_spec("modules_forge") is None:
        from .a1111 import A1111

        return A1111
    from .neo import Neo, keeps_patches_flat

    if keeps_patches_flat():
        return Neo
    from .forge import Forge

    return Forge
