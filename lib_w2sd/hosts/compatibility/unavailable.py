"""What stands in W2SD's place in a WebUI that lacks what it needs: it says so on the page, to the API, and to whoever
asks for W2SD. It counts on as little as there is."""

import sys
from html import escape

import gradio as gr

from ...errors import LacksError, W2SDError
from ...page import api, controls
from ...page.forecast import Facts
from ...page.settings import SETTINGS, parse
from ..request import refusal
from ..request.arguments import TITLE
from . import requirements


def script(lacks: list):
    """The script for a WebUI that lacks these."""
    words = requirements.sentence(lacks)
    print(words)
    scripts = sys.modules.get("modules.scripts")

    class W2SDScript(getattr(scripts, "Script", object)):
        def title(self):
            return TITLE

        def show(self, is_img2img):
            return getattr(scripts, "AlwaysVisible", True)

        def ui(self, is_img2img):
            return build("img2img" if is_img2img else "txt2img", words)

        def refuse(self, p, *args, **kwargs):
            """Whichever of the hooks there is; what a hook raises the host would log, and draw a plain picture."""
            try:
                if not parse(args).enabled:
                    return
                error = LacksError(words)
            except W2SDError as wrong:
                error = wrong

            @refusal.refusing()
            def fail(*args, **kwargs):
                raise error

            p.sample = fail

        setup = before_process = process = before_process_batch = refuse

    return W2SDScript


def build(tab: str, words: str) -> list:
    """The sentence, greyed; the settings' controls keep their places among the API's arguments."""
    with gr.Accordion("W2SD (cannot work here)", open=False, elem_id=f"w2sd_{tab}", elem_classes=["w2sd-lacking"]):
        gr.HTML(f'<p class="w2sd-about">{escape(words)}</p>')
        with gr.Column(visible=False):
            made = [controls.unsaved(controls.control(s, f"w2sd_{tab}_{s.name}")) for s in SETTINGS]
            return [*made, *controls.behind(made)]


def add_routes(lacks: list) -> None:
    """W2SD's own routes, as soon as there is an application."""
    callbacks = sys.modules.get("modules.script_callbacks")
    if not hasattr(callbacks, "on_app_started"):
        return
    told = {"host": requirements.kind(), "missing": lacks, "says": requirements.sentence(lacks)}
    callbacks.on_app_started(lambda _, app: api.add_routes(app, lambda: told, Facts(gaps=()), credentials()))


def credentials() -> "dict | None":
    """user -> password where the WebUI's API asks for them."""
    accounts = getattr(getattr(sys.modules.get("modules.shared"), "cmd_opts", None), "api_auth", None)
    return dict(account.split(":") for account in accounts.split(",")) if accounts else None
