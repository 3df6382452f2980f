"""Command line of the lab: `python -m lib_w2sd.lab NAME`."""

import argparse
import importlib
import os
import time
import warnings
from pathlib import Path

# Read when torch is imported: its threads sleep rather than spin while they wait, which on a busy machine is many
# times faster, and on an idle one no slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Name, the function section(out, results) that runs it, its report, what it shows; in the order of the reports.
EXPERIMENTS = {
    "mixtures": ("toy.section", "README.md", "Figures 4, 5, 6, 21, 25: mixtures in 1-D and 2-D"),
    "theory": ("theory.section", "README.md", "Theorems 1 to 3; Figures 3, 22, 23: where they stop"),
    "tables": ("tables.section", "README.md", "Tables 2, 3, 5, 6, 7: what each gap brings"),
    "balance": (
        "balance.section",
        "README.md",
        "Figures 7, 18: the balance of two kinds in strong, weak, W2SD and S2WD",
    ),
    "gap-size": ("knobs.gap_size_section", "README.md", "Figure 12: score over the gap's size and sign"),
    "equal-time": ("knobs.equal_time_section", "README.md", "Figure 14: what the same time buys"),
    "share": ("knobs.share_section", "README.md", "Figures 19, 20: score over lambda / T"),
    "grid": ("ready_grid.section", "README.md", "the accordion's ready grid of lambda and weak CFG"),
    "directions": ("directions.section", "README.md", "Figure 26: where the gap points, and how far it is right"),
    "inversion-error": ("inversion_error.section", "README.md", "Table 14: what an error in the inversion costs"),
    "architectures": ("architectures.section", "README.md", "Figure 31: the weak side is of another architecture"),
    "again": ("again.section", "README.md", "whether strong and weak trained again have the same scores"),
    "pipeline": ("pipeline.section", "pipeline.md", "Figures 10, 11: strong with a ControlNet or an IP-Adapter"),
    "video": ("video.section", "video.md", "Table 12: clips, consistency and motion"),
    "cfg-1": (
        "cfg_one.section",
        "cfg-1.md",
        "pictures at CFG 1: what guidance in some steps does, and a negative prompt",
    ),
    "buys": ("bought.section", "buys.md", "every way of every gap against what the user would do instead"),
}
OUT = Path("docs/paper")


def section(name: str, out: Path, minutes: "float | None" = None) -> str:
    """Run one experiment, measuring for at most so long what `out`/results.json has not; its Markdown."""
    from .experiments.inversion_error import measured
    from .experiments.results import Results

    module, function = EXPERIMENTS[name][0].split(".")
    experiment = importlib.import_module(f"{__package__}.experiments.{module}")
    return getattr(experiment, function)(out, Results(out / "results.json", measured, minutes=minutes))


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lib_w2sd.lab", description="The paper's experiments.")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    demo = names.add_parser("demo", help="plain and W2SD side by side, from prompts, and the mixtures (two minutes)")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the files (default: %(default)s)")
    demo.add_argument("--small", action="store_true", help="a few samples only, to see that it runs")
    told = {name: text for name, (_, _, text) in EXPERIMENTS.items()}
    for name, text in {**told, "paper": "all of these, in their reports (hours; goes on where it stopped)"}.items():
        experiment = names.add_parser(name, help=text)
        experiment.add_argument(
            "--out", type=Path, default=OUT, help="folder of results and reports (default: %(default)s)"
        )
        experiment.add_argument("--minutes", type=float, help="measure for at most so long what is not there yet")
    picture = names.add_parser("picture", help="the README's picture (three minutes)")
    picture.add_argument("--out", type=Path, default=Path("docs"), help="folder for w2sd.png (default: %(default)s)")
    playground = names.add_parser("playground", help="a page with the WebUI's accordion over the small model")
    playground.add_argument("--port", type=int, default=7870)
    given = parser.parse_args(argv)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    if given.name == "playground":
        from .playground import serve

        return serve(given.port)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.name == "picture":
        from .experiments.first_look import write as picture_of

        return print(picture_of(given.out / "w2sd.png", OUT))
    if given.name == "demo":
        from .demo import demo

        report = demo(given.out, given.small)
    elif given.name == "paper":
        from .report import write

        files = {name: file for name, (_, file, _) in EXPERIMENTS.items()}
        end = None if given.minutes is None else time.monotonic() + 60 * given.minutes

        def run(name):
            return section(name, given.out, end and max(0.0, end - time.monotonic()) / 60)

        report = write(given.out, run, files)
    else:
        text = section(given.name, given.out, given.minutes)
        print("\n" + text)
        report = given.out / f"{given.name}.md"
        report.write_text(text, encoding="utf-8")
    print(f"\nFigures and tables are in {report.parent.resolve()}: open {report.name} and the PNG files.")


if __name__ == "__main__":
    main()
