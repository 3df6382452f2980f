"""The emoji model in ComfyUI draws what the lab draws, by every gap and way: so what the lab says of W2SD holds there.

Wants emoji-strong, emoji-weak with their .yaml and the LoRA emoji-ink, as `make host HOST=comfy` writes them. The
host's timesteps are whole numbers, where A1111 and the lab have those in between: the lab is asked at the host's.
"""

from dataclasses import replace

import pytest
import torch

from lib_w2sd.lab import sampling
from lib_w2sd.lab.emoji import draw, grid, lora, models, unet
from lib_w2sd.lab.experiments.ways import wanted
from lib_w2sd.method import ways

from .comfyui import Workshop

PLAIN, CFG, STEPS = "plain", draw.CFG, draw.STEPS
SEEDS = range(4)
STRONG = replace(grid.W2SD, inversion="matched")
ONE = {"weak_cfg": 1.0, "strong_cfg": 1.0}
GAPS = {
    "guidance": replace(STRONG, weak_cfg=0.0, strength=0.5),
    "prompt": replace(STRONG, **ONE),
    "checkpoint": replace(STRONG, **ONE),
    "LoRA": replace(STRONG, **ONE),
}
SIGMA_MAX = 14.614  # from the schedule's own on, 14.6146, the host adds the noise in another way
OURS = 0x77327364  # the nodes' noise, for the ways that draw some, is of the seed and this
LEVELS = 2  # of 255: rounding, and what two implementations in float32 differ by after 20 steps


class Emoji(Workshop):
    checkpoint, loader = "emoji-strong", "W2SDCheckpointByYaml"

    def ink(self, scale: float):
        return self.graph(
            "LoraLoaderModelOnly", model=self.model, lora_name="emoji-ink.safetensors", strength_model=scale
        )

    def drawn(self, model, caption, seed: int):
        about = {"steps": STEPS, "sigma_max": SIGMA_MAX, "sigma_min": draw.SIGMA_MIN, "rho": 7.0}
        sampled = self.graph(
            "SamplerCustomAdvanced",
            noise=self.graph("RandomNoise", noise_seed=seed),
            guider=self.guider(model, self.text(caption.text()), self.text(""), CFG),
            sampler=self.sampler("dpmpp_2m"),
            sigmas=self.graph("KarrasScheduler", **about),
            latent_image=self.latent,
        )
        return self.graph("VAEDecode", samples=sampled, vae=self.vae)


@pytest.fixture(scope="module")
def there(comfy):
    names = comfy.nodes()["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    if not {"emoji-strong.safetensors", "emoji-weak.safetensors"} <= set(names):
        pytest.skip("no emoji-strong: make host HOST=comfy")


@pytest.fixture(autouse=True)
def as_the_host(monkeypatch):
    """Whole timesteps, the host's first level of noise, and the nodes' own noise of each seed."""

    def nearest(sigma):
        return (sigma.log()[:, None] - unet.sigmas().log()).abs().argmin(1).float()

    monkeypatch.setattr(unet, "timestep", nearest)

    def noise(pair, x):
        if not hasattr(pair, "of_seeds"):
            pair.of_seeds = [torch.Generator().manual_seed(SEEDS[i % len(SEEDS)] + OURS) for i in range(len(x))]
        return torch.stack([torch.randn(row.shape, generator=own) for row, own in zip(x, pair.of_seeds)])

    monkeypatch.setattr(draw, "SIGMA_MAX", SIGMA_MAX)
    monkeypatch.setattr(sampling.Pair, "noise", noise)


def in_comfyui(comfy, captions, gap: str, settings):
    w = Emoji()
    strong = w.ink(0.8) if gap == "LoRA" else w.model
    weak = {"checkpoint": lambda: w.load("emoji-weak"), "LoRA": lambda: w.ink(-0.5)}.get(gap, lambda: None)()
    images = []
    for caption in captions:
        model = strong
        if settings:
            given = {name: getattr(settings, name) for name in ("lambda_steps", "strength", "inversion", "weak_cfg")}
            given["strong_cfg"] = "" if settings.strong_cfg is None else f"{settings.strong_cfg:g}"
            more = {"weak_model": weak} if weak else {}
            if gap == "prompt":
                more["weak_positive"] = w.text(caption.plain().text())
            model = w.w2sd_model(strong, **given, **more)
        images += [w.drawn(model, caption, seed) for seed in SEEDS]
    return comfy.pictures(w.graph, images)


def in_the_lab(captions, gap: str, settings):
    each = [caption for caption in captions for _ in SEEDS]
    texts, asks = [caption.text() for caption in each], {"settings": settings}
    if gap == "LoRA":
        asks["model"] = lora.merged(models.load("strong"), "ink", 0.8)
    if settings and gap == "LoRA":
        asks["weak"] = lora.merged(models.load("strong"), "ink", -0.5)
    if settings and gap == "checkpoint":
        asks["weak"] = "weak"
    if settings and gap == "prompt":
        asks["weak_texts"] = [caption.plain().text() for caption in each]
    return draw.draw(texts, [*SEEDS] * len(captions), **asks).pictures


@pytest.mark.parametrize("way", (PLAIN, *ways.WAYS))
@pytest.mark.parametrize("gap", GAPS)
def test_pictures_are_the_labs(comfy, there, record, gap, way):
    captions = wanted()[::9]
    settings = None if way == PLAIN else replace(GAPS[gap], inversion=way)
    ours, theirs = in_comfyui(comfy, captions, gap, settings), in_the_lab(captions, gap, settings)
    off = (ours - theirs).abs().amax(dim=(1, 2, 3)) * 255
    row = f"emoji, ComfyUI: {len(off)} pictures, levels off the lab's, middle / largest"
    record(row, gap, way, f"{off.median():.0f} / {off.max():.0f}")
    assert off.max() <= LEVELS
