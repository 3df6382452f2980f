"""A sixth gap touches no other file (toy_gap.py), and is found everywhere."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_sixth_gap_is_found_everywhere():
    asked = [sys.executable, "-m", "tests.gaps.toy_gap"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.stdout.endswith("found everywhere\n"), done.stdout + done.stderr
