"""Command line of the emoji model: `python -m lib_w2sd.lab.emoji NAME`."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lib_w2sd.lab.emoji", description="A small text-to-image model.")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    train = names.add_parser("train", help="download the emoji and train, each part where it stopped (hours)")
    train.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="of the list at the top of training.py (default: all, in this order)",
    )
    train.add_argument("--state", type=Path, default=Path("out/train"), help="folder of the training's state")
    train.add_argument("--steps", type=int, help="of each part (default: the parts' own)")
    checkpoint = names.add_parser("checkpoint", help="write what AUTOMATIC1111's WebUI loads")
    checkpoint.add_argument("folder", type=Path, help="where the files are to stay: .../models/Stable-diffusion")
    checkpoint.add_argument("--loras", type=Path, help="folder for the LoRAs: .../models/Lora (default: beside)")
    checkpoint.add_argument("--rewards", type=Path, help="folder for the reward: .../models/rewards (default: none)")
    draw = names.add_parser("draw", help="one picture for each prompt")
    draw.add_argument("prompts", nargs="+")
    draw.add_argument("--seed", type=int, default=1)
    draw.add_argument("--cfg", type=float, default=4.0)
    draw.add_argument("--steps", type=int, default=20)
    draw.add_argument("--out", type=Path, default=Path("out/emoji/drawn.png"))
    grid = names.add_parser("grid", help="a dozen prompts, plain and W2SD side by side, with no selection")
    grid.add_argument("--out", type=Path, default=Path("out/emoji/grid.png"))
    scores = names.add_parser("scores", help="retrieval, Fréchet distance and the judge's reward, way by way")
    scores.add_argument("--out", type=Path, default=Path("out/emoji/scores.md"))
    scores.add_argument("--each", type=int, default=1, help="pictures of each prompt")
    given = parser.parse_args(argv)
    if given.name == "train":
        from . import training

        unknown = set(given.parts) - {*training.RUNS, *training.BESIDE}
        if unknown:
            parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(training.RUNS)}")
        training.main(given.parts, given.state, given.steps)
    elif given.name == "checkpoint":
        from . import checkpoint

        for path in checkpoint.write(given.folder, loras=given.loras, rewards=given.rewards):
            print(path)
    elif given.name == "draw":
        from . import draw, grid

        many = len(given.prompts)
        pictures = draw.draw(
            given.prompts, range(given.seed, given.seed + many), cfg=given.cfg, steps=given.steps
        ).pictures
        given.out.parent.mkdir(parents=True, exist_ok=True)
        grid.sheet({f"CFG {given.cfg:g}": pictures}, given.prompts, 1).save(given.out)
        print(given.out)
    elif given.name == "grid":
        from . import grid

        print(grid.write(given.out))
    else:
        from . import scores

        print(scores.write(given.out, given.each))
    return 0


if __name__ == "__main__":
    sys.exit(main())
