"""The accordion, built from the settings definition. Gradio 3.41 and 4.40; imports nothing of the host."""

import gradio as gr

from . import infotext
from .settings import BY_NAME, FIELDS, kind


def control(f, elem_id: str):
    """The Gradio control of a setting."""
    m = f.metadata
    common = {"label": m["label"], "info": m["help"], "elem_id": elem_id}
    if "choices" in m:
        return gr.Radio(list(m["choices"]), value=f.default, **common)
    if kind(f) == "boolean":
        return gr.Checkbox(value=f.default, **common)
    if m.get("optional"):
        # Text, because a number box cannot say "nothing" in the API's infotext, and a slider has no place for it.
        return gr.Textbox(value="", placeholder="the picture's own", max_lines=1, **common)
    if kind(f) == "string":
        return gr.Textbox(value=f.default, lines=2, **common)
    return gr.Slider(m["minimum"], m["maximum"], step=m["step"], value=f.default, **common)


def build(accordion, tab: str) -> list:
    """The script's controls, in the order of the settings.

    accordion  the host's InputAccordion: a checkbox that is an accordion
    tab        txt2img or img2img, for the element ids
    """

    def make(name):
        return control(BY_NAME[name], f"w2sd_{tab}_{name}")

    controls = {}
    with accordion(False, label="W2SD", elem_id=f"w2sd_{tab}") as controls["enabled"]:
        with gr.Row():
            controls["lambda_steps"] = make("lambda_steps")
            controls["strength"] = make("strength")
        with gr.Row():
            controls["weak_cfg"] = make("weak_cfg")
            controls["strong_cfg"] = make("strong_cfg")
        controls["inversion"] = make("inversion")
        with gr.Accordion("Weak prompt", open=False, elem_id=f"w2sd_{tab}_prompts"):
            controls["weak_prompt"] = make("weak_prompt")
            controls["weak_negative_prompt"] = make("weak_negative_prompt")
        with gr.Accordion("Weak LoRA", open=False, elem_id=f"w2sd_{tab}_loras"):
            with gr.Row():
                controls["weak_lora_offset"] = make("weak_lora_offset")
                controls["strong_lora_offset"] = make("strong_lora_offset")
            controls["weak_loras"] = make("weak_loras")
            controls["weak_lora_text_encoder"] = make("weak_lora_text_encoder")
        hires = {"open": False, "visible": tab == "txt2img", "elem_id": f"w2sd_{tab}_hires_pass"}
        with gr.Accordion("Hires pass", **hires):
            controls["hires"] = make("hires")
            controls["hires_lambda_steps"] = make("hires_lambda_steps")
    return [controls[f.name] for f in FIELDS]


def paste_fields(controls: list) -> list:
    """(control, function of the parsed infotext) for each setting."""

    def reader(name):
        return infotext.is_on if name == "enabled" else lambda params: infotext.read(name, params)

    return [(control, reader(f.name)) for control, f in zip(controls, FIELDS)]
