"""Rewards in a WebUI: those in its folder models/rewards, asked for scores of pictures in the making (Algorithm 2)."""

from collections.abc import Callable
from pathlib import Path

import torch
from modules import paths_internal, sd_samplers_common, shared
from PIL import Image

from ... import rewards
from ...errors import SettingError
from ...method.reflection import INVERSIONS
from ...page.settings import BY_NAME

FOLDER = Path(paths_internal.models_path) / "rewards"
# samples_to_images_tensor's ways of making a picture of a latent; None: as the live preview is made.
DECODERS = {"preview": None, "vae": 0}
# Of a GPU's free memory, what a reward may take: the rest is for its own work.
SHARE = 0.7


def choices() -> list:
    """The names in the folder, for a list to pick from."""
    return list(rewards.found(FOLDER))


def find(given: str) -> Path:
    """The file or folder of a name, with or without its ending. Raises SettingError, with the names that there are."""
    there = rewards.found(FOLDER)
    named = [path for name, path in there.items() if given in (name, path.stem)]
    if len(named) != 1:
        which = f", which are {', '.join(there)}" if there else f"; there is none in {FOLDER}"
        BY_NAME["reward"].refuse(given, f", not one in models/rewards{which}")
    return named[0]


def bytes_of(given: str) -> int:
    """About what it takes in memory; 0 where there is none of the name."""
    path = rewards.found(FOLDER).get(given)
    try:
        return rewards.opened(str(path)).bytes if path else 0
    except rewards.RewardError:
        return 0  # the request will say it


class _Kept:
    """The reward asked last stays in the host's memory: loading one takes longer than a picture."""

    def __init__(self):
        self.reward = None

    def get(self, path: Path) -> rewards.Reward:
        if self.reward is None or self.reward.path != path:
            self.reward = None  # its memory first
            self.reward = rewards.opened(str(path))
        return self.reward

    def free(self) -> None:
        self.reward = None


KEPT = _Kept()


def check(p, settings) -> None:
    """Raises SettingError where a reward has nothing to choose between, or the choice cannot be made."""
    if settings.inversion not in INVERSIONS:
        BY_NAME["inversion"].refuse(
            settings.inversion, f", with the reward {settings.reward!r}, which takes {', '.join(INVERSIONS)}"
        )
    if getattr(p, "refiner_checkpoint_info", None) is not None:
        # The chosen weak side makes the sampler's own call, in which the refiner would take over.
        raise SettingError(f"W2SD: reward was given {settings.reward!r}, with a refiner; allowed is one of the two.")


class OnDevice:
    """A reward that is on the GPU while it is asked, if there is room; the rest of the time in the host's memory."""

    def __init__(self, reward: rewards.Reward):
        self.reward, self.name = reward, reward.name

    def scores(self, pictures: list, prompts: list) -> "list[float]":
        device = torch.device(shared.device)
        has_room = device.type == "cuda" and self.reward.bytes < SHARE * torch.cuda.mem_get_info(device)[0]
        with self.reward.on(device if has_room else "cpu"):
            return self.reward.scores(pictures, prompts)


class Judge:
    """Scores the pictures of one sampling pass."""

    def __init__(self, settings, room_again: "Callable[[], None]"):
        """room_again()  called after the VAE's work: for it the host may have sent the UNet off the GPU"""
        self.reward = OnDevice(KEPT.get(find(settings.reward)))
        self.approximation, self.room_again = DECODERS[settings.reward_decoder], room_again

    def scores(self, signal: torch.Tensor, prompts: list) -> torch.Tensor:
        """One number a picture; `signal`: clean latents [B, ...]."""
        pictures = [self.picture(latent) for latent in signal]
        if self.approximation == DECODERS["vae"]:
            self.room_again()
        return torch.tensor(self.reward.scores(pictures, prompts[: len(pictures)]))

    def picture(self, latent: torch.Tensor) -> Image.Image:
        decoded = sd_samplers_common.samples_to_images_tensor(latent[None], self.approximation)[0]
        if decoded.ndim == 4:  # a video's frames, or the one of a model that could make a video
            decoded = decoded[len(decoded) // 2]
        pixels = (decoded.float() * 0.5 + 0.5).clamp(0, 1) * 255
        return Image.fromarray(pixels.round().byte().permute(1, 2, 0).cpu().numpy())
