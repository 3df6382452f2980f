"""`python -m lib_w2sd.lab demo`: strong, weak and W2SD side by side, with figures and scores."""

from pathlib import Path

from . import toy


def demo(out: Path, small: bool = False) -> Path:
    """Write the demo to `out`; the report's path. `small`: a few samples only, to see that it runs."""
    out.mkdir(parents=True, exist_ok=True)
    size = {"count": 200, "repetitions": 2} if small else {}
    section = toy.mixtures_demo(out, **size)
    print("\n" + section)
    report = out / "README.md"
    report.write_text("# W2SD demo\n\n" + section, encoding="utf-8")
    return report
