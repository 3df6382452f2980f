"""The pipeline gap at our scale: strong with a ControlNet or an IP-Adapter, weak without (paper, 4.3, Figures 10, 11).

The question is the paper's, whether the picture comes closer to what the unit asks for, and a user's: closer than with a
higher weight of the unit, or with more steps, which cost little or nothing?

Maps and references are of pictures that the model itself drew, so that the report needs no download, mirrored, and not
of what the prompt alone would give: the map of the same thing in the other style, and the picture of a fuller prompt.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from ...gaps.pipeline import CFG as BOTH_SIDES
from ..emoji import edges, grid, judge, models, reference, scores
from ..emoji.captions import STYLES
from ..emoji.draw import STEPS, draw
from ..figures import plots
from .results import MEASURES, Results, mean, measured, rounded
from .statistics import table
from .ways import Way, wanted

EACH = 2
CFG = 2.0  # plain pictures have their highest reward there
ELSEWHERE = 1000  # seeds of the pictures that maps and references are taken from
OTHER_STYLE = dict(zip(STYLES.values(), reversed(STYLES.values())))
WEIGHTS = (0.5, 1.5, 2.0, 3.0)
WAYS = ("matched", "paper", "previous-gap", "auto-guidance")
ASKED = replace(grid.W2SD, weak_cfg=BOTH_SIDES, strong_cfg=BOTH_SIDES)  # appendix C.1


@dataclass(frozen=True)
class Unit:
    """What strong has and weak has not.

    measure        of the table: what the unit is there for
    asks           asks(Caption) -> the prompt's Caption
    shows          shows(Caption) -> what is to be seen in the picture that the unit is given
    given          given(pictures [N, 3, 64, 64]) -> what the unit is given of them
    on             on(model, given, weight) -> models.Model
    likeness       likeness(pictures, given, the given ones' pictures) -> [N]
    """

    name: str
    title: str
    measure: str
    asks: Callable
    shows: Callable
    given: Callable
    on: Callable
    likeness: Callable


def _alike(pictures, given, shown):
    return torch.nn.functional.cosine_similarity(judge.features(pictures), judge.features(shown))


UNITS = (
    Unit(
        "edges",
        "ControlNet (edges), Figure 11",
        "edges agree (F1)",
        lambda caption: caption,
        lambda caption: replace(caption, style=OTHER_STYLE[caption.style]),
        edges.maps,
        edges.controlled,
        lambda pictures, given, shown: edges.agreement(pictures, given),
    ),
    Unit(
        "reference",
        "IP-Adapter, Figure 10",
        "like the reference (cosine)",
        lambda caption: caption.plain(),
        lambda caption: caption,
        reference.latents,
        reference.referring,
        _alike,
    ),
)


def reflected(unit: Unit, way: str, strength: float = 1.0, lam: int = STEPS // 2, weak: "str | None" = "strong") -> Way:
    """`weak` None: strong against itself."""
    settings = replace(ASKED, inversion=way, strength=strength, lambda_steps=lam)
    told = f"{way}, strength {strength:g}, lambda {lam}"
    family = way if weak else "itself"
    asks = {"weight": 1.0, "settings": settings, "weak": weak}
    return Way(f"{unit.name}/{family}/{way}/{strength:g}/{lam}", family, told if weak else f"itself, {told}", asks)


def plain(unit: Unit, weight: float, steps: int = STEPS, cfg: float = CFG) -> Way:
    """`weight` 0: without the unit."""
    told = f"plain, weight {weight:g}" if weight else "plain, without the unit"
    told += f", {steps} steps" * (steps != STEPS) + f", CFG {cfg:g}" * (cfg != CFG)
    return Way(
        f"{unit.name}/plain/{weight:g}/{steps}/{cfg:g}", "plain", told, {"weight": weight, "steps": steps, "cfg": cfg}
    )


def ways(unit: Unit) -> list:
    """The first is what all others are set against."""
    return [
        plain(unit, 1.0),
        plain(unit, 0.0),
        *(plain(unit, weight) for weight in WEIGHTS),
        plain(unit, 1.0, steps=2 * STEPS),
        plain(unit, 1.0, cfg=2 * CFG),
        reflected(unit, "paper", weak=None),
        *(reflected(unit, way) for way in WAYS),
        *(reflected(unit, "matched", strength) for strength in (0.5, 2.0)),
        *(reflected(unit, "matched", lam=lam) for lam in (STEPS // 4, STEPS - 1)),
        reflected(unit, "auto-guidance", lam=STEPS - 1),
        reflected(unit, "auto-guidance", 2.0, STEPS - 1),
    ]


@functools.cache
def _shown(unit: Unit) -> torch.Tensor:
    """The pictures that maps and references are taken from: [N, 3, 64, 64]."""
    every = [unit.shows(caption).text() for caption in wanted() for _ in range(EACH)]
    parts = range(0, len(every), scores.BATCH)
    return torch.cat(
        [draw(every[i : i + scores.BATCH], _seeds(i, every, ELSEWHERE), cfg=CFG).pictures.flip(3) for i in parts]
    )


def _seeds(start: int, every: list, offset: int = 0) -> range:
    return range(offset + start, offset + min(start + scores.BATCH, len(every)))


def drawn(unit: Unit, captions: list, shown: torch.Tensor, seeds, weight: float, weak=None, **asks):
    """draw.Drawn of Captions, with the unit at `weight` after the pictures `shown`."""
    strong = models.load("strong")
    strong = unit.on(strong, unit.given(shown), weight) if weight else strong
    weak = {"weak": models.load("strong")} if weak else {}
    return draw([caption.text() for caption in captions], seeds, model=strong, **weak, **{"cfg": CFG, **asks})


def measure_of(unit: Unit) -> Callable:
    """What the tables' Results ask for: measure(way)."""

    def measure(way: Way) -> dict:
        every = [unit.asks(caption) for caption in wanted() for _ in range(EACH)]
        shown, pictures, rows = _shown(unit), [], 0
        for i in range(0, len(every), scores.BATCH):
            part = slice(i, i + scores.BATCH)
            run = drawn(unit, every[part], shown[part], _seeds(i, every), **way.asks)
            pictures.append(run.pictures)
            rows += run.rows
        pictures = torch.cat(pictures)
        like = unit.likeness(pictures, unit.given(shown), shown).view(-1, EACH).mean(1)
        return {"like": rounded(like), **measured(pictures, every, EACH), "rows": rows / len(every)}

    return measure


HEAD = """# The pipeline gap, on the emoji model

`python -m lib_w2sd.lab pipeline` writes this again. Strong is the model with a unit that was trained for it
(`lab/emoji/edges.py`, `lab/emoji/reference.py`), weak is the model without (paper, 4.3; both CFG scales {both:g} in reflection, appendix C.1). {prompts}
prompts, {each} pictures of each, {steps} steps of DPM++ 2M, the picture's own CFG {cfg:g}. Every difference is to the plain
picture with the unit at weight 1, with its 95 % interval, paired by prompt; **bold** where it leaves zero out.

![Map or reference, plain, W2SD](pipeline.png)

*Every fifth prompt of the tables, first seed, nothing selected. W2SD with lambda -1: matched at strength 1, and auto-guidance
at strength 2.*

![How close, and at which price](pipeline-price.png)

*Up: the picture still shows its prompt. Right: it is closer to what the unit asks for. Squares, joined, are the plain picture at
rising weights of the unit.*
"""


def section(out: Path, results: Results) -> str:
    """`results`: how long may be measured; what was, this report keeps in files of its own."""
    every = {}
    text = [HEAD.format(both=BOTH_SIDES, prompts=len(wanted()), each=EACH, steps=STEPS, cfg=CFG)]
    for unit in UNITS:
        own = Results(out / f"pipeline-{unit.name}.json", measure_of(unit), {"like": unit.measure, **MEASURES})
        own.end = results.end
        ways_of = ways(unit)
        lines = [own.line(way.told, own.of(way), own.of(ways_of[0])) for way in ways_of]
        every[unit] = [(way, own.of(way)) for way in ways_of]
        text.append(f"## {unit.title}\n\n" + table(["", "rows", *own.measures.values()], lines))
    sheet(out / "pipeline.png")
    price(out / "pipeline-price.png", every)
    return "\n".join(text)


def price(path: Path, every: dict) -> None:
    """Reward over likeness, a panel a unit; every: {Unit: [(Way, what was measured)]}."""
    chart, axes = plots.figure(1, len(every), width=6, height=4.2)
    for axis, (unit, found) in zip(axes[0], every.items()):
        families = {}
        for way, one in found:
            rising = way.family == "plain" and way.asks["cfg"] == CFG and way.asks["steps"] == STEPS
            family = (
                "plain, by weight" if rising else "plain, CFG 4 or 40 steps" if way.family == "plain" else way.family
            )
            families.setdefault(family, []).append((mean(one, "like"), mean(one, "reward"), way.asks["weight"]))
        for family, points in families.items():
            x, y, _ = zip(*sorted(points, key=lambda point: point[2]))
            axis.plot(x, y, "s-" if family == "plain, by weight" else "o", label=family, alpha=0.8)
        axis.set(title=unit.title, xlabel=unit.measure)
    axes[0][0].set_ylabel("reward (cosine with the prompt)")
    axes[0][0].legend(fontsize=7)
    plots.save(chart, path)


SHOWN = 6  # prompts of the picture
COLUMNS = {
    "plain, weight 1": lambda unit: plain(unit, 1.0),
    "plain, weight 2": lambda unit: plain(unit, 2.0),
    "W2SD, matched": lambda unit: reflected(unit, "matched", lam=STEPS - 1),
    "auto-guidance, 2": lambda unit: reflected(unit, "auto-guidance", 2.0, STEPS - 1),
}


def picked(unit: Unit) -> tuple:
    """Every fifth prompt, first seed: seeds, the prompts' Captions, and what maps and references are taken from."""
    places = [i * EACH for i in range(0, len(wanted()), len(wanted()) // SHOWN)][:SHOWN]
    return places, [unit.asks(wanted()[i // EACH]) for i in places], _shown(unit)[places]


def sheet(path: Path) -> None:
    """Both units' pictures beside each other."""
    found = []
    for unit in UNITS:
        places, captions, shown = picked(unit)
        given = 1 - unit.given(shown) if unit.name == "edges" else shown
        columns = {unit.name: given}
        for label, way in COLUMNS.items():
            columns[label] = drawn(unit, captions, shown, places, **way(unit).asks).pictures
        found.append(grid.sheet(columns, [caption.text() for caption in captions], 1, title=unit.title))
    whole = Image.new("RGB", (max(one.width for one in found), sum(one.height for one in found)), "white")
    top = 0
    for one in found:
        whole.paste(one, (0, top))
        top += one.height
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.save(path)
