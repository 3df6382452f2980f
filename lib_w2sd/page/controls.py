"""The Gradio controls of the settings, whatever Gradio the host has (3.41, 4.40, 6.17). Imports nothing of the host."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from ..setting import NONE
from . import infotext
from .settings import BY_NAME

MAJOR = int(gr.__version__.split(".")[0])
# Gradio 5 moved its own routes.
FILES = "file=" if MAJOR < 5 else "gradio_api/file="
# A click sends its inputs and, up to Gradio 5, its outputs behind them, which no host wants: the page's scripts know
# that the outputs have begun by a list in one of the last places (A1111's the third from the end; Neo's the fifth, the
# fourth or the third). Where no outputs are sent, a list among the last inputs is taken for it, and they are cut.
LAST = 5


def address(path: Path) -> str:
    """Where the page finds a file that the host serves."""
    return FILES + quote(str(path.resolve()))


def behind(controls: list) -> list:
    """Empty controls that keep lists out of the last places of a script's own; see LAST."""
    first = next((place for place, control in enumerate(reversed(controls), 1) if is_list(control)), LAST + 1)
    return [unsaved(gr.Textbox("", visible=False)) for _ in range(LAST + 1 - first)]


def is_list(control) -> bool:
    """Whether a control's value is a list."""
    return isinstance(control, gr.CheckboxGroup) or bool(getattr(control, "multiselect", False))


@dataclass(frozen=True)
class Listed:
    """What a setting that is a name on a list or several is picked from. `names` lists them, `known` raises for a name
    that is not on it, `refresh` looks for files again, `free` drops the one kept in memory."""

    names: "Callable[[], list]" = list
    known: "Callable[[str], object]" = lambda name: None
    refresh: Callable = lambda: None
    free: "Callable | None" = None


def control(f, elem_id: str, names: "Callable[[], list]" = list):
    """The Gradio control of a setting. `names`: what a setting that is a name on a list can be picked from."""
    common = {"label": f.label, "info": f.on_the_page, "elem_id": elem_id}
    if f.listed:
        # A name that is not there (any more) has to reach our own check, which says so.
        return gr.Dropdown([NONE, *names()], value=NONE, allow_custom_value=True, **common)
    if f.kind == "boolean":
        return gr.Checkbox(value=f.default, elem_classes=["w2sd-check"], **common)
    if f.several:
        return gr.CheckboxGroup(list(names() or f.several), value=shown(f.name, f.default), **common)
    if f.choices:
        return gr.Radio(list(f.choices), value=f.default, **common)
    if f.optional:
        # Text, because a number box cannot say "nothing" in the API's infotext, and a slider has no place for it.
        return gr.Textbox(value="", placeholder="the picture's own", max_lines=1, **common)
    if f.kind == "string":
        return gr.Textbox(value=f.default, lines=2, **common)
    return gr.Slider(f.minimum, f.maximum, step=f.step, value=f.default, **common)


def offered(control) -> list:
    """The values that a control of several names has boxes for."""
    return [choice if isinstance(choice, str) else choice[-1] for choice in control.choices]


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


def unsaved(component):
    """The host keeps what components hold as defaults (ui-config.json); these hold nothing of that kind."""
    component.do_not_save_to_config = True
    return component


def pressed(elem_id: str):
    """A button that only javascript/w2sd.js presses."""
    return unsaved(gr.Button(elem_id=elem_id, elem_classes=["w2sd-hidden"]))


def asked(kind=gr.Textbox, value=""):
    """What javascript/w2sd.js sends with an event."""
    return unsaved(kind(value, visible=False))


def js(tab: str, called: str, inputs=()) -> dict:
    """Of an event: w2sdPage's function of the name says what the inputs are. It is given the tab, and what they are on
    the page; some versions of Gradio hand it the outputs behind them."""
    call = f"(...given) => w2sdPage.{called}('{tab}', given.slice(0, {len(inputs)}))"
    return {"show_progress": False, "_js" if MAJOR < 4 else "js": call}


def said(text: str, more: str = "", asks: bool = False) -> str:
    """`more`: the address of the page of the guide that says the rest; `asks`: a second press is awaited."""
    link = f' <a href="{escape(more)}" target="_blank">more</a>' if more else ""
    return f'<p class="w2sd-about{" w2sd-asks" if asks else ""}">{escape(text)}{link}</p>'
