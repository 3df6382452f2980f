"""Wan's videos, text to video, on Forge Neo: a batch is the frames of one. What test_families says of every family,
said of five frames, and what only a video has.

The measure is the WebUI's own video: the weak side alone is what the WebUI draws with the weak settings.
"""

import shutil
from pathlib import Path

import pytest

from ..reflected import REFLECTED
from . import families
from .test_families import ALONE, ROUNDING, asking, far, gaps
from .test_video import WAYS, rows

WAN = next(family for family in families.FAMILIES if family.frames)
FRAMES = {"batch_size": 5}  # two of the latents
LATENT_FRAMES = 2


@pytest.fixture(scope="module")
def pair(webui):
    return families.pair_of(webui, WAN)


@pytest.fixture
def ask(pair):
    return asking(WAN, pair[0], **FRAMES)


def test_checkpoint_alone_and_as_in_table_12(webui, pair, ask):
    plain, truth = webui.picture(**ask), webui.picture(**asking(WAN, pair[1], **FRAMES))
    weak = {"weak_checkpoint": pair[1]}
    assert far(webui.picture({**ALONE, "weak_cfg": ask["cfg_scale"], **weak}, **ask), truth) == 0 < far(truth, plain)
    made = webui.picture({"lambda_steps": 2, "strong_cfg": 3, "weak_cfg": 1, **weak}, **ask)
    (run,) = webui.trace()
    assert rows(run, "strong") == rows(run, "step") == {2 * LATENT_FRAMES} and rows(run, "weak") == {LATENT_FRAMES}
    assert run["rows"] == LATENT_FRAMES * (2 * ask["steps"] + 2 * (2 + 1))
    assert min(gaps(webui)) > 0 and far(made, plain) > 0
    assert far(webui.picture(**ask), plain) == 0


def test_lora_and_prompt_alone(webui, ask):
    lora = families.lora_of(webui, WAN)

    def prompt(scale):
        return f"a photo of a cat <lora:{lora}:0:{scale}>"

    strong, truth = (webui.picture(**{**ask, "prompt": prompt(scale)}) for scale in (0.8, -1.5))
    own = {**ALONE, "weak_cfg": ask["cfg_scale"]}
    made = webui.picture({**own, "weak_lora_offset": -2.3}, **{**ask, "prompt": prompt(0.8)})
    assert far(made, truth) <= ROUNDING < far(truth, strong)
    truth = webui.picture(**{**ask, "prompt": "a dog"})
    assert far(webui.picture({**own, "weak_prompt": "a dog"}, **ask), truth) == 0


@pytest.mark.parametrize("way", WAYS)
def test_ways(webui, pair, ask, way):
    settings = {"lambda_steps": 2, "inversion": way, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": pair[1]}
    plain, made = webui.picture(**ask), webui.picture(settings, **ask)
    assert min(gaps(webui)) > 0
    assert far(made, plain) > 0 == far(webui.picture(settings, **ask), made)


def test_few_steps_at_cfg_1(webui, pair, ask):
    """As a distilled Wan is drawn: one row everywhere."""
    ask = {**ask, "cfg_scale": 1}
    plain, truth = webui.picture(**ask), webui.picture(**{**asking(WAN, pair[1], **FRAMES), "cfg_scale": 1})
    weak = {"weak_cfg": 1, "weak_checkpoint": pair[1]}
    assert far(webui.picture({**ALONE, **weak}, **ask), truth) == 0
    made = webui.picture({"lambda_steps": 2, **weak}, **ask)
    (run,) = webui.trace()
    assert {e["rows"] for e in run["evaluations"]} == {LATENT_FRAMES}
    assert min(gaps(webui)) > 0 and far(made, plain) > 0


@pytest.fixture
def twin(webui, pair):
    """The first checkpoint once more, in a file of another name."""
    found = {m["model_name"]: Path(m["filename"]) for m in webui.get("/sdapi/v1/sd-models")}[pair[0]]
    if not found.exists():
        pytest.skip("the WebUI's files are not on this machine")
    copy = found.with_name(f"{pair[0]}-w2sd-twin{found.suffix}")
    shutil.copyfile(found, copy)
    webui.post("/sdapi/v1/refresh-checkpoints", {})
    yield copy.stem
    copy.unlink()
    webui.post("/sdapi/v1/refresh-checkpoints", {})


def test_high_then_low_noise(webui, pair, ask, twin):
    """The refiner takes over at a noise level, after three of six steps. The weak checkpoint is set against the one at
    work: where it is that one, there is no gap."""
    ask = {**ask, "steps": 6, "refiner_checkpoint": pair[1], "refiner_switch_at": 0.875}
    plain = webui.picture(**ask)
    equal = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": ask["cfg_scale"]}
    assert far(webui.picture(equal, **ask), plain) == 0
    for weak, there in ((pair[1], slice(0, 3)), (twin, slice(3, 5))):
        made = webui.picture({**equal, "weak_checkpoint": weak}, **ask)
        found = gaps(webui)
        assert len(found) == 5 and min(found[there]) > 0
        assert sum(gap > 0 for gap in found) == len(found[there])
        assert far(made, plain) > 0
    made = webui.picture({**equal, "weak_checkpoint": pair[1], "weak_refiner_checkpoint": twin}, **ask)
    assert len(gaps(webui)) == 5 and min(gaps(webui)) > 0, "each against its own"
    assert f"W2SD weak refiner checkpoint: {twin}" in made.infotext
    refused = webui.refused({**equal, "weak_checkpoint": pair[1], "weak_refiner_checkpoint": "none such"}, **ask)
    assert "weak_refiner_checkpoint (Weak checkpoint for the refiner) was given 'none such'" in refused
    assert far(webui.picture(**ask), plain) == 0


def test_cost_line_counts_what_the_trace_counts(webui, ask):
    settings = {"lambda_steps": 2, "weak_cfg": 0}
    page = {"steps": ask["steps"], "cfg": ask["cfg_scale"], "sampler": "Euler", "preset": "wan", **FRAMES}
    said = webui.post("/w2sd/v1/estimate", {"settings": {**REFLECTED, **settings}, "page": page}).json()["rows"]
    webui.picture(settings, **ask)
    assert f"{webui.trace()[0]['rows']} UNet rows" in said


def test_file(webui, pair, ask, tmp_path):
    """Written with ffmpeg, by the WebUI."""
    options = {**ask["override_settings"], "outdir_samples": str(tmp_path)}
    settings = {"lambda_steps": 2, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": pair[1]}
    webui.picture(settings, **{**ask, "override_settings": options})
    written = [path.read_bytes() for path in tmp_path.rglob("*.mp4")]
    if not written or b"ftyp" not in written[0][:16]:
        pytest.skip("no ffmpeg, or not on this machine")
    for part in ("W2SD lambda: 2", "W2SD strong CFG: 3", "W2SD weak CFG: 1", f"W2SD weak checkpoint: {pair[1]}"):
        assert part.encode() in written[0]
