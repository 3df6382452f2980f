import gradio as gr

class InputAccordion(gr.Checkbox):
    """A checkbox that is an accordion."""

    def __init__(self, value, **kwargs):
        super().__init__(value, **{**kwargs, "elem_id": f"{kwargs['elem_id']}-checkbox", "visible": False})
        self.accordion = gr.Accordion(**{**kwargs, "open": value})

    def __enter__(self):
        self.accordion.__enter__()
        return self

    def __exit__(self, *error):
        return self.accordion.__exit__(*error)

    def get_block_name(self):
        return "checkbox"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
