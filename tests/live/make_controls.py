"""Writes a small file of what a ControlNet unit can be, for a checkpoint of SD1.5's blocks:
python make_controls.py CHECKPOINT.safetensors FOLDER [PREFIX]

FOLDER is the WebUI's folder of ControlNet models; the files are named PREFIX + kind:

    ip_adapter  IP-Adapter: four tokens from a picture's embedding of 768 numbers
    lllite      ControlLLLite, which stands in the UNet's own layers
    t2iadapter  T2I-Adapter in its first naming

The live tests use those that they find. The numbers are random: large enough to change a picture.
"""

import argparse
import pathlib

import torch
from safetensors import safe_open
from safetensors.torch import save_file

UNET = "model.diffusion_model."
EMBEDDING, TOKENS = 768, 4
# The blocks that have cross-attention, in the order in which IP-Adapter counts them.
BLOCKS = (
    *[f"input_blocks.{i}" for i in (1, 2, 4, 5, 7, 8)],
    *[f"output_blocks.{i}" for i in range(3, 12)],
    "middle_block",
)


class Maker:
    """One file: `state` by key."""

    def __init__(self, seed: int):
        self.generator, self.state = torch.Generator().manual_seed(seed), {}

    def put(self, name: str, *shape: int, gain: float = 1.0):
        """A layer's weight, and a bias where its shape is one of a layer that has some."""
        columns = torch.Size(shape[1:]).numel()
        self.state[f"{name}.weight"] = torch.randn(shape, generator=self.generator) * gain / columns**0.5

    def with_bias(self, name: str, *shape: int, gain: float = 1.0):
        self.put(name, *shape, gain=gain)
        self.state[f"{name}.bias"] = torch.randn(shape[0], generator=self.generator) * 0.05

    def save(self, path: pathlib.Path):
        save_file({key: tensor.contiguous() for key, tensor in self.state.items()}, path)


def ip_adapter(keys: "list[tuple[int, int]]") -> Maker:
    """keys: of each of BLOCKS, the shape of what makes its keys, (channels, context)."""
    made, context = Maker(21), keys[0][1]
    made.with_bias("image_proj.proj", TOKENS * context, EMBEDDING)
    made.state["image_proj.norm.weight"], made.state["image_proj.norm.bias"] = torch.ones(context), torch.zeros(context)
    for number, shape in enumerate(keys):
        for what in ("k", "v"):
            made.put(f"ip_adapter.{2 * number + 1}.to_{what}_ip", *shape, gain=0.5)
    return made


def lllite(keys: "list[tuple[int, int]]", embedding: int = 8, inner: int = 8) -> Maker:
    made = Maker(22)
    for block, (channels, _) in zip(BLOCKS, keys):
        name = f"lllite_unet_{block.replace('.', '_')}_1_transformer_blocks_0_attn1_to_q"
        # A picture of 8 x 8 pixels for each of the latent's.
        made.with_bias(f"{name}.conditioning1.0", embedding // 2, 3, 4, 4, gain=2.0)
        made.with_bias(f"{name}.conditioning1.2", embedding, embedding // 2, 2, 2, gain=2.0)
        made.with_bias(f"{name}.down.0", inner, channels)
        made.with_bias(f"{name}.mid.0", inner, inner + embedding, gain=2.0)
        made.with_bias(f"{name}.up.0", channels, inner, gain=2.0)
    return made


def t2iadapter(channels: int) -> Maker:
    made, widths = Maker(23), [channels, 2 * channels, 4 * channels, 4 * channels]
    made.with_bias("conv_in", channels, 192, 3, 3)
    for level, width in enumerate(widths):
        for block in range(2):
            before = widths[level - 1] if level and not block else width
            if before != width:
                made.with_bias(f"body.{2 * level + block}.in_conv", width, before, 1, 1)
            made.with_bias(f"body.{2 * level + block}.block1", width, width, 3, 3)
            made.with_bias(f"body.{2 * level + block}.block2", width, width, 1, 1)
    return made


def make(path: str, folder: pathlib.Path, prefix: str) -> list:
    """Write the files; returns their names. KeyError: the checkpoint's blocks are not SD1.5's."""
    with safe_open(path, "pt") as checkpoint:
        keys = [
            tuple(checkpoint.get_slice(f"{UNET}{block}.1.transformer_blocks.0.attn2.to_k.weight").get_shape())
            for block in BLOCKS
        ]
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"ip_adapter": ip_adapter(keys), "lllite": lllite(keys), "t2iadapter": t2iadapter(keys[0][0])}
    for kind, made in kinds.items():
        made.save(folder / f"{prefix}{kind}.safetensors")
    return [prefix + kind for kind in kinds]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("prefix", nargs="?", default="w2sd_")
    given = parser.parse_args()
    print(*make(given.checkpoint, given.folder, given.prefix))
