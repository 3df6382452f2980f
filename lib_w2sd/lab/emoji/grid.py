"""A labelled grid: one row a prompt, two seeds a column, nothing selected."""

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from ...page.settings import Settings
from .draw import draw

# What a newcomer would type; the last four combine what was never trained together (captions.HELD_OUT_*).
PROMPTS = (
    "a firefighter",
    "a woman astronaut with dark skin, flat style",
    "a slice of pizza",
    "a red apple, shaded style",
    "a lion face",
    "a penguin, flat style",
    "a blue heart",
    "a yellow star",
    "a rocket",
    "a sunflower",
    "a man firefighter with dark skin",
    "a green heart",
    "a purple apple",
    "a wizard with dark skin, flat style",
)
SEEDS = (1, 2)
W2SD = Settings(enabled=True, lambda_steps=10, strength=1.0, inversion="matched")
WAYS = {
    "weak": {"model": "weak"},
    "plain": {},
    "W2SD, guidance gap": {"settings": replace(W2SD, weak_cfg=1.0, inversion="matched", strength=0.5)},
    "W2SD, guidance gap, previous-gap": {
        "settings": replace(W2SD, weak_cfg=1.0, inversion="previous-gap", strength=0.5)
    },
    # Both at CFG 1, so that guidance plays no part (appendix C.1).
    "W2SD, checkpoint gap": {
        "settings": replace(W2SD, strong_cfg=1.0, weak_cfg=1.0, inversion="matched"),
        "weak": "weak",
    },
}


def sheet(columns: dict, prompts, each: int, zoom: int = 2, title: str = "") -> Image.Image:
    """columns: {label: pictures [len(prompts) * each, 3, H, W] from 0 to 1, prompt by prompt}."""
    first = next(iter(columns.values()))
    size, left, gap, head = first.shape[-1] * zoom, 330, 14, 56 if title else 34
    width = left + len(columns) * (each * size + gap)
    image = Image.new("RGB", (width, head + len(prompts) * (size + 4)), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    pen.text((8, 6), title, "black", font=font)
    for column, (label, pictures) in enumerate(columns.items()):
        x0 = left + column * (each * size + gap)
        pen.text((x0, head - 24), label, "black", font=font)
        for i, picture in enumerate(pictures):
            array = (picture.permute(1, 2, 0) * 255).round().byte().numpy()
            tile = Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC)
            image.paste(tile, (x0 + i % each * size, head + i // each * (size + 4)))
    for row, prompt in enumerate(prompts):
        pen.text((8, head + row * (size + 4) + size // 2 - 10), prompt, "black", font=font)
    return image


def write(path: Path, prompts=PROMPTS, seeds=SEEDS, ways=None, **changes) -> Path:
    """Draw every prompt with every seed in every way, and write the PNG."""
    texts = [prompt for prompt in prompts for _ in seeds]
    every = list(seeds) * len(prompts)
    columns = {}
    for label, way in (ways or WAYS).items():
        torch.manual_seed(0)
        columns[label] = draw(texts, every, **{**changes, **way}).pictures
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(columns, prompts, len(seeds)).save(path)
    return path
