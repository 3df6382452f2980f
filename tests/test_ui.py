"""The accordion, with whatever Gradio is installed."""

import gradio as gr
import pytest

from lib_w2sd import infotext
from lib_w2sd.settings import BY_NAME, FIELDS, NAMES, Settings, as_dict, parse


@pytest.fixture(params=[False, True], ids=["txt2img", "img2img"])
def tab(request, host):
    """(script, controls, page) of a tab."""
    with gr.Blocks() as page:
        controls = host.script.ui(is_img2img=request.param)
    return host.script, controls, page


def test_controls_are_the_settings_in_their_order(tab):
    _, controls, _ = tab
    assert len(controls) == len(FIELDS)
    assert [control.label for control in controls] == [f.metadata["label"] for f in FIELDS]
    for control, f in zip(controls[1:], FIELDS[1:]):
        assert control.info == f.metadata["help"]


def test_untouched_controls_are_the_defaults(tab):
    _, controls, _ = tab
    values = [control.value for control in controls]
    assert parse(values) == Settings()
    assert parse([True, *values[1:]]) == Settings(enabled=True)


def test_ranges_and_choices_are_the_settings(tab):
    _, controls, _ = tab
    for name, control in zip(NAMES, controls):
        limits = BY_NAME[name].metadata
        if isinstance(control, gr.Slider):
            assert (control.minimum, control.maximum, control.step) == tuple(
                limits[k] for k in ("minimum", "maximum", "step")
            )
        if isinstance(control, gr.Radio):
            assert [value for _, value in control.choices] == list(limits["choices"])
    kinds = {name: type(control) for name, control in zip(NAMES, controls)}
    assert kinds["enabled"] is gr.Checkbox
    assert kinds["lambda_steps"] is kinds["weak_cfg"] is gr.Slider
    assert kinds["inversion"] is kinds["hires"] is gr.Radio
    assert kinds["strong_cfg"] is kinds["weak_prompt"] is gr.Textbox


def test_element_ids_are_there_and_of_one_kind_a_tab(host):
    found = {}
    for is_img2img in (False, True):
        with gr.Blocks():
            found[is_img2img] = [control.elem_id for control in host.script.ui(is_img2img)]
    assert len({*found[False], *found[True]}) == 2 * len(FIELDS)
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
    assert [field.component for field in script.infotext_fields] == controls
    assert parse([field.function(params) for field in script.infotext_fields]) == wanted
    assert set(params) <= set(script.paste_field_names)
    assert as_dict(wanted)["weak_prompt"] == "a, b"


def test_script_is_always_on_in_both_tabs(host):
    assert host.script.title() == "W2SD"
    always = host.modules["scripts"].AlwaysVisible
    assert host.script.show(False) is always and host.script.show(True) is always
