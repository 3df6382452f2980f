"""Guides and caches of the kinds that newer Neos bring, each with a memory of what it is called with.

GUIDE keeps a running mean of the guidance (Momentum, SMC), CORRECTION of the guided answer (DCW), FORECAST answers
every other call from the one before (Spectrum), and CACHE, in the place of the network's own forward, keeps its mean
on a class and is taken out at the end (block caches). The first three are Forge's and Neo's ways alone.
"""

import gradio as gr
import torch
from modules import scripts, shared

GUIDE, CORRECTION, FORECAST, CACHE = "guide", "correction", "forecast", "cache"


class Mean:
    """Of all that it was told, the later the more; half of it is blended in."""

    kept: "torch.Tensor | None" = None

    def blended(self, value):
        if self.kept is None or self.kept.shape != value.shape:
            self.kept = value.clone()
        self.kept.add_(value).div_(2)
        return (value + self.kept) / 2


class OfTheNetwork:
    mean = Mean()  # on the class


def guide():
    mean = Mean()

    def guided(args):
        return args["uncond"] + args["cond_scale"] * mean.blended(args["cond"] - args["uncond"])

    return guided


def correction():
    mean = Mean()
    return lambda args: mean.blended(args["denoised"])


class Forecast:
    def __init__(self):
        self.calls, self.time, self.answers = 0, None, {}

    def __call__(self, network, args):
        time = float(args["timestep"][0])
        if time != self.time:
            self.calls, self.time = self.calls + 1, time
        shape = tuple(args["input"].shape)
        if self.calls % 2 or shape not in self.answers:
            self.answers[shape] = network(args["input"], args["timestep"], **args["c"])
        return self.answers[shape]


class Memories(scripts.Script):
    network = own = None

    def title(self):
        return "W2SD probe memories"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox("", label="which", visible=False)]

    def process_before_every_sampling(self, p, which="", **kwargs):
        self.end()
        forges = getattr(shared.sd_model, "forge_objects", None)
        if which == CACHE:
            self.begin((forges.unet.model if forges else shared.sd_model.model).diffusion_model)
        elif which:
            unet = forges.unet = forges.unet.clone()
            if which == GUIDE:
                unet.set_model_sampler_cfg_function(guide())
            elif which == CORRECTION:
                unet.set_model_sampler_post_cfg_function(correction())
            elif which == FORECAST:
                unet.set_model_unet_function_wrapper(Forecast())
            else:
                raise ValueError(f"no such memory: {which}")

    def begin(self, network):
        self.network, self.own, OfTheNetwork.mean = type(network), type(network).forward, Mean()
        own = self.own

        def forward(network, *args, **kwargs):
            answer = own(network, *args, **kwargs)
            return OfTheNetwork.mean.blended(answer) if isinstance(answer, torch.Tensor) else answer

        self.network.forward = forward

    def end(self):
        if self.own is not None:
            self.network.forward, self.own = self.own, None

    def post_sample(self, p, ps, *args):
        self.end()
