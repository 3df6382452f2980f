"""How a study is told: README.md with its tables, pairs.csv with every number, contact sheets of the pairs."""

import csv
import re
from pathlib import Path
from statistics import median

from PIL import Image, ImageDraw, ImageFont

from . import blind, verdict
from .study import Study, differences, rates

SIDE, GAP, HEAD = 256, 6, 22
_PICTURE = re.compile(r"!\[(.*)\]\(([^)]+)\)\n\n\*\1\*\n")


def write(study: Study, rewards: "list[str]") -> "Path | None":
    """README.md of what is finished, and the files that it shows; None where no pair is."""
    pairs = study.finished(rewards)
    if not pairs:
        return None
    reference, folder = study.asked.ways[0], study.folder
    blind.write(study, pairs)
    _csv(folder / "pairs.csv", study, pairs, rewards)
    parts = [
        "# Is it better here?\n",
        f"{_of_pictures(pairs)}, of {len({p.prompt for p in pairs})} of {len(study.asked.prompts)} prompts, "
        f"each from a seed of its own. Everything is set against **{reference.name}** of the same pair. Intervals are "
        "95 % for all ways together, and hold whenever one looks or stops (`lib_w2sd/evaluate/verdict.py` says which "
        "they are); **bold** where one leaves out what no difference would give.\n",
    ]
    if rewards:
        parts += [_rates(study, pairs, rewards), _means(study, pairs, rewards)]
    else:
        parts.append("No reward was asked: the pictures are there for your own eye (`blind.html`).\n")
    parts += [_costs(study, pairs), _sheets(study, pairs, rewards)]
    path = folder / "README.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _of_pictures(pairs: list) -> str:
    return "1 pair of pictures" if len(pairs) == 1 else f"{len(pairs)} pairs of pictures"


def words(study: Study, rewards: "list[str]") -> str:
    """The same in two sentences, for where there is no Markdown."""
    pairs, reference = study.finished(rewards), study.asked.ways[0].name
    told = f"{_of_pictures(pairs)}."
    if not pairs or not rewards:
        return told
    found = rates(study, pairs, rewards).items()
    by = "; ".join(f"{name} {100 * r.value:.0f} % ({100 * r.low:.0f} to {100 * r.high:.0f})" for name, r in found)
    return f"{told} Better than {reference}, by {', '.join(rewards)}: {by}."


def shown(folder: Path) -> "tuple[str, list[tuple[Path, str]]]":
    """README.md of a folder without its pictures, and those with their titles; "" and none where there is no study."""
    path = folder / "README.md"
    if not path.exists():
        return "", []
    text = path.read_text(encoding="utf-8")
    return _PICTURE.sub("", text), [(folder / name, title) for title, name in _PICTURE.findall(text)]


def _picture(name: str, title: str) -> str:
    """As _PICTURE finds it again: beside its file, titles are read, and alternative texts are not."""
    return f"![{title}]({name})\n\n*{title}*\n"


def _rates(study: Study, pairs: list, rewards: list) -> str:
    by = {reward: [reward] for reward in rewards}
    if len(rewards) > 1:
        by = {"most of the rewards": rewards, **by}
    others = study.asked.ways[1:]
    lines = [["winning rate, by", *(way.name for way in others)]]
    for name, some in by.items():
        found = rates(study, pairs, some)
        lines.append([name, *(_rate(found[way.name]) for way in others)])
    return table(lines)


def _rate(found: verdict.Rate) -> str:
    mark = "**" if found.clear else ""
    won = f"{found.wins} : {found.losses}" + (f", {found.ties} ties" if found.ties else "")
    return f"{mark}{100 * found.value:.1f} %{mark} ({100 * found.low:.0f} to {100 * found.high:.0f}; {won})"


def _means(study: Study, pairs: list, rewards: list) -> str:
    reference, *others = study.asked.ways
    lines = [["mean difference of", *(way.name for way in others)]]
    for reward in rewards:
        cells = []
        for way in others:
            found = verdict.mean(differences(pairs, way, reference, reward), 0.05 / len(others))
            mark = "**" if abs(found.value) > found.half else ""
            cells.append(f"{mark}{found.value:+.4g}{mark} ± {found.half:.2g}")
        lines.append([reward, *cells])
    return table(lines)


def _costs(study: Study, pairs: list) -> str:
    """Seconds are the WebUI's own, with the request's way there and back."""
    lines = [["", "seconds, median", "network rows", "CFG", "steps"]]
    for way in study.asked.ways:
        made = [pair.made[way.name] for pair in pairs if "refused" not in pair.made[way.name]]
        if not made:
            lines.append([way.name, "none drawn", "", "", ""])
            continue
        rows = [one["facts"]["rows"] for one in made if one["facts"]]
        scales, steps = ([one["request"].get(key) for one in made] for key in ("cfg_scale", "steps"))
        lines.append(
            [
                way.name,
                f"{median(one['seconds'] for one in made):.2f}",
                f"{median(rows):g}" if rows else "",
                _span(scales),
                _span(steps),
            ]
        )
    return table(lines)


def _span(values: list) -> str:
    values = [value for value in values if value is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{median(values):g} ({low:g} to {high:g})"


def _sheets(study: Study, pairs: list, rewards: list) -> str:
    """With a reward the largest wins and the largest losses of the first way with W2SD; else the first pairs."""
    told = next((way for way in study.asked.ways[1:] if way.w2sd is not None), study.asked.ways[1])

    def gain(pair):
        found = differences([pair], told, study.asked.ways[0], rewards[0])
        return found[0] if found else 0.0

    gains = sorted(((gain(pair), pair) for pair in pairs), key=lambda one: one[0]) if rewards else []
    won = [pair for by, pair in reversed(gains) if by > 0]
    lost = [pair for by, pair in gains if by < 0]
    sheets = [
        (f"{file}.png", f"Where {told.name} {verb} most, by {rewards[0]}", some[:5])
        for file, verb, some in (("wins", "won", won), ("losses", "lost", lost))
        if some
    ]
    parts = []
    for name, title, some in sheets or [("pairs.png", "The first pairs", pairs[:8])]:
        sheet(study, some).save(study.folder / name)
        parts.append(_picture(name, title))
    return "\n".join(parts)


def sheet(study: Study, pairs: list) -> Image.Image:
    """One row a pair, one column a way."""
    ways, font = study.asked.ways, _font()
    width = len(ways) * (SIDE + GAP)
    image = Image.new("RGB", (width, HEAD + len(pairs) * (SIDE + HEAD + GAP)), "white")
    pen = ImageDraw.Draw(image)
    for column, way in enumerate(ways):
        pen.text((column * (SIDE + GAP) + 2, 3), way.name, "black", font=font)
    for row, pair in enumerate(pairs):
        top = HEAD + row * (SIDE + HEAD + GAP)
        told = f"{pair.prompt}  (seed {pair.seed})".encode("latin-1", "replace").decode("latin-1")
        pen.text((2, top + 2), told, "gray", font=font)
        for column, way in enumerate(ways):
            file = study.picture(pair, way)
            if file.exists():
                picture = Image.open(file)
                if max(picture.size) > SIDE:
                    picture.thumbnail((SIDE, SIDE))
                elif (factor := SIDE // max(picture.size)) > 1:
                    picture = picture.resize([factor * length for length in picture.size], Image.NEAREST)
                image.paste(picture, (column * (SIDE + GAP), top + HEAD))
    return image


def _font():
    """Pillow's own; before 10.1 (A1111 pins 9.5) it has one size, and letters of western Europe alone."""
    try:
        return ImageFont.load_default(14)
    except TypeError:
        return ImageFont.load_default()


def _csv(path: Path, study: Study, pairs: list, rewards: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["pair", "prompt", "seed", "way", "cfg_scale", "steps", "seconds", "rows", *rewards])
        for pair in pairs:
            for way in study.asked.ways:
                made = pair.made[way.name]
                if "refused" not in made:
                    asked = made["request"]
                    about = [asked.get("cfg_scale"), asked.get("steps"), made["seconds"], made["facts"].get("rows", "")]
                    lines.writerow(
                        [pair.index + 1, pair.prompt, pair.seed, way.name, *about]
                        + [made["scores"].get(reward, "") for reward in rewards]
                    )


def table(lines: list) -> str:
    """A Markdown table; the first line is its head."""
    head, *rows = lines
    every = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in every) + "\n"
