"""python -m tests.gpu, at tiny sizes on a CPU: that it says what is, and finds what should not be."""

import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from lib_w2sd.method import denoiser, ways
from tests.gpu import measure
from tests.gpu.__main__ import told
from tests.gpu.machine import Machine
from tests.gpu.networks import FULL, TINY

# By the papers: 860 million, and 2.6 billion.
PARAMETERS = {"SD1.5": (0.855e9, 0.865e9), "SDXL": (2.55e9, 2.65e9)}
# Of the lab's requirements, what `python -m tests.gpu` must not need.
NOT_NEEDED = ("k_diffusion", "kornia", "gradio", "matplotlib", "scipy", "sklearn", "skimage", "clip", "torchvision")
WITHOUT_THEM = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_NEEDED!r}))
from tests.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def matched_alone(monkeypatch):
    monkeypatch.setattr(measure.ways, "WAYS", ("matched",))


def bench(name="SD1.5", dtype=torch.float32):
    return measure.Bench(Machine(torch.device("cpu")), TINY[name], dtype, steps=3, times=1, judged=False)


@pytest.mark.parametrize("name", FULL)
def test_the_networks_are_of_full_size(name):
    with torch.device("meta"):
        made = UNet2DConditionModel(**FULL[name].layout)
    low, high = PARAMETERS[name]
    assert low < sum(p.numel() for p in made.parameters()) < high


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it is run at full size, by hand")
def test_every_way_of_every_gap_stands_in_the_table_with_torch_and_diffusers_alone(tmp_path):
    arguments = ["--networks", "SDXL", "--dtypes", "bfloat16", "--out", str(tmp_path)]
    command = [sys.executable, "-c", WITHOUT_THEM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == 0, done.stdout + done.stderr
    for gap in ("guidance", "LoRA", "checkpoint"):
        for way in ways.WAYS:
            assert f"| {gap} | {way} |" in done.stdout
    assert "0 faults on a CPU, in tiny networks" in done.stdout
    assert not list(tmp_path.iterdir())  # the report is of a GPU


def test_half_precision_too(matched_alone):
    found = bench(dtype=torch.float16).found()
    assert found.all_faults == []
    # Plain: 3 steps of 2 rows. Matched: of the 2 steps that are reflected both rows once more, or one for each side.
    assert [row.rows for row in found.rows] == [6 + 2 * 2] * 3


def test_a_weak_side_that_is_another_is_no_equal_one(matched_alone, monkeypatch):
    """The check of equal sides, with a weak side that is told to be the same and is not."""
    lora = measure.Bench.lora
    monkeypatch.setattr(measure.Bench, "lora", lambda self, scale: lora(self, scale or 0.5))
    found = bench().found()
    (fault,) = found.all_faults
    assert fault.startswith("LoRA, matched") and "equal sides differ" in fault
    assert "**Fault**" in told("SD1.5", "float32", found, 3, False)


def test_numbers_that_are_none_are_found(matched_alone):
    made = bench()
    made.network.unet.conv_out.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(denoiser.NoPictureError):
        made.found()


def test_a_wait_that_nothing_explains_is_found(matched_alone, monkeypatch):
    before = denoiser.ReflectingDenoiser._note

    def _note(self, t, step, found):
        found.gap.norm().item()
        before(self, t, step, found)

    monkeypatch.setattr(denoiser.ReflectingDenoiser, "_note", _note)
    # As if it stood in the program
    monkeypatch.setattr("tests.gpu.machine.PROGRAM", Path(__file__).parent)
    faults = bench().found().all_faults
    assert faults == [
        f"{gap}, matched: test_gpu.py _note waits for the device 2 times, where the trace explains 0"
        for gap in ("guidance", "LoRA", "checkpoint")
    ]


def test_waits_are_held_to_the_trace():
    # A step with one evaluation has nothing to compare; with three, the later ones with those before.
    trace = SimpleNamespace(steps=3, evaluations=[{"step": step} for step in (0, 0, 0, 1)])
    assert measure.unexplained(Counter({"window.py _number": 3, "rows.py _same": 18}), trace) == []
    assert len(measure.unexplained(Counter({"window.py _number": 4, "rows.py _same": 19}), trace)) == 2


def test_slow_switches_and_slow_runs_are_faults(matched_alone, monkeypatch):
    made = bench()
    made.judged = True
    for limit in ("SWITCH_MS", "TIME", "WEAK_CALL"):
        monkeypatch.setattr(measure, limit, 0.0)
    faults = made.found().all_faults
    assert sum("is switched in" in fault for fault in faults) == 2
    assert sum("a weak call of" in fault for fault in faults) == 2
    assert sum("times what its calls take" in fault for fault in faults) == 3


def test_waits_for_a_gpu_are_those_that_torch_warns_of(monkeypatch):
    """Without one: as it warns."""
    machine, modes = Machine(torch.device("cpu")), []
    machine.cuda = True
    monkeypatch.setattr(Machine, "settle", lambda self: None)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr("tests.gpu.machine.PROGRAM", Path(__file__).parent)
    with pytest.warns(UserWarning, match="another") as others:
        with machine.waits() as found:
            for text in ("called a synchronizing CUDA operation", "another", "called a synchronizing CUDA operation"):
                warnings.warn(text, stacklevel=1)
    assert len(others) == 1
    assert found == {"test_gpu.py test_waits_for_a_gpu_are_those_that_torch_warns_of": 2}
    assert modes == ["warn", 0]
