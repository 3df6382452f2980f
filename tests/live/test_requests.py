"""Requests of every kind, right and wrong. What the settings' own definition takes gives a picture that is W2SD's, or
W2SD's reason why not; everything else gives W2SD's reason; the WebUI goes on.

REQUESTS in the environment sets how many are made on each host.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lib_w2sd.errors import SettingError
from lib_w2sd.page.settings import Settings, as_dict, parse

from ..settings_strategies import INVALID, VALID, scales
from .conftest import PLAIN, Picture, png
from .layouts import asking

HIRES = {"enable_hr": True, "hr_scale": 1.25, "hr_upscaler": "Latent", "denoising_strength": 0.7}
SAMPLERS = ["Euler", "Euler a", "DPM++ 2M", "Heun", "DDIM", "LCM", "UniPC", "DPM adaptive"]

requested = st.fixed_dictionaries(
    {
        "sampler_name": st.sampled_from(SAMPLERS),
        "steps": st.integers(1, 3),
        "cfg_scale": st.sampled_from([1, 6.5, 0]),
        "prompt": VALID["weak_prompt"],
    },
    optional={"batch_size": st.just(2), "hires": st.just(True), "init": st.just(True)},
)


def on_this_host(weak: str, lora: "str | None") -> dict:
    """The settings' strategies with names that this WebUI has, mostly."""
    tags = ["", "", "<lora:no such LoRA:1>"] + [f"<lora:{lora}:{scale}>" for scale in (-1.5, 0.4) if lora]
    seldom = st.sampled_from([None] * 9 + [2.0])  # refused by every checkpoint but Flux
    return {
        **VALID,
        "enabled": st.sampled_from([True, True, True, False]),
        "lambda_steps": st.integers(-1, 3) | VALID["lambda_steps"],
        "weak_checkpoint": st.sampled_from(["", "", "", "None", weak, "no such checkpoint"]),
        "weak_loras": st.sampled_from(tags),
        "strong_distilled_cfg": seldom,
        "weak_distilled_cfg": seldom,
    }


@st.composite
def arguments(draw, valid: dict):
    """What a client may send as W2SD's args."""
    names = draw(st.lists(st.sampled_from(list(valid)), unique=True, max_size=6))
    given = {"enabled": draw(valid["enabled"]), **{name: draw(valid[name]) for name in names}}
    kind = draw(st.sampled_from(["right", "right", "wrong", "key", "list", "junk"]))
    if kind == "wrong":
        name = draw(st.sampled_from(list(INVALID)))
        given[name] = draw(INVALID[name])
    elif kind == "key":
        given[draw(st.sampled_from(["lambda", "Enabled", "", "__class__", "weak_cfg "]))] = draw(scales)
    elif kind == "list":
        whole = {**as_dict(Settings()), **given}
        return list(whole.values())[: draw(st.integers(1, len(whole)))]
    elif kind == "junk":
        return [draw(st.sampled_from([None, 3, "on", [], [{"enabled": True}], "{}", 1e300]))]
    return [given]


class Host:
    """Sends requests as a client would that checks nothing, and knows the plain picture of each."""

    def __init__(self, webui, image):
        self.webui, self.image = webui, image
        self.ask = asking(webui, "sd15")
        self.weak = self.ask["override_settings"]["sd_model_checkpoint"] + "-weak"
        names = [entry["name"] for entry in webui.get("/sdapi/v1/loras")]
        self.lora = next((name for name in ("w2sd_lora", "tiny_lora") if name in names), None)
        self.traces = None
        self.answered = {}  # status -> how many; a request that the WebUI itself cannot do counts apart as well

    def send(self, request: dict, args=None):
        payload = {**PLAIN, **self.ask, **request}
        kind = "img2img" if payload.pop("init", False) else "txt2img"
        if kind == "img2img":
            payload.update(init_images=[png(self.image)], denoising_strength=0.9)
        elif payload.pop("hires", False):
            payload.update(HIRES, hr_additional_modules=["Use same choices"], hr_cfg=payload["cfg_scale"])
        payload.pop("hires", None)
        if self.webui.name == "neo":
            payload = self.webui.for_neo(payload)
        if args is not None:
            payload["alwayson_scripts"] = {"W2SD": {"args": args}}
        # Python's JSON says NaN and Infinity too.
        body, headers = json.dumps(payload), {"Content-Type": "application/json"}
        return self.webui.post(f"/sdapi/v1/{kind}", content=body, headers=headers)

    def trace(self):
        return self.webui.trace()


@pytest.fixture(scope="module")
def host(webui, init_image):
    made = Host(webui, init_image)
    yield made
    print(f"\n{webui.name}: requests by status: {made.answered}")


def is_ours(answer) -> bool:
    """An error with W2SD's own message."""
    return answer.status_code in (422, 500, 507) and str(answer.json().get("detail", "")).startswith("W2SD")


def check(host, request, args):
    answer = host.send(request, args)
    host.answered[answer.status_code] = host.answered.get(answer.status_code, 0) + 1
    try:
        asked = parse(json.loads(json.dumps(args)))
    except SettingError:
        assert answer.status_code == 422 and is_ours(answer), answer.text[:1000]
        return
    if answer.status_code != 200:
        if not asked.enabled and "Integer exceeds 64-bit range" in answer.text:
            return  # made, but a WebUI writes each request back, and this one it cannot
        if not (asked.enabled and is_ours(answer)):
            host.answered["the WebUI's own"] = host.answered.get("the WebUI's own", 0) + 1
            plain = host.send(request)
            assert (answer.status_code, answer.json()) == (plain.status_code, plain.json()), answer.text[:1000]
        return
    made = Picture(answer.json())
    if not asked.enabled:
        assert "W2SD" not in made.infotext.replace(request.get("prompt", ""), "")
        return
    assert f"W2SD lambda: {asked.lambda_steps}" in made.infotext
    passes = [False] + ([True] if request.get("hires") and not request.get("init") else [])
    expected = [asked.plan_of(hires_pass) for hires_pass in passes if asked.acts_in(hires_pass)]
    if not expected:
        return
    runs = host.trace()
    if any(run["steps"] for run in runs):  # DDIM makes none of one
        assert runs != host.traces, "another request's trace: this one was a plain picture"
    host.traces = runs
    assert len(runs) == len(expected)
    for run, plan in zip(runs, expected):
        if asked.weak_alone:
            assert {e["kind"] for e in run["evaluations"]} <= {"weak"}
        else:
            assert len(run["reflections"]) == len(plan.steps(run["steps"]))


def test_generated_requests(every, host):
    @settings(
        max_examples=int(os.environ.get("REQUESTS", 150 if every else 50)),
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # no shrinking: each try is a request
        suppress_health_check=list(HealthCheck),
    )
    @given(requested, arguments(on_this_host(host.weak, host.lora)))
    def answered(request, args):
        check(host, request, args)

    plain = host.send({}).json()["images"]
    reflected = host.send({}, [{"enabled": True, "lambda_steps": 3}]).json()["images"]
    answered()
    assert host.send({}).json()["images"] == plain
    assert host.send({}, [{"enabled": True, "lambda_steps": 3}]).json()["images"] == reflected


# ---------------------------------------------------------------- names are data


@pytest.fixture
def outside(tmp_path):
    """A pipe outside the WebUI's folders that is named like a model: whoever opened it to read would wait."""
    pipe = tmp_path / "w2sd-outside.safetensors"
    os.mkfifo(pipe)
    return pipe


def hostile_names(outside: Path) -> list:
    up = "../" * 12
    return [
        str(outside),
        str(outside.with_suffix("")),
        up + str(outside).lstrip("/"),
        "..",
        up + "etc/passwd",
        "file://" + str(outside),
        "C:\\Windows\\win.ini",
        "no such\nname",
        "no such\u0000name",
        "%s%n{0.__class__}",
    ]


def test_no_path_is_read_outside_the_models_folders(host, outside):
    for name in hostile_names(outside):
        tag = name.replace(":", "").replace("\n", " ")
        for names in (
            {"weak_checkpoint": name},
            {"weak_loras": f"<lora:{tag}:1>"},
            {"weak_prompt": f"a cat <lora:{tag}:1>", "weak_cfg": 1},
        ):
            if "weak_prompt" in names and "//" in tag and host.webui.name == "neo":
                continue  # the rest of a line behind it is a comment there: no LoRA is named
            answer = host.send({}, [{"enabled": True, "lambda_steps": 2, **names}])
            assert answer.status_code == 422 and is_ours(answer), (names, answer.text[:500])
        with pytest.raises(OSError):  # nobody has the pipe open to read
            os.close(os.open(outside, os.O_WRONLY | os.O_NONBLOCK))


def test_nothing_is_evaluated(host, tmp_path):
    target = tmp_path / "evaluated"
    texts = [
        f"__import__('pathlib').Path('{target}').touch()",
        f"$(touch {target}) `touch {target}`; touch {target}",
        f"{{{{ cycler.__init__.__globals__.os.system('touch {target}') }}}}",
        "{prompt.__class__.__mro__} {0} {negative_prompt!r} %s %(prompt)s",
        "${prompt} <%= 1 %> #{1}",
    ]
    for text in texts:
        settings = {"enabled": True, "lambda_steps": 1, "weak_cfg": 2}
        answer = host.send({}, [{**settings, "weak_prompt": text, "weak_negative_prompt": text}])
        assert answer.status_code == 200 or is_ours(answer), (text, answer.text[:500])
        if answer.status_code == 200:
            assert text[:20] in Picture(answer.json()).infotext.replace("\\\\", "\\")
        answer = host.send({}, [{**settings, "weak_checkpoint": text}])
        assert answer.status_code == 422 and is_ours(answer), (text, answer.text[:500])
        assert not target.exists()
