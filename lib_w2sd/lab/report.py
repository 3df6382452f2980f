"""All experiments in one report: `python -m lib_w2sd.lab paper`."""

from pathlib import Path

from .experiments.cells import NotMeasured
from .experiments.statistics import table
from .models import weights

HEAD = """# The paper's analysis at our scale

W2SD (arXiv 2502.00473) on closed-form Gaussian mixtures and on small diffusion models trained on Fashion-MNIST at 16x16
(weights in `lib_w2sd/lab/models/weights`), sampled by k-diffusion through the extension's own reflection, schedule and
settings. `python -m lib_w2sd.lab paper` writes this report again; scores already in `results.json` are not measured
again (remove it to measure everything). The paper scores pictures of SDXL and the like by models of human preference;
ours are scored by the Fréchet distance and the class and attribute accuracy in the features of a classifier trained on
the real pictures, so what can be compared is whether W2SD helps, not by how much. Where it does not, the tables say so.
"""


def models_table() -> str:
    rows = []
    for name in ("weak", "strong", "ideal", "biased-strong", "biased-weak", "moe", "striped", "classifier"):
        if not (weights.FOLDER / f"{name}.safetensors").exists():
            continue
        about = weights.about(name)
        rows.append([name, *(about.get(key, "") for key in ("steps", "loss", "seconds"))])
    return (
        "## The models\n\n`python -m lib_w2sd.lab.models.training` trains them again, one after the other (weak, strong and ideal "
        "are one run). Seconds are of the run up to there, by the clock of two cores busy with other work, so they say little; "
        "biased-strong was paused in between.\n\n" + table(["model", "steps", "loss", "seconds"], rows)
    )


def write(out: Path, run, names) -> Path:
    """Write the report to `out`; its path. `run(name)` gives an experiment's Markdown."""
    sections = []
    for name in names:
        try:
            sections.append(run(name))
        except NotMeasured as cell:
            sections.append(f"## {name}\n\nNot measured yet (`{cell}` is missing): `python -m lib_w2sd.lab {name}`.\n")
    report = out / "README.md"
    report.write_text("\n".join([HEAD, models_table(), *sections]), encoding="utf-8")
    return report
