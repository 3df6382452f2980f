"""What W2SD says when it cannot go on."""


class W2SDError(RuntimeError):
    """The job cannot be done as asked. ``status_code`` is what the API answers."""

    status_code = 500


class SettingError(W2SDError, ValueError):
    """A setting has a value that is not allowed; the text names the setting, the value and what is allowed."""

    status_code = 422


class SamplerError(W2SDError):
    """The chosen sampler has no steps that could be reflected; the text says why."""

    status_code = 422
