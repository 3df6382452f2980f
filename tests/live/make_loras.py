"""Writes a small LoRA file of every kind for a checkpoint: python make_loras.py CHECKPOINT.safetensors FOLDER [PREFIX]

FOLDER is the WebUI's LoRA folder; the files are named PREFIX + kind (w2sd_lora, w2sd_loha, ...). The live tests use
those that they find. The numbers are random: large enough to change a picture, small enough not to break one.
"""

import argparse
import math
import pathlib

import torch
from safetensors import safe_open
from safetensors.torch import save_file

UNET = "model.diffusion_model."
LINEAR = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "ff.net.0.proj.weight", "ff.net.2.weight")
FLUX_LINEAR = ("qkv.weight", "attn.proj.weight", "mlp.0.weight", "mlp.2.weight", "linear1.weight", "linear2.weight")
CONV = ("in_layers.2.weight", "out_layers.3.weight", "0.op.weight", "proj_in.weight", "skip_connection.weight")
NORM = ("in_layers.0.weight", "out_layers.0.weight", "norm1.weight", "norm3.weight")


class Maker:
    """One file: `state` by key; `layers` are (name in the file, weight's shape)."""

    def __init__(self, seed: int, gain: float):
        self.generator, self.state, self.gain = torch.Generator().manual_seed(seed), {}, gain

    def normal(self, *shape, std=1.0):
        return torch.randn(shape, generator=self.generator) * std

    def put(self, name, **tensors):
        self.state.update({f"{name}.{key.replace('__', '.')}": t.contiguous() for key, t in tensors.items()})

    def pair(self, rows: int, columns: int, rank: int):
        """up [rows, rank], down [rank, columns]; their product is as large as `gain` times a usual weight."""
        return self.normal(rows, rank, std=self.gain / rank**0.5), self.normal(rank, columns, std=columns**-0.5)

    def lora(self, name, shape, rank=4, mid=False, dora=None):
        up, down = self.pair(shape[0], math.prod(shape[1:]), rank)
        alpha = torch.tensor(rank / 2.0)
        if len(shape) == 2:
            self.put(name, lora_up__weight=up, lora_down__weight=down, alpha=alpha)
        elif mid and shape[2] > 1:
            self.put(
                name,
                lora_up__weight=up[:, :, None, None],
                lora_mid__weight=self.normal(rank, rank, *shape[2:], std=rank**-0.5),
                lora_down__weight=self.normal(rank, shape[1], 1, 1, std=shape[1] ** -0.5),
                alpha=alpha,
            )
        else:
            down = down.reshape(rank, *shape[1:])
            self.put(name, lora_up__weight=up[:, :, None, None], lora_down__weight=down, alpha=alpha)
        if dora is not None:
            norm = dora.transpose(0, 1).flatten(1).norm(dim=1).reshape(1, shape[1], *[1] * (len(shape) - 2))
            self.put(name, dora_scale=norm * (1 + 0.1 * self.normal(*norm.shape)))

    def loha(self, name, shape, rank=4):
        if len(shape) == 4 and shape[2] > 1:
            tensors = {}
            for i in (1, 2):
                tensors[f"hada_t{i}"] = self.normal(rank, rank, *shape[2:], std=rank**-0.5)
                tensors[f"hada_w{i}_a"] = self.normal(rank, shape[0], std=self.gain**0.5 / rank**0.5)
                tensors[f"hada_w{i}_b"] = self.normal(rank, shape[1], std=shape[1] ** -0.25 / 2)
        else:
            columns, tensors = math.prod(shape[1:]), {}
            for i in (1, 2):
                tensors[f"hada_w{i}_a"] = self.normal(shape[0], rank, std=self.gain**0.5 / rank**0.5)
                tensors[f"hada_w{i}_b"] = self.normal(rank, columns, std=columns**-0.25)
        self.put(name, **tensors, alpha=torch.tensor(rank / 2.0))

    def lokr(self, name, shape, rank=4):
        rows, columns = shape[0] // 4, math.prod(shape[1:]) // 2
        self.put(
            name,
            lokr_w1=self.normal(4, 2),
            lokr_w2_a=self.normal(rows, rank, std=self.gain * columns**-0.5),
            lokr_w2_b=self.normal(rank, columns, std=rank**-0.5),
            alpha=torch.tensor(rank / 2.0),
        )

    def ia3(self, name, shape):
        on_input = "to_out" in name
        size = shape[1] if on_input else shape[0]
        self.put(name, weight=self.normal(size, std=self.gain), on_input=torch.tensor(on_input))

    def oft(self, name, shape, blocks=4):
        size = shape[0] // blocks
        self.put(name, oft_blocks=self.normal(blocks, size, size, std=self.gain / size**0.5), alpha=torch.tensor(1.0))

    def glora(self, name, shape, rank=4):
        a1, b1 = self.normal(rank, shape[1], std=shape[1] ** -0.5), self.normal(rank, shape[1], std=shape[1] ** -0.5)
        a2, b2 = (self.normal(rows, rank, std=self.gain / rank**0.5) for rows in (shape[1], shape[0]))
        self.put(name, a1__weight=a1, a2__weight=a2, b1__weight=b1, b2__weight=b2, alpha=torch.tensor(rank * 1.0))

    def norm(self, name, shape):
        self.put(name, w_norm=self.normal(*shape, std=self.gain), b_norm=self.normal(*shape, std=self.gain / 4))

    def full(self, name, shape, bias: bool):
        self.put(name, diff=self.normal(*shape, std=self.gain * math.prod(shape[1:]) ** -0.5))
        if bias:
            self.put(name, diff_b=self.normal(shape[0], std=self.gain / 4))


def layers(checkpoint, endings):
    """The network's layers: (key in the file, name in a LoRA file, weight's shape)."""
    names = sorted(checkpoint.keys())
    prefix = UNET if any(name.startswith(UNET) for name in names) else ""  # Flux is published without one
    for key in names:
        if key.startswith(prefix) and key.endswith(endings):
            name = "lora_unet_" + key[len(prefix) : -len(".weight")].replace(".", "_")
            yield key, name, tuple(checkpoint.get_slice(key).get_shape())


def make(path: str, folder: pathlib.Path, prefix: str, gain: float) -> list:
    """Write the files; returns their names."""
    written = []

    def write(kind, fill, endings, seed):
        maker = Maker(seed, gain)
        for key, name, shape in layers(checkpoint, endings):
            fill(maker, key, name, shape)
        if maker.state:
            save_file(maker.state, folder / f"{prefix}{kind}.safetensors")
            written.append(prefix + kind)

    folder.mkdir(parents=True, exist_ok=True)
    with safe_open(path, "pt") as checkpoint:
        keys = set(checkpoint.keys())
        flux = any("double_blocks" in key for key in keys)
        linear = FLUX_LINEAR if flux else LINEAR
        has_bias = {key for key in keys if key[: -len("weight")] + "bias" in keys}
        every, few = linear + CONV, linear[2:4] + CONV[:1]
        write("lora", lambda m, key, name, shape: m.lora(name, shape), linear, 1)
        write("lora2", lambda m, key, name, shape: m.lora(name, shape, rank=2), linear[:2], 2)
        write("rank64", lambda m, key, name, shape: m.lora(name, shape, rank=64), linear, 3)
        write("locon", lambda m, key, name, shape: m.lora(name, shape), every, 4)
        write("locon_mid", lambda m, key, name, shape: m.lora(name, shape, mid=True), every, 5)
        write("loha", lambda m, key, name, shape: m.loha(name, shape), every, 6)
        write("lokr", lambda m, key, name, shape: m.lokr(name, shape), every, 7)
        write("glora", lambda m, key, name, shape: m.glora(name, shape), linear, 8)
        write("norm", lambda m, key, name, shape: m.norm(name, shape), NORM, 9)
        write("full", lambda m, key, name, shape: m.full(name, shape, key in has_bias), few, 10)
        write(
            "dora",
            lambda m, key, name, shape: m.lora(name, shape, dora=checkpoint.get_tensor(key).float()),
            every,
            11,
        )
        write("ia3", lambda m, key, name, shape: m.ia3(name, shape), linear[1:4], 12)
        write("oft", lambda m, key, name, shape: m.oft(name, shape), few, 13)
        text_encoder = Maker(14, gain)
        for key in sorted(keys):
            _, found, layer = key.partition("text_model.encoder.layers.")
            if found and "self_attn" in layer and layer.endswith("proj.weight") and "conditioner" not in key:
                name = "lora_te_text_model_encoder_layers_" + layer[: -len(".weight")].replace(".", "_")
                text_encoder.lora(name, tuple(checkpoint.get_slice(key).get_shape()))
        if text_encoder.state:
            save_file(text_encoder.state, folder / f"{prefix}te.safetensors")
            written.append(f"{prefix}te")
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("prefix", nargs="?", default="w2sd_")
    parser.add_argument("--gain", type=float, default=0.5, help="size of the change, in usual weights")
    given = parser.parse_args()
    written = make(given.checkpoint, given.folder, given.prefix, given.gain)
    if not written:
        parser.exit(1, f"{given.checkpoint}: no layer of a network is known in it\n")
    print(*written)
