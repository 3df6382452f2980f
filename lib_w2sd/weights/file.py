"""A checkpoint file, opened but not read: its UNet's names and shapes, one tensor on demand."""

import zipfile
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

UNET = "model.diffusion_model."
# As torch writes them, and as safetensors does
EIGHT_BIT = {
    "torch.float8_e4m3fn": torch.float8_e4m3fn,
    "F8_E4M3": torch.float8_e4m3fn,
    "torch.float8_e5m2": torch.float8_e5m2,
    "F8_E5M2": torch.float8_e5m2,
}


class WeightsFile:
    """`shapes`: the UNet's tensors by name, without the prefix that a whole checkpoint gives them.

    `markers`: the names of everything else in the file; `metadata`: the file's own, text to text.
    """

    def __init__(self, given: str, names: "Iterable[str]", metadata: "dict | None" = None):
        names = list(names)
        unet = {name[len(UNET) :]: name for name in names if name.startswith(UNET)}
        self.given, self.metadata = given, metadata or {}
        self._full = unet or {name: name for name in names}
        self.markers = {name for name in names if not name.startswith(UNET)}
        self.shapes = {name: self._shape(full) for name, full in self._full.items()}

    def called(self, names: "dict[str, str]") -> "WeightsFile":
        """This file, its tensors by other names: {new: old}. What is not named is left out."""
        self._full = {new: self._full[old] for new, old in names.items()}
        self.shapes = {new: self.shapes[old] for new, old in names.items()}
        return self

    def eight_bit(self) -> "torch.dtype | None":
        """The fp8 that most of the UNet's tensors have; None, if most have another dtype."""
        counts = Counter(self._dtype(full) for full in self._full.values())
        return EIGHT_BIT.get(counts.most_common(1)[0][0])

    @property
    def names(self) -> list:
        """Of all tensors that `read` reads, whatever becomes of `shapes`."""
        return list(self._full)

    def read(self, name: str) -> torch.Tensor:
        """One of the UNet's tensors, on the CPU in the file's own dtype."""
        with self.readable():
            return self._tensor(self._full[name])

    def _shape(self, full: str) -> tuple:
        raise NotImplementedError

    def _tensor(self, full: str) -> torch.Tensor:
        raise NotImplementedError

    def _dtype(self, full: str) -> str:
        return str(self._tensor(full).dtype)

    @contextmanager
    def readable(self):
        try:
            yield
        except (SafetensorError, OSError, EOFError, ValueError, KeyError) as error:
            raise broken(self.given, error) from error


def broken(given: str, error) -> CheckpointError:
    return CheckpointError(given, f"which cannot be read; the file is truncated or corrupt ({_first_line(error)}).")


def _first_line(error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class SafetensorsFile(WeightsFile):
    def __init__(self, given: str, path):
        self._file = safe_open(str(path), framework="pt", device="cpu")
        super().__init__(given, self._file.keys(), self._file.metadata())

    def _shape(self, full):
        return tuple(self._file.get_slice(full).get_shape())

    def _tensor(self, full):
        return self._file.get_tensor(full)

    def _dtype(self, full):
        return self._file.get_slice(full).get_dtype()


class PickleFile(WeightsFile):
    """.ckpt and .pt. `weights_only`: a pickle can run any program, and this reads tensors alone or nothing. The
    data stay on disk until they are asked for."""

    def __init__(self, given: str, path):
        # Not a str: Forge moves a file away whose name its torch.load was given as one, and could not read.
        path = Path(path)
        mappable = zipfile.is_zipfile(path)  # not if written by a torch before 1.6
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=mappable)
        if held is None:  # A1111 puts its own check in front of torch.load, which answers None
            raise CheckpointError(
                given, "a pickle file that the WebUI's own check refuses; its log says why. Convert it to .safetensors."
            )
        held = held.get("state_dict", held)
        self._held = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
        super().__init__(given, self._held)

    def _shape(self, full):
        return tuple(self._held[full].shape)

    def _tensor(self, full):
        return self._held[full]


def _what_it_is(path) -> "str | None":
    """Of a file that is no weights at all, in words: downloads that went wrong leave some kinds again and again."""
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b'{"')):
        return "it is a web page's text; download the file itself"
    return "it is a Git LFS pointer; download the file itself" if start.startswith(b"version https://git-lfs") else None


OPENERS = {".safetensors": SafetensorsFile, ".ckpt": PickleFile, ".pt": PickleFile, ".pth": PickleFile}


def open_weights(given: str, path, openers: "dict | None" = None) -> WeightsFile:
    """The file at `path`, which the user calls `given`. Raises CheckpointError where it cannot be read.

    openers  further kinds of file, by suffix
    """
    kinds = {**OPENERS, **(openers or {})}
    suffix = Path(path).suffix.lower()
    if suffix not in kinds:
        raise CheckpointError(given, f"a {suffix} file; allowed are {', '.join(sorted(kinds))}.")
    try:
        what = _what_it_is(path)
        if what:
            raise broken(given, what)
        file = kinds[suffix](given, path)
    except FileNotFoundError as error:
        raise CheckpointError(given, f"but the file {Path(path).name} is not there any more.") from error
    except (MemoryError, CheckpointError):
        raise
    except Exception as error:
        if kinds[suffix] is PickleFile and "unsupported global" in str(error).lower():
            raise CheckpointError(
                given,
                "a pickle file that holds more than tensors and could run any program; it is not loaded. "
                "Convert it to .safetensors.",
            ) from error
        raise broken(given, error) from error
    if not file.shapes:
        raise CheckpointError(given, "a file without a UNet.")
    return file
