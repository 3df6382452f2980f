"""The judge: a small picture encoder and prompt encoder, trained on the same emoji by contrast (as CLIP), apart from the model.

Its cosine can serve as a reward; retrieval among prompts says whether a picture shows what was asked for.
"""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import captions, data, weights
from .text import Tokens

WIDTH = 96
ATTRIBUTES = ("name", "who", "tone", "color", "style")


class Pictures(nn.Module):
    """[B, 3, 64, 64] from -1 to 1 to features [B, WIDTH]."""

    def __init__(self):
        super().__init__()
        sizes = ((3, 32, 2), (32, 64, 2), (64, 96, 2), (96, 96, 1), (96, 160, 2))
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.GroupNorm(8, b), nn.SiLU())
                for a, b, stride in sizes
            )
        )
        self.out = nn.Linear(160 * 4, WIDTH)

    def forward(self, x):
        return self.out(F.avg_pool2d(self.body(x), 2).flatten(1))


class Prompts(nn.Module):
    """Token rows [B, 77] to [B, WIDTH]: the mean of the words' vectors, and one layer."""

    def __init__(self, rows: int):
        super().__init__()
        self.words = nn.Embedding(rows, WIDTH)
        self.hidden, self.out = nn.Linear(WIDTH, 192), nn.Linear(192, WIDTH)

    def forward(self, ids):
        said = (ids < self.words.num_embeddings - 2)[..., None].float()
        h = (self.words(ids) * said).sum(1) / said.sum(1).clamp(min=1).sqrt()
        return self.out(F.gelu(self.hidden(h)))


class Judge(nn.Module):
    def __init__(self, rows: int):
        super().__init__()
        self.pictures, self.prompts = Pictures(), Prompts(rows)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def forward(self, x, ids):
        """How alike each picture and each prompt are: [B, B]."""
        a, b = F.normalize(self.pictures(x), dim=1), F.normalize(self.prompts(ids), dim=1)
        return a @ b.T * self.sharpness.exp().clamp(max=60)


class Told:
    """The training's pictures, each with its full caption; held-out combinations too, since a judge has to know them."""

    def __init__(self, pictures: torch.Tensor, told: list, tokens: Tokens):
        full = [caption.text() for caption in told]
        self.pictures, self.ids = pictures, tokens.ids(full)
        self.kinds = torch.tensor([sorted(set(full)).index(words) for words in full])

    def loss(self, likeness, count: int, generator: torch.Generator) -> torch.Tensor:
        """Of likeness(pictures, token rows) [B, B], both ways; of two pictures with one caption none is a wrong answer."""
        which = torch.randperm(len(self.ids), generator=generator)[:count]
        same = (self.kinds[which][:, None] == self.kinds[which]) & ~torch.eye(count, dtype=torch.bool)
        found = likeness(disturbed(self.pictures[which], generator), self.ids[which]).masked_fill(same, -torch.inf)
        right = torch.arange(count)
        return (F.cross_entropy(found, right) + F.cross_entropy(found.T, right)) / 2

    def right(self, likeness: torch.Tensor) -> float:
        """The share of the pictures [N] whose own caption is the most like them of all: likeness [N, N]."""
        return round((self.kinds[likeness.argmax(dim=1)] == self.kinds).float().mean().item(), 4)


def disturbed(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """uint8 [B, 3, 64, 64] as a drawn picture might be: mirrored, shifted, a little blurred and noisy; from -1 to 1."""
    x = pictures.float() / 127.5 - 1
    y, z = torch.randint(-3, 4, (2,), generator=generator).tolist()
    x = F.pad(x, (3, 3, 3, 3), value=1.0)[..., 3 + y : 67 + y, 3 + z : 67 + z]
    if torch.rand((), generator=generator) < 0.5:
        x = x.flip(3)
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    share = torch.rand(len(x), 1, 1, 1, generator=generator)
    x = x.lerp(blurred, share)
    noise = torch.randn(x.shape, generator=generator) * 0.15 * torch.rand(len(x), 1, 1, 1, generator=generator)
    coarse = F.interpolate(torch.randn(len(x), 3, 8, 8, generator=generator) * 0.1, scale_factor=8, mode="bilinear")
    return (x + noise + coarse).clamp(-1, 1)


def save(path: Path, judge: Judge, tokens: Tokens, about: dict, statistics: dict) -> Path:
    tensors = {**judge.state_dict(), "tokens": torch.tensor(tokens.known)}
    return weights.save(path, {**tensors, **{f"real.{key}": value for key, value in statistics.items()}}, about)


@functools.cache
def load(folder: Path = weights.FOLDER) -> "tuple[Judge, Tokens, dict, dict]":
    """The judge, its tokens, the real pictures' feature statistics (mean, covariance), and what was said of it."""
    tensors, about = weights.read(folder / "judge.safetensors")
    tokens = Tokens(tensors.pop("tokens").tolist())
    judge = Judge(len(tokens))
    judge.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("real.")})
    real = {key: value.double() for key, value in weights.part(tensors, "real").items()}
    return judge.eval().requires_grad_(False), tokens, real, about


@torch.inference_mode()
def features(x: torch.Tensor) -> torch.Tensor:
    """Of pictures [N, 3, 64, 64] from 0 to 1: [N, WIDTH]."""
    return torch.cat([load()[0].pictures(part * 2 - 1) for part in x.split(256)])


@torch.inference_mode()
def prompt_features(texts) -> torch.Tensor:
    judge, tokens, _, _ = load()
    return judge.prompts(tokens.ids(list(texts)))


def reward(x: torch.Tensor, texts) -> torch.Tensor:
    """Cosine of each picture [N, 3, 64, 64], from 0 to 1, with its prompt: [N]."""
    return F.cosine_similarity(features(x), prompt_features(texts))


def judged(pictures: list, prompts: list) -> "list[float]":
    """The same of PIL pictures, as a reward of lib_w2sd.evaluate's: --reward lib_w2sd.lab.emoji.judge:judged."""
    arrays = [torch.tensor(np.asarray(picture.convert("RGB").resize((64, 64)))) for picture in pictures]
    return reward(torch.stack(arrays).permute(0, 3, 1, 2).float() / 255, list(prompts)).tolist()


@functools.cache
def _choices() -> dict:
    """{attribute: {name: values}} as the data have them."""
    found = {key: {} for key in ATTRIBUTES[1:]}
    for caption in captions.every():
        for key, values in found.items():
            values.setdefault(caption.name, set()).add(getattr(caption, key))
    return {key: {name: sorted(v - {""}) for name, v in names.items()} for key, names in found.items()}


@functools.cache
def names() -> tuple:
    return tuple(sorted({caption.name for caption in captions.every()}))


def values(name: str, attribute: str) -> "tuple | list":
    """What the attribute is looked for among, of things of this name."""
    return names() if attribute == "name" else _choices()[attribute].get(name, ())


@torch.inference_mode()
def retrieved(x: torch.Tensor, asked: list) -> dict:
    """{attribute: [right or not, for each picture that was asked for with it]}; pictures from 0 to 1, asked: Captions.

    The name is looked for among all names, every other attribute among its values for that name, the rest as asked.
    """
    found = {key: [] for key in ATTRIBUTES}
    seen = F.normalize(features(x), dim=1)
    for feature, caption in zip(seen, asked):
        for key in ATTRIBUTES:
            right = getattr(caption, key)
            among = values(caption.name, key)
            if not right or right not in among:
                continue
            texts = tuple(replace(caption, **{key: value}).text() for value in among)
            found[key].append(among[int((_known(texts) @ feature).argmax())] == right)
    return found


@functools.cache
def _known(texts: tuple) -> torch.Tensor:
    return F.normalize(prompt_features(texts), dim=1)


def frechet(own: torch.Tensor, real: "dict | None" = None) -> float:
    """Fréchet distance between features [N, WIDTH] and those of all real pictures, times 100."""
    real = real or load()[2]
    own = F.normalize(own.double(), dim=1)
    mean, covariance = own.mean(dim=0), own.T.cov()
    values, vectors = torch.linalg.eigh(real["covariance"])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
    away = (real["mean"] - mean).square().sum()
    return 100 * float(away + real["covariance"].trace() + covariance.trace() - 2 * cross)


def train(folder: Path, steps: int = 150, batch: int = 96):
    """Train and save it."""
    from . import optimiser
    from .resumable import Run

    pictures, told = data.load()
    tokens = Tokens.of(variant for caption in told for variant in captions.variants(caption))
    torch.manual_seed(3)
    model = Judge(len(tokens))
    run = Run("judge", model, optimiser.muon(model, 3e-3, adam=("words",)), folder, steps, seed=3)
    pairs = Told(pictures, told, tokens)
    run.go(lambda model, generator: (pairs.loss(model, batch, generator), {}))
    judge = run.averaged.eval()
    with torch.inference_mode():
        real = torch.cat([judge.pictures(part.float() / 127.5 - 1) for part in pictures.split(256)])
        likeness = F.normalize(real, dim=1) @ F.normalize(judge.prompts(pairs.ids), dim=1).T
    real = F.normalize(real.double(), dim=1)
    about = {"steps": steps, "batch": batch, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
    about["right prompt of all, real pictures"] = pairs.right(likeness)
    print(about)
    statistics = {"mean": real.mean(0), "covariance": real.T.cov()}
    save(weights.FOLDER / "judge.safetensors", judge, tokens, about, statistics)
    return run
