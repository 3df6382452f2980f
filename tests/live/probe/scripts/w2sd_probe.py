"""An extension for the suite: link the folder `probe` into the WebUI's `extensions`, and restart it.

It tells what latents came out and which calls of the denoiser there were, and does, where it is asked to, what other
extensions do that is hard on those beside them. GET /w2sd-probe: {"latents": [...], "calls": [...], "rows": ...} of
the last request.
"""

import gc
import queue
import random
from collections import deque

import gradio as gr
import numpy as np
import torch
from modules import script_callbacks, scripts, shared

# Not a list: those of an extension are as they were before an evaluation that is not the sampler's own.
HEARD = queue.SimpleQueue()
LATENTS = queue.SimpleQueue()
ROWS = queue.SimpleQueue()
ITS_OWN = random.Random(), np.random.default_rng(), np.random.RandomState(), torch.Generator()
COUNTED = 0


def all_of(heard: queue.SimpleQueue) -> list:
    found = []
    while not heard.empty():
        found.append(heard.get())
    return found


class Falling(float):
    """A CFG scale that is less every time it is multiplied by, as the script "CFG Scheduling" has it."""

    def __init__(self, value):
        self.next, self.times = float(value), []

    def __mul__(self, other):
        self.times.append(self.next)
        self.next -= 0.5
        return self.times[-1] * other

    __rmul__ = __mul__


def draws(seed: int):
    """Of generators of every kind a number each time, small."""
    own, numpys, older, torchs = ITS_OWN
    own.seed(seed), older.seed(seed), torchs.manual_seed(seed), random.seed(seed), np.random.seed(seed)
    numpys.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    torch.manual_seed(seed)

    def drawn():
        ours = [own.random(), numpys.random(), older.random_sample(), float(torch.rand(1, generator=torchs))]
        return sum([*ours, random.random(), float(np.random.random()), float(torch.rand(1))]) / 50

    return drawn


def counters():
    """How often it has been called, kept in as many ways; all of them, small."""
    global COUNTED
    COUNTED = 0
    Counts.on_class = 0
    one, listed, table, held, array, inner = Counts(), [], {}, torch.zeros(1), np.zeros(1), 0
    latest = deque(maxlen=3)

    def counted():
        global COUNTED
        nonlocal inner
        inner += 1
        COUNTED += 1
        Counts.on_class += 1
        counted.on_function += 1
        one.on_object += 1
        one.tensor = one.tensor + 1
        one.nested["list"].append(1)
        listed.append(1)
        latest.append(inner)
        table["calls"] = table.get("calls", 0) + 1
        held.add_(1)
        array[0] += 1
        kept = [inner, COUNTED, Counts.on_class, counted.on_function, one.on_object, float(one.tensor), len(listed)]
        return sum([*kept, len(one.nested["list"]), latest[-1], table["calls"], float(held), array[0]]) / 1000

    counted.on_function = 0
    return counted


class Counts:
    on_class = 0

    def __init__(self):
        self.on_object, self.tensor, self.nested = 0, torch.zeros(1), {"list": []}


class Probe(scripts.Script):
    def title(self):
        return "W2SD probe"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox("", label="does", visible=False)]

    def process(self, p, does=""):
        all_of(HEARD), all_of(LATENTS), all_of(ROWS)
        script_callbacks.remove_callbacks_for_function(self.heard)
        self.does = set((does or "").split())
        self.drawn, self.counted = draws(int(p.all_seeds[0])), counters()
        if "scale" in self.does:
            p.cfg_scale = Falling(p.cfg_scale)
        if self.does - {"scale", "rows"}:
            script_callbacks.on_cfg_denoiser(self.heard)

    def heard(self, params):
        if "step" in self.does:
            step = params.sampling_step
            assert f"{step:03d}" and [*range(step + 1)][step] == step
            params.x.add_(step / 100)
        if "listen" in self.does:
            about = {"step": params.denoiser.step, "at": params.sampling_step, "rows": len(params.x)}
            numbers = {"x": params.x.double().abs().sum(), "sigma": params.sigma.double().sum()}
            conds = {"cond": _size(params.text_cond), "uncond": _size(params.text_uncond)}
            HEARD.put({**about, **{name: float(number) for name, number in numbers.items()}, **conds})
        if "latent" in self.does:
            params.x.mul_(1.02)
        if "sigma" in self.does:
            params.sigma.mul_(0.98)
        if "image" in self.does and params.image_cond is not None:
            params.image_cond.add_(0.1)
            params.x.add_(params.image_cond.double().mean().to(params.x) / 10)
        if "draws" in self.does:
            params.x.add_(self.drawn())
        if "counts" in self.does:
            params.x.add_(self.counted())

    def process_before_every_sampling(self, p, does="", **kwargs):
        """Count what the network itself is called with, however a host comes to call it."""
        self.stop_counting()
        if "rows" in (does or "").split():
            self.counting = network().register_forward_pre_hook(lambda _, args: ROWS.put(len(args[0])))

    def stop_counting(self):
        if getattr(self, "counting", None) is not None:
            self.counting.remove()
        self.counting = None

    def post_sample(self, p, ps, *args):
        self.stop_counting()
        # After a hires pass A1111 has a list of pictures, decoded.
        samples = ps.samples if isinstance(ps.samples, torch.Tensor) else torch.stack(list(ps.samples))
        LATENTS.put(samples.detach().float().cpu().flatten().tolist())

    def postprocess(self, p, processed, *args):
        script_callbacks.remove_callbacks_for_function(self.heard)


def network():
    """A1111's, or Forge's."""
    model = shared.sd_model
    forges = getattr(model, "forge_objects", None)
    return (forges.unet.model if forges else model.model).diffusion_model


def _size(cond) -> float:
    found = cond.get("crossattn") if isinstance(cond, dict) else cond
    return 0.0 if found is None else float(found.double().abs().sum())


def told(demo, app):
    # Hosts and ControlNet collect garbage with every picture and checkpoint: what is there for good need not be looked
    # through each time, which takes longer than a small network.
    gc.collect()
    gc.freeze()

    @app.get("/w2sd-probe")
    def probe():
        latents = [number for some in all_of(LATENTS) for number in some]
        return {"latents": latents, "calls": all_of(HEARD), "rows": sum(all_of(ROWS))}


script_callbacks.on_app_started(told)
