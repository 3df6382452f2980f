"""Trains the lab's models: `python -m lib_w2sd.lab.models.training` makes all weights again, in about an hour on two cores.
With --check they go to a folder of their own and are scored beside those that ship (lab/retraining.py).

    main        weak, strong and ideal: one run, kept at 100/500, 300/500 and 500/500 of it (appendix E.2)
    balance     biased-strong and biased-weak: two classes, the second with half and a tenth of the pictures (E.1)
    moe         the mixture of experts (Table 4)
    lora        a striped style on top of strong, in kohya's format (Table 3)
    classifier  the scores' judge, with the real pictures' feature statistics

Every run is seeded; on another machine or with other threads the weights differ in the last digits, not the scores.
"""

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..experiments import retraining
from . import data, lora, weights
from .network import NO_ATTRIBUTE, NO_CLASS, SIGMA_DATA, Classifier, Denoiser, MoEDiT, UNet

MAIN_STEPS, BALANCE_STEPS, MOE_STEPS, LORA_STEPS, CLASSIFIER_EPOCHS = 3500, 700, 2000, 400, 3
SNAPSHOTS = {"weak": 1 / 5, "strong": 3 / 5, "ideal": 1.0}
MAJORITY, MINORITY = data.CLASSES.index("sneaker"), data.CLASSES.index("bag")
MAJORITY_PICTURES, MINORITY_PICTURES = 5000, {"biased-strong": 2500, "biased-weak": 500}


def dropped(labels, generator):
    """Labels with some left out, so that the model knows prompts without them: both 10 %, class 5 %, attribute 20 %."""
    u = torch.rand(labels.shape[0], generator=generator)
    no_class, no_attribute = u < 0.15, (u < 0.1) | (u > 0.8)
    kinds = labels[:, 0].masked_fill(no_class, NO_CLASS)
    return torch.stack([kinds, labels[:, 1].masked_fill(no_attribute, NO_ATTRIBUTE)], dim=1)


def loss_of(model, x, labels, generator):
    """EDM's weighted denoising loss; ln sigma is normal with mean -0.8 and deviation 1.4."""
    sigma = (torch.randn(x.shape[0], generator=generator) * 1.4 - 0.8).exp()
    s = sigma[:, None, None, None]
    denoised = model(x + s * torch.randn(x.shape, generator=generator), sigma, labels)
    return ((denoised - x) ** 2 * (s**2 + SIGMA_DATA**2) / (s * SIGMA_DATA) ** 2).mean()


def fit(name, model, x, labels, steps, seed, keep, batch=128, rate=2e-3, average=0.1, parameters=None):
    """Train `model`; at the fractions of the run in `keep` call keep[fraction](averaged model, step).

    average  the weights' exponential average reaches back over this share of the steps taken so far
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model.to(memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(model)
    trained = list(parameters if parameters is not None else model.parameters())
    optimiser = torch.optim.Adam(trained, lr=rate, betas=(0.9, 0.99))
    at = {round(fraction * steps): keep[fraction] for fraction in keep}
    losses, start = 0.0, time.perf_counter()
    for step in (bar := tqdm(range(1, steps + 1), desc=name, mininterval=5)):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(step / 200, 1.0) / max(step / (0.4 * steps), 1.0) ** 0.5
        which = torch.randint(len(x), (batch,), generator=generator)
        loss = loss_of(model, x[which], dropped(labels[which], generator), generator)
        total = loss + 0.01 * model.network.imbalance() if isinstance(model.network, MoEDiT) else loss
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        with torch.no_grad():
            pull = max(1 / step, 1 - (1 - 1 / step) ** (1 / average))
            for a, b in zip(averaged.parameters(), model.parameters()):
                a.lerp_(b, min(pull, 1.0))
        losses += 0.02 * (loss.item() - losses) if step > 1 else loss.item()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{losses:.3f}")
        if step in at:
            at[step](averaged, {"steps": step, "loss": round(losses, 4), "seconds": round(time.perf_counter() - start)})


def train_main(folder, steps, out):
    x, labels = data.load("train", folder)

    def saver(name):
        return lambda model, about: weights.save(out, name, model.network, about)

    torch.manual_seed(1)
    fit("main", Denoiser(UNet()), x, labels, steps, 1, {share: saver(name) for name, share in SNAPSHOTS.items()})


def train_balance(folder, steps, out):
    x, labels = data.load("train", folder)
    for seed, (name, count) in enumerate(MINORITY_PICTURES.items(), 2):
        rows = torch.cat(
            [(labels[:, 0] == MAJORITY).nonzero()[:MAJORITY_PICTURES], (labels[:, 0] == MINORITY).nonzero()[:count]]
        ).flatten()
        nothing = torch.tensor([[NO_CLASS, NO_ATTRIBUTE]]).expand(len(rows), 2)
        torch.manual_seed(seed)
        keep = {1.0: lambda model, about, name=name: weights.save(out, name, model.network, about)}
        fit(name, Denoiser(UNet()), x[rows], nothing, steps, seed, keep)


def train_moe(folder, steps, out):
    x, labels = data.load("train", folder)
    torch.manual_seed(4)
    keep = {1.0: lambda model, about: weights.save(out, "moe", model.network, about)}
    fit("moe", Denoiser(MoEDiT()), x, labels, steps, 4, keep, batch=64)


def train_lora(folder, steps, out):
    x, labels = data.load("train", folder)
    x, labels = x[:10000], labels[:10000]
    network = weights.load(weights.beside(out, "strong"))
    torch.manual_seed(5)
    adapter = lora.Lora.new(network, rank=4)
    model = Denoiser(network)
    model.requires_grad_(False)
    with adapter.on(network, 1.0):
        adapter.requires_grad_(True)

        def save(_, about):
            weights.save(out, "striped", adapter, about)

        fit("lora", model, data.striped(x), labels, steps, 5, {1.0: save}, parameters=adapter.parameters())


def train_classifier(folder, epochs, out):
    """The judge: also keeps mean and covariance of the real test pictures' features, per style."""
    x, labels = data.load("train", folder)
    torch.manual_seed(6)
    generator = torch.Generator().manual_seed(6)
    model = Classifier()
    steps = epochs * (len(x) // 256)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="classifier", mininterval=5):
        which = torch.randint(len(x), (256,), generator=generator)
        kind, attribute = model(x[which])
        wanted = labels[which].T
        loss = F.cross_entropy(kind, wanted[0]) + F.cross_entropy(attribute, wanted[1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    test, wanted = data.load("t10k", folder)
    with torch.inference_mode():
        kind, attribute = model(test)
        right = [
            (found.argmax(dim=1) == wanted[:, i]).float().mean().item() for i, found in enumerate((kind, attribute))
        ]
        statistics = {}
        for style, pictures in (("plain", x), ("striped", data.striped(x))):
            features = torch.cat([model.features(part) for part in pictures.split(2000)]).double()
            statistics[f"{style}.mean"], statistics[f"{style}.covariance"] = features.mean(0), features.T.cov()
    about = {"class accuracy on the test pictures": round(right[0], 4), "attribute accuracy": round(right[1], 4)}
    print(about)
    weights.save(out, "classifier", model, about, extra=statistics)


RUNS = {
    "classifier": (train_classifier, CLASSIFIER_EPOCHS),
    "main": (train_main, MAIN_STEPS),
    "balance": (train_balance, BALANCE_STEPS),
    "moe": (train_moe, MOE_STEPS),
    "lora": (train_lora, LORA_STEPS),
}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m lib_w2sd.lab.models.training", description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"which of {', '.join(RUNS)} (default: all)")
    parser.add_argument("--data", help="folder of Fashion-MNIST's .gz files")
    parser.add_argument("--out", type=Path, help="folder for the weights (default: those that ship with the lab)")
    parser.add_argument("--check", action="store_true", help="leave the shipped weights alone, compare the scores")
    parser.add_argument("--report", type=Path, default=Path("docs/paper"), help="keep the comparison in this folder")
    parser.add_argument("--threads", type=int, help="processor threads (default: as many as there are cores)")
    parser.add_argument("--shorter", type=float, default=1.0, help="divide all steps by this, to try the script out")
    given = parser.parse_args(argv)
    if unknown := set(given.runs) - set(RUNS):
        parser.error(f"unknown run {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}")
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as spare:
        out = given.out or (Path(spare) if given.check else weights.FOLDER)
        agreed = []
        for name in given.runs or RUNS:
            run, steps = RUNS[name]
            run(given.data, max(int(steps / given.shorter), 1), out)
            if given.check:
                agreed.append(retraining.check(name, out, given.report, given.data))
    if given.check:
        print("\n" + retraining.section(given.report))
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
