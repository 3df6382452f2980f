"""Writes small motion modules for the extension sd-webui-animatediff on AUTOMATIC1111's WebUI, and a motion LoRA:
python make_motion.py EXTENSION LORAS [--channels 32]

EXTENSION is that extension's folder, where they go under model/, LORAS the WebUI's folder of LoRAs:

    w2sd_motion_v1    the first AnimateDiff: the UNet's normalisations are over a side's frames, too
    w2sd_motion_v2    in the middle block as well
    w2sd_motion_v3    as the first, without that
    w2sd_motion_xl    for SDXL
    w2sd_motion_lora  of the second

The extension knows motion modules of the published width alone, 320 channels in the first block. Written into its
motion_module.py is that those whose names begin with w2sd_motion are as narrow as the tests' checkpoints; any other is
as before.

The live tests use those that they find. The numbers are random: large enough to change a picture.
"""

import argparse
import math
import pathlib

import torch
from safetensors.torch import save_file

PREFIX = "w2sd_motion"
LORA = f"{PREFIX}_lora"
PUBLISHED = 320
LEVELS = (1, 2, 4, 4)  # channels of the blocks, in those of the first
FRAMES = {"v1": 24}  # the longest context; of the others 32
# The lines that the extension has, what is written below the first, and in the place of the second.
WIDTHS = "        in_channels = (320, 640, 1280) if self.is_xl else (320, 640, 1280, 1280)\n"
NARROWER = (
    '        if mm_name.startswith("{prefix}"):  # a small one, for tests\n'
    "            in_channels = tuple(channels * {channels} // {published} for channels in in_channels)\n"
)
MIDDLE, NARROWER_MIDDLE = "self.mid_block = MotionModule(1280,", "self.mid_block = MotionModule(in_channels[-1],"


def positions(frames: int, channels: int) -> torch.Tensor:
    """Sines and cosines [1, frames, channels], as the motion module has them."""
    frequencies = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000) / channels))
    at = torch.arange(frames)[:, None] * frequencies
    return torch.stack((at.sin(), at.cos()), dim=-1).reshape(1, frames, channels)


def temporal_transformer(name: str, channels: int, frames: int, generator: torch.Generator) -> dict:
    state = {}

    def linear(key: str, outputs: int, inputs: int, gain: float = 1.0, bias: bool = True):
        state[f"{name}.{key}.weight"] = torch.randn(outputs, inputs, generator=generator) * gain / inputs**0.5
        if bias:
            state[f"{name}.{key}.bias"] = torch.randn(outputs, generator=generator) * 0.05

    def norm(key: str):
        state[f"{name}.{key}.weight"], state[f"{name}.{key}.bias"] = torch.ones(channels), torch.zeros(channels)

    norm("norm")
    linear("proj_in", channels, channels)
    block = "transformer_blocks.0"
    for number in range(2):
        attention = f"{block}.attention_blocks.{number}"
        for what in ("to_q", "to_k", "to_v"):
            linear(f"{attention}.{what}", channels, channels, bias=False)
        linear(f"{attention}.to_out.0", channels, channels)
        state[f"{name}.{attention}.pos_encoder.pe"] = positions(frames, channels)
        norm(f"{block}.norms.{number}")
    linear(f"{block}.ff.net.0.proj", 8 * channels, channels)
    linear(f"{block}.ff.net.2", channels, 4 * channels)
    norm(f"{block}.ff_norm")
    linear("proj_out", channels, channels, gain=0.3)
    return state


def motion_module(kind: str, channels: int) -> dict:
    """Its tensors by name."""
    generator, frames, state = torch.Generator().manual_seed(31), FRAMES.get(kind, 32), {}
    widths = [channels * level for level in (LEVELS[:3] if kind == "xl" else LEVELS)]
    places = [("down_blocks", number, 2, width) for number, width in enumerate(widths)]
    places += [("up_blocks", number, 3, width) for number, width in enumerate(reversed(widths))]
    if kind == "v2":
        places.append(("mid_block", None, 1, widths[-1]))
    for block, number, count, width in places:
        for one in range(count):
            parts = [block, *([] if number is None else [str(number)]), "motion_modules", str(one)]
            state |= temporal_transformer(".".join([*parts, "temporal_transformer"]), width, frames, generator)
    return state


def widest_first(state: dict) -> dict:
    """The same with the widest blocks first. The extension takes a motion module whose first positions have a 32 in
    their shape for one of 32 frames, be it the channels."""
    return dict(sorted(state.items(), key=lambda item: item[0].startswith(("down_blocks.0.", "up_blocks.3."))))


def motion_lora(module: dict, rank: int = 2) -> dict:
    """A LoRA of the motion module's attention, by the names of the layers that the WebUI's own LoRAs have."""
    generator, state = torch.Generator().manual_seed(32), {}
    for key, tensor in module.items():
        name, _, rest = key.rpartition("attention_blocks.")
        if name and rest.endswith(("to_q.weight", "to_k.weight", "to_v.weight")):
            number, what, _ = rest.split(".")
            place = f"{name}attention_blocks.{number}.{what}".replace(".", "_")
            outputs, inputs = tensor.shape
            state[f"{place}.lora_down.weight"] = torch.randn(rank, inputs, generator=generator) / inputs**0.5
            state[f"{place}.lora_up.weight"] = torch.randn(outputs, rank, generator=generator)
            state[f"{place}.alpha"] = torch.tensor(float(rank))
    return state


def narrowed(extension: pathlib.Path, channels: int) -> None:
    """Write it into the extension, once."""
    path = extension / "motion_module.py"
    text = path.read_text()
    added = NARROWER.format(prefix=PREFIX, channels=channels, published=PUBLISHED)
    if added in text:
        return
    if WIDTHS not in text or MIDDLE not in text:
        raise SystemExit(f"{path} does not say its channels as it did in September 2024.")
    path.write_text(text.replace(WIDTHS, WIDTHS + added).replace(MIDDLE, NARROWER_MIDDLE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extension", type=pathlib.Path)
    parser.add_argument("loras", type=pathlib.Path)
    parser.add_argument("--channels", type=int, default=32, help="of the checkpoints' first block")
    args = parser.parse_args()
    narrowed(args.extension, args.channels)
    folder = args.extension / "model"
    folder.mkdir(exist_ok=True)
    for kind in ("v2", "v3", "xl"):
        save_file(motion_module(kind, args.channels), folder / f"{PREFIX}_{kind}.safetensors")
    first = widest_first(motion_module("v1", args.channels))
    # The WebUI reads no pickle of torch's newer kind that has more files in it than it knows.
    torch.save(first, folder / f"{PREFIX}_v1.ckpt", _use_new_zipfile_serialization=False)
    save_file(motion_lora(motion_module("v2", args.channels)), args.loras / f"{LORA}.safetensors")
