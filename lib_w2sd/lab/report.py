"""All experiments in their reports: `python -m lib_w2sd.lab paper`."""

from pathlib import Path

from .emoji import models, weights
from .experiments.results import NotMeasured
from .experiments.statistics import table

HEAD = """# The paper's analysis at our scale

W2SD (arXiv 2502.00473) on closed-form Gaussian mixtures, and on [a text-to-image model of our own](../../lib_w2sd/lab/emoji/README.md)
in Stable Diffusion's layout, trained on emoji, through k-diffusion's samplers and the extension's own reflection, schedule
and settings. `make paper` writes this report again, and those beside it; what stands in `results.json` is not measured again
(remove it to measure everything). The paper scores pictures of SDXL and the like by models of human preference; ours are
scored by a small judge of picture and prompt, so what can be compared is whether W2SD helps, not by how much. Where it
does not, the tables say so.

- [What it buys](buys.md): every way of every gap against what a user would do instead, and the rule for the defaults.
- [Pictures at CFG 1](cfg-1.md): guidance in some of the steps, and what a negative prompt takes out.
- [The pipeline gap](pipeline.md): strong with a ControlNet or an IP-Adapter, weak without (Figures 10 and 11).
- [Clips](video.md): a motion module on both sides, consistency and motion (Table 12).
"""


def models_table() -> str:
    rows = []
    for path in sorted(weights.FOLDER.glob("*.safetensors")):
        about = weights.about(path)
        rows.append([path.stem, *(_short(about.get(key, "")) for key in ("steps", "batch", "loss", "seconds"))])
    return (
        "## The models\n\n`make train` trains them again. Seconds are of a busy machine's clock, and say little.\n\n"
        + table(["weights", "steps", "batch", "loss", "seconds"], rows)
        + f"\nStrong and weak are one run; weak is what it was at {models.load('weak').about['steps']} steps.\n"
    )


def _short(value):
    return f"{value:.4f}" if isinstance(value, float) else value


def write(out: Path, run, names: dict) -> Path:
    """Write the reports to `out`; the first's path. `run(name)` gives an experiment's Markdown; `names`: {name: file}."""
    parts = {}
    for name, file in names.items():
        try:
            text = run(name)
        except NotMeasured as way:
            text = f"## {name}\n\nNot measured yet (`{way}` is missing): `python -m lib_w2sd.lab {name}`.\n"
        parts.setdefault(file, []).append(text)
    first = out / "README.md"
    for file, sections in parts.items():
        head = [HEAD, models_table()] if file == first.name else []
        (out / file).write_text("\n".join([*head, *sections]), encoding="utf-8")
    return first
