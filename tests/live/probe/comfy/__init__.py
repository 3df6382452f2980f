"""Nodes of the suite's own for ComfyUI: they count the rows that reach a model's network, behind everybody else,
stand in for IP-Adapter, and load the emoji model."""

import weakref

import torch
from comfy.ldm.modules.attention import optimized_attention

from . import by_yaml

ROWS = [0]
HEARD = weakref.WeakSet()


def counting(network, args):
    x = args[0]
    ROWS[0] += x.shape[0] * (x.shape[2] if x.ndim == 5 else 1)


class CountRows:
    CATEGORY, FUNCTION, RETURN_TYPES = "testing", "patched", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def patched(self, model):
        network = model.model.diffusion_model  # not a wrapper: SD3 asks none
        if network not in HEARD:
            HEARD.add(network)
            network.register_forward_pre_hook(counting)
        return (model,)


class RowsCounted:
    """Since it was last asked."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "testing", "counted", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"latent": ("LATENT",)}}

    @classmethod
    def IS_CHANGED(cls, **kwargs):
        return float("nan")

    def counted(self, latent):
        rows, ROWS[0] = ROWS[0], 0
        return {"ui": {"text": (str(rows),)}}


class SeesAPicture:
    """What IP-Adapter's packs do to SD1.5: in every cross-attention more tokens, for the prompt's rows alone."""

    CATEGORY, FUNCTION, RETURN_TYPES = "testing", "patched", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "weight": ("FLOAT", {"default": 1.0})}}

    def patched(self, model, weight):
        def attention(q, k, v, options):
            tokens = torch.randn(1, 4, q.shape[-1], generator=torch.Generator().manual_seed(1)).to(q)
            tokens = tokens.expand(len(q), -1, -1)
            of = [weight * (which == 0) for which in options["cond_or_uncond"]]
            of = torch.tensor(of).repeat_interleave(len(q) // len(of))[:, None, None].to(q)
            heads = options["n_heads"]
            return optimized_attention(q, k, v, heads) + of * optimized_attention(q, tokens, tokens, heads)

        made = model.clone()
        for place in (("input", 1), ("middle", 0), ("output", 0), ("output", 1)):
            made.set_model_attn2_replace(attention, *place)
        return (made,)


NODE_CLASS_MAPPINGS = {
    "W2SDSeesAPicture": SeesAPicture,
    "W2SDCountRows": CountRows,
    "W2SDRowsCounted": RowsCounted,
    "W2SDCheckpointByYaml": by_yaml.CheckpointByYaml,
}
