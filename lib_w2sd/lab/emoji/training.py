"""Trains the emoji model, each part where it stopped: `python -m lib_w2sd.lab.emoji train`.

autoencoder  pictures to latents and back
diffusion    text encoder and UNet on the latents; kept at WEAK of the run and at its end
judge        picture and prompt encoder for the scores
ink, blur    the LoRAs
"""

import copy
import functools
import random
import shutil
from pathlib import Path

import torch
from torch.nn import functional as F

from . import autoencoder, captions, data, judge, lora, models, optimiser, text, unet, weights
from .resumable import Run

STATE = Path("out/train")
AUTOENCODER_STEPS, AUTOENCODER_BATCH = 770, 8
DIFFUSION_STEPS, DIFFUSION_BATCH = 580, 40
WEAK = 0.2  # the weak model's share of the training
OFTEN = {"people": 0.6, "hand": 0.6, "painted": 0.7}  # how often a picture of a group is taken; others: 1
NO_PROMPT = 0.1
LORA_STEPS, LORA_BATCH = 60, 32
TEXT_STEPS, TEXT_BATCH = 200, 48
MORE_STEPS, DECODER_STEPS = 1000, 400


def train_autoencoder(folder: Path = STATE, steps: int = AUTOENCODER_STEPS) -> Run:
    pictures, _ = data.load()
    torch.manual_seed(1)
    model = autoencoder.new()
    model.quant_conv.weight.data[4:].zero_()
    chosen = optimiser.muon(model, 3e-3, adam=("conv_in", "conv_out", "quant_conv"))
    run = Run("autoencoder", model, chosen, folder, steps, seed=1)

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
    weights.save(weights.FOLDER / "autoencoder.safetensors", done.state_dict(), about)
    return run


@torch.inference_mode()
def latents(pictures: torch.Tensor) -> torch.Tensor:
    """[N, 2, 4, 8, 8]: of each picture as it is and mirrored, of unit variance."""
    model = models.load_autoencoder()
    found = []
    for part in pictures.split(64):
        x = part.float() / 127.5 - 1
        both = torch.cat([x, x.flip(3)])
        found.append((autoencoder.mean(model, both) * autoencoder.SCALING).unflatten(0, (2, -1)).transpose(0, 1))
    return torch.cat(found)


def _kept_latents(pictures: torch.Tensor, name: str, folder: Path = STATE) -> torch.Tensor:
    """latents(pictures), read from `folder` where they were made by this very encoder."""
    told = weights.read(weights.FOLDER / "autoencoder.safetensors")[0]
    mark = [told["quant_conv.weight"].double().sum().item(), len(pictures)]
    path = folder / f"latents-{name}.pt"
    if path.exists() and (kept := torch.load(path))["mark"] == mark:
        return kept["latents"]
    found = latents(pictures)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"mark": mark, "latents": found}, path)
    return found


def all_texts(told: list) -> list:
    """Every text that training may show, for the vocabulary."""
    words = [variant for caption in told for variant in captions.variants(caption)]
    return ["", *words, *captions.PREFIXES]


class Pairs:
    """The training's pictures (as latents) and prompts; held-out combinations left out."""

    def __init__(self, changed=None):
        """changed: pictures -> pictures, what a LoRA is to learn."""
        pictures, told = data.load()
        pictures = changed(pictures) if changed else pictures
        self.tokens = text.Tokens.of(all_texts(told))
        kept = [i for i, caption in enumerate(told) if not caption.held_out]
        self.told = [told[i] for i in kept]
        self.latents = _kept_latents(pictures[kept], changed.__name__ if changed else "plain")
        self.often = torch.tensor([OFTEN.get(caption.group, 1.0) for caption in self.told])

    def batch(self, count: int, generator: torch.Generator):
        """Latents [B, 4, 8, 8] and token rows [B, 77]."""
        which = torch.multinomial(self.often, count, replacement=True, generator=generator)
        mirrored = torch.randint(2, (count,), generator=generator)
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        texts = [
            "" if rng.random() < NO_PROMPT else captions.typed(captions.dropped(self.told[i], rng), rng)
            for i in which.tolist()
        ]
        ids = self.tokens.ids(texts)
        unknown = torch.rand(ids.shape, generator=generator) < 0.02
        inner = ids < len(self.tokens) - 2  # never start and end
        return self.latents[which, mirrored], ids.masked_fill(unknown & inner, 0)


def train_text(folder: Path = STATE, steps: int = TEXT_STEPS) -> Run:
    """The text encoder, by contrast with the judge's picture features, as CLIP's was; after it, it stays as it is.

    The feature is taken at any place from the prompt's end on: all of these the UNet sees. Right are all pictures that
    the prompt may mean. Goes on from the text encoder that ships, where there is one with the same tokens.
    """
    pairs = Pairs()
    pictures, told = data.load()
    kept = [i for i, caption in enumerate(told) if not caption.held_out]
    seen = F.normalize(judge.features(pictures[kept].float() / 255), dim=1)
    values = [sorted({getattr(caption, key) for caption in pairs.told}) for key in judge.ATTRIBUTES]
    facts = torch.tensor([[v.index(getattr(c, k)) for k, v in zip(judge.ATTRIBUTES, values)] for c in pairs.told])
    torch.manual_seed(5)
    both = torch.nn.ModuleDict({"text": text.new(pairs.tokens), "out": torch.nn.Linear(text.WIDTH, judge.WIDTH)})
    if (weights.FOLDER / "text.safetensors").exists() and models.load("strong").tokens.known == pairs.tokens.known:
        both["text"].load_state_dict(models.load("strong").text.state_dict())
        both["text"].requires_grad_(True)
    run = Run("text", both, optimiser.muon(both, 3e-3, adam=("embedding",)), folder, steps, seed=5)

    def loss_of(both, generator):
        which = torch.multinomial(pairs.often, TEXT_BATCH, replacement=True, generator=generator)
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        said = [captions.dropped(pairs.told[i], rng) for i in which.tolist()]
        ids = pairs.tokens.ids([captions.typed(caption, rng) for caption in said])
        end = (ids == len(pairs.tokens) - 1).float().argmax(dim=1)
        place = end + (torch.rand(len(ids), generator=generator) * (text.LENGTH - end)).long()
        feature = text.encode(both["text"], ids)[torch.arange(len(ids)), place]
        likeness = 20 * F.normalize(both["out"](feature), dim=1) @ seen.T
        unsaid = torch.tensor([[getattr(c, key) == "" for key in judge.ATTRIBUTES] for c in said])
        right = ((facts[which][:, None] == facts) | unsaid[:, None]).all(dim=2)
        found = likeness.masked_fill(~right, -torch.inf).logsumexp(1) - likeness.logsumexp(1)
        return -found.mean(), {}

    run.go(loss_of)
    about = {"steps": steps, "batch": TEXT_BATCH, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
    models.save_text(weights.FOLDER, run.averaged["text"], pairs.tokens, about)
    models.load.cache_clear()
    return run


def train_diffusion(folder: Path = STATE, steps: int = DIFFUSION_STEPS) -> Run:
    """The text encoder is trained as far as the weak model, whose prompts then mean the same to the strong one:
    a WebUI's checkpoint gap gives both UNets what the loaded checkpoint's text encoder says."""
    pairs = Pairs()
    torch.manual_seed(2)
    both = models.modules(pairs.tokens)
    torch.nn.init.zeros_(both["unet"].conv_out.weight)
    chosen = optimiser.muon(both, 3e-3, adam=("conv_in", "conv_out", "embedding"), decay=0.02)
    run = Run("diffusion", both, chosen, folder, steps, seed=2)
    weak = round(WEAK * steps)

    def loss_of(both, generator):
        z, ids = pairs.batch(DIFFUSION_BATCH, generator)
        with torch.set_grad_enabled(run.step < weak):
            cond = text.encode(both["text"], ids)
        return unet.loss_of(both["unet"], z, cond, generator).mean(), {}

    def keep(run):
        if run.step == weak:
            run.module["text"].load_state_dict(run.averaged["text"].state_dict())
        about = {"steps": run.step, "batch": DIFFUSION_BATCH, "loss": run.smooth["loss"], "seconds": round(run.seconds)}
        models.save(folder / f"diffusion-{run.step}", run.averaged, pairs.tokens, about)

    run.go(loss_of, dict.fromkeys((weak, *range(100, steps + 1, 100)), keep))
    keep(run)
    return run


def ship(folder: Path = STATE, steps: int = DIFFUSION_STEPS) -> None:
    """Put the diffusion run's two models among the weights that ship; weak is what was kept nearest to its share."""
    kept = [int(path.name.partition("-")[2]) for path in folder.glob("diffusion-*")]
    weak = min(kept, key=lambda step: abs(step - WEAK * steps))
    for name, step, part in (("strong", steps, "strong"), ("weak", weak, "strong"), ("text", steps, "text")):
        shutil.copyfile(folder / f"diffusion-{step}" / f"{part}.safetensors", weights.FOLDER / f"{name}.safetensors")


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


def train_more(name: str, folder: Path = STATE, steps: int = MORE_STEPS) -> Run:
    """Train the strong or the weak model that ships further, from its weights alone, and ship it again."""
    pairs = Pairs()
    model = models.load(name)
    if model.tokens.known != pairs.tokens.known:
        raise ValueError("the captions have other words than the text encoder that ships: train diffusion anew")
    net = copy.deepcopy(model.unet).requires_grad_(True)
    chosen = optimiser.muon(net, 3e-3, adam=("conv_in", "conv_out", "embedding"), decay=0.02)
    before = model.about["steps"]
    run = Run(f"more-{name}-{before}", net, chosen, folder, steps, cooling=0.6, seed=before)

    def loss_of(net, generator):
        z, ids = pairs.batch(DIFFUSION_BATCH, generator)
        with torch.no_grad():
            cond = text.encode(model.text, ids)
        return unet.loss_of(net, z, cond, generator).mean(), {}

    run.go(loss_of)
    about = {"steps": before + steps, "batch": DIFFUSION_BATCH, "loss": run.smooth["loss"]}
    about["seconds"] = round(run.seconds) + model.about["seconds"]
    weights.save(weights.FOLDER / f"{name}.safetensors", run.averaged.state_dict(), about)
    return run


def train_decoder(folder: Path = STATE, steps: int = DECODER_STEPS) -> Run:
    """Train the decoder further; the latents, and with them the diffusion models, stay as they are."""
    pictures, _ = data.load()
    told = weights.read(weights.FOLDER / "autoencoder.safetensors")[1]
    model = copy.deepcopy(models.load_autoencoder())
    half = torch.nn.ModuleList([model.post_quant_conv, model.decoder]).requires_grad_(True)
    before = told["steps"]
    run = Run(
        f"decoder-{before}", half, optimiser.muon(half, 2e-3, adam=("conv_in", "conv_out")), folder, steps, seed=before
    )

    def loss_of(half, generator):
        which = torch.randint(len(pictures), (AUTOENCODER_BATCH,), generator=generator)
        x = autoencoder.augmented(pictures[which], generator)
        with torch.no_grad():
            z = autoencoder.mean(model, x)
        noise = torch.randn(z.shape, generator=generator) / autoencoder.SCALING
        y = half[1](half[0](z + autoencoder.NOISE * noise))
        return autoencoder.difference(y, x), {}

    run.go(loss_of)
    model.post_quant_conv.load_state_dict(run.averaged[0].state_dict())
    model.decoder.load_state_dict(run.averaged[1].state_dict())
    about = {**told, "steps": before + steps, "seconds": told["seconds"] + round(run.seconds)}
    about["PSNR, dB"] = round(autoencoder.psnr(model, pictures).mean().item(), 2)
    print(about)
    weights.save(weights.FOLDER / "autoencoder.safetensors", model.state_dict(), about)
    return run


def train_diffusion_and_ship(folder: Path = STATE, steps: int = DIFFUSION_STEPS) -> None:
    train_diffusion(folder, steps)
    ship(folder, steps)


RUNS = {
    "autoencoder": train_autoencoder,
    "diffusion": train_diffusion_and_ship,
    "judge": judge.train,
    "ink": functools.partial(train_lora, "ink"),
    "blur": functools.partial(train_lora, "blur"),
}
MORE = {
    "text": train_text,
    "more": functools.partial(train_more, "strong"),
    "more-weak": functools.partial(train_more, "weak"),
    "decoder": train_decoder,
}


def main(names=(), folder: Path = STATE, steps: "int | None" = None) -> None:
    """Train the parts `names`, or all; each goes on where it was stopped. `steps` instead of the parts' own."""
    torch.set_num_threads(1)
    data.fetch()
    for name in names or RUNS:
        (RUNS | MORE)[name](folder, **({"steps": steps} if steps else {}))
