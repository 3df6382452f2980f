"""A second model in Forge Neo, which keeps much of a model in one place for all (backend.args.dynamic_args)."""

from contextlib import contextmanager

from backend.args import dynamic_args

from ..forge.second import SecondModel


def _fields() -> dict:
    return {
        name: value
        for name, value in vars(dynamic_args).items()
        if not name.startswith("_") and not isinstance(value, (classmethod, staticmethod))
    }


def _fresh(value):
    """Lists and dictionaries are changed where they stand."""
    return value.copy() if isinstance(value, (list, dict)) else value


class NeoSecondModel(SecondModel):
    @contextmanager
    def apart(self, arguments):
        before = _fields()
        for name, value in {**before, **arguments}.items():
            setattr(dynamic_args, name, _fresh(value))
        try:
            yield
            arguments.update(_fields())
        finally:
            for name, value in before.items():
                setattr(dynamic_args, name, value)

    def is_video(self, engine):
        return engine.is_wan
