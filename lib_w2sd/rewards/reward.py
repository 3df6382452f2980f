"""What a reward is: pictures and prompts in, a number each out."""

import importlib
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from ..errors import W2SDError


class RewardError(W2SDError):
    """A reward cannot be used; the text names it, and says why."""

    status_code = 422


def layers_in(names, prefix: str) -> int:
    """How many layers a file's names count behind a prefix."""
    return len({name[len(prefix) :].partition(".")[0] for name in names if name.startswith(prefix)})


class Reward:
    """One reward model. A subclass says which files are its own (`fits`), and loads and asks it.

    told  what its files are, in the words of an error
    """

    told: str

    def __init__(self, path: Path):
        self.path, self.name = path, path.stem if path.is_file() else path.name
        self.check()
        self._model, self._device = None, torch.device("cpu")

    @classmethod
    def fits(cls, path: Path) -> bool:
        """Whether the file or folder is of this kind: by its name and header, without loading it."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises RewardError if a file is missing or is none; before anything is loaded."""

    @property
    def bytes(self) -> int:
        """What it takes on disk, and about what it takes in memory."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*.safetensors")
        return sum(file.stat().st_size for file in files)

    def load(self):
        """The model: anything with `to(device)`."""
        raise NotImplementedError

    @staticmethod
    def state(file: Path) -> dict:
        """The weights in a file by name. A pickle is read without running what is in it."""
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
        return found.get("state_dict", found)

    def ask(self, model, pictures: list, prompts: list, device) -> torch.Tensor:
        """One number a picture [N]."""
        raise NotImplementedError

    @contextmanager
    def on(self, device):
        """Within, the model is on `device`; afterwards on the CPU again."""
        self._device = torch.device(device)
        try:
            yield self
        finally:
            if self._model is not None:
                self._model.to("cpu")
            self._device = torch.device("cpu")

    @torch.inference_mode()
    def scores(self, pictures: "list[Image.Image]", prompts: "list[str]") -> "list[float]":
        """One number a picture: higher is better. Raises RewardError where it gives none, or the files are damaged."""
        if self._model is None:
            try:
                self._model = self.load()
            except RewardError:
                raise
            except Exception as error:  # whatever a damaged file makes of a library
                raise self.error(f"it cannot be loaded: {error}") from error
        self._model.to(self._device)
        try:
            found = self.ask(self._model, [picture.convert("RGB") for picture in pictures], list(prompts), self._device)
        except Exception as error:  # a library's own, or a function of the user's; memory may have run out
            raise self.error(f"it cannot be asked: {error}") from error
        if len(found) != len(pictures):
            raise self.error(f"it gave {len(found)} numbers for {len(pictures)} pictures")
        if not torch.isfinite(found).all():
            raise self.error("it gave NaN or infinity")
        return [float(score) for score in found]

    def error(self, why: str) -> RewardError:
        return RewardError(f"Reward {self.path}: {why}.")


class OwnFunction(Reward):
    """A function of the user's: function(pictures, prompts) -> one number each; pictures are PIL images."""

    def __init__(self, module: str, function: str):
        self.path, self.name = Path(f"{module}:{function}"), f"{module.rpartition('.')[2]}.{function}"
        self._function = getattr(importlib.import_module(module), function)
        self._model, self._device = torch.nn.Identity(), torch.device("cpu")

    @property
    def bytes(self) -> int:
        return 0

    def ask(self, model, pictures, prompts, device):
        return torch.as_tensor(self._function(pictures, prompts), dtype=torch.float32).flatten()
