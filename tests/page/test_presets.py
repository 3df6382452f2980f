"""Presets: the paper's numbers, and a file of the user's own that no name and no content can break."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_w2sd.page import presets
from lib_w2sd.page.presets import BUILT_IN, PresetError, Store
from lib_w2sd.page.settings import NAMES, Settings, as_dict, check, parse

from ..settings_strategies import valid_requests


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "w2sd_presets.json")


def settings_of(name, **already):
    return parse([{"enabled": True, **already, **BUILT_IN[name].fields}])


def test_numbers_of_the_paper():
    """Appendices C.1 and E.6; section 4.4. Way and strength are ours (docs/paper/buys.md, the rule)."""
    guidance = settings_of("Follow the prompt more (Z-Sampling)", strong_cfg=1.0, weak_prompt="a dog")
    assert guidance == Settings(enabled=True, lambda_steps=-1, strong_cfg=None, weak_cfg=0.0)
    lora = settings_of("More of my LoRA")
    assert (lora.strong_cfg, lora.weak_cfg) == (1.0, 1.0)
    assert 0.8 + lora.weak_lora_offset == pytest.approx(-1.5)
    assert settings_of("More of my checkpoint", weak_checkpoint="sd15").weak_checkpoint == "sd15"
    assert settings_of("More of my prompt's detail", weak_prompt="a dog").weak_prompt == "a dog"
    both = settings_of("Follow the prompt more, and more of my checkpoint", weak_checkpoint="sdxl")
    assert (both.weak_checkpoint, both.strong_cfg, both.weak_cfg) == ("sdxl", None, 0.0)
    flux = settings_of("Flux: follow the prompt more")
    assert (flux.strong_distilled_cfg, flux.weak_distilled_cfg, flux.lambda_steps) == (2.0, 1.0, 10)
    ours = {name for name in BUILT_IN if name.startswith("Few steps")}
    few = {"Flux: follow the prompt more", "Same time as before", "More than an older kind of model"}
    few |= {"Follow the prompt a little more", "At CFG 1: let the negative prompt count"}
    others = set(BUILT_IN) - few - ours
    assert {settings_of(name).lambda_steps for name in others} == {-1}, "T - 1"
    pushes = {(one.inversion, one.lambda_steps, one.strength) for one in map(settings_of, ours)}
    assert pushes == {("previous-gap", 3, 1.0)}, "docs/paper/cfg-1.md"
    assert len(ours) == 3 and all("ur own model" in BUILT_IN[name].about for name in ours), "what was measured"


def test_the_settings_at_the_start_are_a_preset():
    assert settings_of("Follow the prompt a little more") == Settings(enabled=True)


def test_what_pays_stands_first():
    """docs/paper/buys.md and pipeline.md: the pipeline gap, a checkpoint's habit, CFG 1; half the steps at the end."""
    names = list(BUILT_IN)
    assert names[:3] == ["Closer to my ControlNet", "Closer to my IP-Adapter", "More of my checkpoint"]
    assert names[-1] == "Same time as before"


def test_same_time_as_before():
    """Section 5: T_std = 50 gives T_w2s = 25 and lambda = 12, which is 25 + 24 score predictions."""
    assert presets.lambda_for_same_time(25) == 12
    assert 25 + 2 * 12 <= 50
    assert presets.lambda_for_same_time(1) == 1


def test_every_built_in_preset_says_what_it_is_for():
    for preset in BUILT_IN.values():
        assert preset.about.endswith(".") and set(preset.fields) <= set(presets.KEPT)
        for name, value in preset.fields.items():
            assert check(name, value) == value


@given(valid_requests, st.from_regex(presets.NAME, fullmatch=True))
def test_saved_and_read_again(tmp_path_factory, request, name):
    store = Store(tmp_path_factory.mktemp("presets") / "w2sd_presets.json")
    if name.strip().casefold() in presets.TAKEN:
        return
    settings = as_dict(parse([request]))
    kept = store.save(name, settings)
    assert store.names() == [*BUILT_IN, kept]
    assert store.find(kept).fields == {key: settings[key] for key in presets.KEPT}
    store.delete(kept)
    assert store.names() == [*BUILT_IN] and store.find(kept) is None


@pytest.mark.parametrize(
    "name", ["", "  ", None, "a/b", "../a", "a\\b", "<b>", "a\nb", "\x00", "-a", "x" * 61, "a\u202eb", "{}", '"', "a:b"]
)
def test_names_that_are_none(store, name):
    with pytest.raises(PresetError, match="name is 1 to 60"):
        store.save(name, as_dict(Settings()))
    assert not store.path.exists()


@pytest.mark.parametrize(
    "name", ["None", "none", "NONE", " nOnE ", "More of my LoRA", "more of my lora", "MORE OF MY LORA"]
)
def test_names_that_the_list_has_already(store, name):
    with pytest.raises(PresetError, match="choose another name"):
        store.kept_as(name)
    with pytest.raises(PresetError, match="choose another name"):
        store.save(name, as_dict(Settings()))
    assert not store.path.exists()


def test_built_in_ones_are_neither_overwritten_nor_deleted(store):
    with pytest.raises(PresetError, match="built-in"):
        store.save("More of my LoRA", as_dict(Settings()))
    assert not store.has("More of my LoRA")
    with pytest.raises(PresetError, match="built-in"):
        store.delete("More of my LoRA")
    with pytest.raises(PresetError, match="no preset"):
        store.delete("nowhere")


def test_settings_that_cannot_be_used_are_not_saved(store):
    with pytest.raises(PresetError, match="lambda_steps"):
        store.save("mine", {**as_dict(Settings()), "lambda_steps": 1000})
    assert not store.path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"mine": 3}', "\xff"])
def test_a_broken_file_is_said_and_left_alone(store, content):
    store.path.write_text(content, encoding="latin1")
    assert store.names() == [*BUILT_IN]
    with pytest.raises(PresetError, match="w2sd_presets.json"):
        store.find("mine")
    with pytest.raises(PresetError, match="w2sd_presets.json"):
        store.save("mine", as_dict(Settings()))
    assert store.path.read_text(encoding="latin1") == content


def test_a_file_of_another_version(store):
    """Settings unknown here are left out; values not allowed here are named."""
    content = {"newer": {"lambda_steps": 4, "invented": 1}, "odd": {"strength": 9}}
    store.path.write_text(json.dumps(content), encoding="utf8")
    assert store.find("newer").fields == {"lambda_steps": 4}
    with pytest.raises(PresetError, match="'odd'.*strength"):
        store.find("odd")
    assert store.find("More of my LoRA") is BUILT_IN["More of my LoRA"]


def test_what_is_kept():
    assert set(NAMES) - set(presets.KEPT) == {"enabled", "measure", "comparison", "comparison_with"}
