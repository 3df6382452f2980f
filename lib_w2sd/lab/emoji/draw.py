"""Pictures from prompts, with k-diffusion's samplers and the extension's own reflection, as a WebUI would draw them."""

from dataclasses import dataclass

import torch

from ...page.settings import Settings
from .. import sampling
from . import lora, models

SIGMA_MIN, SIGMA_MAX = 0.0292, 14.6146  # of Stable Diffusion's schedule, as k-diffusion has them
STEPS, CFG, SAMPLER = 20, 4.0, "DPM++ 2M"


@dataclass
class Drawn:
    """pictures [B, 3, 64, 64] from 0 to 1; latents [B, 4, 8, 8]; rows: network rows for all of them; trace or None."""

    pictures: torch.Tensor
    latents: torch.Tensor
    rows: int
    trace: object = None


def noise(seeds, channels: int = 4, size: int = 8) -> torch.Tensor:
    """Unit noise [len(seeds), channels, size, size]: what the WebUI starts from with these seeds (on the CPU)."""
    return torch.stack(
        [torch.randn(channels, size, size, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    )


@torch.inference_mode()
def draw(
    texts: list,
    seeds,
    settings: "Settings | None" = None,
    model: str = "strong",
    weak: "str | None" = None,
    cfg: float = CFG,
    steps: int = STEPS,
    sampler: str = SAMPLER,
    negative: "str | list" = "",
    weak_texts: "list | None" = None,
    step=None,
    reward=None,
    through_pixels: bool = False,
    guided: "int | None" = None,
) -> Drawn:
    """One picture for each prompt and seed; with `settings`, reflected.

    model, weak  names for lora.model, or Models; weak None: the strong one, and the gap is in settings or weak_texts
    weak_texts   the weak side's prompts
    through_pixels  also where both sides have one autoencoder: what that alone does
    reward       reward(pictures [B, 3, 64, 64], texts) -> [B], where the settings have the strong side chosen by one
    negative     one for all, or a list of one a picture
    guided       guidance in so many of the first steps only
    """
    negatives = [negative] * len(texts) if isinstance(negative, str) else negative
    strong = lora.model(model) if isinstance(model, str) else model
    other = lora.model(weak) if isinstance(weak, str) else weak
    asked = other or strong
    apart = through_pixels or asked.autoencoder != strong.autoencoder
    spaces = (models.space(strong.autoencoder), models.space(asked.autoencoder)) if apart else None
    run = sampling.sample(
        strong,
        noise(seeds, strong.channels),
        sampling.karras(steps, SIGMA_MIN, SIGMA_MAX),
        settings,
        other,
        cond=strong.encode(texts),
        uncond=strong.encode(negatives),
        cond_scale=cfg,
        weak_cond=asked.encode(weak_texts or texts) if weak_texts or other else None,
        weak_uncond=asked.encode(negatives) if other else None,
        sampler=sampler,
        step=step,
        reward=reward and (lambda latents: reward(models.decode(latents, strong.autoencoder), texts)),
        spaces=spaces,
        guided=guided,
    )
    return Drawn(models.decode(run.x, strong.autoencoder), run.x, run.rows, run.trace)
