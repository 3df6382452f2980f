"""How well pictures show what was asked for: by the judge, which was trained on the real emoji apart from the model."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from . import captions, grid, judge
from .captions import Caption
from .draw import draw

BATCH = 40


@dataclass(frozen=True)
class Scores:
    """Means over the pictures.

    found     {attribute: share of the pictures from which the judge finds it again}
    distance  Fréchet's, between the judge's features of these and of all real pictures, times 100
    reward    cosine of picture and prompt
    variety   mean distance between the features of two pictures of one prompt (cosine), where there are two
    rows      network rows a picture
    """

    found: dict
    distance: float
    reward: float
    variety: float
    rows: float


def asked(held_out: bool) -> list:
    """The prompts of the scores, full captions: every held-out one, or as many of the others, always the same."""
    every = sorted(set(captions.every()), key=lambda caption: caption.text())
    chosen = [caption for caption in every if caption.held_out == held_out]
    return chosen if held_out else random.Random(0).sample(chosen, min(len(chosen), 120))


def score(pictures: torch.Tensor, wanted: list, each: int = 1, rows: float = 0.0) -> Scores:
    """pictures [N, 3, 64, 64] from 0 to 1, asked for with Captions; `each` pictures in a row have the same one."""
    found = {key: sum(right) / len(right) for key, right in judge.retrieved(pictures, wanted).items() if right}
    features = judge.features(pictures)
    reward = judge.reward(pictures, [caption.text() for caption in wanted]).mean().item()
    unit = torch.nn.functional.normalize(features, dim=1).view(-1, each, features.shape[1])
    alike = (unit @ unit.transpose(1, 2)).sum(dim=(1, 2)) - each
    variety = float("nan") if each < 2 else 1 - (alike / (each * (each - 1))).mean().item()
    return Scores(found, judge.frechet(features), reward, variety, rows)


def drawn(
    wanted: list, each: int, step=None, text=Caption.text, weak_text=None, negative_text=None, **way
) -> "tuple[torch.Tensor, list, float]":
    """Pictures, the Caption of each, and network rows a picture; seeds 0, 1, ... one a picture.

    text           text(Caption) -> the prompt
    weak_text      weak_text(Caption) -> the weak side's
    negative_text  negative_text(Caption) -> the negative prompt
    """
    every = [caption for caption in wanted for _ in range(each)]
    pictures, rows = [], 0
    for start in range(0, len(every), BATCH):
        part = every[start : start + BATCH]
        if weak_text:
            way["weak_texts"] = [weak_text(caption) for caption in part]
        if negative_text:
            way["negative"] = [negative_text(caption) for caption in part]
        run = draw([text(caption) for caption in part], range(start, start + len(part)), step=step, **way)
        pictures.append(run.pictures)
        rows += run.rows
    return torch.cat(pictures), every, rows / len(every)


WAYS = {
    "weak, CFG 4": {"model": "weak"},
    "plain, CFG 1": {"cfg": 1.0},
    "plain, CFG 2": {"cfg": 2.0},
    "plain, CFG 3": {"cfg": 3.0},
    "plain, CFG 4": {},
    "plain, CFG 6": {"cfg": 6.0},
    "W2SD, guidance gap to CFG 1, matched, strength 0.5": grid.WAYS["W2SD, guidance gap"],
    "W2SD, checkpoint gap, matched": grid.WAYS["W2SD, checkpoint gap"],
    "W2SD, strong against itself, paper": {"settings": replace(grid.W2SD, weak_cfg=4.0, inversion="paper")},
}


def table(wanted: list, each: int, ways: "dict | None" = None) -> str:
    """Markdown: one line a way."""
    head = ["", *judge.ATTRIBUTES, "Fréchet ↓", "reward", "rows"]
    lines = [head, ["---"] * len(head)]
    for label, way in (ways or WAYS).items():
        pictures, every, rows = drawn(wanted, each, **way)
        one = score(pictures, every, each, rows)
        shares = [f"{one.found[key]:.3f}" if key in one.found else "" for key in judge.ATTRIBUTES]
        lines.append([label, *shares, f"{one.distance:.2f}", f"{one.reward:.3f}", f"{one.rows:g}"])
        print(" | ".join(lines[-1]), flush=True)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(path: Path, each: int = 1) -> Path:
    """Both tables, trained and held-out combinations, to a Markdown file."""
    parts = []
    for held_out in (False, True):
        wanted = asked(held_out)
        title = "Held-out combinations" if held_out else "Trained combinations"
        parts.append(f"## {title}: {len(wanted)} prompts, {each} pictures each\n\n{table(wanted, each)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")
    return path
