"""The ends of other extensions' scripts, where an error of ours keeps the host from calling them.

A host ends a job whose sampling raised without any hook more: whoever has put something in the place of the network's
own for the job and takes it out at its end (block caches) would stand there in the next.
"""

from contextlib import contextmanager

import torch
from modules import errors, processing, scripts, shared

from .arguments import TITLE

CACHED = "cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc"


@contextmanager
def reached(p):
    """Around what may end the job: others' hooks after sampling, and those after the job, are called if it does."""
    try:
        yield
    except Exception:
        _reach(p)
        _forget_conds(p)
        raise


def _forget_conds(p) -> None:
    """Of the prompts that the host keeps encoded for the next job: ControlNet marks them as sampling begins, and drops
    them as the network is first called."""
    for name in CACHED:
        cache = getattr(p, name, None)
        if isinstance(cache, list) and cache:
            cache[0] = None


def _reach(p) -> None:
    latent = getattr(shared.state, "current_latent", None)
    if latent is None:
        latent = torch.zeros(len(getattr(p, "prompts", None) or [""]), 4, p.height // 8, p.width // 8)
    images = torch.zeros(len(latent), 3, p.height, p.width)
    batch = {"images": images, "batch_number": getattr(p, "iteration", 0)}
    for hook, make, more in (
        ("post_sample", lambda: [scripts.PostSampleArgs(latent)], {}),
        ("postprocess_batch", lambda: [], batch),
        ("postprocess", lambda: [processing.Processed(p, [])], {}),
    ):
        for script in p.scripts.alwayson_scripts:
            if script.title() == TITLE:
                continue
            try:
                getattr(script, hook)(p, *make(), *p.script_args[script.args_from : script.args_to], **more)
            except Exception:
                errors.report(f"Error running {hook}: {script.filename}", exc_info=True)
