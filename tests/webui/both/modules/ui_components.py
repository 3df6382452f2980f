from contextlib import contextmanager

import gradio as gr


@contextmanager
def InputAccordion(value, **kwargs):
    """A checkbox that is an accordion: the checkbox is the control, what is built inside is in the accordion."""
    checkbox = gr.Checkbox(value, **{**kwargs, "elem_id": f"{kwargs['elem_id']}-checkbox", "visible": False})
    with gr.Accordion(open=value, **kwargs):
        yield checkbox
