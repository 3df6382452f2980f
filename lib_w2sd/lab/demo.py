"""`python -m lib_w2sd.lab demo`: prompts that a newcomer would type, plain and W2SD side by side, and the mixtures."""

from pathlib import Path

import torch
from tqdm import tqdm

from .emoji import grid, judge
from .emoji.draw import CFG, SAMPLER, STEPS, draw
from .experiments import toy
from .experiments.statistics import table
from .figures import model_plots

WAYS = ("plain", "W2SD, guidance gap", "W2SD, guidance gap, previous-gap", "W2SD, checkpoint gap")


def emoji(out: Path, small: bool = False) -> str:
    """grid.png and trace.png; the Markdown with what they took."""
    prompts, seeds = (grid.PROMPTS[:2], (1,)) if small else (grid.PROMPTS, grid.SEEDS)
    texts, starts = [p for p in prompts for _ in seeds], list(seeds) * len(prompts)
    columns, traces, lines = {}, {}, []
    with tqdm(total=len(WAYS) * STEPS, desc="emoji model", unit="step") as bar:
        for name in WAYS:
            bar.set_postfix_str(name)
            run = draw(texts, starts, step=bar.update, **grid.WAYS[name])
            columns[name] = run.pictures
            if run.trace:
                traces[name] = run.trace.as_dict()
            reward = judge.reward(run.pictures, texts).mean().item()
            lines.append([name, f"{run.rows / len(texts):g}", f"{reward:.3f}"])
    grid.sheet(columns, prompts, len(seeds)).save(out / "grid.png")
    model_plots.trace(traces, out / "trace.png")
    return (
        "## A text-to-image model of our own\n\n![Plain and W2SD from the same noise](grid.png)\n\n"
        f"Every prompt with the seeds {', '.join(map(str, seeds))}, nothing selected; {SAMPLER}, {STEPS} steps, CFG {CFG:g}. The last four "
        "prompts combine what was never trained together. Reward: the cosine of picture and prompt by a judge that was "
        "trained apart; so few pictures tell little, docs/paper has more.\n\n"
        + table(["", "network rows a picture", "reward"], lines)
        + "\n![gap norm and cosine](trace.png)\n\nNorm of the gap d_strong - d_weak, and its cosine to the step before, "
        "from the extension's own trace.\n"
    )


def demo(out: Path, small: bool = False) -> Path:
    """Write the demo to `out`; the report's path. `small`: a few samples only, to see that it runs."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    sections = [emoji(out, small), toy.section(out, **({"count": 200, "repetitions": 2} if small else {}))]
    text = "# W2SD demo\n\n" + "\n".join(sections)
    print("\n" + text)
    report = out / "README.md"
    report.write_text(text, encoding="utf-8")
    return report
