"""Networks of Stable Diffusion's sizes with random weights: what they draw is nothing, what they cost is what it is.

The layouts are those of the published unet/config.json of stable-diffusion-v1-5 and stable-diffusion-xl-base-1.0.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from diffusers import UNet2DConditionModel

TOKENS, POOLED = 77, 1280
EPS = 0.9  # the standard deviation that the networks' answers are brought to


@dataclass(frozen=True)
class Size:
    """latents: height and width; pictures: drawn at once, so many that a GPU has to work and not only to be told."""

    latents: int
    pictures: int
    layout: dict = field(hash=False)

    @property
    def numbers(self) -> bool:
        """Whether the network is told the picture's size and a pooled text beside the text (SDXL)."""
        return "addition_embed_type" in self.layout


SD15 = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,  # the number of heads, as diffusers calls it
}
SDXL = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": POOLED + 6 * 256,
}
FULL = {"SD1.5": Size(64, 8, SD15), "SDXL": Size(128, 4, SDXL)}
# One block each way instead of three or four.
SMALL = {
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
    "block_out_channels": (32,),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
}
TINY = {
    "SD1.5": Size(4, 1, {**SD15, **SMALL}),
    "SDXL": Size(4, 1, {**SDXL, **SMALL, "transformer_layers_per_block": 1}),
}


@contextmanager
def made_as(dtype: torch.dtype, device: torch.device):
    """Within, tensors are born there: a network of 2.6 billion parameters never stands in memory in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


class Network:
    """network(x, sigma, cond) -> denoised, as lab.sampling wants one: x [B, 4, h, w] and sigma [B] in float32, cond
    [B, 77, width]; the network inside works in `dtype`."""

    @torch.inference_mode()
    def __init__(self, size: Size, dtype: torch.dtype, device: torch.device, seed: int):
        torch.manual_seed(seed)
        self.size, self.dtype, self.device = size, dtype, device
        # Tensors made in inference mode are no part of a module that others exchange.
        with torch.inference_mode(False), made_as(dtype, device):
            self.unet = UNet2DConditionModel(sample_size=size.latents, **size.layout).eval().requires_grad_(False)
        self._sizes = torch.tensor([[8.0 * size.latents] * 2 + [0.0] * 2 + [8.0 * size.latents] * 2], device=device)
        x = self.noise(2)
        eps = x - self(x, torch.ones(2, device=device), self.texts(2))
        last = self.unet.conv_out.weight
        with torch.inference_mode(False):
            last.mul_(EPS / float(eps.std()))

    def noise(self, rows: int) -> torch.Tensor:
        shape = (rows, 4, self.size.latents, self.size.latents)
        return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(self.device)

    def texts(self, rows: int, seed: int = 2) -> torch.Tensor:
        shape = (rows, TOKENS, self.size.layout["cross_attention_dim"])
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device, self.dtype)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.unet.parameters())

    def __call__(self, x, sigma, cond):
        s = sigma.view(-1, 1, 1, 1)
        given = (x * (1 + s * s).rsqrt()).to(self.dtype)
        # Nothing was learnt of times: any that falls with the noise will do.
        time = 999 * sigma / (1 + sigma)
        more = None
        if self.size.numbers:
            pooled = cond.flatten(1)[:, :POOLED]
            more = {"text_embeds": pooled, "time_ids": self._sizes.expand(len(x), -1)}
        eps = self.unet(given, time, cond, added_cond_kwargs=more, return_dict=False)[0]
        return x - s * eps.float()
