from tests.webui.prompts import (  # noqa: F401
    ComposableScheduledPromptConditioning,
    MulticondLearnedConditioning,
    SdConditioning,
    get_learned_conditioning,
    get_multicond_learned_conditioning,
    reconstruct_cond_batch,
    reconstruct_multicond_batch,
)
