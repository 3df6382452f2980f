"""The accordion, built from the settings definition. Gradio 3.41 and 4.40; imports nothing of the host."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from . import infotext
from .settings import BY_NAME, FIELDS, NONE, kind


@dataclass(frozen=True)
class Checkpoints:
    """The host's checkpoints. `names` lists them, `refresh` looks for files again, `free` drops the weak one kept."""

    names: "Callable[[], list]" = list
    refresh: Callable = lambda: None
    free: Callable = lambda: None


def control(f, elem_id: str, names: "Callable[[], list]" = list):
    """The Gradio control of a setting. `names`: what a setting that is a name on a list can be picked from."""
    m = f.metadata
    common = {"label": m["label"], "info": m["help"], "elem_id": elem_id}
    if m.get("listed"):
        # A name that is not there (any more) has to reach our own check, which says so.
        return gr.Dropdown([NONE, *names()], value=NONE, allow_custom_value=True, **common)
    if kind(f) == "boolean":
        return gr.Checkbox(value=f.default, **common)
    if "choices" in m:
        return gr.Radio(list(m["choices"]), value=f.default, **common)
    if m.get("optional"):
        # Text, because a number box cannot say "nothing" in the API's infotext, and a slider has no place for it.
        return gr.Textbox(value="", placeholder="the picture's own", max_lines=1, **common)
    if kind(f) == "string":
        return gr.Textbox(value=f.default, lines=2, **common)
    return gr.Slider(m["minimum"], m["maximum"], step=m["step"], value=f.default, **common)


def build(accordion, tab: str, checkpoints: Checkpoints = Checkpoints()) -> list:
    """The script's controls, in the order of the settings.

    accordion    the host's InputAccordion: a checkbox that is an accordion
    tab          txt2img or img2img, for the element ids
    """

    def make(name):
        return control(BY_NAME[name], f"w2sd_{tab}_{name}", checkpoints.names)

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
        with gr.Accordion("Weak checkpoint", open=False, elem_id=f"w2sd_{tab}_weights"):
            with gr.Row():
                controls["weak_checkpoint"] = make("weak_checkpoint")
                refresh = gr.Button("\U0001f504", elem_id=f"w2sd_{tab}_refresh", elem_classes=["tool"])
            controls["weak_checkpoint_loras"] = make("weak_checkpoint_loras")
            free = gr.Button("Free the weak checkpoint's memory", elem_id=f"w2sd_{tab}_free", size="sm")
        with gr.Row():
            controls["strong_distilled_cfg"] = make("strong_distilled_cfg")
            controls["weak_distilled_cfg"] = make("weak_distilled_cfg")
        controls["weak_alone"] = make("weak_alone")
        hires = {"open": False, "visible": tab == "txt2img", "elem_id": f"w2sd_{tab}_hires_pass"}
        with gr.Accordion("Hires pass", **hires):
            controls["hires"] = make("hires")
            controls["hires_lambda_steps"] = make("hires_lambda_steps")

    def refreshed():
        checkpoints.refresh()
        return gr.update(choices=[NONE, *checkpoints.names()])

    refresh.click(refreshed, inputs=[], outputs=[controls["weak_checkpoint"]])
    free.click(checkpoints.free, inputs=[], outputs=[])
    return [controls[f.name] for f in FIELDS]


def paste_fields(controls: list) -> list:
    """(control, function of the parsed infotext) for each setting."""

    def reader(name):
        if name == "enabled":
            return infotext.is_on
        if BY_NAME[name].metadata.get("listed"):
            return lambda params: NONE if infotext.read(name, params) == "" else infotext.read(name, params)
        return lambda params: infotext.read(name, params)

    return [(control, reader(f.name)) for control, f in zip(controls, FIELDS)]
