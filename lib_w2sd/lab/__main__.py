"""Command line of the lab: `python -m lib_w2sd.lab NAME`."""

import argparse
import warnings
from pathlib import Path


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lib_w2sd.lab", description="The paper's experiments.")
    experiments = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    demo = experiments.add_parser("demo", help="strong, weak and W2SD side by side, with figures and scores")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the files (default: %(default)s)")
    demo.add_argument("--small", action="store_true", help="a few samples only, to see that it runs")
    given = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from .demo import demo as run

        report = run(given.out, given.small)
    print(f"\nThe demo's figures and tables are in {report.parent.resolve()}: open {report.name} and the PNG files.")


if __name__ == "__main__":
    main()
