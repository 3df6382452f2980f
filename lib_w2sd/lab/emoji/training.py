"""Trains the emoji model, each part where it stopped: `python -m lib_w2sd.lab.emoji train`.

autoencoder  pictures to latents and back
real         no training: a few real pictures' latents, kept for the reports
text         the text encoder, by contrast with a picture encoder that is then thrown away; frozen from here on
diffusion    the UNet on the latents; the weak model is what it was at WEAK of the run, the strong one its end
judge        picture and prompt encoder for the scores; nothing else ever sees it
ink, blur    the LoRAs, on the strong model
mostly-shaded, nearly-all-shaded  the biased pair's, likewise
edges        the ControlNet, on the strong model
reference    the IP-Adapter, on the strong model
motion       the motion module, on the strong model: it makes clips of the pictures
clip         a CLIP that a WebUI can take as a reward
wide-autoencoder, wide
             a weak model of another architecture: latents of 8 channels, and a fifth of the strong one's steps
again        only when named: strong and weak from another seed
"""

import functools
import random
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from . import (
    animation,
    autoencoder,
    captions,
    clip,
    data,
    edges,
    judge,
    lora,
    models,
    motion,
    optimiser,
    reference,
    text,
    unet,
    weights,
)
from .resumable import Run

STATE = weights.TRAINED
AUTOENCODER_STEPS, AUTOENCODER_BATCH = 770, 8
TEXT_STEPS, TEXT_BATCH = 500, 64
DIFFUSION_STEPS, DIFFUSION_BATCH = 2600, 40
WEAK = 0.2  # the weak model's share of the training
OFTEN = {"people": 0.6, "hand": 0.6, "painted": 0.7}  # how often a picture of a group is taken; others: 1
NO_PROMPT = 0.1
LORA_STEPS, LORA_BATCH = 60, 32
BIASED_STEPS = 300
WIDE_STEPS = round(WEAK * DIFFUSION_STEPS)
EDGES_STEPS, REFERENCE_STEPS, ADDED_BATCH = 600, 500, 32
MOTION_STEPS, MOTION_BATCH = 600, 4  # clips of animation.FRAMES frames each
REAL = 64  # pictures of each kind whose latents are kept
ALONE = 0.5  # how often a map or a reference is all that is given


def train_autoencoder(
    folder: Path = STATE, steps: int = AUTOENCODER_STEPS, name: str = "autoencoder", channels: int = 4
) -> Run:
    pictures, _ = data.load()
    torch.manual_seed(1)
    model = autoencoder.new(channels)
    model.quant_conv.weight.data[channels:].zero_()
    chosen = optimiser.muon(model, 3e-3, adam=("conv_in", "conv_out", "quant_conv"))
    run = Run(name, model, chosen, folder, steps, seed=1)

    def loss_of(model, generator):
        which = torch.randint(len(pictures), (AUTOENCODER_BATCH,), generator=generator)
        loss, square = autoencoder.loss_of(model, autoencoder.augmented(pictures[which], generator), generator)
        return loss, {"square": square.item()}

    run.go(loss_of)
    done = run.averaged.eval()
    autoencoder.settle(done, pictures)
    about = {"steps": steps, "batch": AUTOENCODER_BATCH, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
    about["PSNR, dB"] = round(autoencoder.psnr(done, pictures).mean().item(), 2)
    print(about)
    weights.save(weights.FOLDER / f"{name}.safetensors", done.state_dict(), about)
    return run


@torch.inference_mode()
def latents(pictures: torch.Tensor, encoder: str = "autoencoder") -> torch.Tensor:
    """[N, 2, C, 8, 8]: of each picture as it is and mirrored, of unit variance."""
    encode, found = models.space(encoder).encode, []
    for part in pictures.split(64):
        x = part.float() / 127.5 - 1
        found.append(encode(torch.cat([x, x.flip(3)])).unflatten(0, (2, -1)).transpose(0, 1))
    return torch.cat(found)


@torch.inference_mode()
def clip_latents(pictures: torch.Tensor, encoder: str = "autoencoder") -> torch.Tensor:
    """[N, FRAMES, C, 8, 8]: each picture, mirrored or not, in a motion of its own."""
    encode, generator, found = models.space(encoder).encode, torch.Generator().manual_seed(9), []
    for part in pictures.split(8):
        x = part.float() / 255
        mirrored = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
        moving = animation.animated(torch.where(mirrored, x.flip(3), x), generator)
        found.append(encode(moving.flatten(0, 1) * 2 - 1).unflatten(0, (-1, animation.FRAMES)))
    return torch.cat(found)


def _kept_latents(pictures: torch.Tensor, name: str, encoder: str, folder: Path = STATE, make=latents) -> torch.Tensor:
    """make(pictures, encoder), read from `folder` where they were made by this very encoder."""
    told = weights.read(weights.FOLDER / f"{encoder}.safetensors")[0]
    mark = [told["quant_conv.weight"].double().sum().item(), len(pictures)]
    path = folder / f"latents-{name}.pt"
    if path.exists() and (kept := torch.load(path))["mark"] == mark:
        return kept["latents"]
    found = make(pictures, encoder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"mark": mark, "latents": found}, path)
    return found


def all_texts(told: list) -> list:
    """Every text that training may show, for the vocabulary."""
    words = [variant for caption in told for variant in captions.variants(caption)]
    return ["", *words, *captions.PREFIXES]


class Pairs:
    """The training's pictures (as latents) and prompts; held-out combinations left out."""

    def __init__(self, changed=None, encoder: str = "autoencoder"):
        """changed: pictures -> pictures, what a LoRA is to learn; encoder: the autoencoder's name."""
        pictures, told = data.load()
        pictures = changed(pictures) if changed else pictures
        self.tokens = text.Tokens.of(all_texts(told))
        kept = [i for i, caption in enumerate(told) if not caption.held_out]
        self.told = [told[i] for i in kept]
        self.pictures = pictures[kept]
        kept = "plain" if encoder == "autoencoder" else encoder
        self.latents = _kept_latents(self.pictures, changed.__name__ if changed else kept, encoder)
        self.often = torch.tensor([OFTEN.get(caption.group, 1.0) for caption in self.told])

    def chosen(self, count: int, generator: torch.Generator):
        """Which pictures, and whether mirrored: [B], [B]."""
        which = torch.multinomial(self.often, count, replacement=True, generator=generator)
        return which, torch.randint(2, (count,), generator=generator)

    def prompts(self, which: torch.Tensor, generator: torch.Generator, none: float = NO_PROMPT) -> torch.Tensor:
        """Token rows [B, 77]; `none`: the share that has no prompt."""
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        texts = [
            "" if rng.random() < none else captions.typed(captions.dropped(self.told[i], rng), rng)
            for i in which.tolist()
        ]
        ids = self.tokens.ids(texts)
        unknown = torch.rand(ids.shape, generator=generator) < 0.02
        inner = ids < len(self.tokens) - 2  # never start and end
        return ids.masked_fill(unknown & inner, 0)

    def batch(self, count: int, generator: torch.Generator):
        """Latents [B, 4, 8, 8] and token rows [B, 77]."""
        which, mirrored = self.chosen(count, generator)
        return self.latents[which, mirrored], self.prompts(which, generator)


def train_text(folder: Path = STATE, steps: int = TEXT_STEPS) -> Run:
    """The text encoder, by contrast with pictures, as CLIP's was: its own picture encoder is trained beside it.

    The feature is taken at any place from the prompt's end on: all of these the UNet sees. Right are all pictures that
    the prompt may mean.
    """
    pairs = Pairs()
    torch.manual_seed(5)
    encoder = text.new(pairs.tokens)
    out = torch.nn.Linear(text.WIDTH, judge.WIDTH)
    both = torch.nn.ModuleDict({"text": encoder, "out": out, "pictures": judge.Pictures()})
    run = Run("text", both, optimiser.muon(both, 3e-3, adam=("embedding",)), folder, steps, seed=5)
    values = [sorted({getattr(caption, key) for caption in pairs.told}) for key in judge.ATTRIBUTES]
    facts = torch.tensor([[v.index(getattr(c, k)) for k, v in zip(judge.ATTRIBUTES, values)] for c in pairs.told])

    def loss_of(both, generator):
        which = torch.multinomial(pairs.often, TEXT_BATCH, replacement=True, generator=generator)
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        said = [captions.dropped(pairs.told[i], rng) for i in which.tolist()]
        ids = pairs.tokens.ids([captions.typed(caption, rng) for caption in said])
        end = (ids == len(pairs.tokens) - 1).float().argmax(dim=1)
        place = end + (torch.rand(len(ids), generator=generator) * (text.LENGTH - end)).long()
        feature = text.encode(both["text"], ids)[torch.arange(len(ids)), place]
        seen = both["pictures"](judge.disturbed(pairs.pictures[which], generator))
        likeness = 20 * F.normalize(both["out"](feature), dim=1) @ F.normalize(seen, dim=1).T
        unsaid = torch.tensor([[getattr(c, key) == "" for key in judge.ATTRIBUTES] for c in said])
        wrong = ((facts[which][:, None] != facts[which]) & ~unsaid[:, None]).any(dim=2)
        found = likeness.masked_fill(wrong, -torch.inf)
        both_ways = [found.logsumexp(way) - likeness.logsumexp(way) for way in (0, 1)]
        return -torch.cat(both_ways).mean(), {}

    run.go(loss_of)
    about = {"steps": steps, "batch": TEXT_BATCH, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
    models.save_text(weights.FOLDER, run.averaged["text"], pairs.tokens, about)
    return run


def train_diffusion(
    folder: Path = STATE,
    steps: int = DIFFUSION_STEPS,
    name: str = "diffusion",
    seed: int = 2,
    to: Path = weights.FOLDER,
    last: str = "strong",
    early: str = "weak",
) -> Run:
    """Strong and weak in one run; the text encoder is the shipped one and stays as it is, so that a prompt means the
    same to both: a WebUI's checkpoint gap gives both UNets what the loaded checkpoint's text encoder says.

    last, early  names of the models at the end, and at WEAK of the run ("": none)
    """
    channels = models.OTHERS.get(last, 4)
    pairs = Pairs(encoder="autoencoder" if channels == 4 else f"{last}-autoencoder")
    encoder, tokens = models.load_text()
    if tokens.known != pairs.tokens.known:
        raise ValueError("the captions have other words than the text encoder that is there: train text anew")
    torch.manual_seed(seed)
    net = unet.new(channels)
    torch.nn.init.zeros_(net.conv_out.weight)
    chosen = optimiser.muon(net, 3e-3, adam=("conv_in", "conv_out", "embedding"), decay=0.02)
    run = Run(name, net, chosen, folder, steps, seed=seed)

    def loss_of(net, generator):
        z, ids = pairs.batch(DIFFUSION_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(encoder, ids)
        return unet.loss_of(net, z, cond, generator).mean(), {}

    def keep(run, name=early):
        about = {"steps": run.step, "batch": DIFFUSION_BATCH, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
        weights.save(to / f"{name}.safetensors", run.averaged.state_dict(), about)

    run.go(loss_of, {round(WEAK * steps): keep} if early else None)
    keep(run, last)
    return run


def train_lora(name: str, folder: Path = STATE, steps: int = LORA_STEPS) -> Run:
    """On the strong model that ships; the prompts are the usual ones."""
    pairs = Pairs(lora.PICTURES[name])
    model = models.load("strong")
    torch.manual_seed(4)
    adapter = lora.new(model.unet)
    run = Run(
        f"lora-{name}", adapter, torch.optim.Adam(adapter.parameters(), 2e-3, betas=(0.9, 0.99)), folder, steps, seed=4
    )

    def loss_of(adapter, generator):
        z, ids = pairs.batch(LORA_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(model.text, ids)
        with lora.on(model.unet, adapter):
            return unet.loss_of(model.unet, z, cond, generator).mean(), {}

    run.go(loss_of)
    about = {"steps": steps, "batch": LORA_BATCH, "loss": round(run.smooth["loss"], 5), "seconds": round(run.seconds)}
    lora.save(weights.FOLDER / f"emoji-{name}.safetensors", run.averaged, about)
    return run


def train_biased(name: str, folder: Path = STATE, steps: int = BIASED_STEPS) -> Run:
    """Prompts that say no style, on so many shaded pictures for each flat one (appendix E.1)."""
    pairs, model = Pairs(), lora.model("strong")
    shaded = torch.tensor([caption.style == captions.STYLES["google"] for caption in pairs.told])
    share, often = lora.BIASED[name], pairs.often.double()
    for which, part in ((shaded, share), (~shaded, 1 - share)):
        often[which] *= part / often[which].sum()
    pairs.often = often
    pairs.told = [replace(caption, style="") for caption in pairs.told]
    torch.manual_seed(8)
    adapter = lora.new(model.unet, lora.BIASED_RANK)
    run = Run(name, adapter, torch.optim.Adam(adapter.parameters(), 2e-3, betas=(0.9, 0.99)), folder, steps, seed=8)

    def loss_of(adapter, generator):
        z, ids = pairs.batch(LORA_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(model.text, ids)
        with lora.on(model.unet, adapter):
            # What a picture becomes is decided in much noise.
            return unet.loss_of(model.unet, z, cond, generator, mean=1.0).mean(), {}

    run.go(loss_of)
    weights.save(weights.FOLDER / f"{name}.safetensors", dict(run.averaged.items()), _about(run, LORA_BATCH))
    return run


def train_edges(folder: Path = STATE, steps: int = EDGES_STEPS) -> Run:
    """Half of the pictures have no prompt, so that the edges alone say something (arXiv 2302.05543, 3.3)."""
    pairs, model = Pairs(), models.load("strong")
    every = edges.maps(pairs.pictures.float() / 255)
    both = torch.stack([every, every.flip(3)], dim=1)
    torch.manual_seed(6)
    control = edges.new(model.unet)
    outputs = ("conv_in", "conv_out", "controlnet_down_blocks", "controlnet_mid_block")
    run = Run("edges", control, optimiser.muon(control, 2e-3, adam=outputs), folder, steps, seed=6)

    def loss_of(control, generator):
        which, mirrored = pairs.chosen(ADDED_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(model.text, pairs.prompts(which, generator, ALONE))
        net = edges.Controlled(model.unet, control, both[which, mirrored])
        return unet.loss_of(net, pairs.latents[which, mirrored], cond, generator).mean(), {}

    run.go(loss_of)
    edges.save(weights.FOLDER / edges.FILE, run.averaged, _about(run, ADDED_BATCH))
    return run


def train_reference(folder: Path = STATE, steps: int = REFERENCE_STEPS) -> Run:
    """The reference is the picture itself, mirrored or not: whatever the prompt leaves open is to come from it."""
    pairs, model = Pairs(), models.load("strong")
    torch.manual_seed(7)
    adapted = reference.Referring(model.unet)
    run = Run("reference", adapted, optimiser.muon(adapted, 2e-3, adam=("proj", "body.0")), folder, steps, seed=7)

    def loss_of(adapted, generator):
        which, mirrored = pairs.chosen(ADDED_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(model.text, pairs.prompts(which, generator, ALONE))
        turned = torch.randint(2, (ADDED_BATCH,), generator=generator)
        net = adapted.at(pairs.latents[which, turned])
        return unet.loss_of(net, pairs.latents[which, mirrored], cond, generator).mean(), {}

    run.go(loss_of)
    reference.save(weights.FOLDER / reference.FILE, run.averaged, _about(run, ADDED_BATCH))
    return run


def train_motion(folder: Path = STATE, steps: int = MOTION_STEPS) -> Run:
    """One clip of each picture, played either way; the prompts are the usual ones, and say nothing of the motion."""
    pairs, model = Pairs(), models.load("strong")
    every = _kept_latents(pairs.pictures, "clips", "autoencoder", make=clip_latents)
    torch.manual_seed(9)
    moving = motion.Moving(model.unet)
    run = Run("motion", moving, optimiser.muon(moving, 2e-3, adam=("proj_out",)), folder, steps, seed=9)

    def loss_of(moving, generator):
        which, backwards = pairs.chosen(MOTION_BATCH, generator)
        z = torch.where(backwards.bool().view(-1, 1, 1, 1, 1), every[which].flip(1), every[which]).flatten(0, 1)
        with torch.no_grad():
            cond = text.encode(model.text, pairs.prompts(which, generator)).repeat_interleave(animation.FRAMES, 0)
        # What moves, and how, is decided in much noise.
        return unet.loss_of(moving, z, cond, generator, mean=0.5, frames=animation.FRAMES).mean(), {}

    run.go(loss_of)
    motion.save(weights.FOLDER / motion.FILE, run.averaged, _about(run, MOTION_BATCH))
    return run


def keep_real(folder: Path = STATE, steps: int = 0) -> None:
    """Latents of some real pictures, half of them of held-out combinations."""
    pictures, told = data.load()
    either = ([i for i, caption in enumerate(told) if caption.held_out == held_out] for held_out in (True, False))
    kept = [i for places in either for i in random.Random(0).sample(places, REAL)]
    every = {caption: i for i, caption in enumerate(captions.every())}
    told = torch.tensor([every[told[i]] for i in kept])
    weights.save(
        weights.FOLDER / "real.safetensors",
        {"latents": latents(pictures[kept])[:, 0], "captions": told},
        {"of": 2 * REAL},
    )


def _about(run: Run, batch: int) -> dict:
    return {"steps": run.steps, "batch": batch, "loss": run.smooth["loss"], "seconds": round(run.seconds)}


RUNS = {
    "autoencoder": train_autoencoder,
    "real": keep_real,
    "text": train_text,
    "diffusion": train_diffusion,
    "judge": judge.train,
    "ink": functools.partial(train_lora, "ink"),
    "blur": functools.partial(train_lora, "blur"),
    **{name: functools.partial(train_biased, name) for name in lora.BIASED},
    "edges": train_edges,
    "reference": train_reference,
    "motion": train_motion,
    "clip": clip.train,
    "wide-autoencoder": functools.partial(train_autoencoder, name="wide-autoencoder", channels=models.OTHERS["wide"]),
    "wide": functools.partial(train_diffusion, steps=WIDE_STEPS, name="wide", seed=21, last="wide", early=""),
}


# Of `train` without names no part: strong and weak from another seed, for the report's "Trained again".
AGAIN = STATE / "again"
BESIDE = {"again": functools.partial(train_diffusion, name="again", seed=12, to=AGAIN)}


def main(names=(), folder: Path = STATE, steps: "int | None" = None) -> None:
    """Train the parts `names`, or all; each goes on where it was stopped. `steps` instead of the parts' own."""
    torch.set_num_threads(1)
    data.fetch()
    for name in names or RUNS:
        {**RUNS, **BESIDE}[name](folder, **({"steps": steps} if steps else {}))
