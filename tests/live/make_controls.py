"""Writes a small file of what a ControlNet unit can be, for an SD1.x checkpoint:
python make_controls.py CHECKPOINT.safetensors FOLDER [PREFIX]

FOLDER is the WebUI's folder of ControlNet models; the files are named PREFIX + kind:

    ip_adapter  IP-Adapter: four tokens from a picture's embedding of 768 numbers
    lllite      ControlLLLite, which stands in the UNet's own layers
    t2iadapter  T2I-Adapter in its first naming; only where the checkpoint has all of SD1.5's blocks
    union       with --union, ControlNet Union; only for a checkpoint of SD1.5's own width (700 MB)

On A1111 the IP-Adapter, too, wants all of them. On Forge it acts in those that are there, and asks a picture encoder of
a published size: --encoder FOLDER writes one of CLIP's ViT-L (600 MB), by the name that ViT-H has there, into the
WebUI's folder of preprocessors (models/ControlNetPreprocessor). A picture then takes some seconds more.

The live tests use those that they find. The numbers are random: large enough to change a picture.
"""

import argparse
import base64
import io
import pathlib

import torch
from safetensors import safe_open
from safetensors.torch import save_file

UNET = "model.diffusion_model."
EMBEDDING, TOKENS = 768, 4
ENCODER = "CLIP-ViT-H-14.safetensors"  # Forge tells the size by the layers in it, not by its name
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
        columns = torch.Size(shape[1:]).numel()
        self.state[f"{name}.weight"] = torch.randn(shape, generator=self.generator) * gain / columns**0.5

    def with_bias(self, name: str, *shape: int, gain: float = 1.0):
        self.put(name, *shape, gain=gain)
        self.state[f"{name}.bias"] = torch.randn(shape[0], generator=self.generator) * 0.05

    def halved(self):
        self.state = {key: tensor.half() for key, tensor in self.state.items()}
        return self

    def save(self, path: pathlib.Path):
        save_file({key: tensor.contiguous() for key, tensor in self.state.items()}, path)


def ip_adapter(keys: dict, context: int) -> Maker:
    """keys: of each block with cross-attention, the channels of its keys."""
    made = Maker(21)
    made.with_bias("image_proj.proj", TOKENS * context, EMBEDDING)
    made.state["image_proj.norm.weight"], made.state["image_proj.norm.bias"] = torch.ones(context), torch.zeros(context)
    for number, block in enumerate(BLOCKS):
        for what in ("k", "v"):
            # What stands for a block that is not there is never asked.
            made.put(f"ip_adapter.{2 * number + 1}.to_{what}_ip", keys.get(block, 8), context, gain=0.5)
    # On a CPU, Forge takes float32 as it comes, in the middle of inference mode, which torch refuses.
    return made.halved()


def lllite(keys: dict, downsamplings: "list[int]", embedding: int = 8, half: int = 4, inner: int = 8) -> Maker:
    """In the input blocks alone. downsamplings: the numbers of those that make the picture half as large; so one place
    of a block stands for 8, 16 or 32 pixels a side."""
    made = Maker(22)
    for block, channels in keys.items():
        kind, _, number = block.partition(".")
        level = sum(down < int(number or 0) for down in downsamplings)
        if kind != "input_blocks" or level > 2:
            continue
        name = f"lllite_unet_{block.replace('.', '_')}_1_transformer_blocks_0_attn1_to_q"
        made.with_bias(f"{name}.conditioning1.0", half, 3, 4, 4, gain=2.0)
        if level == 2:
            made.with_bias(f"{name}.conditioning1.2", half, half, 4, 4, gain=2.0)
        side = 4 if level == 1 else 2
        made.with_bias(f"{name}.conditioning1.{4 if level == 2 else 2}", embedding, half, side, side, gain=2.0)
        made.with_bias(f"{name}.down.0", inner, channels)
        made.with_bias(f"{name}.mid.0", inner, inner + embedding, gain=2.0)
        made.with_bias(f"{name}.up.0", channels, inner, gain=4.0)
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


def union(checkpoint, types: int = 8) -> Maker:
    """The checkpoint's own encoder, as a ControlNet's training starts from, and what Union has beside it."""
    made, width, inner = Maker(25), 320, 1280
    for key in checkpoint.keys():
        if key.startswith(tuple(UNET + part for part in ("time_embed.", "input_blocks.", "middle_block."))):
            made.state[key[len(UNET) :]] = checkpoint.get_tensor(key)
    hints = (3, 16, 16, 32, 32, 96, 96, 256, width)
    for number, (before, after) in enumerate(zip(hints, hints[1:])):
        made.with_bias(f"input_hint_block.{2 * number}", after, before, 3, 3, gain=1.5)
    for number, channels in enumerate([width] * 4 + [2 * width] * 3 + [4 * width] * 5):
        made.with_bias(f"zero_convs.{number}.0", channels, channels, 1, 1, gain=0.3)
    made.with_bias("middle_block_out.0", 4 * width, 4 * width, 1, 1, gain=0.3)
    made.state["task_embedding"] = torch.randn(types, width, generator=made.generator)
    layer = "transformer_layes.0"  # as its files have it
    made.with_bias(f"{layer}.attn.in_proj", 3 * width, width)
    for end in ("weight", "bias"):
        made.state[f"{layer}.attn.in_proj_{end}"] = made.state.pop(f"{layer}.attn.in_proj.{end}")
    made.with_bias(f"{layer}.attn.out_proj", width, width)
    for name in ("ln_1", "ln_2"):
        made.state[f"{layer}.{name}.weight"], made.state[f"{layer}.{name}.bias"] = torch.ones(width), torch.zeros(width)
    made.with_bias(f"{layer}.mlp.c_fc", 4 * width, width)
    made.with_bias(f"{layer}.mlp.c_proj", width, 4 * width)
    made.with_bias("spatial_ch_projs", width, width)
    made.with_bias("control_add_embedding.linear_1", inner, 256 * types)
    made.with_bias("control_add_embedding.linear_2", inner, inner)
    return made.halved()


def encoder(width: int = 1024, layers: int = 24) -> Maker:
    made = Maker(24)
    made.state["vision_model.embeddings.class_embedding"] = torch.randn(width, generator=made.generator)
    made.put("vision_model.embeddings.patch_embedding", width, 3, 14, 14)
    made.put("vision_model.embeddings.position_embedding", 257, width)
    norms, within = ["vision_model.pre_layrnorm", "vision_model.post_layernorm"], "vision_model.encoder.layers"
    for layer in range(layers):
        norms += [f"{within}.{layer}.layer_norm{i}" for i in (1, 2)]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            made.with_bias(f"{within}.{layer}.self_attn.{name}", width, width)
        made.with_bias(f"{within}.{layer}.mlp.fc1", 4 * width, width)
        made.with_bias(f"{within}.{layer}.mlp.fc2", width, 4 * width)
    for name in norms:
        made.state[f"{name}.weight"], made.state[f"{name}.bias"] = torch.ones(width), torch.zeros(width)
    made.put("visual_projection", EMBEDDING, width)
    return made.halved()


def embedding() -> str:
    """What a picture encoder says of some picture, as A1111's ControlNet takes it."""
    buffer = io.BytesIO()
    numbers = torch.randn(1, EMBEDDING, generator=torch.Generator().manual_seed(5))
    torch.save({"image_embeds": numbers}, buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def make(path: str, folder: pathlib.Path, prefix: str, with_union: bool) -> list:
    """Write the files; returns their names."""
    ending = ".1.transformer_blocks.0.attn2.to_k.weight"
    with safe_open(path, "pt") as checkpoint:
        names = sorted(key[len(UNET) :] for key in checkpoint.keys() if key.startswith(UNET))
        shapes = {
            name[: -len(ending)]: checkpoint.get_slice(UNET + name).get_shape()
            for name in names
            if name.endswith(ending)
        }
        kinds = {"union": union(checkpoint)} if with_union else {}
    keys = {block: channels for block, (channels, _) in shapes.items()}
    _, context = next(iter(shapes.values()))
    downsamplings = [int(name.split(".")[1]) for name in names if name.endswith(".0.op.weight")]
    kinds |= {"ip_adapter": ip_adapter(keys, context), "lllite": lllite(keys, downsamplings)}
    if set(keys) == set(BLOCKS):
        kinds["t2iadapter"] = t2iadapter(keys[BLOCKS[0]])
    folder.mkdir(parents=True, exist_ok=True)
    for kind, made in kinds.items():
        made.save(folder / f"{prefix}{kind}.safetensors")
    return [prefix + kind for kind in kinds]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("prefix", nargs="?", default="w2sd_")
    parser.add_argument("--encoder", type=pathlib.Path, metavar="FOLDER", help="write Forge's picture encoder, too")
    parser.add_argument("--union", action="store_true")
    given = parser.parse_args()
    if given.encoder:
        given.encoder.mkdir(parents=True, exist_ok=True)
        encoder().save(given.encoder / ENCODER)
    print(*make(given.checkpoint, given.folder, given.prefix, given.union))
