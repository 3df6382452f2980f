"""ComfyUI's room as far as it can be seen without ComfyUI: what its nodes offer, what they say, who may name it."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from lib_w2sd.hosts.comfy import last_run, widgets
from lib_w2sd.method.trace import Trace
from lib_w2sd.page.settings import BY_NAME, parse

ROOT = Path(__file__).resolve().parents[2]
NAMES = [*widgets.SCALES, *widgets.COMMON]


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_has_its_own_words_and_limits(name):
    kind, about = widgets.widget(name)
    setting = BY_NAME[name]
    assert setting.help in about["tooltip"]
    assert setting.check(about["default"]) == setting.default
    if setting.choices:
        assert kind == list(setting.choices)
    elif kind in ("INT", "FLOAT"):
        assert (about["min"], about["max"], about["step"]) == (setting.minimum, setting.maximum, setting.step)
        assert setting.check(about["max"]) == about["max"]
    else:
        assert kind == ("STRING" if setting.optional else "BOOLEAN")


def test_a_preset_fills_what_the_node_has_and_names_what_it_needs():
    assert "Follow the prompt more (Z-Sampling)" in widgets.PRESETS
    assert not any(preset.halves_steps for preset in widgets.PRESETS.values())
    for name, preset in widgets.PRESETS.items():
        fields = {key: value for key, value in preset.fields.items() if key in NAMES}
        assert {"lambda_steps", "inversion", "weak_cfg"} <= set(fields), name
        parse([{"enabled": True, **fields}])
        assert widgets.needed_by(name) in ("", "weak_model", "weak_positive")
    assert widgets.needed_by("Follow the prompt more (Z-Sampling)") == ""
    assert widgets.needed_by("More of my LoRA") == widgets.needed_by("More of my checkpoint") == "weak_model"
    assert widgets.needed_by("Closer to my ControlNet") == "weak_positive"
    assert widgets.needed_by("Closer to my IP-Adapter") == "weak_model"


@pytest.fixture
def latest(monkeypatch):
    """Sets Trace.last."""
    return lambda trace: monkeypatch.setattr(Trace, "last", trace)


def a_run(*norms: float) -> Trace:
    trace = Trace()
    run = trace.add(name="sampling", sampler="sample_euler", steps=6, reflected=len(norms), inversion="matched")
    seen = [0]
    for step, norm in enumerate(norms):
        for kind in ("strong", "weak", "step"):
            with run.evaluation(kind, step, 1.0, lambda: seen[0]):
                seen[0] += 2
        run.reflection(step, 1.0, 0.5, torch.full((1, 4, 2, 2), norm), effective_cfg=9.0, across=0.25)
    run.ended = "whole"
    return trace


def test_the_last_run_is_told_in_words(latest):
    latest(a_run(1.0, 2.0))
    words = last_run.words()
    assert "2 of 6 steps improved" in words and "12 UNet rows" in words and "CFG 9" in words and "25%" in words
    latest(None)
    assert last_run.words() == last_run.NOTHING
    latest(Trace(said="Drawn otherwise."))
    assert last_run.words() == "Drawn otherwise."


def test_its_plots_are_a_picture_that_follows_the_run(latest):
    latest(None)
    empty = last_run.image()
    latest(a_run(1.0, 2.0))
    rising = last_run.image()
    latest(a_run(2.0, 1.0))
    falling = last_run.image()
    assert rising.shape == (1, 2 * last_run.HEIGHT, last_run.WIDTH, 3) and 0 <= rising.min() and rising.max() <= 1
    assert not torch.equal(rising, falling) and not torch.equal(rising, empty)


def test_outside_of_comfyui_its_door_is_empty(monkeypatch):
    monkeypatch.delitem(sys.modules, "comfy.samplers", raising=False)
    spec = importlib.util.spec_from_file_location("w2sd_root", ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not hasattr(module, "NODE_CLASS_MAPPINGS")


def test_pytest_knows_modules_by_their_own_names():
    """Not below the checkout's folder, which ComfyUI's door makes a package of."""
    assert __name__ == "tests.hosts.test_comfy_nodes"
    assert str(ROOT.parent) not in sys.path


@pytest.mark.parametrize("room", ["method", "gaps", "page", "rewards"])
def test_no_other_room_names_comfyui(room):
    files = list((ROOT / "lib_w2sd" / room).glob("*.py"))
    assert files
    assert not [path for path in files if re.search("comfy", path.read_text(encoding="utf-8"), re.I)]
