"""The accordion, built from the settings definition. Gradio 3.41 and 4.40; imports nothing of the host."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

from ..gaps import GAPS, Gap
from ..setting import NONE
from . import infotext, presets, xyz
from .forecast import Facts
from .settings import BY_NAME, COMPARISON, SETTINGS

# The ready grid's two axes.
GRID = tuple(s for s in SETTINGS if s.grid)
# Gradio 4 renamed the keyword of an event's JavaScript.
_JS = "_js" if gr.__version__.startswith("3.") else "js"


@dataclass(frozen=True)
class Listed:
    """What a setting that is a name on a list is picked from. `names` lists them, `known` raises for a name that is not
    on it, `refresh` looks for files again, `free` drops the one kept in memory."""

    names: "Callable[[], list]" = list
    known: "Callable[[str], object]" = lambda name: None
    refresh: Callable = lambda: None
    free: "Callable | None" = None


@dataclass(frozen=True)
class Page:
    """What the accordion needs of a WebUI's page, where javascript/w2sd.js fills the panel and moves the switches.

    presets   the built-in ones, and the user's own
    facts     what the WebUI is like
    fields    fields(tab) -> the page's own fields that forecast reads: {name: (kind, CSS selector)}; the kinds are the
              script's readers
    last_run  last_run() -> HTML of what the last run did
    """

    presets: presets.Store
    facts: Facts = Facts()
    fields: "Callable[[str], dict]" = lambda tab: {}
    last_run: "Callable[[], str]" = str

    def panel(self, tab: str) -> str:
        facts = {
            "controls": {s.name: _control_read(s, f"#w2sd_{tab}_{s.name}") for s in SETTINGS if s.name != "enabled"},
            "page": self.fields(tab),
            "gaps": [{"name": gap.name, "gives": bool(gap.given)} for gap in self.facts.gaps],
            "presets": {name: self.on_the_page(tab, preset) for name, preset in self.facts.presets.items()},
        }
        return (
            f'<div class="w2sd-panel" data-facts="{escape(json.dumps(facts))}">'
            '<p class="w2sd-cost" aria-live="polite"></p><ul class="w2sd-warnings" aria-live="polite"></ul></div>'
        )

    def on_the_page(self, tab: str, preset) -> dict:
        """What the script has to do when a preset is chosen: the gap that it opens, and where the cursor goes."""
        opens = [gap.name for gap in self.facts.gaps if preset.needs in gap.off]
        where = f"#{tab}_prompt" if preset.needs == "prompt" else f"#w2sd_{tab}_{preset.needs}"
        return {
            "opens": opens[0] if opens else "",
            "needs": where if preset.needs else "",
            "halves_steps": preset.halves_steps,
        }

    def switches(self, tab: str) -> str:
        boxes = "".join(
            f'<label><input type="checkbox" id="w2sd_{tab}_gap_{gap.name}" data-gap="{gap.name}">'
            f"<span>{gap.switch}</span></label>"
            for gap in self.facts.gaps
        )
        return f'<fieldset class="w2sd-gaps"><legend>The weak version has</legend>{boxes}</fieldset>'


ABOUT = (
    "Improves the first steps of a picture: each is taken by your model as it is and by a version made worse on "
    "purpose, and pushed towards what the good one does better. Choose a preset, then Generate."
)


def _control_read(f, where: str) -> tuple:
    """Which of the script's readers reads a setting's control, where it is, and what its boxes stand for, in order."""
    if f.kind == "boolean":
        return "checkbox", where
    if f.choices:
        return "choice", where
    if f.several:
        return "several", where, f.several
    return "text" if f.kind == "string" or f.optional else "number", where


def control(f, elem_id: str, names: "Callable[[], list]" = list):
    """The Gradio control of a setting. `names`: what a setting that is a name on a list can be picked from."""
    common = {"label": f.label, "info": f.help, "elem_id": elem_id}
    if f.listed:
        # A name that is not there (any more) has to reach our own check, which says so.
        return gr.Dropdown([NONE, *names()], value=NONE, allow_custom_value=True, **common)
    if f.kind == "boolean":
        return gr.Checkbox(value=f.default, elem_classes=["w2sd-check"], **common)
    if f.several:
        return gr.CheckboxGroup(list(f.several), value=shown(f.name, f.default), **common)
    if f.choices:
        return gr.Radio(list(f.choices), value=f.default, **common)
    if f.optional:
        # Text, because a number box cannot say "nothing" in the API's infotext, and a slider has no place for it.
        return gr.Textbox(value="", placeholder="the picture's own", max_lines=1, **common)
    if f.kind == "string":
        return gr.Textbox(value=f.default, lines=2, **common)
    return gr.Slider(f.minimum, f.maximum, step=f.step, value=f.default, **common)


def shown(name: str, value):
    """A setting's value as its control shows it."""
    f = BY_NAME[name]
    if f.listed:
        return value or NONE
    if f.several:
        return list(f.names_in(value))
    if f.optional:
        return "" if value is None else infotext.number(value)
    return value


def build(
    accordion,
    tab: str,
    lists: "dict[str, Listed] | None" = None,
    page: "Page | None" = None,
    gaps: "Sequence[Gap]" = GAPS,
    one_pass: bool = False,
) -> list:
    """The script's controls, in the order of the settings.

    accordion    the host's InputAccordion: a checkbox that is an accordion
    tab          txt2img or img2img, for the element ids
    lists        of the settings that are a name on one
    page         None: without presets and without what javascript/w2sd.js fills
    gaps         those shown where there is no page to say it
    one_pass     there are no hires pass and no comparison to choose
    """
    controls = {}

    def make(*names):
        for name in names:
            controls[name] = control(BY_NAME[name], f"w2sd_{tab}_{name}", listed(name).names)

    def make_gap(gap):
        for s in gap.settings:
            if s.name in gap.experts:
                continue
            make_listed(s.name) if s.listed else make(s.name)

    def listed(name):
        return (lists or {}).get(name, Listed())

    def make_listed(name):
        of = listed(name)

        def refreshed():
            of.refresh()
            return gr.update(choices=[NONE, *of.names()])

        with gr.Row(elem_classes=["w2sd-with-button"]):
            make(name)
            button = {"elem_id": f"w2sd_{tab}_refresh_{name}", "elem_classes": ["tool"]}
            refresh = unsaved(gr.Button("\U0001f504", **button))
        refresh.click(refreshed, inputs=[], outputs=[controls[name]])
        if of.free:
            words = f"Free the memory of {BY_NAME[name].in_memory}"
            free = unsaved(gr.Button(words, elem_id=f"w2sd_{tab}_free_{name}", size="sm"))
            free.click(of.free, inputs=[], outputs=[])

    with accordion(False, label="W2SD", elem_id=f"w2sd_{tab}") as controls["enabled"]:
        if page:
            gr.HTML(said(ABOUT), elem_id=f"w2sd_{tab}_about")
            chosen = preset_row(tab, page)
            gr.HTML(page.panel(tab), elem_id=f"w2sd_{tab}_panel")
        with gr.Row():
            make("lambda_steps", "strength")
        if page:
            gr.HTML(page.switches(tab), elem_id=f"w2sd_{tab}_gaps")
        for gap in GAPS:
            # A control is an argument of the API, on a host that cannot do the gap, too.
            shown_here = gap in (page.facts.gaps if page else gaps)
            section = {"elem_id": f"w2sd_{tab}_section_{gap.name}", "elem_classes": ["w2sd-section"]}
            with gr.Column(visible=shown_here, **section):
                make_gap(gap)
        with gr.Accordion("For experts", open=page is None, elem_id=f"w2sd_{tab}_experts"):
            make(
                "inversion", "rounds", "first_step", "every", "measure", *(name for gap in GAPS for name in gap.experts)
            )
            hires = {"visible": tab == "txt2img" and not one_pass, "elem_id": f"w2sd_{tab}_hires_pass"}
            with gr.Column(**hires):
                make("hires", "hires_lambda_steps")
            make_listed("reward")
            make("reward_threshold", "reward_decoder", "weak_alone")
            # A setting that has found no place of its own is shown, too.
            make(*(s.name for s in SETTINGS if s.name not in (*controls, *COMPARISON)))
        with gr.Column(visible=not one_pass):
            make(*COMPARISON)
        if page:
            grid = gr.Button("Grid of lambda and weak CFG", elem_id=f"w2sd_{tab}_grid", size="sm", visible=False)
            unsaved(grid)
            run = gr.HTML("", elem_id=f"w2sd_{tab}_run")

    if page:
        connect_presets(page, controls, chosen)
        connect_page(tab, page, controls, run)
    return [controls[s.name] for s in SETTINGS]


def unsaved(component):
    """The host keeps what components hold as defaults (ui-config.json); these hold nothing of that kind."""
    component.do_not_save_to_config = True
    return component


@dataclass(frozen=True)
class PresetRow:
    name: object
    save: object
    delete: object
    again: object
    steps: object
    about: object


def preset_row(tab: str, page: Page) -> PresetRow:
    with gr.Row(elem_classes=["w2sd-with-button"]):
        name = gr.Dropdown(
            page.presets.names(),
            value=None,
            label="Preset",
            info="What you want more of. Type a new name and save to keep the settings below as your own.",
            elem_id=f"w2sd_{tab}_preset",
            allow_custom_value=True,
        )
        save = gr.Button("\U0001f4be", elem_id=f"w2sd_{tab}_preset_save", elem_classes=["tool"])
        delete = gr.Button("\U0001f5d1", elem_id=f"w2sd_{tab}_preset_delete", elem_classes=["tool"])
    about = gr.HTML("", elem_id=f"w2sd_{tab}_preset_about")
    again = gr.Button(elem_id=f"w2sd_{tab}_presets", elem_classes=["w2sd-hidden"])
    steps = gr.Number(0, visible=False)
    return PresetRow(*(unsaved(c) for c in (name, save, delete, again, steps, about)))


def said(text: str) -> str:
    return f'<p class="w2sd-about">{escape(text)}</p>'


def connect_presets(page: Page, controls: dict, row: PresetRow):
    store, kept = page.presets, [controls[name] for name in presets.KEPT]

    def fill(name, steps):
        nothing = [gr.update() for _ in presets.KEPT]
        try:
            preset = store.find(name or "")
        except presets.PresetError as error:
            return [said(str(error)), *nothing]
        if preset is None:
            return [said("Save to keep the settings below under this name." if name else ""), *nothing]
        fields = dict(preset.fields)
        if preset.halves_steps and steps:
            fields["lambda_steps"] = presets.lambda_for_same_time(steps)
        updates = [gr.update(value=shown(n, fields[n])) if n in fields else gr.update() for n in presets.KEPT]
        return [said(preset.about), *updates]

    def save(name, *values):
        try:
            name = store.save(name, dict(zip(presets.KEPT, values)))
        except presets.PresetError as error:
            return gr.update(), said(str(error))
        return gr.update(choices=store.names(), value=name), said(f"Saved as {name!r}.")

    def delete(name):
        try:
            store.delete(name or "")
        except presets.PresetError as error:
            return gr.update(), said(str(error))
        return gr.update(choices=store.names(), value=None), said(f"Deleted {name!r}.")

    # The page's own steps come with the question, halved there where the preset halves them.
    halving = {_JS: "(name, steps) => [name, w2sdPage.stepsFor(name)]"}
    row.name.input(fill, [row.name, row.steps], [row.about, *kept], show_progress=False, **halving)
    row.save.click(save, [row.name, *kept], [row.name, row.about], show_progress=False)
    row.delete.click(delete, [row.name], [row.name, row.about], show_progress=False)
    row.again.click(lambda: gr.update(choices=store.names()), [], [row.name], show_progress=False)


def connect_page(tab: str, page: Page, controls: dict, run):
    """Hidden buttons that javascript/w2sd.js presses: a gap's switch, and the plot after a run."""
    asked = unsaved(gr.Textbox("", visible=False))
    switch = unsaved(gr.Button(elem_id=f"w2sd_{tab}_switch", elem_classes=["w2sd-hidden"]))
    plot = unsaved(gr.Button(elem_id=f"w2sd_{tab}_plot", elem_classes=["w2sd-hidden"]))
    gaps = {gap.name: gap for gap in GAPS}
    names = [s.name for gap in GAPS for s in gap.settings]

    def switched(words):
        gap, _, state = (words or "").partition(" ")
        gap = gaps.get(gap)
        values = {**gap.off, **(gap.given if state == "on" else {})} if gap else {}
        return [gr.update(value=shown(name, values[name])) if name in values else gr.update() for name in names]

    outputs = [controls[name] for name in names]
    switch.click(switched, [asked], outputs, show_progress=False, **{_JS: "() => [w2sdPage.asked]"})
    plot.click(page.last_run, [], [run], show_progress=False)


def grid_parts(tab: str) -> tuple:
    """Element ids of our button and of the host's controls that it fills."""
    axes = (f"script_{tab}_xyz_plot_{axis}_{part}" for axis in "xy" for part in ("type", "values"))
    return (f"w2sd_{tab}_grid", "script_list", *axes)


def connect_grid(button, *filled) -> None:
    """The button fills the host's X/Y/Z plot. `filled`: the controls of grid_parts, in their order."""

    def fill(steps):
        axes = [(xyz.label(s), ", ".join(f"{value:g}" for value in s.grid(int(steps or 0)))) for s in GRID]
        return [gr.update(value=value) for value in (xyz.SCRIPT, *axes[0], *axes[1])]

    button.visible = True
    steps = unsaved(gr.Number(0, visible=False))
    button.click(fill, [steps], list(filled), show_progress=False, **{_JS: "() => [w2sdPage.grid()]"})


def paste_fields(controls: list) -> list:
    """(control, function of the parsed infotext) for each setting."""

    def reader(name):
        if name == "enabled":
            return infotext.is_on
        if BY_NAME[name].listed:
            return lambda params: NONE if infotext.read(name, params) == "" else infotext.read(name, params)
        return lambda params: infotext.read(name, params)

    return [(control, reader(f.name)) for control, f in zip(controls, SETTINGS)]
