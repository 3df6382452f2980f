"""What W2SD says when it cannot go on."""

import torch


class W2SDError(RuntimeError):
    """The job cannot be done as asked. ``status_code`` is what the API answers: that it is the request's, not the
    WebUI's, and 507 where memory is short."""

    status_code = 422


class SettingError(W2SDError, ValueError):
    """A setting has a value that is not allowed; the text names the setting, the value and what is allowed."""


class SamplerError(W2SDError):
    """The chosen sampler has no steps that could be reflected; the text says why."""


class LacksError(W2SDError):
    """The WebUI lacks something that W2SD needs; the text says what, and which WebUIs work."""


class NoPictureError(W2SDError):
    """A side of the reflection gave NaN or infinity, from which only a black picture can follow."""


class OutOfMemory(W2SDError):
    """There was not enough memory for an evaluation of the reflection."""

    status_code = 507


class CheckpointError(W2SDError):
    """A checkpoint cannot be used; the text names the setting that named it (Setting.named), what was given, and why
    not."""

    setting = "checkpoint"

    def __init__(self, given: str, why: str):
        super().__init__(given, why)
        self.given, self.why = given, why

    def __str__(self):
        return f"W2SD: {self.setting} was given {self.given!r}, {self.why}"


class UnfitCheckpoint(CheckpointError):
    """It is no counterpart of the loaded one: another architecture, another prediction type."""


class CheckpointMemoryError(CheckpointError):
    """There is not enough memory for it beside the loaded one."""

    status_code = 507


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch's allocator for the CPU raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and not isinstance(error, W2SDError) and "allocate" in str(error)
