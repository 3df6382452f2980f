"""AnimateDiff on AUTOMATIC1111's WebUI: continue-revolution's extension sd-webui-animatediff, as of September 2024.

For a request it puts the layers of a motion module among those of the loaded UNet, and makes of a batch the frames of
one video. The motion module is no part of the checkpoint, and belongs to both sides: in the paper's Table 12 the weak
side is the weak checkpoint's UNet with it.
"""

import sys
from contextlib import ExitStack, contextmanager

from modules import prompt_parser
from torch import nn

from ..sampling.isolation.swapped import swapped


def is_its(layer: str) -> bool:
    """Whether the host's LoRAs mean a motion module's layer by that name."""
    return layer.startswith(("down_blocks_", "mid_block_", "up_blocks_"))


def refusal(p) -> str:
    """FreeInit samples by a function of its own, which the host's scripts are not asked in."""
    if not hasattr(p, "num_freeinit_iters"):
        return ""
    return "W2SD: enabled was given True, with AnimateDiff's FreeInit; allowed is one of the two."


def _motion():
    """The extension's own record of the motion module in use; None where it is not installed."""
    return getattr(sys.modules.get("scripts.animatediff_mm"), "mm_animatediff", None)


def layers(unet) -> list:
    """The motion module's layers in the UNet; [] where there is none in it."""
    motion_module = sys.modules.get("motion_module")
    kind = getattr(motion_module, "VanillaTemporalModule", ())
    return [module for module in unet.modules() if isinstance(module, kind)]


@contextmanager
def left_out(unet):
    """Within, the UNet has no layers but its checkpoint's, by the names that they have there."""
    temporal = layers(unet)
    blocks = [module for module in unet.modules() if isinstance(module, nn.Sequential)] if temporal else []
    with ExitStack() as stack:
        for block in blocks:
            own = [layer for layer in block if not any(layer is one for one in temporal)]
            if len(own) < len(block):
                stack.enter_context(swapped(block, "_modules", {str(i): layer for i, layer in enumerate(own)}))
        yield


@contextmanager
def prompted(cond, own):
    """Within, the frames' prompts are `cond`'s, a side's own, where these are not `own`, the picture's.

    The extension takes those of a request's first call, blends them over the frames where they travel, and puts them
    into every call from then on.
    """
    motion = _motion()
    if cond is own or motion is None or not motion.mm_injected:
        yield
        return
    params = motion.ad_params
    closed = params.video_length > params.batch_size and params.closed_loop in ("R+P", "A")

    def over_the_frames(multicond):
        _, tensor = prompt_parser.reconstruct_multicond_batch(multicond, 0)
        return params.prompt_scheduler.multi_cond(tensor, closed)

    params.text_cond = over_the_frames(cond)
    try:
        yield
    finally:
        params.text_cond = over_the_frames(own)
