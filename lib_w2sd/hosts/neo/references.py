"""The pictures that an edit model is given: Flux Kontext, Klein, Qwen-Image-Edit, Krea 2.

Those of the network lie in one place for all, and each prompt that is encoded puts there what the engine has then. The
picture of an img2img it has for the first prompt alone: for ours, which come later, it is there again.
"""

from contextlib import contextmanager

from backend.args import dynamic_args
from modules import shared

from ..sampling.isolation.swapped import swapped

EDITED, OF_THE_ENGINE = "w2sd_edited", "ini_latent"


def remember(p) -> None:
    """Of a batch, before its prompts are encoded."""
    picture = getattr(shared.sd_model, OF_THE_ENGINE, None)
    if picture is not None:
        setattr(p, EDITED, picture)


@contextmanager
def given_again(p):
    """Around an encoding of ours: it is given what the picture's own prompt was, and the network keeps what it has."""
    of_the_network = getattr(dynamic_args, "ref_latents", None)
    before = list(of_the_network or ())
    try:
        if hasattr(shared.sd_model, OF_THE_ENGINE):
            with swapped(shared.sd_model, OF_THE_ENGINE, getattr(p, EDITED, None)):
                yield
        else:
            yield
    finally:
        if of_the_network is not None:
            of_the_network[:] = before
            dynamic_args.ref_latents = of_the_network
