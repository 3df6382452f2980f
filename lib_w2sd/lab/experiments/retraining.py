"""Whether the training script makes the shipped scores again: `python -m lib_w2sd.lab.models.training RUN --check`."""

import json
from pathlib import Path

import torch

from ..models import data, scores, weights
from ..models import drawing as models
from ..models.drawing import Gap, Network
from . import balance
from .cells import Cells
from .statistics import interval, table

T = 20
FOLDS = 10  # of the test pictures, for the classifier's intervals
APART = "weights differ by"  # beside the scores
KEPT = "retraining.json"  # beside the report that quotes it
MADE = {
    "classifier": ("classifier",),
    "main": ("weak", "strong", "ideal"),
    "balance": ("biased-strong", "biased-weak"),
    "moe": ("moe",),
    "lora": ("striped",),
}
LABELS = {**scores.LABELS, "bags": "share of bags"}


def measure(name: str, folder: Path, data_folder: "str | None" = None) -> dict:
    """{score: one value a repetition} of the model `name` in `folder`, by the shipped judge.

    The classifier by the real test pictures; the others by what they draw in T plain steps.
    """
    where = weights.beside(folder, name)
    if name == "classifier":
        return _classified(weights.load(where), *data.load("t10k", data_folder))
    if name.startswith("biased"):
        texts, gap = [""] * balance.COUNT, Gap(Network(where))
        drawn = [models.draw(gap, texts, models.noise(seed, len(texts)), T).x for seed in range(Cells(None).seeds)]
        return {"bags": balance.minority_share(drawn)}
    lora = name == "striped"
    base = weights.beside(folder, "strong")
    gap = Gap(Network(base, lora_scale=0.8, lora=where), style="striped") if lora else Gap(Network(where))
    found = Cells(None).get(name, T, gap=gap)
    return {score: found.values[score] for score in ("distance", "stripes" if lora else "accuracy")}


@torch.inference_mode()
def _classified(model, x, wanted) -> dict:
    found = [torch.cat(parts) for parts in zip(*(model(part) for part in x.split(500)))]
    right = {
        name: (f.argmax(1) == wanted[:, i]).double()
        for i, (name, f) in enumerate(zip(("accuracy", "attribute"), found))
    }
    return {name: [float(fold.mean()) for fold in r.chunk(FOLDS)] for name, r in right.items()}


def check(run: str, folder: Path, out: Path, data_folder: "str | None" = None) -> bool:
    """Score what `run` made in `folder` beside what ships, keep both in `out`; whether every score agrees."""
    path = out / KEPT
    kept = json.loads(path.read_text()) if path.exists() else {}
    for name in MADE[run]:
        both = [measure(name, where, data_folder) for where in (weights.FOLDER, folder)]
        kept[name] = {score: [both[0][score], both[1][score]] for score in both[0]}
        kept[name][APART] = apart(name, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")
    return all(agrees(*pair) for name in MADE[run] for score, pair in kept[name].items() if score != APART)


def apart(name: str, folder: Path) -> float:
    """The largest difference of a weight between what ships and what is in `folder`."""
    shipped, found = weights.read(name), weights.read(weights.beside(folder, name))
    return max(float((found[key] - shipped[key]).abs().max()) for key in shipped)


def agrees(shipped: list, retrained: list) -> bool:
    """The retrained score lies in the shipped one's 95 % interval."""
    mean, half = interval(shipped)
    return abs(interval(retrained).mean - mean) <= half


def rows_of(kept: dict) -> list:
    lines = []
    for name in (name for made in MADE.values() for name in made):
        found = dict(kept.get(name, {}))
        difference = f"{found.pop(APART):.2g}" if APART in found else ""
        for score, (shipped, retrained) in found.items():
            shown = [interval(values).show(scores.DIGITS.get(score, 3)) for values in (shipped, retrained)]
            lines.append([name, LABELS[score], *shown, "yes" if agrees(shipped, retrained) else "no", difference])
        if name not in kept:
            lines.append([name, "", "", "not trained again", "", ""])
    return lines


def section(out: Path, cells=None) -> str:
    path = out / KEPT
    kept = json.loads(path.read_text()) if path.exists() else {}
    return (
        "## The weights, trained again\n\n`python -m lib_w2sd.lab.models.training RUN --check` trains RUN's models again in a folder of "
        f"their own and scores them beside those that ship: plain strong sampling, T = {T}, 8 seeds; the classifier on "
        "the real test pictures, in tenths. Reproduced: the new score lies in the shipped one's 95 % interval. With one "
        "thread (`--threads 1`) on one kind of machine a run is the same to the last bit; with others it is not.\n\n"
        + table(["model", "score", "shipped", "trained again", "reproduced", "weights differ by"], rows_of(kept))
    )
