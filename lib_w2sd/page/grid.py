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


def connect(tab: str, button, *filled) -> None:
    """`filled`: the controls of `parts`, in their order."""

    def fill(steps):
        axes = [(xyz.label(s), ", ".join(f"{value:g}" for value in s.grid(int(steps or 0)))) for s in AXES]
        return [gr.update(value=value) for value in (xyz.SCRIPT, *axes[0], *axes[1])]

    button.visible = True
    steps = asked(gr.Number, 0)
    button.click(fill, [steps], list(filled), **js(tab, "grid"))
