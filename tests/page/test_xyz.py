"""XYZ axes, as the host's grid uses them: every value confirmed first, then a copy of the request for every cell."""

from copy import copy
from types import SimpleNamespace

import pytest

from lib_w2sd.errors import SettingError
from lib_w2sd.method.ways import WAYS
from lib_w2sd.page import xyz
from lib_w2sd.page.settings import NAMES, Settings, as_dict, parse


class AxisOption:
    """The signature of the hosts' class."""

    def __init__(self, label, type, apply, format_value=None, confirm=None, cost=0.0, choices=None, prepare=None):
        self.label, self.type, self.apply, self.confirm, self.choices = label, type, apply, confirm, choices


def put(p, values):
    p.given = {**p.given, **values}


AXES = xyz.options(AxisOption, lambda p: p.given, put)
BY_LABEL = {axis.label: axis for axis in AXES}


def request(**given):
    return SimpleNamespace(prompt="a cat", negative_prompt="a dog, blurry", given={"enabled": True, **given})


def grid(p, label, texts):
    """The settings of each cell, as the host's grid makes them from the page's list of texts."""
    axis = BY_LABEL[label]
    values = [axis.type(text) for text in texts]
    axis.confirm(p, values)
    cells = []
    for value in values:
        cell = copy(p)
        axis.apply(cell, value, values)
        cells.append(parse([cell.given]))
    return cells


def test_every_setting_has_an_axis_whose_label_says_w2sd():
    assert len(AXES) == len(NAMES) - 2, "all but the comparison picture, which is no part of a cell"
    assert all(axis.label.startswith("[W2SD] ") for axis in AXES)
    assert list(BY_LABEL)[:3] == ["[W2SD] Lambda", "[W2SD] Weak CFG", "[W2SD] Enabled"]


@pytest.mark.parametrize(
    ("label", "texts", "name", "values"),
    [
        ("[W2SD] Lambda", ["0", "5", "-1"], "lambda_steps", [0, 5, -1]),
        ("[W2SD] Strength", ["0", "0.5", "1"], "strength", [0.0, 0.5, 1.0]),
        ("[W2SD] Weak CFG", ["-2", "0.5"], "weak_cfg", [-2.0, 0.5]),
        ("[W2SD] Strong CFG", ["1", "5.5"], "strong_cfg", [1.0, 5.5]),
        ("[W2SD] Inversion", ["paper", "matched", "fixed-point"], "inversion", ["paper", "matched", "fixed-point"]),
        ("[W2SD] Hires", ["same", "off", "own"], "hires", ["same", "off", "own"]),
        ("[W2SD] Hires lambda", ["3"], "hires_lambda_steps", [3]),
    ],
)
def test_cells_have_the_axis_value_and_all_else_of_the_request(label, texts, name, values):
    p = request(weak_prompt="{prompt}, drawing", enabled=False)
    expected = [
        Settings(**{**as_dict(Settings()), "enabled": True, "weak_prompt": "{prompt}, drawing", name: v})
        for v in values
    ]
    before = copy(p.given)
    assert grid(p, label, texts) == expected
    assert p.given == before


def test_axis_enabled_turns_it_on_and_off():
    assert [s.enabled for s in grid(request(), "[W2SD] Enabled", ["True", "False", "yes", " off "])] == [
        True,
        False,
        True,
        False,
    ]
    assert BY_LABEL["[W2SD] Enabled"].choices() == ["True", "False"]


@pytest.mark.parametrize("first", [True, False])
def test_axis_enabled_has_the_last_word_wherever_it_is(first):
    off = ("[W2SD] Enabled", "False")
    axes = [off, ("[W2SD] Lambda", 3)] if first else [("[W2SD] Lambda", 3), off]
    cell = copy(request(enabled=False))
    for label, value in axes:
        BY_LABEL[label].apply(cell, value, [value])
    assert not parse([cell.given]).enabled


def test_choices_are_offered():
    assert BY_LABEL["[W2SD] Inversion"].choices() == list(WAYS)
    assert BY_LABEL["[W2SD] Lambda"].choices is None


def test_two_axes_add_up_in_one_cell():
    p = request()
    cell = copy(p)
    BY_LABEL["[W2SD] Lambda"].apply(cell, 3, [3])
    another = copy(cell)
    BY_LABEL["[W2SD] Weak CFG"].apply(another, -1.0, [-1.0])
    settings = parse([another.given])
    assert (settings.lambda_steps, settings.weak_cfg) == (3, -1.0)
    assert parse([cell.given]).weak_cfg == 0.0  # the first cell is not touched


@pytest.mark.parametrize(
    ("label", "bad"),
    [
        ("[W2SD] Lambda", 151),
        ("[W2SD] Strength", float("nan")),
        ("[W2SD] Inversion", "ddim"),
        ("[W2SD] Enabled", "maybe"),
    ],
)
def test_a_wrong_value_is_refused_before_the_first_cell(label, bad):
    with pytest.raises(SettingError, match=repr(bad)):
        BY_LABEL[label].confirm(request(), [bad])


def test_search_and_replace_in_the_settings_own_text():
    p = request(weak_prompt="{prompt}, drawing of a fish")
    cells = grid(p, "[W2SD] Weak prompt S/R", ["fish", "bird", "{negative_prompt}"])
    assert [s.weak_prompt for s in cells] == [
        "{prompt}, drawing of a fish",
        "{prompt}, drawing of a bird",
        "{prompt}, drawing of a {negative_prompt}",
    ]


def test_search_and_replace_looks_into_the_pictures_prompts_that_the_text_stands_for():
    p = request()
    p.prompt = "a cat <lora:style:0.8>, (sharp)"
    cells = grid(p, "[W2SD] Weak prompt S/R", ["cat", "dog"])
    assert [s.weak_prompt.replace(" ,", ",") for s in cells] == ["a cat, (sharp)", "a dog, (sharp)"]
    cells = grid(p, "[W2SD] Weak negative prompt S/R", ["blurry", ""])
    assert [s.weak_negative_prompt for s in cells] == ["a dog, blurry", "a dog,"]


def test_search_and_replace_of_two_axes():
    p = request(weak_prompt="a red fish")
    axis, first = BY_LABEL["[W2SD] Weak prompt S/R"], copy(p)
    axis.apply(first, "bird", ["fish", "bird"])
    second = copy(first)
    axis.apply(second, "blue", ["red", "blue"])
    assert parse([second.given]).weak_prompt == "a blue bird"


def test_search_that_finds_nothing_is_refused():
    with pytest.raises(SettingError, match="looks for 'horse', which is not in 'a cat'"):
        BY_LABEL["[W2SD] Weak prompt S/R"].confirm(request(), ["horse", "dog"])


def test_replacement_that_unbalances_brackets_is_refused():
    with pytest.raises(SettingError, match="never closed"):
        BY_LABEL["[W2SD] Weak prompt S/R"].confirm(request(), ["cat", "(cat"])
