"""Videos (arXiv 2502.00473, Table 12): AnimateDiff on AUTOMATIC1111's WebUI, with the files that make_motion.py writes.

The strong side is the loaded checkpoint, the weak one another checkpoint's UNet, both with the motion module. The
measure is the WebUI's own video: the weak side alone is what the WebUI draws with the weak settings, and equal settings
leave the plain video, every frame to the bit. Wan's videos, on Forge Neo, are in test_families and test_wan.
"""

import base64
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ..reflected import REFLECTED
from . import families
from .conftest import PLAIN, Picture, distance, png
from .make_motion import LORA
from .test_checkpoint import file_beside  # noqa: F401 (fixture)
from .test_choosing import REWARD
from .test_engine import HIRES
from .test_faults import without_numbers

V1, V2, V3, XL = "w2sd_motion_v1.ckpt", *(f"w2sd_motion_{kind}.safetensors" for kind in ("v2", "v3", "xl"))
ONE = {"video_length": 3, "batch_size": 3}  # all frames at once
WINDOWS = {"video_length": 5, "batch_size": 3, "overlap": 1}
CLOSED = {**WINDOWS, "closed_loop": "A"}
EQUAL = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": PLAIN["cfg_scale"]}
GUIDANCE = {"lambda_steps": 1, "weak_cfg": 0}
STEPS = 3


class Video:
    """Requests of one video: `made` is its answer, all frames and no file."""

    def __init__(self, webui, motion: str = V3, frames: "dict | None" = None):
        self.webui, self.args = webui, {"enable": True, "model": motion, "format": ["PNG", "Frame"], **(frames or ONE)}

    def answer(self, w2sd=None, args=(), scripts=(), **ask):
        scripts = {"AnimateDiff": {"args": [{**self.args, **dict(args)}]}, **dict(scripts)}
        return self.webui.request(w2sd, alwayson_scripts=scripts, **{"steps": STEPS, **ask})

    def made(self, w2sd=None, **ask) -> Picture:
        answer = self.answer(w2sd, **ask)
        assert answer.status_code == 200, answer.text[:2000]
        return Picture(answer.json())

    def refused(self, w2sd, **ask) -> str:
        answer = self.answer(w2sd, **ask)
        assert answer.status_code >= 400, "a video came back"
        return answer.json()["detail"]


def far(one: Picture, other: Picture) -> int:
    """The largest difference of any two frames."""
    count = len(one.images)
    assert count == len(other.images) > 1
    return max(map(distance, one.images, other.images))


def loads(webui, checkpoint: str):
    """As the page does. AnimateDiff stands in the UNet before a request's own settings load another."""
    webui.post("/sdapi/v1/options", {"sd_model_checkpoint": checkpoint}).raise_for_status()


def pair_loaded(webui, family: str, motion: str) -> tuple:
    """Its strong and weak checkpoint, the strong one loaded; skips where the WebUI draws no video with the module."""
    if "animatediff" not in {script["name"] for script in webui.get("/sdapi/v1/script-info")}:
        pytest.skip("absent: AnimateDiff")
    pair = families.pair_of(webui, next(f for f in families.FAMILIES if f.name == family))
    loads(webui, pair[0])
    if len(Video(webui, motion).made(steps=1).images) < 3:
        pytest.skip("absent: make_motion.py's files")
    return pair


@pytest.fixture(scope="module")
def pair(webui):
    return pair_loaded(webui, "sd15", V3)


@pytest.fixture
def still(webui, pair):
    """The plain picture of the same request, before and after a test."""
    before = webui.picture(steps=STEPS)
    yield before
    assert distance(webui.picture(steps=STEPS).pixels, before.pixels) == 0


def rows(run: dict, kind: str) -> set:
    return {e["rows"] for e in run["evaluations"] if e["kind"] == kind}


def as_in_table_12(webui, pair, video: Video, contexts: int):
    """`contexts`: how many calls of the UNet make one evaluation, each of as many frames as are seen at once."""
    strong, weak = pair
    plain = video.made()
    assert all(distance(one, plain.pixels) > 0 for one in plain.images[1:])
    assert far(video.made(EQUAL), plain) == 0
    loads(webui, weak)
    truth = video.made()
    loads(webui, strong)
    alone = {"weak_alone": True, "weak_cfg": PLAIN["cfg_scale"], "weak_checkpoint": weak}
    assert far(video.made(alone), truth) == 0 < far(truth, plain)
    settings = {"lambda_steps": 2, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": weak}
    made = video.made(settings)
    (run,) = webui.trace()
    pairs = 2 * video.args["batch_size"] * contexts  # of a prompt's and a negative prompt's rows, at any scale
    assert {kind: rows(run, kind) for kind in ("strong", "weak", "step")} == dict.fromkeys(
        ("strong", "weak", "step"), {pairs}
    )
    assert run["rows"] == pairs * (STEPS + 2 * 2)
    assert [r["step"] for r in run["reflections"]] == [0, 1] and min(r["gap_norm"] for r in run["reflections"]) > 0
    assert far(made, plain) > 0 and far(video.made(settings), made) == 0
    assert far(video.made(), plain) == 0


@pytest.mark.parametrize(
    "motion,frames,contexts",
    [(V1, ONE, 1), (V2, ONE, 1), (V3, ONE, 1), (V3, WINDOWS, 2), (V3, CLOSED, 3)],
    ids=["v1", "v2", "v3", "windows", "closed loop"],
)
def test_table_12(webui, record, pair, still, motion, frames, contexts):
    as_in_table_12(webui, pair, Video(webui, motion, frames), contexts)
    record(f"videos, {webui.name}", motion, f"{frames.get('closed_loop', '')} {frames['video_length']}", "ok")


def test_sdxl(webui, pair):
    try:
        as_in_table_12(webui, pair_loaded(webui, "sdxl", XL), Video(webui, XL), 1)
    finally:
        loads(webui, pair[0])


@pytest.mark.parametrize("scale", [0, 1, 2.5])
def test_weak_cfg_alone(webui, pair, still, scale):
    video = Video(webui)
    assert far(video.made({"weak_alone": True, "weak_cfg": scale}), video.made(cfg_scale=scale)) == 0


TRAVELLING = "a cat\n0: a dog\n2: a red house\nin snow"


@pytest.mark.parametrize("frames", [ONE, WINDOWS, {**WINDOWS, "closed_loop": "R+P"}], ids=["one", "windows", "closed"])
def test_prompts(webui, pair, still, frames):
    """A weak prompt is the weak side's own in every frame, though the extension keeps the prompt of the first call."""
    video, own = Video(webui, V3, frames), {"weak_alone": True, "weak_cfg": 4}
    truth = video.made(prompt="a dog", cfg_scale=4)
    assert far(video.made({**own, "weak_prompt": "a dog"}, cfg_scale=4), truth) == 0
    plain = video.made(prompt=TRAVELLING)
    assert far(video.made({**EQUAL, "weak_prompt": "{prompt}"}, prompt=TRAVELLING), plain) == 0
    blue = TRAVELLING.replace("in snow", "in snow, blue")
    truth = video.made(prompt=blue, cfg_scale=4)
    assert far(video.made({**own, "weak_prompt": "{prompt}, blue"}, prompt=TRAVELLING, cfg_scale=4), truth) == 0
    # The sides one after the other, the weak one asked first (it has both rows), and the step with neither's prompt.
    for settings in ({"weak_cfg": 3, "weak_prompt": "a dog"}, {"weak_cfg": 3, "strong_cfg": 1}):
        made = video.made({"lambda_steps": 1, **settings}, prompt=TRAVELLING)
        assert far(made, plain) > 0 and webui.trace()[0]["reflections"][0]["gap_norm"] > 0
        nothing = {**settings, "lambda_steps": 1, "strength": 0}
        assert far(video.made(nothing, prompt=TRAVELLING), plain) == 0


WAYS = ("paper", "matched", "fixed-point", "previous-gap", "auto-guidance", "re-sampling", "advanced-re-sampling")


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])  # on sigmas, on timesteps
@pytest.mark.parametrize("way", WAYS)
def test_ways(webui, pair, way, sampler):
    video = Video(webui)
    settings = {"lambda_steps": 2, "inversion": way, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": pair[1]}
    ask = {"sampler_name": sampler, "steps": STEPS + 1}
    plain, made = video.made(**ask), video.made(settings, **ask)
    assert min(r["gap_norm"] for r in webui.trace()[0]["reflections"]) > 0
    assert far(made, plain) > 0 == far(video.made(settings, **ask), made)


def test_one_choice_for_all_frames(webui, pair):
    """Algorithm 2: frames led by different sides would not follow each other."""
    settings = {"lambda_steps": -1, "weak_cfg": 1, "strong_cfg": 3, "weak_checkpoint": pair[1], "reward": REWARD}
    answer = Video(webui).answer(settings)
    if answer.status_code == 422 and "models/rewards" in answer.text:
        pytest.skip(f"no {REWARD} in models/rewards")
    assert answer.status_code == 200
    for r in webui.trace()[0]["reflections"]:
        assert len(r["rewards"]) == 3 and len({tuple(pair) for pair in r["rewards"]}) == 1
        assert len(set(r["second_is_strong"])) == 1


def test_loras(webui, pair, still):
    """A motion LoRA belongs to the motion module, and with it to both sides; a LoRA gap may be made with it, too."""
    names = [entry["name"] for entry in webui.get("/sdapi/v1/loras")]
    if LORA not in names:
        pytest.skip("absent: LoRA")
    video, scale = Video(webui, V2), {"weak_cfg": PLAIN["cfg_scale"]}

    def prompt(of):
        return f"a photo of a cat <lora:{LORA}:{of}>"

    without, plain = video.made(), video.made(prompt=prompt(1))
    assert far(plain, without) > 0
    truth = video.made(prompt=prompt(-1))
    lora_gap = {"weak_alone": True, **scale, "weak_lora_offset": -2}
    # Within rounding: another scale is computed beside the layer.
    assert far(video.made(lora_gap, prompt=prompt(1)), truth) <= 2 < far(truth, plain)
    loads(webui, pair[1])
    truth = video.made(prompt=prompt(1))
    loads(webui, pair[0])
    weak = {"weak_alone": True, **scale, "weak_checkpoint": pair[1]}
    for functional in (False, True):
        webui.post("/sdapi/v1/options", {"lora_functional": functional})
        assert far(video.made(), without) == 0  # the next one finds the motion module without it
        assert far(video.made(weak, prompt=prompt(1)), truth) <= (2 if functional else 0)
    webui.post("/sdapi/v1/options", {"lora_functional": False})


def test_hires_and_img2img(webui, pair, still, init_image):
    video, weak = Video(webui), {"lambda_steps": 1, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": pair[1]}
    hires = {**HIRES, "hr_second_pass_steps": 2}
    assert far(video.made(EQUAL, **hires), video.made(**hires)) == 0
    made = video.made(weak, **hires)
    assert [(run["pass"], *rows(run, "weak")) for run in webui.trace()] == [("txt2img", 6), ("hires", 6)]
    assert len(made.images) == 3
    again = {"kind": "img2img", "init_images": [png(init_image)], "denoising_strength": 0.7}
    plain, same = (video.made(**again) for _ in range(2))
    assert far(video.made(EQUAL, **again), plain) <= max(2 * far(plain, same), 2)  # part of it has no seed
    video.made(weak, **again)
    assert [(run["pass"], *rows(run, "weak")) for run in webui.trace()] == [("img2img", 6)]


def test_controlnet(webui, pair, still, init_image, tmp_path):
    """A frame of its own for every frame: of a folder, as the page has it."""
    answer = webui.client.get("/controlnet/model_list")
    models = [m for m in answer.json()["model_list"] if "adapter" in m] if answer.status_code == 200 else []
    models = [m for m in models if "ip_adapter" not in m]
    if not models:
        pytest.skip("absent: ControlNet")
    units = webui.get("/controlnet/settings")["control_net_unit_count"]
    for number in range(5):
        Image.fromarray(np.roll(init_image, 8 * number, axis=1)).save(tmp_path / f"{number}.png")
    unit = {"enabled": True, "module": "none", "model": models[0], "batch_images": str(tmp_path), "processor_res": 64}
    # AnimateDiff takes a request's units for dictionaries, all of them or none.
    ask = {
        "override_settings": {"control_net_no_detectmap": True},
        "scripts": {"ControlNet": {"args": [unit, *[{"enabled": False}] * 9][:units]}},
    }
    for frames in (ONE, WINDOWS):
        video = Video(webui, V3, frames)
        plain, without = video.made(**ask), video.made()
        if far(plain, without) == 0:
            pytest.skip("AnimateDiff of September 2024 fails at units that come by the API")
        assert far(video.made(EQUAL, **ask), plain) == 0
        loads(webui, pair[1])
        truth = video.made(**ask)
        loads(webui, pair[0])
        alone = {"weak_alone": True, "weak_cfg": PLAIN["cfg_scale"]}
        assert far(video.made({**alone, "weak_checkpoint": pair[1]}, **ask), truth) == 0
        # The pipeline gap: the weak side without ControlNet, and with the motion module.
        assert far(video.made({**alone, "weak_without": "ControlNet"}, **ask), without) == 0


def text_of(kind: str, data: bytes) -> str:
    """What is written of a video in its file."""
    if kind == "MP4":
        return data.decode("utf8", errors="replace")
    image = Image.open(io.BytesIO(data))
    assert getattr(image, "n_frames", 1) == 3
    if kind == "GIF":
        return image.info["comment"].decode()
    return image.getexif().get_ifd(0x8769)[0x9286].decode("utf-16-be", errors="replace")  # user comment


@pytest.mark.parametrize("kind", ["GIF", "MP4", "WEBP"])
def test_files(webui, pair, kind):
    settings = {"lambda_steps": 2, "strong_cfg": 3, "weak_cfg": 1, "weak_checkpoint": pair[1]}
    answer = Video(webui).answer(settings, args={"format": [kind]})
    assert answer.status_code == 200
    written = text_of(kind, base64.b64decode(answer.json()["images"][0]))
    for part in ("W2SD lambda: 2", "W2SD strong CFG: 3", "W2SD weak CFG: 1", f"W2SD weak checkpoint: {pair[1]}"):
        assert part in written


def test_comparison(webui, pair, still):
    video = Video(webui)
    plain, made = video.made(), video.made(GUIDANCE)
    both = video.made({**GUIDANCE, "comparison": True})
    height, width = plain.pixels.shape[:2]
    strips = [image[-height:] for image in both.images if image.shape[1] == 3 * width]
    assert len(strips) == 3
    for strip, one, other in zip(strips, plain.images, made.images):
        assert distance(strip[:, :width], one) == 0 == distance(strip[:, width : 2 * width], other)


COSTS = [GUIDANCE, {**GUIDANCE, "inversion": "paper"}, {"lambda_steps": 1, "strong_cfg": 3, "weak_cfg": 1}]


@pytest.mark.parametrize("settings", COSTS, ids=["guidance", "paper", "Table 12"])
def test_cost_line_counts_frames(webui, pair, settings):
    """As the page sends its fields. (Contexts that overlap take more.)"""
    settings = {**settings, "weak_checkpoint": pair[1]} if "strong_cfg" in settings else settings
    page = {"steps": STEPS, "sampler": "Euler", "cfg": PLAIN["cfg_scale"], "batch_size": 1, "video": True}
    page |= {"frames": ONE["video_length"], "frames_at_once": ONE["batch_size"]}
    said = webui.post("/w2sd/v1/estimate", {"settings": {**REFLECTED, **settings}, "page": page}).json()["rows"]
    Video(webui).made(settings)
    plain = STEPS * 2 * ONE["video_length"]
    assert f"{webui.trace()[0]['rows']} UNet rows instead of {plain}." in said


def test_what_goes_wrong_leaves_nothing(webui, pair, still, file_beside):  # noqa: F811
    """A weak checkpoint of another kind, one that gives NaN, FreeInit: refused, and the next video and picture are as
    ever."""
    video = Video(webui)
    plain = video.made()
    assert "another architecture" in video.refused({"weak_cfg": 1, "weak_checkpoint": "tiny-sdxl"})
    assert far(video.made(), plain) == 0
    given = file_beside("w2sd-nan.safetensors", without_numbers)
    assert "NaN or infinity at step 1" in video.refused({"weak_cfg": 1, "weak_checkpoint": given})
    assert distance(webui.picture(steps=STEPS).pixels, still.pixels) == 0
    assert "FreeInit; allowed is one of the two" in video.refused(GUIDANCE, args={"freeinit_enable": True})
    assert far(video.made(), plain) == 0


def test_interrupt(webui, pair, still):
    video = Video(webui)
    plain = video.made()
    settings = {"lambda_steps": -1, "inversion": "paper", "weak_cfg": 1, "weak_checkpoint": pair[1]}
    answers = []
    request = threading.Thread(target=lambda: answers.append(video.answer(settings, steps=12)))
    request.start()
    while request.is_alive():
        state = webui.get("/sdapi/v1/progress?skip_current_image=true")["state"]
        if state["sampling_steps"] and state["sampling_step"] >= 1:
            break
        time.sleep(0.02)
    webui.post("/sdapi/v1/interrupt", {})
    request.join(timeout=300)
    assert answers[0].status_code == 200 and len(webui.trace()[0]["evaluations"]) < 3 * 11 + 1
    assert far(video.made(), plain) == 0
