"""NegPiP (hako-mikan's, seen with dc75fd2), which draws what a prompt gives a negative weight in a way of its own.

For each batch it takes `(dog:-1.5)` and the like out of the prompts, encodes them by themselves, and puts them into
the network's attention with their sign turned. Its script keeps them, and hooks the network where there are any. It
reads other texts as well if it is asked to; what it keeps of them, and its hooks, are then exchanged for the picture's
around the evaluations of the side that has them.
"""

from contextlib import contextmanager

from modules import extra_networks, shared

from .. import isolation
from . import reading

FILE = "negpip.py"
# What registers a callback of the script's once and for all, and what it tells the hires pass by.
REGISTERED, SEEN = "negpip_dr_callbacks", ("x", "hr")


def script_on(p):
    """NegPiP's script if it is on in this request, or None."""
    if getattr(shared.opts, "negpip_hide", False) and not getattr(shared.opts, "negpip_active", False):
        return None
    found = [script for script in p.scripts.alwayson_scripts if reading.file_of(script) == FILE]
    return next((script for script in found if any(reading.arguments_of(script, p)[:1])), None)


def in_full(p, hires_pass: bool) -> "tuple[list, list]":
    """The pass's own prompts and negative prompts before NegPiP has taken anything out, without extra networks."""
    hr, count = ("hr_", len(p.hr_prompts)) if hires_pass else ("", len(p.prompts))
    prompts, negatives = (getattr(p, f"all_{hr}{name}") for name in ("prompts", "negative_prompts"))
    prompts, _ = extra_networks.parse_prompts(reading.of_the_pass(p, prompts, count))
    return prompts, reading.of_the_pass(p, negatives, count)


def read(webui, prompts: list, negative_prompts: list):
    """(prompts, negative prompts, overlays): what NegPiP leaves of texts, and what has it draw the rest."""
    p, script = webui.p, script_on(webui.p)
    if script is None:
        return prompts, negative_prompts, ()
    prompts, _ = extra_networks.parse_prompts(prompts)
    stand_in = reading.stand_in_of(p)
    for hr in ("", "hr_") if getattr(p, "hr_prompts", None) else ("",):
        # Lists of its own, in which it leaves what it does not take.
        setattr(stand_in, f"{hr}prompts", list(prompts))
        setattr(stand_in, f"{hr}negative_prompts", list(negative_prompts))
    own, own_hooks = dict(vars(script)), _hooks(webui.unet())
    try:
        with isolation.unnoted(p):
            script.process_batch(stand_in, *reading.arguments_of(script, p))
        kept, hooks = dict(vars(script)), _hooks(webui.unet())
    finally:
        if REGISTERED in vars(script):
            own[REGISTERED] = vars(script)[REGISTERED]
        _exchange(script, own)
        _hook(_hooks(webui.unet()), own_hooks)
    kept.update({name: own[name] for name in SEEN if name in own})
    drawn = kept.get("active") or own.get("active")
    overlays = (Reading(script, kept, hooks, own_hooks),) if drawn else ()
    return stand_in.prompts, stand_in.negative_prompts, overlays


class Reading:
    """gaps.Overlay: NegPiP with what it keeps of one side's texts, and its hooks for them."""

    def __init__(self, script, kept: dict, hooks: dict, own_hooks: dict):
        self.script, self.kept, self.hooks, self.own_hooks = script, kept, hooks, own_hooks

    def as_dict(self) -> dict:
        return {"kind": "NegPiP's reading"}

    @contextmanager
    def installed(self, unet):
        yield

    @contextmanager
    def on(self):
        own = dict(vars(self.script))
        _exchange(self.script, self.kept)
        _hook(self.own_hooks, self.hooks)
        try:
            yield
        finally:
            self.kept = dict(vars(self.script))
            _exchange(self.script, own)
            _hook(self.hooks, self.own_hooks)


def _exchange(script, kept: dict) -> None:
    vars(script).clear()
    vars(script).update(kept)


def _hooks(unet) -> dict:
    """The modules with a forward that somebody has put there, and that."""
    return {module: vars(module)["forward"] for module in unet.modules() if "forward" in vars(module)}


def _hook(before: dict, after: dict) -> None:
    """The forwards of `after` in the place of those of `before`, where they are others."""
    for module in {**before, **after}:
        if before.get(module) is after.get(module):
            continue
        if module in after:
            module.forward = after[module]
        else:
            vars(module).pop("forward", None)
