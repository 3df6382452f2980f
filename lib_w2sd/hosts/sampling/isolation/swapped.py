"""Put something in another's place for a while, on the instance (or the class) itself."""

from contextlib import contextmanager


@contextmanager
def swapped(owner, name: str, value):
    """`owner.name` is `value` for the duration, on `owner` itself; afterwards it is as it was."""
    had, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
