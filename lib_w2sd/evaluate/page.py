"""A study's controls in a WebUI's list of scripts. Imports nothing of the host."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import gradio as gr

from ..errors import W2SDError
from ..page.controls import address, behind, js
from . import prompts, report
from .ways import BESIDE

ABOUT = (
    "Draws the same pictures with and without W2SD, as it is set in its accordion, and counts how often it is better. "
    "Interrupted, it goes on from there under the same name."
)


# What javascript/w2sd_panel.js fills in again while the user chooses.
COST = (
    "At most {pairs} × {ways} = {pictures} pictures: plain, W2SD as its accordion says, and what is chosen here. "
    "Each takes its own time; what is drawn already is not drawn again."
)


def of_the_cost(pairs: int, ways: int) -> str:
    words = COST.format(pairs=pairs, ways=ways, pictures=pairs * ways)
    return f'<p class="w2sd-about" data-words="{escape(COST)}">{escape(words)}</p>'


def build(tab: str, rewards: "Callable[[], list]", presets: "list[str]", folder: "Callable[[str], Path]") -> list:
    """The script's controls, in the order of hosts.request.study.Choices; behind them, see controls.behind.

    tab      txt2img or img2img, for the element ids
    rewards  rewards() -> the names that there are
    folder   folder(name) -> where the study of that name is; raises W2SDError for what is no name
    """

    def named(name):
        return {"elem_id": f"w2sd_{tab}_study_{name}"}

    gr.HTML(f'<p class="w2sd-about">{ABOUT}</p>')
    texts = gr.Textbox(
        value="",
        label="Prompts, one a line",
        info="The prompt above goes behind each (quality words, LoRAs). Empty: the prompt above alone.",
        lines=4,
        max_lines=12,
        **named("prompts"),
    )
    ours = gr.Button("Take W2SD's list of prompts", **named("ours"))
    ours.click(lambda: prompts.OURS.read_text(encoding="utf-8"), outputs=[texts])
    with gr.Row():
        pairs = gr.Slider(
            1,
            500,
            step=1,
            value=50,
            label="Pairs",
            info="At most so many, each with a seed of its own.",
            **named("pairs"),
        )
        until_clear = gr.Checkbox(
            value=True,
            label="Stop as soon as it is clear",
            info="By an interval that allows looking after every pair. Needs a score.",
            elem_classes=["w2sd-check"],
            **named("until_clear"),
        )
    scores = gr.Dropdown(
        rewards(),
        value=[],
        multiselect=True,
        label="Scored by (reward)",
        info="Files in models/rewards; of several most decide. None: you judge, in the blind test.",
        **named("rewards"),
    )
    others = gr.Dropdown(
        presets,
        value=[],
        multiselect=True,
        label="Presets to try too",
        info="Beside what is set in W2SD's accordion, or in its place where that is off.",
        **named("presets"),
    )
    beside = gr.CheckboxGroup(
        list(BESIDE),
        value=list(BESIDE),
        label="What you could do instead",
        info="Plain pictures at the CFG scale that pushes as far, and with the steps that take as long.",
        **named("beside"),
    )
    name = gr.Textbox(value="study", label="Name", max_lines=1, **named("name"))
    cost = gr.HTML(of_the_cost(50, 2 + len(BESIDE)), **named("cost"))
    counted = [pairs, others, beside]
    for control in counted:
        control.change(None, counted, [cost], **js(tab, "studyCost", counted))
    show = gr.Button("Show the results", **named("show"))
    blind = gr.HTML(**named("blind"))  # Markdown's links open in this very tab in some versions of Gradio
    told = gr.Markdown(**named("told"))
    sheets = gr.Gallery(
        label="Pairs",
        show_label=False,
        visible=False,
        columns=1,
        object_fit="contain",
        height="auto",
        **named("sheets"),
    )

    def results(name):
        try:
            where = folder(name)
        except W2SDError as error:
            return "", str(error), gr.update(value=[], visible=False)
        text, pictures = report.shown(where)
        if not text:
            return "", f"There are no results under {name!r} yet.", gr.update(value=[], visible=False)
        blind_test = escape(address(where / "blind.html"))
        to_it = (
            f'<a href="{blind_test}" target="_blank">Blind test: which is better, without knowing which is which</a>'
        )
        return to_it, text, gr.update(value=[(str(picture), title) for picture, title in pictures], visible=True)

    show.click(results, inputs=[name], outputs=[blind, told, sheets])
    made = [texts, pairs, until_clear, scores, others, beside, name]
    return [*made, *behind(made)]
