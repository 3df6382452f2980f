"""The button that fills the host's X/Y/Z plot."""

import gradio as gr

from . import xyz
from .controls import asked, js
from .settings import SETTINGS

AXES = tuple(s for s in SETTINGS if s.grid)


def parts(tab: str) -> tuple:
    """Element ids of our button and of the host's controls that it fills."""
    axes = (f"script_{tab}_xyz_plot_{axis}_{part}" for axis in "xy" for part in ("type", "values"))
    return (f"w2sd_{tab}_grid", "script_list", *axes)


def connect(tab: str, button, script, *axes):
    """`script` and `axes`: the controls of `parts`, in their order. They are filled in turn: the host reads an axis's
    values when its type changes, and Gradio 6 does not yet have them of a box that was never on the page."""

    def choose():
        return gr.update(value=xyz.SCRIPT)

    def fill(steps):
        wanted = [(xyz.label(s), ", ".join(f"{value:g}" for value in s.grid(int(steps or 0)))) for s in AXES]
        return [gr.update(value=value) for axis in wanted for value in axis]

    button.visible = True
    steps = asked(gr.Number, 0)
    filled = button.click(choose, [], [script], **js(tab, "grid"))
    for shown in ("axesShown", "valuesShown"):  # an axis that had a list to choose from has no box for its values
        filled = filled.then(fill, [steps], list(axes), **js(tab, shown))
