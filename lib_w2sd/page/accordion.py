"""The accordion, built from the settings definition. Imports nothing of the host."""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

from ..gaps import GAPS, Gap
from ..setting import NONE
from . import infotext, preset_row, presets, xyz
from .controls import Listed, asked, behind, control, js, offered, pressed, said, shown, unsaved
from .forecast import Facts
from .settings import BY_NAME, COMPARISON, SETTINGS


@dataclass(frozen=True)
class Page:
    """What the accordion needs of a WebUI's page, where javascript/w2sd.js fills the panel and moves the switches.

    presets   the built-in ones, and the user's own
    facts     what the WebUI is like
    fields    fields(tab) -> the page's own fields that forecast reads: {name: (kind, CSS selector)}; the kinds are the
              script's readers
    last_run  last_run(job) -> HTML of what a job of the page's did
    guide     address of docs/guide, where it is known
    """

    presets: presets.Store
    facts: Facts = Facts()
    fields: "Callable[[str], dict]" = lambda tab: {}
    last_run: "Callable[[str], str]" = lambda job: ""
    guide: str = ""

    def panel(self, tab: str) -> str:
        facts = {
            "controls": [s.name for s in SETTINGS if s.name != "enabled"],
            "each": {s.name: s.of_each for s in SETTINGS if s.of_each},
            "titles": {s.name: f"{s.whole} In the API: {s.name}." for s in SETTINGS if s.name != "enabled"},
            "buttons": {**preset_row.TITLES, **{f"refresh_{s.name}": REFRESH for s in SETTINGS if s.listed}},
            "page": self.fields(tab),
            "script": xyz.SCRIPT,
            "gaps": [{"name": gap.name, "gives": bool(gap.given)} for gap in self.facts.gaps],
            "presets": {name: self.on_the_page(tab, preset) for name, preset in self.facts.presets.items()},
        }
        return (
            f'<div class="w2sd-panel" data-facts="{escape(json.dumps(facts))}">'
            '<p class="w2sd-preset" aria-live="polite"></p><p class="w2sd-start" aria-live="polite"></p>'
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


ABOUT = "Pushes your picture away from what a worse model would draw."
REFRESH = "Look for files again"


def build(
    accordion,
    tab: str,
    lists: "dict[str, Listed] | None" = None,
    page: "Page | None" = None,
    gaps: "Sequence[Gap]" = GAPS,
    one_pass: bool = False,
) -> list:
    """The script's controls, in the order of the settings; behind them, see controls.behind.

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
            gr.HTML(said(ABOUT, page.guide and f"{page.guide}gaps.md"), elem_id=f"w2sd_{tab}_about")
            chosen = preset_row.preset_row(tab, page.presets)
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
            words = "Grid of steps to improve and weak CFG"
            grid = gr.Button(words, elem_id=f"w2sd_{tab}_grid", size="sm", visible=False)
            unsaved(grid)
            run = gr.HTML("", elem_id=f"w2sd_{tab}_run")

    if page:
        preset_row.connect(tab, page.presets, controls, chosen)
        connect_page(tab, page, controls, run)
    in_order = [controls[s.name] for s in SETTINGS]
    return [*in_order, *behind(in_order)]


def connect_page(tab: str, page: Page, controls: dict, run):
    """Hidden buttons that javascript/w2sd.js presses: a gap's switch, the plot after a run, and what the controls hold.
    That is asked of Gradio, which knows it wherever a control is shown, and not read off the page: a closed accordion's
    controls may not be there (Gradio 6), and a translated page has other words."""
    switch, plot, read = (pressed(f"w2sd_{tab}_{of}") for of in ("switch", "plot", "read"))
    gaps = {gap.name: gap for gap in GAPS}
    names = [s.name for gap in GAPS for s in gap.settings]

    def switched(words):
        gap, _, state = (words or "").partition(" ")
        gap = gaps.get(gap)
        values = {**gap.off, **(gap.given if state == "on" else {})} if gap else {}
        return [gr.update(value=shown(name, values[name])) if name in values else gr.update() for name in names]

    outputs, held = [controls[name] for name in names], [controls[s.name] for s in SETTINGS if s.name != "enabled"]
    switch.click(switched, [asked()], outputs, **js(tab, "switched"))
    plot.click(page.last_run, [asked()], [run], **js(tab, "lastJob"))
    read.click(None, held, [], **js(tab, "taken", held))


def of_those_offered(name: str, control, params: dict) -> "list | None":
    """Of several names: another WebUI's picture may have one that there is no box for here, to take off again."""
    names = infotext.read(name, params)
    return names and [one for one in names if one in offered(control)]


def paste_fields(controls: list) -> list:
    """(control, function of the parsed infotext) for each setting."""

    def reader(name, control):
        if name == "enabled":
            return infotext.is_on
        if BY_NAME[name].several:
            return functools.partial(of_those_offered, name, control)
        if BY_NAME[name].listed:
            return lambda params: NONE if infotext.read(name, params) == "" else infotext.read(name, params)
        return lambda params: infotext.read(name, params)

    return [(control, reader(f.name, control)) for control, f in zip(controls, SETTINGS)]
