"""What a host's functions take: forks differ in it from month to month, and not by their version numbers."""

import inspect


def takes(function, parameter: str) -> bool:
    """Whether `function` has a parameter of that name."""
    return parameter in inspect.signature(function).parameters
