"""The trained models, as the sides of a gap use them, and the gaps that the lab measures."""

import functools
from dataclasses import dataclass, replace

import torch

from ...page.settings import Settings
from . import prompts, weights
from .network import SIZE, Denoiser
from .sampling import Run, karras, sample

SIGMA_MIN, SIGMA_MAX = 0.02, 20.0
BATCH = 128
# The paper's algorithm, whatever the setting's default is. At CFG 1 on both sides: no guidance gap (appendix C.1).
W2SD = Settings(enabled=True, lambda_steps=-1, inversion="paper")
AT_CFG_1 = replace(W2SD, strong_cfg=1.0, weak_cfg=1.0)


@functools.cache
def _denoiser(name: str, lora: str, lora_scale: float) -> Denoiser:
    # Merged, since beside the layers the LoRA costs half as much again as the network itself.
    network = weights.load(name)
    return Denoiser(weights.load(lora).merge(network, lora_scale) if lora_scale else network).eval()


@dataclass(frozen=True)
class Network:
    """network(x, sigma, cond) -> denoised, x [B, 1, 16, 16], cond [B, 2]: one trained model under some conditions.

    name        of its weights (weights.load)
    lora_scale  of the striped style
    least       the mixture of experts routes its two least likely ones
    lora        the weights of the style
    """

    name: str
    lora_scale: float = 0.0
    least: bool = False
    lora: str = "striped"

    def __call__(self, x, sigma, cond):
        model = _denoiser(self.name, self.lora, self.lora_scale)
        model.network.least = self.least
        parts = zip(x.split(BATCH), sigma.split(BATCH), cond.split(BATCH))
        return torch.cat([model(part.contiguous(memory_format=torch.channels_last), s, c) for part, s, c in parts])


@dataclass(frozen=True)
class Gap:
    """A strong and a weak side, and how they are asked (paper, section 4 and appendix C.1).

    weak       None: the strong network itself
    cfg        of the sampler's own steps
    settings   of the reflection, on
    weak_text  the weak side's prompt for the strong side's
    style      which real pictures the results are held against: plain or striped
    """

    strong: Network
    weak: "Network | None" = None
    cfg: float = 1.0
    settings: Settings = AT_CFG_1
    weak_text: "object | None" = None
    style: str = "plain"


# The paper's values where they help here too; Figure 12's sweep has the others. On these models CFG 1.5 is already
# the best plain scale and any further guidance is too much, so the guidance gap is taken at CFG 1.
GAPS = {
    "checkpoint": Gap(Network("strong"), Network("weak")),
    "guidance": Gap(Network("strong"), settings=replace(W2SD, weak_cfg=0.0)),
    "prompt": Gap(Network("strong"), weak_text=prompts.without_attribute),
    "LoRA": Gap(Network("strong", lora_scale=0.8), Network("strong"), style="striped"),
    "experts": Gap(Network("moe"), Network("moe", least=True)),
}


def noise(seed: int, count: int) -> torch.Tensor:
    """Unit noise [count, 1, 16, 16]; its second half is the first with the sign turned.

    A noise's mean decides much of a picture's brightness. In such (antithetic) pairs that luck cancels, and scores of
    few pictures are steadier. Seeds stay independent of each other. `count` is even.
    """
    half = torch.randn(count // 2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return torch.cat([half, -half])


def draw(
    gap: Gap,
    texts: list,
    start: torch.Tensor,
    steps: int,
    settings: "Settings | None" = None,
    sampler: str = "Euler",
    step=None,
    keep: bool = False,
) -> Run:
    """Pictures for the prompts `texts` from unit noise `start`; with `settings`, reflected."""
    cond = prompts.labels(texts)
    return sample(
        gap.strong,
        start,
        karras(steps, SIGMA_MIN, SIGMA_MAX),
        settings,
        gap.weak,
        cond=cond,
        uncond=prompts.labels([""] * len(texts)),
        cond_scale=gap.cfg,
        weak_cond=prompts.labels([gap.weak_text(text) for text in texts]) if gap.weak_text else None,
        sampler=sampler,
        step=step,
        keep=keep,
    )


def reflected(gap: Gap, lambda_steps: int = -1, **changes) -> Settings:
    """The gap's settings, with this lambda and other changes."""
    return replace(gap.settings, lambda_steps=lambda_steps, **changes)
