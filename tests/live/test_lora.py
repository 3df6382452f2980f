"""The LoRA gap inside the running WebUI. Needs the files of make_loras.py in the WebUI's LoRA folder.

What proves a scale over HTTP: at the first step both runs below ask the same network at the same latent, once with
the host's own merging at scale a and once with ours at scale b, and the other way round; the gap between the two has
the same norm if and only if ours is the host's.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from .conftest import PLAIN

KINDS = ("lora", "rank64", "locon", "locon_mid", "loha", "lokr", "glora", "norm", "full", "dora", "ia3", "oft")
NOT_THERE = {"forge": ("ia3", "oft"), "neo": ("ia3",)}  # that this host does not load
MATCHED = {"lambda_steps": 1, "inversion": "matched", "weak_cfg": PLAIN["cfg_scale"]}
TOLERANCE = 1e-4  # of a difference between two evaluations that are equal to about 1e-6


def same(a, b) -> bool:
    return a.pixels.shape == b.pixels.shape and bool((a.pixels == b.pixels).all())


@pytest.fixture(scope="session")
def loras(webui):
    """The names of make_loras.py's files that this WebUI has."""
    webui.post("/sdapi/v1/refresh-loras", {})
    return {entry["name"] for entry in webui.get("/sdapi/v1/loras")}


@pytest.fixture
def name(webui, loras):
    def named(kind):
        if kind in NOT_THERE.get(webui.name, ()):
            pytest.skip(f"this host does not load {kind}")
        if f"w2sd_{kind}" not in loras:
            pytest.skip(f"no w2sd_{kind} in the WebUI's LoRA folder: see make_loras.py")
        return f"w2sd_{kind}"

    return named


def prompt(*tags) -> str:
    return " ".join(["a photo of a cat", *(f"<lora:{tag}>" for tag in tags)])


def gap_norm(webui, settings, **ask) -> float:
    webui.picture({**MATCHED, **settings}, steps=3, **ask)
    return webui.trace()[0]["reflections"][0]["gap_norm"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_weak_scale_is_the_hosts_own_at_that_scale(webui, name, kind):
    lora = name(kind)
    ours = gap_norm(webui, {"weak_lora_offset": -1.5}, prompt=prompt(f"{lora}:0.8"))
    hosts = gap_norm(webui, {"weak_lora_offset": 1.5}, prompt=prompt(f"{lora}:-0.7"))
    assert ours > 0.1
    assert ours == pytest.approx(hosts, rel=TOLERANCE)


@pytest.mark.parametrize("kind", ["lora", "loha"])
def test_the_strong_side_has_an_offset_of_its_own(webui, name, kind):
    lora = name(kind)
    ours = gap_norm(webui, {"strong_lora_offset": 0.7}, prompt=prompt(f"{lora}:0.8"))
    hosts = gap_norm(webui, {"strong_lora_offset": -0.7}, prompt=prompt(f"{lora}:1.5"))
    assert ours == pytest.approx(hosts, rel=TOLERANCE)
    both = {"strong_lora_offset": 0.7, "weak_lora_offset": -1.0}
    ours = gap_norm(webui, both, prompt=prompt(f"{lora}:0.5"))
    hosts = gap_norm(webui, {"weak_lora_offset": 1.7}, prompt=prompt(f"{lora}:-0.5"))
    assert ours == pytest.approx(hosts, rel=TOLERANCE)


def test_several_loras_and_one_with_a_scale_of_its_own(webui, name):
    a, b, c = name("lora"), name("loha"), name("dora")
    ours = gap_norm(
        webui,
        {"weak_lora_offset": -1, "weak_loras": f"<lora:{b}:0.2>"},
        prompt=prompt(f"{a}:0.8", f"{b}:0.5", f"{c}:0.4"),
    )
    hosts = gap_norm(
        webui,
        {"weak_lora_offset": 1, "weak_loras": f"<lora:{b}:0.5>"},
        prompt=prompt(f"{a}:-0.2", f"{b}:0.2", f"{c}:-0.6"),
    )
    assert ours == pytest.approx(hosts, rel=TOLERANCE)


@pytest.mark.parametrize("kind", ["locon", "loha"])
def test_a_lora_of_the_weak_side_alone(webui, name, kind):
    lora = name(kind)
    ours = gap_norm(webui, {"weak_loras": f"<lora:{lora}:0.6>"}, prompt=prompt())
    hosts = gap_norm(webui, {"weak_lora_offset": -0.6}, prompt=prompt(f"{lora}:0.6"))
    assert ours == pytest.approx(hosts, rel=TOLERANCE)


def test_a_tag_in_the_weak_prompt_means_the_same(webui, name):
    lora = name("lora")
    field = webui.picture({**MATCHED, "weak_loras": f"<lora:{lora}:-1.5>"}, prompt=prompt(f"{lora}:0.8"))
    tag = webui.picture({**MATCHED, "weak_prompt": f"{{prompt}} <lora:{lora}:-1.5>"}, prompt=prompt(f"{lora}:0.8"))
    offset = webui.picture({**MATCHED, "weak_lora_offset": -2.3}, prompt=prompt(f"{lora}:0.8"))
    assert same(field, tag) and same(field, offset)


@pytest.mark.parametrize("kind", ["lora", "loha", "norm", "dora"])
def test_equal_scales_are_the_plain_picture(webui, name, kind):
    """Both sides at another scale than the step: nothing to see, and nothing left behind."""
    ask = {"prompt": prompt(f"{name(kind)}:0.8")}
    plain = webui.picture(**ask)
    equal = {**MATCHED, "lambda_steps": -1, "weak_lora_offset": 0.7, "strong_lora_offset": 0.7}
    assert same(webui.picture(equal, **ask), plain)
    assert {e["rows"] for e in webui.trace()[0]["evaluations"] if e["kind"] == "weak"} == {0}


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_nothing_is_left_behind(webui, name, inversion):
    asks = [{"prompt": prompt(*tags)} for tags in ((), (f"{name('lora')}:0.8",), (f"{name('loha')}:-1",))]
    before = [webui.picture(**ask) for ask in asks]
    settings = {
        "lambda_steps": 3,
        "inversion": inversion,
        "weak_cfg": 1,
        "strong_cfg": 1,
        "weak_lora_offset": -2.3,
        "strong_lora_offset": 0.7,
        "weak_loras": f"<lora:{name('dora')}:0.5>",
        "weak_lora_text_encoder": True,
    }
    reflected = webui.picture(settings, **asks[1])
    assert not same(reflected, before[1])
    for ask, picture in zip(asks, before):
        assert same(webui.picture(**ask), picture), ask
    assert same(webui.picture(settings, **asks[1]), reflected)


def test_the_text_encoder_keeps_the_strong_scale_unless_told(webui, name):
    lora = name("te")
    ask = {"prompt": prompt(f"{lora}:0.8")}
    plain = webui.picture(**ask)
    for kept in ({"weak_lora_offset": -2.3}, {"weak_loras": f"<lora:{lora}:-1.5>"}):
        message = webui.refused({**MATCHED, **kept}, **ask)
        assert "only for the text encoder" in message and next(iter(kept)) in message
    told = {"weak_lora_text_encoder": True}
    ours = gap_norm(webui, {**told, "weak_lora_offset": -2.3}, **ask)
    hosts = gap_norm(webui, {**told, "weak_lora_offset": 2.3}, prompt=prompt(f"{lora}:-1.5"))
    assert ours > 0.01 and ours == pytest.approx(hosts, rel=TOLERANCE)
    assert same(webui.picture(**ask), plain)


@pytest.mark.parametrize(
    "inversion,weak_cfg,rows", [("matched", 1, (1, 1)), ("paper", 1, (1, 1)), ("paper", 0, (1, 1))]
)
def test_rows(webui, name, inversion, weak_cfg, rows):
    settings = {"lambda_steps": 1, "strong_cfg": 1, "weak_cfg": weak_cfg, "inversion": inversion}
    webui.picture({**settings, "weak_lora_offset": -1}, prompt=prompt(f"{name('lora')}:0.8"))
    evaluations = webui.trace()[0]["evaluations"]
    assert tuple(sum(e["rows"] for e in evaluations if e["kind"] == kind) for kind in ("strong", "weak")) == rows


def test_hires_pass_and_batches(webui, name):
    ask = {"prompt": prompt(f"{name('lora')}:0.8"), "steps": 4, "batch_size": 2, "n_iter": 2}
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    settings = {"lambda_steps": 2, "weak_lora_offset": -1, "weak_loras": f"<lora:{name('loha')}:0.3>"}
    plain = webui.picture(**ask, **hires)
    reflected, again = (webui.picture(settings, **ask, **hires) for _ in range(2))
    assert same(reflected, again) and not same(reflected, plain)
    assert [run["pass"] for run in webui.trace()] == ["txt2img", "hires"] * 2
    assert same(webui.picture(**ask, **hires), plain)


def test_a_lora_that_is_not_there_ends_the_job_with_its_name(webui, plain):
    for settings in ({"weak_loras": "<lora:w2sd_nowhere:1>"}, {"weak_prompt": "{prompt}<lora:w2sd_nowhere:1>"}):
        assert "'w2sd_nowhere'" in webui.refused(settings)
    assert same(webui.picture(), plain)


def test_infotext_says_what_was_asked(webui, name):
    tag = f"<lora:{name('lora')}:-1.5>"
    settings = {"weak_lora_offset": -2.3, "weak_loras": tag, "weak_lora_text_encoder": True}
    infotext = webui.picture({"lambda_steps": 1, **settings}, steps=2).infotext
    for part in ("W2SD weak LoRA offset: -2.3", f'W2SD weak LoRAs: "{tag}"', "W2SD weak LoRA text encoder: True"):
        assert part in infotext


TWICE = (0.4, 0.5), (-1.0, -0.5), (-1.0, -1.0)


@pytest.mark.parametrize("scales", TWICE)
def test_a_lora_that_stands_twice(webui, name, scales):
    """In the weak LoRAs it is what it is in the picture's prompt; there, a weak scale of its own stands for both."""
    lora = name("lora")
    twice = [f"{lora}:{scale}" for scale in scales]
    named = "".join(f"<lora:{tag}>" for tag in twice)
    for once in ((), (f"{lora}:0.8",)):
        alone = f"<lora:{lora}:{0.8 if once else 0}>"
        ours = gap_norm(webui, {"weak_loras": named}, prompt=prompt(*once))
        assert ours == pytest.approx(gap_norm(webui, {"weak_loras": alone}, prompt=prompt(*twice)), rel=TOLERANCE)
    # A scale that none of these is in sum, on either host: else there is no gap.
    ours = gap_norm(webui, {"weak_loras": f"<lora:{lora}:-3>"}, prompt=prompt(*twice))
    hosts = gap_norm(webui, {"weak_loras": named}, prompt=prompt(f"{lora}:-3"))
    assert ours > 0.1 and ours == pytest.approx(hosts, rel=TOLERANCE)


@pytest.fixture
def file_beside(webui, loras):
    """file_beside(name, data) writes a file into the WebUI's LoRA folder, for one test."""
    if not any(name.startswith("w2sd_") for name in loras):
        pytest.skip("no w2sd_ LoRA in the WebUI's LoRA folder: see make_loras.py")
    there = next(e["path"] for e in webui.get("/sdapi/v1/loras") if e["name"].startswith("w2sd_"))
    made = []

    def beside(file_name, data):
        made.append(Path(there).with_name(file_name))
        made[-1].write_bytes(data)
        webui.post("/sdapi/v1/refresh-loras", {})
        return made[-1]

    yield beside
    for file in made:
        file.unlink(missing_ok=True)
        file.with_name(f"{file.name}.corrupted").unlink(missing_ok=True)
    webui.post("/sdapi/v1/refresh-loras", {})


def test_a_lora_of_which_the_host_understands_nothing(webui, file_beside, plain):
    file = file_beside("w2sd_nothing.safetensors", save({"foo.lora_A.weight": torch.zeros(4, 8)}))
    for settings, ask in (
        ({"weak_loras": "<lora:w2sd_nothing:-1.5>"}, {}),
        ({"weak_lora_offset": -2.3}, {"prompt": prompt("w2sd_nothing:0.8")}),
    ):
        message = webui.refused(settings, **ask)
        assert next(iter(settings)) in message and file.name in message and "understands nothing" in message
    assert same(webui.picture(), plain)


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><html>", b"\x80\x02not a pickle"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_broken_lora_is_refused_and_left_as_it_is(webui, file_beside, plain, data, suffix):
    file = file_beside(f"w2sd_broken{suffix}", data)
    message = webui.refused({"weak_loras": "<lora:w2sd_broken:-1.5>"})
    assert "weak_loras" in message and file.name in message
    assert file.read_bytes() == data and same(webui.picture(), plain)
