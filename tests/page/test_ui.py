"""The accordion, with whatever Gradio is installed."""

import html
import importlib
import json
import re
from urllib.parse import quote

import gradio as gr
import pytest

from lib_w2sd.errors import SettingError
from lib_w2sd.gaps import GAPS
from lib_w2sd.page import controls as made
from lib_w2sd.page import grid, infotext, presets
from lib_w2sd.page.settings import BY_NAME, NAMES, SETTINGS, Settings, as_dict, parse


@pytest.fixture(params=[False, True], ids=["txt2img", "img2img"])
def tab(request, host):
    """(script, controls, page) of a tab."""
    with gr.Blocks() as page:
        controls = host.script.ui(is_img2img=request.param)
    return host.script, controls, page


def test_controls_are_the_settings_in_their_order(tab):
    _, controls, _ = tab
    own = controls[: len(SETTINGS)]
    assert [control.label for control in own] == [f.label for f in SETTINGS]
    for control, f in zip(own[1:], SETTINGS[1:]):
        assert control.info == f.on_the_page


def of_scripts(host):
    """The controls of each of the extension's scripts, as the host sends them with a click."""
    for script in (host.script, host.study_script.W2SDStudy()):
        for is_img2img in (False, True):
            with gr.Blocks():
                yield script.ui(is_img2img)


def test_no_list_is_among_the_last_arguments(host):
    """Forge Neo (javascript/ui.js, create_submit_args) takes a list in the fifth, fourth or third place from the end of
    a click's arguments for the gallery among the outputs, which Gradio up to 5 sends behind the inputs, and cuts all
    that follow. Gradio 6 sends no outputs, so the last arguments are the last script's own: with a list there, every
    Generate of the page fails. A1111 empties the third."""
    for controls in of_scripts(host):
        assert not any(isinstance(control.value, (list, tuple)) for control in controls[-made.LAST :])
        assert any(isinstance(control.value, (list, tuple)) for control in controls), "there is one to be told of"


def test_what_stands_behind_the_arguments_is_none(tab):
    """Neither to us nor to an API client that gives one too many."""
    _, controls, _ = tab
    values = [control.value for control in controls]
    assert len(values) > len(SETTINGS) and parse([True, *values[1:]]) == Settings(enabled=True)
    with pytest.raises(SettingError, match="arguments; allowed are at most"):
        parse([*values, True])


def test_untouched_controls_are_the_defaults(tab):
    _, controls, _ = tab
    values = [control.value for control in controls]
    assert parse(values) == Settings()
    assert parse([True, *values[1:]]) == Settings(enabled=True)


def test_ranges_and_choices_are_the_settings(tab):
    _, controls, _ = tab
    for name, control in zip(NAMES, controls[: len(NAMES)]):
        limits = BY_NAME[name]
        if isinstance(control, gr.Slider):
            assert (control.minimum, control.maximum, control.step) == (limits.minimum, limits.maximum, limits.step)
        if isinstance(control, gr.Radio):
            assert [value for _, value in control.choices] == list(limits.choices)
    kinds = {name: type(control) for name, control in zip(NAMES, controls)}
    assert kinds["enabled"] is gr.Checkbox
    assert kinds["lambda_steps"] is kinds["weak_cfg"] is gr.Slider
    assert kinds["inversion"] is kinds["hires"] is gr.Radio
    assert kinds["strong_cfg"] is kinds["weak_prompt"] is gr.Textbox


def test_element_ids_are_there_and_of_one_kind_a_tab(host):
    found = {}
    for is_img2img in (False, True):
        with gr.Blocks():
            found[is_img2img] = [control.elem_id for control in host.script.ui(is_img2img)[: len(SETTINGS)]]
    assert len({*found[False], *found[True]}) == 2 * len(SETTINGS)
    assert all(name.startswith("w2sd_txt2img") for name in found[False])
    assert all(name.startswith("w2sd_img2img") for name in found[True])


def test_hires_settings_are_shown_where_there_is_a_hires_pass(host):
    for is_img2img in (False, True):
        with gr.Blocks() as page:
            host.script.ui(is_img2img)
        (accordion,) = [b for b in page.blocks.values() if str(b.elem_id).endswith("hires_pass")]
        assert accordion.visible == (not is_img2img)


def test_paste_fields_put_the_settings_back(tab):
    script, controls, _ = tab
    wanted = Settings(enabled=True, lambda_steps=3, strong_cfg=2.5, weak_prompt="a, b", hires="own")
    params = {}
    infotext.write(wanted, params)
    assert [field.component for field in script.infotext_fields] == controls[: len(SETTINGS)]
    assert parse([field.function(params) for field in script.infotext_fields]) == wanted
    assert set(params) <= set(script.paste_field_names)
    assert as_dict(wanted)["weak_prompt"] == "a, b"


def test_only_what_the_host_can_leave_out_has_a_box(tab, host):
    """FreeU and its like are Forge's. Another WebUI's infotext may name them: no box, no way to take them off again."""
    script, controls, _ = tab
    boxes = made.offered(controls[NAMES.index("weak_without")])
    assert ("FreeU" in boxes) == host.forge and {"ControlNet", "everything"} <= set(boxes)
    params = {}
    infotext.write(Settings(enabled=True, weak_without="ControlNet, FreeU"), params)
    pasted = [field.function(params) for field in script.infotext_fields][NAMES.index("weak_without")]
    assert pasted == (["ControlNet", "FreeU"] if "FreeU" in boxes else ["ControlNet"])
    assert script.infotext_fields[NAMES.index("weak_without")].function({}) is None


def by_id(page, elem_id):
    (found,) = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == elem_id]
    return found


def events_of(page, component):
    """The Python functions behind a component's events."""
    fns = page.fns.values() if isinstance(page.fns, dict) else page.fns
    return [fn.fn for fn in fns if any(target == component._id for target, _ in fn.targets)]


def events_after(page, component):
    """Those that follow on them, one after another."""
    found, last = [], {i for i, fn in page.fns.items() if any(target == component._id for target, _ in fn.targets)}
    while last := {i for i, fn in page.fns.items() if fn.trigger_after in last}:
        found += [page.fns[i].fn for i in last]
    return found


@pytest.fixture
def txt2img(host):
    """(host, page) of the txt2img tab."""
    with gr.Blocks() as page:
        host.script.ui(is_img2img=False)
    return host, page


def test_page_is_told_of_the_hosts_samplers(txt2img):
    host, page = txt2img
    panel = by_id(page, "w2sd_txt2img_panel").value
    facts = json.loads(html.unescape(re.search('data-facts="([^"]*)"', panel)[1]))
    assert facts["controls"] == list(NAMES[1:])
    assert facts["each"]["inversion"].keys() == set(BY_NAME["inversion"].choices)
    assert all(name in facts["titles"][name] for name in NAMES[1:])
    assert facts["page"]["steps"] == ["number", "#txt2img_steps"]
    offered = [gap["name"] for gap in facts["gaps"]]
    assert offered == [gap.name for gap in GAPS if host.forge or gap.name not in ("distilled", "architecture")]
    assert ("Flux: follow the prompt more" in facts["presets"]) is host.forge
    opens = {name: (preset["opens"], preset["needs"]) for name, preset in facts["presets"].items()}
    assert opens["More of my checkpoint"] == ("checkpoint", "#w2sd_txt2img_weak_checkpoint")
    assert opens["More of my LoRA"] == ("", "#txt2img_prompt")
    told = host.extension.PAGE.facts
    assert told.kinds["Euler"] == "one" and told.kinds["Heun"] == "two" and told.kinds["PLMS"] == "plms"
    assert set(told.kinds) == {data.name for data in host.modules["sd_samplers"].all_samplers}
    assert "lambda counts blocks" in told.footnotes["DPM fast"] and "Euler" not in told.footnotes
    assert told.skips_uncond is host.forge


def test_every_gap_has_a_switch_and_a_section(txt2img):
    host, page = txt2img
    switches = by_id(page, "w2sd_txt2img_gaps").value
    for gap in GAPS:
        able = gap in host.extension.PAGE.facts.gaps
        assert (f'data-gap="{gap.name}"' in switches) is (gap.switch in switches) is able
        assert by_id(page, f"w2sd_txt2img_section_{gap.name}").visible is able
        assert {s.name for s in gap.settings} <= set(NAMES)


def test_host_keeps_no_defaults_of_what_is_no_setting(txt2img):
    """In ui-config.json; what has no label has no place there."""
    host, page = txt2img
    labelled = [block for block in page.blocks.values() if str(getattr(block, "elem_id", "")).startswith("w2sd_")]
    settings = {f"w2sd_txt2img_{name}" for name in NAMES} | {"w2sd_txt2img-checkbox"}
    others = [b for b in labelled if b.elem_id not in settings and hasattr(b, "value") and type(b) is not gr.HTML]
    assert others
    for block in others:
        assert getattr(block, "do_not_save_to_config", False), block.elem_id


def test_a_gaps_switch_puts_back_and_gives(txt2img):
    _, page = txt2img
    (switched,) = events_of(page, by_id(page, "w2sd_txt2img_switch"))
    names = [s.name for gap in GAPS for s in gap.settings]

    def changed(words):
        return {name: u["value"] for name, u in zip(names, switched(words)) if "value" in u}

    assert changed("guidance off") == {"weak_cfg": 1.0, "strong_cfg": "1"}
    assert changed("guidance on") == {"weak_cfg": 0.0, "strong_cfg": ""}
    assert changed("loras on")["weak_lora_offset"] == -2.3 and changed("loras off")["weak_lora_offset"] == 0.0
    assert changed("checkpoint off") == {
        "weak_checkpoint": "None",
        "weak_checkpoint_loras": False,
        "weak_refiner_checkpoint": "None",
    }
    assert changed("distilled on") == {"weak_distilled_cfg": "1", "strong_distilled_cfg": "2"}
    assert changed("nonsense") == changed("") == {}


def test_presets_on_the_page(txt2img):
    host, page = txt2img
    (fill,) = events_of(page, by_id(page, "w2sd_txt2img_preset"))
    (save,) = events_of(page, by_id(page, "w2sd_txt2img_preset_save"))
    (delete,) = events_of(page, by_id(page, "w2sd_txt2img_preset_delete"))

    def filled(name, steps=0):
        about, *updates = fill(name, steps)
        return about, {key: u["value"] for key, u in zip(presets.KEPT, updates) if "value" in u}

    about, fields = filled("More of my LoRA")
    assert about == "" and fields["weak_lora_offset"] == -2.3 and fields["strong_cfg"] == "1"
    assert filled("Same time as before", 12)[1]["lambda_steps"] == 6
    values = [made.shown(key, as_dict(Settings(lambda_steps=3, strong_cfg=2.5))[key]) for key in presets.KEPT]
    update, about = save("a <b>", False, *values)
    assert "1 to 60" in about and "<b>" not in about
    update, about = save("mine", False, *values)
    assert update["value"] == "mine" and ("mine" in update["choices"] or ("mine", "mine") in update["choices"])
    assert filled("mine")[1]["lambda_steps"] == 3 and filled("mine")[1]["strong_cfg"] == "2.5"
    others = [made.shown(key, as_dict(Settings())[key]) for key in presets.KEPT]
    assert "again to overwrite" in save(" mine ", False, *others)[1] and filled("mine")[1]["lambda_steps"] == 3
    save("mine", True, *others)
    assert filled("mine")[1]["lambda_steps"] == 10
    assert "again to delete" in delete("mine", False)[1] and filled("mine")[1] != {}
    delete("mine", True)
    assert filled("mine")[1] == {}
    assert "There is no preset" in delete("mine", False)[1]


def test_ready_grid(txt2img):
    """The button waits for the parts of the host's X/Y/Z plot, whatever else is made before and between."""
    host, page = txt2img
    host.script.is_img2img = False
    button = by_id(page, "w2sd_txt2img_grid")
    assert not button.visible
    with page:
        for part in (*reversed(grid.parts("txt2img")), "another", *grid.parts("img2img")):
            component = button if part == button.elem_id else gr.Textbox(elem_id=part)
            host.script.after_component(component, elem_id=part)
    assert button.visible
    (choose,) = events_of(page, button)
    assert choose()["value"] == "X/Y/Z plot"
    fill, again = events_after(page, button)
    assert fill(20) == again(20)
    assert [u["value"] for u in fill(20)] == [
        "[W2SD] Lambda",
        "0, 5, 10, 15",
        "[W2SD] Weak CFG",
        "-2, 0, 1, 3",
    ]


def test_script_is_always_on_in_both_tabs(host):
    assert host.script.title() == "W2SD"
    always = host.modules["scripts"].AlwaysVisible
    assert host.script.show(False) is always and host.script.show(True) is always


# ---------------------------------------------------------------------- words

# In what everybody sees: nothing of the paper's. It has its place in the experts' part and under the mouse.
OURS = re.compile(r"UNet rows|inversion|T_max|lambda|\bgaps?\b", re.IGNORECASE)
# Two lines of a window of 360 pixels, as test_page_accordion.py looks at.
TWO_LINES, BESIDE_A_NUMBER = 80, 45


def words_of(block):
    yield from (str(getattr(block, name, None) or "") for name in ("label", "info"))
    yield from map(str, getattr(block, "choices", None) or ())
    if isinstance(block, (gr.HTML, gr.Button)):
        yield re.sub("<[^>]*>", "", str(block.value))


def test_what_everybody_sees_has_no_words_of_the_paper(txt2img):
    _, page = txt2img
    experts = by_id(page, "w2sd_txt2img_experts")

    def within(block, of):
        return block is not None and (block is of or within(getattr(block, "parent", None), of))

    seen = [block for block in page.blocks.values() if not within(block, experts) and getattr(block, "visible", True)]
    said = [words for block in seen for words in words_of(block)]
    said += [preset.about for preset in presets.BUILT_IN.values()] + [
        preset.ask for preset in presets.BUILT_IN.values()
    ]
    said += list(presets.BUILT_IN)
    assert any("Steps to improve" in words for words in said)
    assert [words for words in said if OURS.search(words)] == []


def test_nothing_is_longer_than_two_lines_of_a_narrow_window(txt2img):
    _, page = txt2img
    controls = [block for block in page.blocks.values() if getattr(block, "info", None)]
    assert [c.info for c in controls if isinstance(c, gr.Slider) and len(c.info) > BESIDE_A_NUMBER] == []
    said = [control.info for control in controls]
    said += [preset.about for preset in presets.BUILT_IN.values()]
    said += [words for s in SETTINGS for words in s.of_each.values()]
    assert [words for words in said if len(words) > TWO_LINES] == []


def test_every_way_is_told_and_what_is_recommended_stands_first():
    ways = BY_NAME["inversion"]
    assert set(ways.of_each) == set(ways.choices) and all(ways.of_each.values())
    assert ways.choices[:3] == ("previous-gap", "auto-guidance", "matched")
    assert ways.choices[-2:] == ("re-sampling", "advanced-re-sampling")


@pytest.mark.parametrize(("version", "at"), [("3.41.2", "file="), ("4.40.0", "file="), ("6.17.3", "gradio_api/file=")])
def test_where_the_page_finds_a_file(monkeypatch, tmp_path, version, at):
    """Gradio 5 moved its routes: what is linked the old way is not found there."""
    monkeypatch.setattr(gr, "__version__", version)
    fresh = importlib.reload(made)
    try:
        assert fresh.address(tmp_path / "a b") == f"{at}{quote(str(tmp_path.resolve()))}/a%20b"
    finally:
        monkeypatch.undo()
        importlib.reload(made)
