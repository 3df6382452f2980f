"""Figure 31 at our scale: the weak side is a model of another architecture, with latents of another shape."""

from pathlib import Path

from ...gaps.architecture import LAMBDA
from ..emoji import models, weights
from ..emoji.draw import STEPS
from .results import NotMeasured, Results
from .statistics import table
from .ways import SAMPLERS, Ground, Way, asked, looked_at, plain, reflected

GROUND, OTHER = Ground(SAMPLERS[0]), "wide"
LAMBDAS = (LAMBDA, STEPS // 2)  # the preset's, and that of the other tables
BESIDE = ("paper", "auto-guidance")  # at the preset's only: each step more is six pictures through autoencoders


def ways() -> dict:
    """{told: Way}; the first is what the others are set against."""

    def of(way: str, lam: int, note: str = "another architecture", strength: float = 1.0, **asks) -> Way:
        settings = asked("checkpoint", 1.0, way, strength, lam)
        return reflected(GROUND, 1.0, "checkpoint", settings, note=note, **{"weak": OTHER, **asks})

    lam = STEPS // 2
    found = [
        plain(GROUND, 1.0),
        plain(GROUND, 1.0, model=OTHER),
        of("matched", lam, "strong against itself, through pixels", weak="strong", through_pixels=True),
        of("matched", lam, "", weak="weak"),
        of("matched", lam, "through pixels", weak="weak", through_pixels=True),
        *(of("matched", each) for each in LAMBDAS),
        *(of(way, LAMBDA) for way in BESIDE),
    ]
    return {way.told: way for way in found}


def section(out: Path, results: Results) -> str:
    every = list(ways().values())
    if not (weights.FOLDER / f"{OTHER}.safetensors").exists():
        raise NotMeasured(
            f"{every[-1].key}, and the model: python -m lib_w2sd.lab.emoji train {OTHER}-autoencoder {OTHER}"
        )
    base = results.of(every[0])
    lines = [results.line(way.told, results.of(way), base) for way in every]
    wins = []
    for way in every[2:]:
        pairs = list(zip(results.of(way)["reward"], base["reward"]))
        wins.append([way.told, f"{sum(a > b for a, b in pairs) / len(pairs):.0%}"])
    named = {"strong": 0, "weak": 1, "strong against itself": 2, "lambda 3": 5, "lambda 10": 6}
    looked_at(out / "architectures.png", {label: every[at] for label, at in named.items()})
    own, other = (models.load_autoencoder(models.load(name).autoencoder) for name in ("strong", OTHER))
    return (
        "## Figure 31: two architectures\n\n`python -m lib_w2sd.lab architectures`. "
        f"{GROUND.told}, T = {STEPS}, CFG 1. Strong is our model ({own.config.latent_channels} latent channels), weak one with another autoencoder "
        f"({other.config.latent_channels} channels) at a fifth of the training; asked through pixel space (`lib_w2sd/method/bridge.py`). Two controls: strong against "
        "*itself* through pixel space, which should move nothing, and the weak checkpoint of the same architecture with and without pixel space, "
        "which should be the same. The paper: 74 % of the pictures are better (Flux against SDXL).\n\n"
        + table(["", "rows", *results.measures.values()], lines)
        + "\n"
        + table(["", "prompts whose reward is higher than plain's (paper: 74 %)"], wins)
        + "\n![Every fifth prompt](architectures.png)\n\n*Every fifth prompt, nothing selected; `matched`.*\n"
    )
