"""A CLIP of our own that can serve as a reward in a WebUI: transformers' CLIPModel, small, trained on the same emoji.

Its prompts go through the diffusion model's text encoder, which stays as it is; its picture encoder is its own. The
judge of the reports never sees it, so that what it chooses can be judged by another.
"""

import functools
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPVisionConfig

from . import data, judge, models, text, weights
from .text import Tokens

FILE, NAME = "clip.safetensors", "emoji-clip"
GRAY = [0.5, 0.5, 0.5]


def new(rows: int) -> CLIPModel:
    """With random weights; `rows` of the text encoder's embedding."""
    vision = CLIPVisionConfig(
        hidden_size=text.WIDTH,
        intermediate_size=3 * text.WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=data.SIZE,
        patch_size=8,
    )
    told = text.config(rows).to_dict()
    return CLIPModel(CLIPConfig(text_config=told, vision_config=vision.to_dict(), projection_dim=text.WIDTH))


def with_prompts(model: CLIPModel, encoder: torch.nn.Module) -> CLIPModel:
    """`model` with the text encoder's weights, which training leaves alone."""
    found = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
    model.text_model.load_state_dict(found)
    model.text_model.requires_grad_(False)
    return model


def save(path: Path, model: CLIPModel, about: dict) -> Path:
    kept = {
        name: v for name, v in model.state_dict().items() if not name.startswith("text_model.") and "_ids" not in name
    }
    return weights.save(path, kept, about)


@functools.cache
def load(folder: Path = weights.FOLDER) -> "tuple[CLIPModel, Tokens]":
    encoder, tokens = models.load_text(folder)
    model = with_prompts(new(len(tokens)), encoder)
    model.load_state_dict(weights.read(folder / FILE)[0], strict=False)
    return model.eval().requires_grad_(False), tokens


@torch.inference_mode()
def reward(x: torch.Tensor, texts) -> torch.Tensor:
    """Of each picture [N, 3, 64, 64], from 0 to 1, with its prompt: [N], 100 where they are one."""
    model, tokens = load()
    return model(input_ids=tokens.ids(list(texts)), pixel_values=x * 2 - 1).logits_per_image.diagonal()


@torch.inference_mode()
def features(x: torch.Tensor) -> torch.Tensor:
    """Of pictures [N, 3, 64, 64] from 0 to 1: [N, W]."""
    model = load()[0]
    return torch.cat([model.visual_projection(model.vision_model(part * 2 - 1).pooler_output) for part in x.split(256)])


def write(folder: Path) -> Path:
    """The folder that transformers reads, with CLIP's whole vocabulary: for models/rewards of a WebUI."""
    model, tokens = load()
    whole = new(text.FULL)
    state = model.state_dict()
    embedding = next(name for name in state if name.endswith("token_embedding.weight"))
    whole.load_state_dict({**state, embedding: tokens.full(state[embedding])}, strict=False)
    for name, value in (("bos", text.START), ("eos", text.END), ("pad", text.END)):
        setattr(whole.config.text_config, f"{name}_token_id", value)
    whole.half().save_pretrained(folder)
    size = {"size": {"shortest_edge": data.SIZE}, "crop_size": {"height": data.SIZE, "width": data.SIZE}}
    processor = CLIPImageProcessor(**size, image_mean=GRAY, image_std=GRAY)
    text.write_tokenizer(folder)
    CLIPProcessor(processor, text.tokenizer()).save_pretrained(folder)
    processor.save_pretrained(folder)
    for newer in ("processor_config.json", "tokenizer.json"):  # which older versions of transformers do not read
        (folder / newer).unlink(missing_ok=True)
    text.write_tokenizer(folder)
    return folder


def train(folder: Path, steps: int = 500, batch: int = 96):
    """Prompts with and without what they may leave out; pictures as the judge sees them."""
    from . import optimiser
    from .resumable import Run

    pictures, told = data.load()
    encoder, tokens = models.load_text()
    torch.manual_seed(8)
    model = with_prompts(new(len(tokens)), encoder)
    model.logit_scale.data.fill_(3.0)
    run = Run("clip", model, optimiser.muon(model, 3e-3, adam=("embedding",)), folder, steps, seed=8)
    pairs = judge.Told(pictures, told, tokens)

    def loss_of(model, generator):
        def likeness(x, ids):
            return model(input_ids=ids, pixel_values=x).logits_per_image

        return pairs.loss(likeness, batch, generator), {}

    run.go(loss_of)
    done = run.averaged.eval()
    done.logit_scale.data.fill_(torch.log(torch.tensor(100.0)))  # as CLIP's own: a score in percent
    about = {"steps": steps, "batch": batch, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
    with torch.inference_mode():
        every = done(input_ids=pairs.ids, pixel_values=pictures.float() / 127.5 - 1).logits_per_image
    about["right prompt of all, real pictures"] = pairs.right(every)
    print(about)
    save(weights.FOLDER / FILE, done, about)
    return run
