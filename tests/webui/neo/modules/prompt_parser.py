from tests.webui import prompts as _parser
from tests.webui.prompts import (  # noqa: F401
    ComposableScheduledPromptConditioning,
    MulticondLearnedConditioning,
    reconstruct_cond_batch,
    reconstruct_multicond_batch,
)


class SdConditioning(_parser.SdConditioning):
    def __init__(
        self, prompts, is_negative_prompt=False, width=None, height=None, copy_from=None, distilled_cfg_scale=None
    ):
        super().__init__(prompts, is_negative_prompt, width, height, copy_from)
        like = prompts if copy_from is None else copy_from
        self.distilled_cfg_scale = distilled_cfg_scale or getattr(like, "distilled_cfg_scale", None)


def get_learned_conditioning(model, prompts, steps, hires_steps=None):
    return _parser.get_learned_conditioning(model, prompts, steps, hires_steps)


def get_multicond_learned_conditioning(model, prompts, steps, hires_steps=None):
    return _parser.get_multicond_learned_conditioning(model, prompts, steps, hires_steps)
