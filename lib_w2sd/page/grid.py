"""The button that fills the host's X/Y/Z plot."""

import gradio as gr

from . import xyz
from .controls import asked, js
from .settings import BY_NAME

# Weak CFG scales of the ready grid: below what a picture's own usually is (paper, Figure 12).
SCALES = (-2.0, 0.0, 1.0, 3.0)


def parts(tab: str) -> tuple:
    """Element ids of our button and of the host's controls that it fills."""
    axes = (f"script_{tab}_xyz_plot_{axis}_{part}" for axis in "xy" for part in ("type", "values"))
    return (f"w2sd_{tab}_grid", "script_list", *axes)


def lambdas(steps: int) -> list:
    """Of the ready grid: none, and a quarter, half and three quarters of the steps."""
    return [max(steps, 4) * part // 4 for part in range(4)]


def connect(tab: str, button, *filled) -> None:
    """`filled`: the controls of `parts`, in their order."""

    def fill(steps):
        values = ", ".join(map(str, lambdas(int(steps or 0))))
        scales = ", ".join(f"{scale:g}" for scale in SCALES)
        x, y = (xyz.label(BY_NAME[name]) for name in ("lambda_steps", "weak_cfg"))
        return [gr.update(value=value) for value in (xyz.SCRIPT, x, values, y, scales)]

    button.visible = True
    steps = asked(gr.Number, 0)
    button.click(fill, [steps], list(filled), **js(tab, "grid"))
