"""The box of presets and its buttons. The name that counts is the one that stands in the box when a button is pressed:
Gradio 3.41 does not hear of one that was pasted there, or written by an input method."""

from dataclasses import dataclass

import gradio as gr

from . import presets
from .controls import asked, js, pressed, said, shown, unsaved

SAVE, DELETE = "preset_save", "preset_delete"
# Of the buttons that are a picture, for who cannot see it.
TITLES = {SAVE: "Save the settings below as the preset of this name", DELETE: "Delete the preset of this name"}


@dataclass(frozen=True)
class PresetRow:
    name: object
    save: object
    delete: object
    again: object
    told: object
    steps: object
    sure: object
    chosen: object  # what is said of a name that is chosen or written
    about: object  # what the buttons say


def preset_row(tab: str, store: presets.Store) -> PresetRow:
    with gr.Row(elem_classes=["w2sd-with-button"]):
        name = gr.Dropdown(
            store.names(),
            value=None,
            label="Preset",
            info="What you want more of, or a new name.",
            elem_id=f"w2sd_{tab}_preset",
            allow_custom_value=True,
        )
        save = gr.Button("\U0001f4be", elem_id=f"w2sd_{tab}_{SAVE}", elem_classes=["tool"])
        delete = gr.Button("\U0001f5d1", elem_id=f"w2sd_{tab}_{DELETE}", elem_classes=["tool"])
    chosen, about = (gr.HTML("", elem_id=f"w2sd_{tab}_preset_{of}") for of in ("chosen", "about"))
    again, told = (pressed(f"w2sd_{tab}_{of}") for of in ("presets", "preset_named"))
    steps, sure = asked(gr.Number, 0), asked(gr.Checkbox, False)
    return PresetRow(*(unsaved(c) for c in (name, save, delete, again, told, steps, sure, chosen, about)))


def connect(tab: str, store: presets.Store, controls: dict, row: PresetRow):
    kept = [controls[name] for name in presets.KEPT]

    def fill(name, steps):
        nothing = [gr.update() for _ in presets.KEPT]
        try:
            preset = store.find(name or "")
            if preset is None and name:
                store.kept_as(name)
        except presets.PresetError as error:
            return [said(str(error)), *nothing]
        if preset is None:
            return [said("Save to keep the settings below under this name." if name else ""), *nothing]
        fields = dict(preset.fields)
        if preset.halves_steps and steps:
            fields["lambda_steps"] = presets.lambda_for_same_time(steps)
        updates = [gr.update(value=shown(n, fields[n])) if n in fields else gr.update() for n in presets.KEPT]
        return ["", *updates]

    def save(name, sure, *values):
        try:
            if not sure and store.has(name):
                again = f"There is a preset {name.strip()!r}: press the disk again to overwrite it."
                return gr.update(), said(again, asks=True)
            name = store.save(name, dict(zip(presets.KEPT, values)))
        except presets.PresetError as error:
            return gr.update(), said(str(error))
        return gr.update(choices=store.names(), value=name), said(f"Saved as {name!r}.")

    def delete(name, sure):
        name = (name or "").strip()
        try:
            if not sure and store.has(name):
                return gr.update(), said(f"Press the bin again to delete the preset {name!r}.", asks=True)
            store.delete(name)
        except presets.PresetError as error:
            return gr.update(), said(str(error))
        return gr.update(choices=store.names(), value=None), said(f"Deleted {name!r}.")

    # The page's own steps come with the question, halved there where the preset halves them.
    chosen, saved, deleted = [row.name, row.steps], [row.name, row.sure, *kept], [row.name, row.sure]
    row.name.input(fill, chosen, [row.chosen, *kept], **js(tab, "presetChosen", chosen))
    row.save.click(save, saved, [row.name, row.about], **js(tab, "presetSaved", saved))
    row.delete.click(delete, deleted, [row.name, row.about], **js(tab, "presetDeleted", deleted))
    row.again.click(lambda: gr.update(choices=store.names()), [], [row.name], show_progress=False)
    row.told.click(None, [], [row.name], **js(tab, "presetNamed"))
