"""Figure 26: whether the weak-to-strong gap points where the strong-to-ideal gap does (appendix E.2)."""

from pathlib import Path

import torch

from ..figures import model_plots
from ..models import prompts
from ..models.drawing import SIGMA_MAX, SIGMA_MIN, Gap, Network, draw, noise
from ..models.sampling import karras
from .statistics import interval, table


@torch.inference_mode()
def along(trajectory, sigmas, labels) -> list:
    """Per sigma and picture, the cosine of eps_strong - eps_weak and eps_ideal - eps_strong: [T] tensors [B]."""
    found = []
    for x, sigma in zip(trajectory, sigmas[:-1]):
        s = sigma.expand(len(x))
        weak, strong, ideal = (Network(name)(x, s, labels) for name in ("weak", "strong", "ideal"))
        first, second = (weak - strong).flatten(1), (strong - ideal).flatten(1)
        found.append(torch.nn.functional.cosine_similarity(first, second))
    return found


def section(out: Path, cells, T: int = 20) -> str:
    texts = prompts.every_prompt() * cells.each
    labels, sigmas = prompts.labels(texts), karras(T, SIGMA_MIN, SIGMA_MAX)
    per_seed = []
    for seed in range(cells.seeds):
        run = draw(Gap(Network("strong")), texts, noise(seed, len(texts)), T, keep=True)
        per_seed.append([float(c.mean()) for c in along(run.trajectory, sigmas, labels)])
    values = [interval(column) for column in zip(*per_seed)]
    at = [float(s) for s in sigmas[:-1]]
    model_plots.cosines({"on the strong model's path": (at, values)}, out / "cosine.png")
    positive = sum(v.mean - v.half > 0 for v in values)
    negative = sum(v.mean + v.half < 0 for v in values)
    return (
        "## Figure 26: the two gaps' directions\n\n![cosine](cosine.png)\n\n`python -m lib_w2sd.lab cosine`. Weak, strong "
        "and ideal are one training run at a fifth, three fifths and the whole of it (the paper: 100, 300, 500 epochs). "
        f"{cells.seeds} seeds of {len(texts)} pictures, T = {T}. The paper: the cosine is positive at every step.\n\n"
        f"Here it is positive at {positive} of {len(values)} steps, negative at {negative}. "
        f"Held: {'yes' if positive == len(values) else 'no'}.\n\n"
        + table(["sigma", *(f"{s:.2f}" for s in at[::3])], [["cosine", *(v.show(2) for v in values[::3])]])
    )
