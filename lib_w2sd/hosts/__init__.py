"""The only part of W2SD that imports the WebUI's own modules."""

import importlib

from .compatibility import requirements

# The class of each kind of WebUI, each in a folder of its own.
CLASSES = {"a1111": "A1111", "forge": "Forge", "neo": "Neo", "reforge": "ReForge"}


def current():
    """The class for the host that this runs in."""
    which = requirements.kind()
    return getattr(importlib.import_module(f"{__name__}.{which}"), CLASSES[which])
