"""How a job that cannot be done ends. Imports nothing of the WebUI."""

from contextlib import contextmanager

from fastapi import HTTPException

from ...errors import W2SDError


class JobRefused(HTTPException):
    """A W2SDError on its way out. The API answers an HTTPException with its status and goes on; any other exception
    costs the client its connection. The page shows the text."""

    def __str__(self):
        return self.detail


@contextmanager
def refusing():
    try:
        yield
    except W2SDError as error:
        raise JobRefused(error.status_code, str(error)) from error
