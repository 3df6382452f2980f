"""The only part of W2SD that imports the WebUI's own modules."""

from importlib.util import find_spec


def current():
    """The class for the host that this runs in."""
    if find_spec("modules_forge") is not None:
        from backend.patcher.base import ModelPatcher

        # By what it can, not by its name, which forks share: this one's LoRAs are patches of single weights.
        if not hasattr(ModelPatcher, "refresh_loras"):
            from .neo import Neo

            return Neo
        from .forge import Forge

        return Forge
    from .a1111 import A1111

    return A1111
