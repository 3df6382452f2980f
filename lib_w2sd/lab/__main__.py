"""Command line of the lab: `python -m lib_w2sd.lab NAME`."""

import argparse
import importlib
import os
import warnings
from pathlib import Path

# Read when torch is imported: its threads sleep rather than spin while they wait, which on a busy machine is many
# times faster, and on an idle one no slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Name, the function section(out, cells) that runs it, what it shows; in the order of the report.
EXPERIMENTS = {
    "mixtures": ("toy.section", "Figures 4, 5, 6, 21, 25: mixtures in 1-D and 2-D"),
    "theory": ("theory.section", "Theorems 1 to 3; Figures 3, 22, 23: where they stop"),
    "balance": ("balance.section", "Figures 7, 18: class balance of strong, weak, W2SD and S2WD"),
    "tables": ("tables.section", "Tables 2 to 7: what each gap brings"),
    "gap-size": ("knobs.gap_size_section", "Figure 12: score over the gap's size and sign"),
    "grid": ("grid.section", "the accordion's ready grid of lambda and weak CFG, on the trained model"),
    "strength": ("knobs.strength_section", "strength against lambda"),
    "equal-time": ("knobs.equal_time_section", "Figure 14: what the same time buys"),
    "share": ("knobs.share_section", "Figures 19, 20: score over lambda / T"),
    "cosine": ("cosine.section", "Figure 26: directions of the two gaps"),
    "inversion-error": ("inversion_error.section", "Table 14: what an error in the inversion costs"),
    "retraining": ("retraining.section", "whether training again gives the same scores: what was kept of it"),
    "inversion": ("inversion.section", "paper, matched and fixed-point for every gap, T and lambda"),
}


def section(name: str, out: Path, small: bool, measured: bool) -> str:
    """Run one experiment; its Markdown. Scores already measured are taken from `out`/results.json."""
    from tqdm import tqdm

    from .experiments.cells import Cells

    with tqdm(desc=name, unit="cell") as bar:

        def progress(text):
            bar.set_postfix_str(text)
            bar.update()

        size = {"seeds": 2, "each": 2} if small else {}
        cells = Cells(out / "results.json", progress=progress, measured=measured, **size)
        module, function = EXPERIMENTS[name][0].split(".")
        return getattr(importlib.import_module(f"{__package__}.experiments.{module}"), function)(out, cells)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lib_w2sd.lab", description="The paper's experiments.")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    told = {"demo": "plain and W2SD side by side, from prompts, and the mixtures (under two minutes)"}
    told.update({name: text for name, (_, text) in EXPERIMENTS.items()})
    told["paper"] = "all experiments, in one report"
    for name, text in told.items():
        experiment = names.add_parser(name, help=text)
        default = Path("docs/paper" if name == "paper" else "out/demo" if name == "demo" else "out/lab")
        experiment.add_argument("--out", type=Path, default=default, help="folder for the files (default: %(default)s)")
        experiment.add_argument("--small", action="store_true", help="a few samples only, to see that it runs")
    names.choices["paper"].add_argument("--measured", action="store_true", help="only from scores that are kept")
    playground = names.add_parser("playground", help="a page with the WebUI's accordion over the small model")
    playground.add_argument("--port", type=int, default=7870)
    given = parser.parse_args(argv)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    if given.name == "playground":
        from .playground import serve

        return serve(given.port)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.name == "demo":
        from .demo import demo

        report = demo(given.out, given.small)
    elif given.name == "paper":
        from .report import write

        report = write(given.out, lambda name: section(name, given.out, given.small, given.measured), EXPERIMENTS)
    else:
        text = section(given.name, given.out, given.small, False)
        print("\n" + text)
        report = given.out / f"{given.name}.md"
        report.write_text(text, encoding="utf-8")
    print(f"\nFigures and tables are in {report.parent.resolve()}: open {report.name} and the PNG files.")


if __name__ == "__main__":
    main()
