"""Scores of pictures: how well each shows its prompt, or how good it looks. Nothing is loaded before it is asked.

Reward models are files and folders as their authors publish them; README.md says which, and where they are to be had.
To add a kind: its file with a subclass of Reward, and its class in KINDS.
"""

from pathlib import Path

from .aesthetic import Aesthetic
from .clip import Clip
from .hps import HPS
from .image_reward import ImageReward
from .reward import OwnFunction, Reward, RewardError

KINDS: "list[type[Reward]]" = [Clip, HPS, Aesthetic, ImageReward]
__all__ = ["KINDS", "Reward", "RewardError", "found", "opened"]


def opened(given: str) -> Reward:
    """The reward of a file, a folder, or of a function of your own, "module:function" (see reward.OwnFunction).

    Raises RewardError if it is none, or if a file that it needs is missing.
    """
    path = Path(given).expanduser()
    if path.exists():
        for kind in KINDS:
            if kind.fits(path):
                return kind(path)
        kinds = "; ".join(kind.told for kind in KINDS)
        raise RewardError(f"Reward {given}: this is none that is known here. Known are: {kinds}.")
    module, _, function = given.partition(":")
    if function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        try:
            return OwnFunction(module, function)
        except (ImportError, AttributeError) as error:
            raise RewardError(f"Reward {given}: {error}.") from error
    raise RewardError(f"Reward {given}: there is no such file or folder, and it is no module:function.")


def found(folder: Path) -> "dict[str, Path]":
    """Those in a folder, by name."""
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.iterdir() if any(kind.fits(path) for kind in KINDS))
    return {path.name: path for path in paths}
