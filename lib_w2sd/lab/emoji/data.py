"""The pictures: Noto and Twemoji at 64 px from the npm packages emoji-datasource-google and -twitter, with captions."""

import colorsys
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import captions
from .captions import NO_TONE, STYLES, TONES, Caption

PACKAGE, VERSION = "emoji-datasource-{}", "16.0.0"
FOLDER = Path("out/emoji")
SIZE = 64


def fetch(folder: Path = FOLDER) -> Path:
    """Download both packages (136 MB) unless they are there; unpack what we use to `folder`/<google, twitter>.

    Raises RuntimeError when npm is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in STYLES:
        if (folder / source / "emoji.json").exists():
            continue
        name = PACKAGE.format(source)
        archive = folder / f"{name}-{VERSION}.tgz"
        if not archive.exists():
            npm = shutil.which("npm")
            if npm is None:
                raise RuntimeError(
                    f"npm is needed once, to download {name}: install Node.js, or put {archive.name} into {folder}"
                )
            done = subprocess.run(
                [npm, "pack", f"{name}@{VERSION}"], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"npm pack {name}@{VERSION} failed: {done.stderr.strip()[-500:]}")
        pictures = f"package/img/{source}/64/"
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                kept = member.name in ("package/emoji.json", "package/README.md", "package/LICENSE")
                if member.isfile() and (kept or member.name.startswith(pictures)):
                    path = folder / source / (Path(member.name).name if kept else f"64/{Path(member.name).name}")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(packed.extractfile(member).read())
    return folder


def picture(path: Path) -> np.ndarray:
    """A PNG on white: [64, 64, 3], uint8."""
    image = Image.open(path).convert("RGBA")
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def paint(path: Path, color: str) -> np.ndarray:
    """The same in another colour: every pixel that has a colour gets the hue of `color`, and keeps its shading."""
    rgba = (
        np.asarray(Image.open(path).convert("RGBA").resize((SIZE, SIZE), Image.Resampling.LANCZOS)).astype(np.float32)
        / 255
    )
    hue, saturation, lightness = HUES[color]
    out = rgba.copy()
    for y in range(SIZE):
        for x in range(SIZE):
            _, light, s = colorsys.rgb_to_hls(*rgba[y, x, :3])
            if rgba[y, x, 3] > 0 and s * min(light, 1 - light) * 2 > 0.15:
                out[y, x, :3] = colorsys.hls_to_rgb(
                    hue, min(0.97, light + lightness), min(1.0, max(s, 0.5) * saturation)
                )
    return np.asarray(np.round((out[..., :3] * out[..., 3:] + 1 - out[..., 3:]) * 255), dtype=np.uint8)


# Hue (HLS), factor on saturation, added lightness.
HUES = {
    "red": (0.99, 1.0, 0.0),
    "orange": (0.085, 1.1, 0.03),
    "yellow": (0.135, 1.15, 0.05),
    "green": (0.33, 0.75, -0.03),
    "blue": (0.59, 1.0, 0.0),
    "purple": (0.76, 0.8, 0.0),
    "pink": (0.92, 0.9, 0.16),
}


def catalogue(folder: Path = FOLDER) -> list:
    """All pictures: [(Caption, path, colour to paint it in or "")]."""
    found = []
    names = captions.things()
    for source, style in STYLES.items():
        entries = json.loads((folder / source / "emoji.json").read_text(encoding="utf-8"))
        by_name = {entry["short_name"]: entry for entry in entries if entry[f"has_img_{source}"]}

        def path(image, source=source):
            return folder / source / "64" / image

        def toned(entry, caption, path=path):
            variants = {NO_TONE: entry["image"]}
            variants.update({tone: entry["skin_variations"][code]["image"] for code, tone in TONES.items()})
            return [(captions.replace(caption, tone=tone), path(image), "") for tone, image in variants.items()]

        for short, name in captions.ROLES.items():
            for sex, who in (("male", "man"), ("female", "woman")):
                entry = by_name.get(f"{sex}-{short}") or by_name[f"{sex}_{short}"]
                found += toned(entry, Caption(name, "people", who=who, style=style))
        for short, name in captions.PEOPLE.items():
            found += toned(by_name[short], Caption(name, "people", style=style))
        for short, name in captions.HANDS.items():
            found += toned(by_name[short], Caption(name, "hand", style=style))
        for short, (name, group) in names.items():
            color = ""
            if short in captions.PAINTED:
                name, color = captions.PAINTED[short]
                found += [
                    (Caption(name, "painted", color=paint, style=style), path(by_name[short]["image"]), paint)
                    for paint in captions.PAINT
                    if paint != color
                ]
                group = "painted"
            found.append((Caption(name, group, color=color, style=style), path(by_name[short]["image"]), ""))
        for short, (color, name) in captions.SHAPES.items():
            found.append((Caption(name, "shape", color=color, style=style), path(by_name[short]["image"]), ""))
    return found


def load(folder: Path = FOLDER) -> "tuple[torch.Tensor, list]":
    """Pictures [N, 3, 64, 64] uint8, and their captions, in a fixed order; kept in `folder`/pictures.pt."""
    kept = folder / "pictures.pt"
    entries = catalogue(fetch(folder))
    if kept.exists():
        pictures = torch.load(kept)
        if len(pictures) == len(entries):
            return pictures, [caption for caption, _, _ in entries]
    arrays = [paint(path, color) if color else picture(path) for _, path, color in entries]
    pictures = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    torch.save(pictures, kept)
    return pictures, [caption for caption, _, _ in entries]
