"""Figure 26: whether the weak-to-strong gap points where the strong-to-ideal gap does (appendix E.2).

The paper takes a longer-trained model for the ideal one. Nothing needs to stand for it where real pictures are known: of
x = picture + sigma noise the ideal prediction is the mean of all noises that lead to x, so the noise that was really added
differs from it by what no direction predicts, and

    E <eps_weak - eps_strong, eps_strong - eps_ideal> = E <eps_weak - eps_strong, eps_strong - noise>.

The ratio of this to E |eps_weak - eps_strong|^2 is the strength w at which strong + w (strong - weak) has the least error of
all: a line search along the gap, in closed form. Above 0 where the two gaps point the same way.
"""

from pathlib import Path

import torch

from ..emoji import lora, models
from ..emoji.captions import Caption
from ..emoji.draw import STEPS
from ..figures import model_plots
from ..sampling import karras
from .statistics import Interval, interval, table

# What the weak side is instead: model, and prompt.
WEAK = {
    "checkpoint": ("weak", Caption.text),
    "guidance": ("strong", lambda caption: ""),
    "prompt": ("strong", lambda caption: caption.plain().text()),
    "LoRA": ("strong+blur@1", Caption.text),
}


@torch.inference_mode()
def along(latents: torch.Tensor, captions: list, sigmas, seed: int = 0) -> dict:
    """{gap: [(inner product, squared norm, cosine) at each sigma]}, each [N], of real latents [N, 4, 8, 8]."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    strong, found = lora.model("strong"), {gap: [] for gap in WEAK}
    asked = strong.encode([caption.text() for caption in captions])
    for sigma in sigmas:
        x, s = latents + sigma * noise, sigma.expand(len(latents))
        best = strong(x, s, asked)
        for gap, (name, text) in WEAK.items():
            model = lora.model(name)
            moved = (best - model(x, s, model.encode([text(caption) for caption in captions]))).flatten(1)
            error = (latents - best).flatten(1)
            cosine = torch.nn.functional.cosine_similarity(moved, error)
            found[gap].append(((moved * error).sum(1), moved.square().sum(1), cosine))
    return found


def best_strength(inner: torch.Tensor, norm: torch.Tensor) -> Interval:
    """sum(inner) / sum(norm) over pictures, by jackknife."""
    n, whole = len(inner), float(inner.sum() / norm.sum())
    without = (inner.sum() - inner) / (norm.sum() - norm)
    error = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt()
    return Interval(whole, 1.96 * float(error))


def section(out: Path, results) -> str:
    sigmas, text, panels = karras(STEPS, 0.0292, 14.6146)[:-1], [], {}
    for kind, held_out in (("pictures of trained combinations", False), ("pictures of held-out combinations", True)):
        latents, captions = models.real(held_out)
        found = along(latents, captions, sigmas)
        panels[kind] = {gap: [best_strength(inner, norm) for inner, norm, _ in rows] for gap, rows in found.items()}
        lines = []
        for gap, rows in found.items():
            cosines = [interval(cosine.tolist()) for _, _, cosine in rows]
            above, below = (sum(sign * one.mean > one.half for one in cosines) for sign in (1, -1))
            best = panels[kind][gap][::4]
            held = "yes" if above == len(cosines) else "no"
            lines.append([gap, f"{above} / {below} / {len(cosines) - above - below}", held, *(b.show(2) for b in best)])
        head = [
            "gap",
            "cosine above / below / neither",
            "held",
            *(f"best w, sigma {s:.2g}" for s in sigmas[::4].tolist()),
        ]
        text.append(f"### {len(captions)} {kind}\n\n" + table(head, lines))
    model_plots.directions(sigmas.tolist(), panels, out / "directions.png")
    return HEAD + "\n".join(text)


HEAD = """## Figure 26: where the gap points, and how far it is right to follow it

![best strength](directions.png)

`python -m lib_w2sd.lab directions`. The paper asks whether the weak-to-strong gap points where the strong-to-ideal gap does, with a
longer-trained model for the ideal one, and finds a positive cosine at every step (checkpoint gap). Real pictures need no model
in that place: of a noised real picture, the noise that was added is the ideal prediction plus what nobody can predict, which is
orthogonal to every gap in the mean. So the sign is the paper's, and the ratio of inner product and squared norm is the **best w**: strong + w (strong -
weak) has the least error there. Above 0 the gap helps; below, it harms; a strength far above it is too much. CFG 1, 95 % intervals over pictures.
A least error is not a best picture: guidance is liked beyond it.

"""
