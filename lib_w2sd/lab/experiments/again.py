"""Whether training strong and weak again, from another seed, gives models of the same scores and of the same gap."""

from pathlib import Path

from ..emoji import models
from ..emoji.draw import STEPS
from ..emoji.training import AGAIN
from .results import NotMeasured, Results
from .statistics import table
from .ways import SAMPLERS, Ground, Way, asked, plain, reflected

CFG = 2.0


def ways() -> list:
    """[(told, the shipped models' way, the same of those trained again)]."""
    found = []
    for name in models.NAMES:
        ground = Ground(SAMPLERS[0], name)
        found.append((f"{name}, CFG {CFG:g}", plain(ground, CFG), _again(plain(ground, CFG), name)))
    settings = asked("checkpoint", 1.0, "matched", lam=STEPS - 1)
    ground = Ground(SAMPLERS[0])
    for one in (plain(ground, 1.0), reflected(ground, 1.0, "checkpoint", settings)):
        found.append((f"strong, {one.told}, CFG 1", one, _again(one, "strong")))
    return found


def _again(way: Way, name: str) -> Way:
    """The same way with the models that were trained again, loaded when it is drawn."""
    asks = {**way.asks, "model": f"again/{name}", **({"weak": "again/weak"} if way.asks.get("weak") else {})}
    return Way(f"again/{way.key}", way.family, way.told, asks)


def section(out: Path, results: Results) -> str:
    lines = []
    for told, shipped, again in ways():
        if again.key not in results.kept and not (AGAIN / "strong.safetensors").exists():
            raise NotMeasured(f"{again.key}, and the models: python -m lib_w2sd.lab.emoji train again")
        base = results.of(shipped)
        lines.append(results.line(f"{told}: shipped", base, base))
        lines.append(results.line(f"{told}: trained again", results.of(again), base))
    return (
        "## Trained again\n\n`python -m lib_w2sd.lab.emoji train again`, then `python -m lib_w2sd.lab again`: strong and weak from "
        "another seed, in every other thing alike (the autoencoder, the text encoder and the judge are the same). Differences are "
        "paired by prompt, and these are two models: they draw different pictures.\n\n"
        + table(["", "rows", *results.measures.values()], lines)
    )
