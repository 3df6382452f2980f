"""A sixth gap touches no other file (toy_gap.py), and is found everywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("flavour", ["a1111", "forge"])
def test_a_sixth_gap_is_found_everywhere(flavour):
    asked = [sys.executable, "-m", "tests.gaps.toy_gap", flavour]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.stdout.endswith("found everywhere\n"), done.stdout + done.stderr
