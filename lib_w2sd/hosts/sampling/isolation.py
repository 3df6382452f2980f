"""What calls of ours leave behind in a WebUI, taken back."""

import copy
import sys
from contextlib import ExitStack, contextmanager

import torch
from modules import sd_samplers_common, shared

from .swapped import swapped

# What an evaluation leaves in the denoiser, apart from its result.
DENOISER_STATE = ("step", "padded_cond_uncond", "padded_cond_uncond_v0", "last_noise_uncond")


def on_gpu() -> list:
    """The devices whose generator has to be put back, but for the CPU's."""
    return [shared.device] if getattr(shared.device, "type", None) == "cuda" else []


def _numbers(owner) -> dict:
    """The numbers among an object's own attributes."""
    return {name: value for name, value in vars(owner).items() if type(value) in (int, float)}


@contextmanager
def taken_back(webui):
    """Around an evaluation: step counter, preview, last latent, generators, infotext, and what other extensions'
    scripts count of the calls (perturbed-attention guidance its own scale)."""
    p, sampler, denoiser = webui.p, webui.sampler, webui.denoiser
    params = p.extra_generation_params
    state = {name: getattr(denoiser, name) for name in DENOISER_STATE if hasattr(denoiser, name)}
    before = dict(params)
    latent = {"last_latent": sampler.last_latent} if hasattr(sampler, "last_latent") else {}
    counts = [(owner, _numbers(owner)) for script in p.scripts.alwayson_scripts for owner in (script, type(script))]
    try:
        with (
            torch.random.fork_rng(on_gpu()),
            swapped(sd_samplers_common, "store_latent", lambda _: None),
            ExitStack() as kept,
        ):
            for keeping in webui.KEEPS:
                kept.enter_context(keeping())
            yield
    finally:
        for name, value in state.items():
            setattr(denoiser, name, value)
        vars(sampler).update(latent)
        params.clear()
        params.update(before)
        for owner, numbers in counts:
            for name, value in numbers.items():
                if getattr(owner, name) != value:
                    setattr(owner, name, value)


# Where encoding notes what a picture's infotext and log are to say of it: embeddings and their hashes, the emphasis.
NOTES = (
    ("modules.sd_hijack:model_hijack", ("extra_generation_params", "comments", "fixes")),  # A1111
    ("backend.text_processing.classic_engine", ("last_extra_generation_params",)),  # Forge
    ("backend.args:dynamic_args", ("last_extra_generation_params",)),  # Forge Neo
)


@contextmanager
def unnoted(p):
    """Around an encoding: what it notes for the infotext and the log, which would be the next picture's."""
    holders = [(p, ("extra_generation_params", "comments"))]
    holders.append((shared.sd_model, ("extra_generation_params", "comments")))
    for path, names in NOTES:
        module, _, attribute = path.partition(":")
        holder = sys.modules.get(module)
        holders.append((getattr(holder, attribute, None) if attribute else holder, names))
    notes = [(holder, name) for holder, names in holders for name in names if hasattr(holder, name)]
    before = [(holder, name, getattr(holder, name), copy.copy(getattr(holder, name))) for holder, name in notes]
    try:
        yield
    finally:
        for holder, name, kept, content in before:
            if isinstance(kept, dict):
                kept.clear()
                kept.update(content)
            elif isinstance(kept, list):
                kept[:] = content
            if getattr(holder, name) is not kept:
                setattr(holder, name, kept)


@contextmanager
def noise_kept():
    """Around a rehearsal of the sampler: whatever it draws noise from is as before, and the picture's own seeds are
    not asked."""
    sampling, rng = sys.modules.get("k_diffusion.sampling"), sys.modules.get("modules.rng")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(on_gpu()))
        if hasattr(sampling, "torch"):  # the host puts its own, with the picture's seeds, in torch's place
            stack.enter_context(swapped(sampling, "torch", torch))
        if hasattr(rng, "nv_rng"):
            stack.enter_context(swapped(rng, "nv_rng", copy.deepcopy(rng.nv_rng)))
        yield
