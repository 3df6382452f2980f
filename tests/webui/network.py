"""A latent diffusion model small enough for a test: diffusers' real UNet with random weights, and words as vectors."""

import array
import hashlib
import zlib

import torch
from diffusers import UNet2DConditionModel

TOKENS, WIDTH = 8, 16  # of a chunk of prompt; a longer prompt takes another chunk
ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).cumprod(0)


def seeded(text):
    return torch.Generator().manual_seed(zlib.crc32(text.encode()))


class Calls(array.array):
    """The rows of every call: a witness, whose numbers no isolation finds and puts back."""

    def clear(self):
        del self[:]


class UNet(torch.nn.Module):
    """eps or velocity of latents [rows, channels, 8, 8] at t [rows] under a prompt [rows, tokens, WIDTH].

    `calls` lists the number of rows of every call; `before_call`, if set, is called first with their number so far.
    """

    before_call = None

    def __init__(self, checkpoint: str, channels: int = 4):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(zlib.crc32(checkpoint.encode()))
            self.network = UNet2DConditionModel(
                in_channels=channels,
                out_channels=channels,
                block_out_channels=(32,),
                layers_per_block=1,
                norm_num_groups=8,
                cross_attention_dim=WIDTH,
                attention_head_dim=8,
                down_block_types=("CrossAttnDownBlock2D",),
                up_block_types=("UpBlock2D",),
                mid_block_type=None,  # half as much again for nothing that a test looks at
            )
        # Weights as they come pay a prompt little attention.
        for name, weight in self.network.named_parameters():
            if ".attn2.to_out" in name:
                weight.data.mul_(8)
        self.calls = Calls("q")

    def forward(self, x, t, context):
        if self.before_call:
            self.before_call(len(self.calls))
        self.calls.append(len(x))
        return self.network(x, t, encoder_hidden_states=context).sample


def encode(text: str):
    """[tokens, WIDTH]: a word's vector depends on the word and its place."""
    words = text.split()
    length = TOKENS * max(1, -(-len(words) // TOKENS))
    words += [""] * (length - len(words))
    return torch.stack([torch.randn(WIDTH, generator=seeded(f"{i} {word}")) for i, word in enumerate(words)])


class CheckpointInfo:
    def __init__(self, name):
        self.name = self.short_title = self.model_name = self.name_for_extra = name
        self.filename = f"/models/{name}.safetensors"
        self.hash = f"{zlib.crc32(name.encode()):08x}"
        self.sha256 = self.shorthash = None  # until somebody asks for them

    def calculate_shorthash(self):
        self.sha256 = hashlib.sha256(self.name.encode()).hexdigest()
        self.shorthash = self.sha256[:10]
        return self.shorthash

    def __repr__(self):
        return f"CheckpointInfo({self.name!r})"
