"""Ways of drawing a picture with the emoji model: what the reports' tables and figures are made of, each measured once.

All draw the same prompts from the same seeds, so that differences are paired by prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ...page.settings import Settings
from ..emoji import grid, lora, scores
from ..emoji.draw import STEPS, draw
from .results import Results, mean, measured, rounded

EACH = 4  # pictures of a prompt
CFGS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # the user's own remedy, swept
SAMPLERS = ("DPM++ 2M", "Euler a")
INKED, BLURRED = "strong+ink@0.8", "strong+blur@1"  # the paper's scale of a style (appendix C.1); a LoRA that hurts


def wanted() -> list:
    """The prompts: 24 of the trained combinations and 8 held-out ones, always the same."""
    return scores.asked(held_out=False)[:24] + scores.asked(held_out=True)[::9][:12]


@dataclass(frozen=True)
class Ground:
    """What all ways of one table have in common: sampler and picture's own model (strong, or weak: a fifth trained)."""

    sampler: str
    model: str = "strong"

    @property
    def key(self) -> str:
        return self.sampler if self.model == "strong" else f"{self.model}, {self.sampler}"

    @property
    def told(self) -> str:
        return self.sampler + (", the model at a fifth of its training" if self.model == "weak" else "")

    def asks(self, cfg: float) -> dict:
        return {"sampler": self.sampler, "model": self.model, "cfg": cfg}


@dataclass(frozen=True)
class Gap:
    """A gap: its settings at a picture's CFG scale, and what else draw() is asked for."""

    title: str
    settings: Callable
    asks: dict = field(default_factory=dict)


def _guided(cfg: float) -> dict:
    return {"weak_cfg": cfg, "strong_cfg": cfg}


GAPS = {
    "guidance": Gap("Guidance gap (tuned CFG against weak CFG 0)", lambda cfg: {"weak_cfg": 0.0}),
    "checkpoint": Gap(
        "Checkpoint gap (against the model at a fifth of its training, both at CFG 1)",
        lambda cfg: {"weak_cfg": 1.0, "strong_cfg": 1.0},
        {"weak": "weak"},
    ),
    "LoRA": Gap(
        "LoRA gap (against the model with a LoRA that blurs, both at the tuned CFG)", _guided, {"weak": BLURRED}
    ),
    "prompt": Gap(
        "Prompt gap (the whole caption against the name alone, both at the tuned CFG)",
        _guided,
        {"weak_text": lambda caption: caption.plain().text()},
    ),
    "style": Gap(
        "Style gap (a LoRA at 0.8 against the model without it, both at the picture's CFG)",
        _guided,
        {"model": INKED, "weak": "strong"},
    ),
    "both": Gap(
        "Checkpoint and guidance gap at once (weak checkpoint, weak CFG 0)",
        lambda cfg: {"weak_cfg": 0.0},
        {"weak": "weak"},
    ),
}


@dataclass(frozen=True)
class Way:
    """One way of making a picture: `told` in the tables, `family` for the figures, and what draw() is asked for."""

    key: str
    family: str
    told: str
    asks: dict


def plain(ground: Ground, cfg: float, steps: int = STEPS, model: str = "") -> Way:
    """`model`: another than the ground's."""
    told = f"plain, CFG {cfg:g}" + (f", {steps} steps" if steps != STEPS else "") + (f", {model}" if model else "")
    family = "plain" if steps == STEPS else "plain, more steps"
    asks = {**ground.asks(cfg), "steps": steps, **({"model": model} if model else {})}
    return Way(f"{ground.key}/plain/{cfg:g}/{steps}" + (f"/{model}" if model else ""), family, told, asks)


def asked(gap: str, cfg: float, way: str, strength: float = 1.0, lam: int = STEPS // 2, **changes) -> Settings:
    """The gap's settings at the picture's CFG."""
    settings = {} if gap not in GAPS else GAPS[gap].settings(cfg)
    return replace(grid.W2SD, lambda_steps=lam, strength=strength, inversion=way, **{**settings, **changes})


def reflected(
    ground: Ground, cfg: float, gap: str, settings: Settings, steps: int = STEPS, note: str = "", **asks
) -> Way:
    """`gap`: of GAPS, or "itself". `note`: what else is different, in `asks` or in the settings."""
    way, strength, lam = settings.inversion, settings.strength, settings.lambda_steps
    every = {**ground.asks(cfg), "settings": settings, **(GAPS[gap].asks if gap in GAPS else {}), **asks}
    told = f"{way}, strength {strength:g}, lambda {lam}"
    if gap == "itself":
        told = f"strong against itself, {told}"
    key = f"{ground.key}/{gap}/{cfg:g}/{way}/{strength:g}/{lam}"
    if steps != STEPS:
        every, told, key = {**every, "steps": steps}, f"{told}, {steps} steps", f"{key}/{steps}"
    if note:
        told, key = f"{told}, {note}", f"{key}/{note}"
    return Way(key, way if gap != "itself" else "itself", told, every)


def itself(ground: Ground, cfg: float, lam: int, way: str = "paper", model: str = "") -> Way:
    """Strong against itself: what the way does without any gap."""
    settings = asked("itself", cfg, way, lam=lam, weak_cfg=cfg, strong_cfg=cfg if cfg == 1.0 else None)
    return reflected(ground, cfg, "itself", settings, note=model, **({"model": model} if model else {}))


def measure(way: Way, captions: "list | None" = None, each: int = EACH) -> dict:
    """What measured() says of the way's pictures, how far they are from ink where the model has it, and the network rows
    of one."""
    torch.manual_seed(0)  # of the samplers that draw noise
    pictures, every, rows = scores.drawn(captions or wanted(), each, **way.asks)
    found = {**measured(pictures, every, each), "rows": rows}
    if "+ink" in str(way.asks["model"]):
        away = (pictures - lora.ink(pictures * 255).float() / 255).abs().mean(dim=(1, 2, 3))
        found["ink"] = rounded(100 * away.view(-1, each).mean(1))
    return found


def looked_at(path: Path, columns: "dict[str, Way]") -> Path:
    """A sheet of every fifth prompt, nothing selected; columns by their labels."""
    texts = [caption.text() for caption in wanted()[::5]]
    drawn = {label: draw(texts, range(len(texts)), **way.asks).pictures for label, way in columns.items()}
    grid.sheet(drawn, texts, 1).save(path)
    return path


def tuned(results: Results, ground: Ground) -> float:
    """The CFG scale at which plain pictures have the highest reward: the user's own remedy, chosen on these very seeds."""
    return max(CFGS, key=lambda cfg: mean(results.of(plain(ground, cfg)), "reward"))
