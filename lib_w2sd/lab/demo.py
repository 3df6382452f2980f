"""`python -m lib_w2sd.lab demo`: strong, weak and W2SD side by side, with figures and scores."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from .experiments import balance, toy
from .experiments.statistics import table
from .figures import model_plots
from .models import drawing as models
from .models import prompts, scores, weights
from .models.drawing import GAPS, Gap, Network, reflected
from .models.scores import marked

STEPS, LAMBDA, SEEDS, EACH = 20, 10, 6, 2
CHECKPOINT, GUIDANCE = GAPS["checkpoint"], GAPS["guidance"]


@dataclass
class Way:
    """One line of the demo's table. `of`: the line that it is compared with."""

    gap: Gap
    settings: "object | None" = None
    steps: int = STEPS
    of: str = ""


WAYS = {
    "weak": Way(Gap(Network("weak"))),
    "strong": Way(CHECKPOINT),
    "W2SD": Way(CHECKPOINT, reflected(CHECKPOINT, LAMBDA), of="strong"),
    "W2SD, matched": Way(CHECKPOINT, reflected(CHECKPOINT, LAMBDA, inversion="matched"), of="strong"),
    "strong, equal cost": Way(CHECKPOINT, steps=STEPS + 2 * LAMBDA, of="strong"),
    "W2SD, guidance gap": Way(GUIDANCE, reflected(GUIDANCE, LAMBDA), of="strong"),
    "W2SD, guidance gap, matched": Way(GUIDANCE, reflected(GUIDANCE, LAMBDA, inversion="matched"), of="strong"),
}
BALANCE_WAYS = ("weak", "strong", "W2SD", "W2SD, matched")


def sample_all(seeds: int, each: int, bar) -> "tuple[dict, dict, dict]":
    """{way: pictures}, {way: Scores}, {way: trace of the first seed}."""
    texts = prompts.every_prompt() * each
    pictures, found, traces = {}, {}, {}
    for name, way in WAYS.items():
        bar.set_postfix_str(name)
        x, rows = [], 0
        for seed in range(seeds):
            run = models.draw(way.gap, texts, models.noise(seed, len(texts)), way.steps, way.settings, step=bar.update)
            x.append(run.x)
            rows += run.rows
            if run.trace and seed == 0:
                traces[name] = run.trace.as_dict()
        pictures[name] = torch.stack(x)
        wanted = prompts.labels(texts * seeds)
        found[name] = scores.score(torch.cat(x), wanted, seeds, rows / (seeds * len(texts)), way.gap.style)
    return pictures, found, traces


def score_table(found: dict) -> str:
    rows = []
    for name, way in WAYS.items():
        one, line = found[name], [name, way.steps]
        line += [one.show("distance"), one.show("accuracy"), one.show("attribute"), f"{one.rows:g}"]
        gains = [marked(one.gain(found[way.of], of), of) for of in ("distance", "accuracy")] if way.of else ["", ""]
        rows.append([*line, *gains])
    labels = [scores.LABELS[name] for name in ("distance", "accuracy", "attribute")]
    head = ["", "steps", *labels, "network rows a picture", "distance minus strong's", "accuracy minus strong's"]
    return table(head, rows)


def trained(out: Path, seeds: int = SEEDS, each: int = EACH, count: int = 40) -> str:
    """The part on the trained models: grid.png, trace.png, balance.png; the Markdown with the tables."""
    total = seeds * sum(way.steps for way in WAYS.values()) + min(seeds, 4) * STEPS * len(BALANCE_WAYS)
    with tqdm(total=total, desc="trained models", unit="step") as bar:
        pictures, found, traces = sample_all(seeds, each, bar)
        bar.set_postfix_str("class balance")
        balanced = balance.measure(STEPS, STEPS - 1, min(seeds, 4), count, BALANCE_WAYS, bar.update)
    shown = [2, 3, 6, 7, 10, 13, 15, 17, 18, 19]  # of the 20 prompts
    model_plots.demo_grid(
        {name: pictures[name] for name in ("weak", "strong", "W2SD", "W2SD, matched", "W2SD, guidance gap")},
        shown, prompts.every_prompt(), out / "grid.png",
    )  # fmt: skip
    model_plots.trace(traces, out / "trace.png")
    model_plots.balance(balanced, out / "balance.png", mapped=min(seeds * count, 150))
    told = ", ".join(f"{name} {weights.about(name)['steps']:,} steps" for name in ("weak", "strong"))
    return (
        "## A small trained model\n\n![weak, strong and W2SD from the same noise](grid.png)\n\n"
        f"Class- and attribute-conditional diffusion on Fashion-MNIST at 16x16 ({told} of one training run), Euler on "
        f"Karras' schedule, T = {STEPS}, lambda {LAMBDA}. Scores in the features of a classifier trained on the real "
        f"pictures; {seeds} seeds of {20 * each} pictures, 95 % intervals by jackknife over seeds; differences paired by "
        "seed, bold where better, a star where worse. So few pictures raise every distance alike; docs/paper has more.\n\n"
        + score_table(found)
        + "\n### What a run did\n\n![gap norm and cosine](trace.png)\n\nNorm of the gap d_strong - d_weak, and its cosine "
        "to the step before, from the extension's own trace.\n\n### A class that the models have seldom seen\n\n"
        "![class balance](balance.png)\n\nStrong has seen 5,000 sneakers and 2,500 bags, weak 5,000 and 500; no prompt, "
        f"lambda {STEPS - 1}.\n\n" + table(balance.HEAD, balance.rows_of(balanced))
    )


def demo(out: Path, small: bool = False) -> Path:
    """Write the demo to `out`; the report's path. `small`: a few samples only, to see that it runs."""
    out.mkdir(parents=True, exist_ok=True)
    sections = [
        trained(out, **({"seeds": 2, "each": 2, "count": 20} if small else {})),
        toy.section(out, **({"count": 200, "repetitions": 2} if small else {})),
    ]
    text = "# W2SD demo\n\n" + "\n".join(sections)
    print("\n" + text)
    report = out / "README.md"
    report.write_text(text, encoding="utf-8")
    return report
