"""install.py and preload.py, run as the hosts run them."""

import argparse
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = "raise SystemExit('imported')\nclass Script:\n    def process_before_every_sampling(self): pass\n"
DENOISER = "raise SystemExit('imported')\nclass CFGDenoiser: pass\n"
PASTE = "raise SystemExit('imported')\nclass PasteField(tuple): pass\n"
TODAYS = {"scripts": SCRIPTS, "infotext_utils": PASTE, "sd_samplers_cfg_denoiser": DENOISER}


def install(folder):
    """install.py in a process of its own, the WebUI's folder on its path."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "install.py")],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def webui(folder, **files):
    for name, text in files.items():
        path = folder / "modules" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf8")
    return folder


def test_a_host_of_today_needs_no_words(tmp_path):
    """And none of its modules is imported: that would load torch at every start."""
    assert install(webui(tmp_path, **TODAYS)) == ""


@pytest.mark.parametrize(
    "files",
    [
        {**TODAYS, "scripts": "class Script: pass\n"},
        {**TODAYS, "infotext_utils": "PasteField = None\n"},
        {**TODAYS, "sd_samplers_cfg_denoiser": "sampling = None\n"},
        {"scripts": SCRIPTS, "sd_samplers_cfg_denoiser": DENOISER},
        {"scripts": SCRIPTS, "infotext_utils": PASTE},
    ],
    ids=["no hook", "no paste field", "no denoiser", "no infotext_utils", "no module of the denoiser"],
)
def test_an_old_host_is_told_to_update_and_another_that_it_cannot(tmp_path, files):
    told = install(webui(tmp_path, **files))
    assert "1.10 or newer" in told and "update" in told and "SD.Next" in told
    assert len(told.splitlines()) == 1


def test_outside_a_webui_it_says_so(tmp_path):
    assert "not the folder of a WebUI" in install(tmp_path)


def test_command_line_option():
    parser = argparse.ArgumentParser()
    runpy.run_path(str(ROOT / "preload.py"))["preload"](parser)
    assert parser.parse_args([]).w2sd_verbose is False
    assert parser.parse_args(["--w2sd-verbose"]).w2sd_verbose is True
