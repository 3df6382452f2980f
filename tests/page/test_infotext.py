"""Settings in the infotext: written, read by a parser that behaves like the hosts', and the same again."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_w2sd.page import infotext
from lib_w2sd.page.settings import NAMES, SETTINGS, Settings, parse

from .. import infotexts
from ..settings_strategies import valid_requests

AROUND = {"Steps": 20, "Sampler": "DPM++ 2M", "CFG scale": 6.5, "Size": "512x768"}


def pasted(params):
    """The settings that a paste of the picture's infotext leaves in the controls."""
    controls = [infotext.is_on(params) if name == "enabled" else infotext.read(name, params) for name in NAMES]
    return parse(controls)


def through_infotext(settings, params=None):
    params = dict(AROUND if params is None else params)
    infotext.write(settings, params)
    return infotexts.parse(infotexts.write("a cat,\na hat", "blurry: very", params))


@given(valid_requests)
@example({"enabled": True, "strength": 0.1234567890123})
@example({"enabled": True, "weak_cfg": 1e-9})
@example({"enabled": True, "weak_cfg": -29.999999999})
@example({"enabled": True, "weak_prompt": ""})
@example({"enabled": True, "weak_prompt": '""'})
@example({"enabled": True, "weak_prompt": '"a" and "b"', "weak_negative_prompt": 'ends in "'})
@example({"enabled": True, "weak_prompt": '"a", "b"', "weak_negative_prompt": '"'})
@example({"enabled": True, "weak_prompt": "C:\\\\new", "weak_negative_prompt": "\\\\"})
@example({"enabled": True, "weak_prompt": "512x768", "weak_negative_prompt": "0012x007"})
@example({"enabled": True, "weak_prompt": "Steps: 3, Sampler: x\nW2SD lambda: 4"})
def test_settings_survive_the_infotext(request):
    settings = parse([request])
    params = through_infotext(settings)
    restored = pasted(params)
    for f in SETTINGS:
        if not f.counts(settings):
            continue  # not written: it counts for nothing
        assert getattr(restored, f.name) == getattr(settings, f.name)
    assert params["Steps"] == "20" and params["Sampler"] == "DPM++ 2M"


@given(valid_requests)
def test_off_writes_nothing_and_takes_back_what_another_cell_wrote(request):
    params = dict(AROUND)
    infotext.write(parse([request]), params)
    assert any("W2SD" in label for label in params)
    infotext.write(Settings(), params)
    assert params == AROUND


@given(valid_requests, valid_requests)
def test_one_cell_leaves_nothing_in_the_next(first, second):
    """An XYZ grid's cells share the dictionary."""
    shared, alone = dict(AROUND), dict(AROUND)
    infotext.write(parse([first]), shared)
    infotext.write(parse([second]), shared)
    infotext.write(parse([second]), alone)
    assert shared == alone


def test_infotext_of_another_picture_leaves_the_controls_alone():
    params = infotexts.parse(infotexts.write("a", "b", AROUND))
    assert not infotext.is_on(params)
    assert all(infotext.read(name, params) is None for name in NAMES if name != "enabled")


def test_what_is_always_written_does_not_depend_on_defaults():
    params = {}
    infotext.write(Settings(enabled=True), params)
    assert params == {
        "W2SD lambda": "10",
        "W2SD strength": "0.5",
        "W2SD inversion": "previous-gap",
        "W2SD weak CFG": "0",
    }


def test_own_hires_lambda_is_written_only_where_it_counts():
    params = {}
    infotext.write(Settings(enabled=True, hires="same", hires_lambda_steps=3), params)
    assert "W2SD hires lambda" not in params
    infotext.write(Settings(enabled=True, hires="own", hires_lambda_steps=5), params)
    assert params["W2SD hires"] == "own"
    assert infotext.read("hires_lambda_steps", params) == 5


def test_values_come_back_in_their_controls_types():
    params = through_infotext(Settings(enabled=True, strong_cfg=4.5))
    kinds = {name: type(infotext.read(name, params)) for name in NAMES if name != "enabled"}
    assert kinds["lambda_steps"] is int and kinds["strength"] is float
    assert kinds["strong_cfg"] is str  # a text box


@pytest.mark.parametrize("value", ['"quoted"', "a, b", "plain", "a: b\nc", 'x"y'])
def test_quoting_of_the_parser_is_the_hosts(value):
    assert infotexts.parse(f"Steps: 1, Text: {infotexts.quote(value)}, Seed: 2").get("Text") == {
        '"quoted"': "quoted"  # which is why the extension quotes it once more
    }.get(value, value)


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z]{2,8}\Z"), st.integers(), min_size=3, max_size=6))
def test_labels_never_clash_with_the_hosts(params):
    before = dict(params)
    infotext.write(Settings(enabled=True), params)
    assert {k: v for k, v in params.items() if not k.startswith("W2SD ")} == before


def test_a_weak_checkpoint_is_read_back_with_its_hash():
    """So that another file of that name is refused, and not silently taken."""
    params = {}
    infotext.write(
        Settings(enabled=True, weak_checkpoint="weak.safetensors"), params, {"weak_checkpoint": "0123456789"}
    )
    assert infotext.read("weak_checkpoint", params) == "weak.safetensors [0123456789]"
    infotext.write(Settings(enabled=True, weak_checkpoint="weak.safetensors"), params)
    assert infotext.read("weak_checkpoint", params) == "weak.safetensors"
