"""The emoji model inside the WebUI draws what the lab draws: so what the lab says of W2SD holds where people use it.

Wants what `make checkpoint` writes, with DIR, LORAS and REWARDS as the Makefile says. Every way of WAYS is drawn
through the API by the WebUI's own sampler, and by the lab from the same seeds, and both are scored by the same judge.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib_w2sd.lab.emoji import clip, grid, judge, lora, models, scores
from lib_w2sd.lab.emoji.draw import CFG, SAMPLER, STEPS, draw
from lib_w2sd.lab.experiments.ways import wanted
from lib_w2sd.page.settings import as_dict

from ..reflected import reflected
from .pages import ahead, browser, page  # noqa: F401  (fixtures)
from .test_study import TITLE

EACH = 4  # pictures of a prompt: one request
ONE = {"weak_cfg": 1.0, "strong_cfg": 1.0}
STRONG = replace(grid.W2SD, inversion="matched")
CHOSEN = "checkpoint gap, chosen by a reward"
# settings, and what the lab is asked for besides
WAYS = {
    "plain": None,
    "guidance gap": replace(STRONG, weak_cfg=0.0, strength=0.5),
    "guidance gap, previous-gap": replace(STRONG, weak_cfg=0.0, strength=0.5, inversion="previous-gap"),
    "guidance gap, auto-guidance": replace(STRONG, weak_cfg=0.0, strength=0.5, inversion="auto-guidance"),
    "guidance gap, paper": replace(STRONG, weak_cfg=0.0, strength=0.5, inversion="paper"),
    "prompt gap": replace(STRONG, **ONE),
    "checkpoint gap": replace(STRONG, **ONE, weak_checkpoint="emoji-weak"),
    "LoRA gap": replace(STRONG, **ONE, weak_lora_offset=-1.3),
    # Algorithm 2; the live preview's approximations are for Stable Diffusion's own latents.
    CHOSEN: replace(STRONG, **ONE, weak_checkpoint="emoji-weak", reward=clip.NAME, reward_decoder="vae"),
}
ASK = {
    "negative_prompt": "",
    "steps": STEPS,
    "cfg_scale": CFG,
    "sampler_name": SAMPLER,
    "scheduler": "Karras",
    "width": 64,
    "height": 64,
    "override_settings": {"sd_model_checkpoint": "emoji-strong"},
}
HIRES = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.5}
LEVELS = 2  # of 255: rounding, and what two implementations in float32 differ by after 20 steps


@pytest.fixture(scope="module")
def there(webui):
    names = {m["model_name"] for m in webui.get("/sdapi/v1/sd-models")}
    if not {"emoji-strong", "emoji-weak"} <= names:
        pytest.skip("no emoji-strong: make checkpoint DIR=.../models/Stable-diffusion LORAS=.../models/Lora")
    webui.post("/sdapi/v1/refresh-loras", {})
    return {entry["name"] for entry in webui.get("/sdapi/v1/loras")}


def has_reward(webui) -> bool:
    answer = webui.request({"reward": clip.NAME, "lambda_steps": 1}, **{**ASK, "steps": 2})
    assert answer.status_code == 200 or "not one in models/rewards" in answer.text, answer.text
    return answer.status_code == 200


def in_the_webui(webui, caption, seed: int, way: str):
    """[EACH, 3, 64, 64] from 0 to 1, and rows a picture."""
    settings, prompt = WAYS[way], caption.text()
    if way == "LoRA gap":
        prompt += " <lora:emoji-ink:0.8>"
    asked = None
    if settings:
        default = as_dict(reflected())
        asked = {name: value for name, value in as_dict(settings).items() if value != default[name]}
        if way == "prompt gap":
            asked["weak_prompt"] = caption.plain().text()
    made = webui.picture(asked, prompt=prompt, seed=seed, batch_size=EACH, **ASK)
    pictures = torch.from_numpy(np.stack(made.images[-EACH:])).permute(0, 3, 1, 2).float() / 255
    return pictures, sum(run["rows"] for run in webui.trace()) / EACH if asked else 2.0 * STEPS


def in_the_lab(caption, seed: int, way: str):
    texts, asks = [caption.text()] * EACH, {"settings": WAYS[way]}
    if way in ("checkpoint gap", CHOSEN):
        asks |= {"weak": "weak", "reward": clip.reward}
    if way == "prompt gap":
        asks["weak_texts"] = [caption.plain().text()] * EACH
    if way == "LoRA gap":
        strong = models.load("strong")
        asks |= {"model": lora.merged(strong, "ink", 0.8), "weak": lora.merged(strong, "ink", -0.5)}
    run = draw(texts, range(seed, seed + EACH), **asks)
    return run.pictures, run.rows / EACH


@pytest.mark.parametrize("way", WAYS)
def test_pictures_and_scores_are_the_labs(webui, there, record, way, every):
    if way == "LoRA gap" and "emoji-ink" not in there:
        pytest.skip("no emoji-ink")
    if way == CHOSEN and not has_reward(webui):
        pytest.skip(f"no {clip.NAME} in models/rewards")
    captions = wanted()[:: 3 if every else 12]
    ours, theirs, off = [], [], []
    for i, caption in enumerate(captions):
        (own, rows), (made, made_rows) = in_the_lab(caption, EACH * i, way), in_the_webui(webui, caption, EACH * i, way)
        # Where the second side leads, the step is at CFG 1, and A1111's own call evaluates both rows even there.
        assert rows == made_rows or way == CHOSEN
        ours.append(own), theirs.append(made)
        off.append((own - made).abs().amax(dim=(1, 2, 3)) * 255)
    off = torch.cat(off)
    every = [caption for caption in captions for _ in range(EACH)]
    one, other = (scores.score(torch.cat(pictures), every, EACH) for pictures in (ours, theirs))
    row = f"emoji, {webui.name}: {len(every)} pictures, lab / WebUI"
    record(row, way, "rows", f"{rows:g}")
    record(row, way, "levels off, middle / largest", f"{off.median():.0f} / {off.max():.0f}")
    record(row, way, "name found", f"{one.found['name']:.3f} / {other.found['name']:.3f}")
    record(row, way, "reward", f"{one.reward:.4f} / {other.reward:.4f}")
    record(row, way, "Fréchet", f"{one.distance:.2f} / {other.distance:.2f}")
    assert off.median() <= LEVELS
    assert one.reward == pytest.approx(other.reward, abs=0.01)
    assert one.found["name"] == pytest.approx(other.found["name"], abs=1 / len(every))
    assert one.distance == pytest.approx(other.distance, rel=0.03)


def test_the_grid_of_the_readme(webui, there):
    """Prompts by ways, nothing selected, drawn by the WebUI: out/live/NAME-emoji.png."""
    ways = ("plain", "guidance gap", "guidance gap, previous-gap", "checkpoint gap")
    captions = wanted()[::8]
    columns = {way: torch.cat([in_the_webui(webui, caption, 1, way)[0][:2] for caption in captions]) for way in ways}
    sheet = grid.sheet(columns, [caption.text() for caption in captions], 2)
    path = Path("out/live") / f"{webui.name}-emoji.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    for pictures in columns.values():
        assert (judge.reward(pictures, [c.text() for c in captions for _ in range(2)]) > 0).float().mean() > 0.5


def test_in_hires_the_picture_stays_what_was_asked_for(webui, there):
    """A second pass at twice the size, which the lab does not have: the judge likes it about as much as plain ones."""
    captions = wanted()[::6]
    found = {}
    for name, asked in (("plain", None), ("W2SD", {"weak_cfg": 0, "strength": 0.5, "lambda_steps": 10})):
        pictures = []
        for caption in captions:
            made = webui.picture(asked, prompt=caption.text(), seed=1, **ASK, **HIRES)
            assert made.pixels.shape[:2] == (128, 128)
            small = Image.fromarray(made.pixels).resize((64, 64), Image.Resampling.LANCZOS)
            pictures.append(torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255)
        found[name] = judge.reward(torch.stack(pictures), [c.text() for c in captions]).mean().item()
    assert found["W2SD"] > found["plain"] - 0.15, found


def test_a_study_from_the_page(there, page, webui, tmp_path, request):  # noqa: F811
    before = webui.get("/sdapi/v1/options")["sd_model_checkpoint"]
    webui.post("/sdapi/v1/options", {"sd_model_checkpoint": "emoji-strong"}).raise_for_status()
    request.addfinalizer(lambda: webui.post("/sdapi/v1/options", {"sd_model_checkpoint": before}))
    a_study(page, webui, tmp_path.parent.name)
    page.shot("study-emoji", "#txt2img_script_container")


def a_study(page, webui, name: str) -> None:  # noqa: F811
    """The checkpoint gap at CFG 1, judged by our own CLIP where it is there, with its results shown: the guide's."""
    page.fill(**{**ASK, "prompt": "", "cfg_scale": 1, "seed": -1}).open()
    page.preset("More of my checkpoint")
    box = page.setting("weak_checkpoint").locator("input").first
    box.fill("emoji-weak")
    box.press("Enter")
    page.choose("#script_list", TITLE)
    where, prompts = "#w2sd_txt2img_study", "\n".join(caption.text() for caption in wanted()[::4])
    page.page.fill(f"{where}_prompts textarea", prompts)
    page.number(f"{where}_pairs", 6)
    if has_reward(webui):
        page.choose(f"{where}_rewards", clip.NAME)
    page.page.fill(f"{where}_name textarea, {where}_name input", name)
    info, _ = page.generate(timeout=300_000)
    assert "6 pairs of pictures" in info
    page.page.click(f"{where}_show")
    page.page.locator(f"{where}_sheets img").first.wait_for(timeout=60_000)
    page.page.wait_for_timeout(1500)
