"""Fashion-MNIST at 16x16, from Debian's package dataset-fashion-mnist, with the labels the lab's prompts speak of."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
ATTRIBUTES = ("dark", "bright")
PLACES = ("/usr/share/datasets/fashion-mnist", "data/fashion-mnist")


def _array(path: Path, header: int) -> np.ndarray:
    with gzip.open(path, "rb") as f:
        return np.frombuffer(f.read(), dtype=np.uint8, offset=header)


def load(part: str = "train", folder: "str | None" = None):
    """Pictures [N, 1, 16, 16] from -1 to 1, and labels [N, 2] (class, attribute). `part`: train or t10k.

    The attribute is what the data carry: a picture is bright when the mean of its garment (pixels over 0.1) is
    over the median of its class. Raises FileNotFoundError with what to do.
    """
    places = [Path(folder)] if folder else [Path(p) for p in PLACES]
    found = next((p for p in places if (p / f"{part}-images-idx3-ubyte.gz").exists()), None)
    if found is None:
        raise FileNotFoundError(
            "Fashion-MNIST was not found in " + " or ".join(map(str, places)) + ". On Debian and Ubuntu: apt install "
            "dataset-fashion-mnist; elsewhere name the folder of its four .gz files with --data."
        )
    pictures = _array(found / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    kinds = torch.from_numpy(_array(found / f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64))
    x = F.avg_pool2d(F.pad(torch.from_numpy(pictures.copy()).float() / 255, (2, 2, 2, 2)), 2)
    return x * 2 - 1, torch.stack([kinds, brightness_labels(x, kinds)], dim=1)


def brightness(x) -> torch.Tensor:
    """Mean of the garment's pixels; x from 0 to 1, [N, 1, H, W]."""
    garment = x > 0.1
    return (x * garment).sum(dim=(1, 2, 3)) / garment.sum(dim=(1, 2, 3)).clamp(min=1)


def brightness_labels(x, kinds) -> torch.Tensor:
    value, labels = brightness(x), torch.zeros_like(kinds)
    for kind in kinds.unique():
        of_kind = kinds == kind
        labels[of_kind] = (value[of_kind] > value[of_kind].median()).long()
    return labels


def striped(x) -> torch.Tensor:
    """The LoRA's style: every garment gets dark horizontal stripes, two rows in four. x from -1 to 1."""
    rows = (torch.arange(x.shape[2]) % 4 < 2).to(x.dtype)[None, None, :, None]
    return (x + 1) * (1 - 0.75 * rows) - 1
