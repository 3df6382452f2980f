"""Reflection in networks of SD1.5's and SDXL's full size with random weights, on a GPU; in tiny ones on a CPU.

    python -m tests.gpu                 a table; where there is a GPU, into docs/paper/gpu.md too
    python -m tests.gpu --networks SD1.5

Needs torch and diffusers. With SDXL and its weak checkpoint beside it, about 16 GB of GPU memory. Ends with 1 where
something is not as it should be: pictures that are not finite, equal sides that change the picture, more time than the
network's calls take, memory left over, switches that take longer than a millisecond, waits that nothing explains.
"""

import argparse
from pathlib import Path

import torch

from . import measure
from .machine import Machine
from .networks import FULL, TINY

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
FILE = "gpu.md"


def told(name: str, dtype: str, found: "measure.Found", steps: int, judged: bool) -> str:
    """The Markdown of one network in one precision."""
    size = 8 * found.network.size.latents
    lines = [
        f"## {name}, {dtype}",
        "",
        f"{found.network.parameters / 1e6:.0f} million parameters; {found.pictures} pictures of {size} by {size}, "
        f"{steps} steps of Euler, CFG {measure.CFG:g}. Plain: {found.plain_rows} rows, "
        f"{found.plain_time:.3f} of its calls' time, {_mb(found.plain_memory)} in use.",
        "",
        f"| gap | way | rows | time over rows{'' if judged else ' (not judged)'} | memory over plain's | waits |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.gap} | {row.way} | {row.rows} | {row.time:.3f} | {_mb(row.memory)} | {sum(row.waits.values())} |"
        for row in found.rows
    ]
    lines.append("")
    lines += [
        f"- {gap}: the weak side is switched on and off in {ms:.3f} ms; a call of it takes {found.weak_call[gap]:.2f} "
        "times the strong side's."
        for gap, ms in found.switch_ms.items()
    ]
    lines.append(
        f"- A weak checkpoint beside takes {_mb(found.kept)} ({_mb(found.kept_measured)} measured), and was loaded in "
        f"{found.load_seconds:.1f} s."
    )
    lines += [f"- **Fault**: {fault}." for fault in found.all_faults]
    return "\n".join((*lines, ""))


def _mb(size: "int | None") -> str:
    return "unknown" if size is None else f"{size / 2**20:.0f} MB"


HEAD = """# On a GPU

Networks of full size with random weights on {device}, torch {torch}; `python -m tests.gpu` writes this again. *Time
over rows*: a run's time over that of its network calls by themselves, each with its number of rows; at most {time:g} is
allowed. *Memory*: the most in use during a run, the weights apart. *Waits*: how often the program waited for the
device, each at a place and as often as the run's trace explains.
"""


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=FULL, default=list(FULL))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "docs/paper")
    asked = parser.parse_args(arguments)
    machine = Machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    sizes, steps, times = (FULL, 10, 3) if machine.cuda else (TINY, 3, 1)
    parts, faults = [HEAD.format(device=machine.name, torch=torch.__version__, time=measure.TIME)], 0
    for name in asked.networks:
        for dtype in asked.dtypes:
            bench = measure.Bench(machine, sizes[name], DTYPES[dtype], steps, times, judged=machine.cuda)
            found = bench.found()
            parts.append(told(name, dtype, found, steps, judged=machine.cuda))
            print(parts[-1], flush=True)
            faults += len(found.all_faults)
            del bench, found
    if machine.cuda:
        (asked.out / FILE).write_text("\n".join(parts), encoding="utf-8")
    print(f"{faults} faults on {machine.name}" + ("" if machine.cuda else ", in tiny networks"))
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main())
