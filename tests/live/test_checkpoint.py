"""The checkpoint gap inside the running WebUI.

What is compared bit for bit needs two checkpoints that differ in the UNet alone. Pairs are found by their names:
X and X-weak, as the small models of this project are called. On a WebUI without such a pair these tests skip.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .conftest import PLAIN
from .families import FAMILIES, family_of
from .grids import Axes, cells
from .test_engine import HIRES, IDENTITY, kinds, same

# On the UNet alone: the text encoder keeps the LoRA on both sides, whatever the weak checkpoint is.
LORAS = "<lora:{}:0:0.8>"


def names(webui) -> list:
    return [m["model_name"] for m in webui.get("/sdapi/v1/sd-models")]


def pairs(webui) -> list:
    """(strong, weak) for each pair of checkpoints that share everything but the UNet. Not GGUF: see test_storage."""
    models = webui.get("/sdapi/v1/sd-models")
    there = [m["model_name"] for m in models if not m["filename"].endswith(".gguf")]
    found = [(name, f"{name}-weak") for name in there if f"{name}-weak" in there]
    # The first pair is the plainest: it has negative prompts, a CFG scale, and all in one file.
    return sorted(found, key=lambda pair: FAMILIES.index(family_of(pair[0])))


def asking(strong: str) -> dict:
    """What a picture with this checkpoint needs to be asked for."""
    ask = {"override_settings": {"sd_model_checkpoint": strong}, "steps": 4}
    if any(kind in strong.lower() for kind in ("flux", "schnell")):
        # Forge draws a black picture with schnell's schedule of the scheduler "Automatic".
        ask.update(scheduler="Simple", distilled_cfg_scale=3.5, cfg_scale=1)
    if "rectified" in strong.lower():  # as above
        ask.update(scheduler="Simple", distilled_cfg_scale=3)
    return ask


def alone(weak: str, **settings) -> dict:
    """Every call is the weak side's, at the picture's own CFG scale."""
    return {"weak_checkpoint": weak, "weak_cfg": PLAIN["cfg_scale"], "weak_alone": True, **settings}


@pytest.fixture(scope="module")
def pair(webui):
    found = pairs(webui)
    if not found:
        pytest.skip("no two checkpoints named X and X-weak")
    webui.picture(**asking(found[0][0]))
    return found[0]


@pytest.fixture(scope="module")
def own(webui, pair):
    """The plain pictures of the strong and of the weak checkpoint, as the host draws them."""
    return tuple(webui.picture(**asking(name)) for name in pair)


@pytest.fixture(scope="module")
def lora(webui, pair):
    """Names of LoRAs that act on the UNets of the first pair (w2sd_te is for the text encoder alone)."""
    answer = webui.client.get("/sdapi/v1/loras")
    found = [entry["name"] for entry in answer.json()] if answer.status_code == 200 else []
    others = ("emoji", "xl", "flux", "anima", "krea", "wan", "zimage", "w2sd_te")
    others += ("chroma", "ernie", "klein", "lumina2", "qwen")
    found = [name for name in found if not any(other in name for other in others)]
    if not found:
        pytest.skip("no LoRA")
    return found


def kept(webui):
    return webui.get("/w2sd/v1/host")["weak_checkpoint"]


def test_every_call_weak_is_the_weak_checkpoints_own_picture(webui, pair, every):
    """The families' own are asked in test_families."""
    wrong = {}
    for strong, weak in pairs(webui) if every else [pair]:
        ask, told = asking(strong), {}
        truth = webui.picture(**{**ask, **asking(weak)})
        before = webui.picture(**ask)
        settings = alone(weak, weak_cfg=ask.get("cfg_scale", PLAIN["cfg_scale"]))
        got, after = webui.picture(settings, **ask), webui.picture(**ask)
        told["equal to the truth"] = same(got, truth)
        told["another picture than the strong one's"] = not same(got, before)
        told["strong as before"] = same(after, before)
        wrong.update({(strong, what): ok for what, ok in told.items() if not ok})
    assert not wrong


def test_reflection_with_a_weak_checkpoint(webui, pair, own):
    strong, weak = pair
    settings = {"lambda_steps": 3, "weak_checkpoint": weak, "weak_cfg": 1, "strong_cfg": 1}
    ask = asking(strong)
    first, second = webui.picture(settings, **ask), webui.picture(settings, **ask)
    assert same(first, second) and not same(first, own[0])
    (run,) = webui.trace()
    assert [r["gap_norm"] > 0 for r in run["reflections"]] == [True] * 3
    assert {e["rows"] for e in kinds(run["evaluations"], "weak")} == {1}
    assert same(webui.picture(**ask), own[0])


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_a_checkpoint_against_its_own_weights_is_no_gap(webui, pair, file_beside, inversion):
    """From a file of its own, so that neither name nor hash tells. The weights come by way of the exchange, and give
    the loaded UNet's output to the bit."""
    ask = asking(pair[0])
    with safe_open(in_file(webui, pair[0]), "pt") as f:
        own = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
    twin = file_beside("w2sd-twin.safetensors", lambda path, *_: save_file(own, path, {"w2sd": "a copy"}))
    settings = {"weak_checkpoint": twin, "inversion": inversion, "weak_cfg": PLAIN["cfg_scale"], "lambda_steps": 3}
    webui.picture(settings, **ask)
    (run,) = webui.trace()
    if inversion == "matched":
        assert [r["gap_norm"] for r in run["reflections"]] == [0, 0, 0]
        assert same(webui.picture({**settings, "lambda_steps": -1}, **ask), webui.picture(**ask))
    else:
        without = webui.picture({**settings, "weak_checkpoint": ""}, **ask)
        assert same(webui.picture(settings, **ask), without)


def test_the_loaded_checkpoint_itself_is_refused(webui, pair, lora):
    strong, _ = pair
    message = webui.refused({"weak_checkpoint": strong}, **asking(strong))
    assert f"weak_checkpoint (Weak checkpoint) was given {strong!r}" in message and "no gap" in message
    # With the picture's LoRAs on one side alone it is a gap.
    webui.picture({"weak_checkpoint": strong}, prompt=PLAIN["prompt"] + LORAS.format(lora[0]), **asking(strong))
    assert all(r["gap_norm"] > 0 for r in webui.trace()[0]["reflections"])


def test_a_part_of_a_name_is_refused(webui, pair):
    for given in (pair[1][:-1], "safetensors"):
        message = webui.refused({"weak_checkpoint": given}, **asking(pair[0]))
        assert "none of the WebUI's checkpoints" in message
    assert f"the nearest: {pair[1]}" in webui.refused({"weak_checkpoint": pair[1][:-1]}, **asking(pair[0]))


def scaled(path, tensors, metadata):
    """Scaled fp8, as ComfyUI and Forge read it: linear layers in fp8, each with what it is to be multiplied by."""
    made = {}
    for key, value in tensors.items():
        made[key] = value
        if key.startswith("model.diffusion_model.") and value.ndim == 2 and key.endswith(".weight"):
            scale = value.float().abs().max() / 448
            made[key] = (value.float() / scale).to(torch.float8_e4m3fn)
            made[key.removesuffix("weight") + "scale_weight"] = scale.reshape(1).clone()
    save_file({**made, "model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path, metadata)


def scaled_and_all_fp8(path, tensors, metadata):
    scaled(path, tensors, metadata)
    with safe_open(path, "pt") as f:
        made = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
    for key, value in made.items():
        if key.startswith("model.diffusion_model.") and not key.endswith("scale_weight"):
            made[key] = value.to(torch.float8_e4m3fn)
    save_file(made, path, metadata)


def as_it_is_read(make):
    """A file that holds the same numbers, none of them scaled."""

    def made(path, tensors, metadata):
        make(path, tensors, metadata)
        with safe_open(path, "pt") as f:
            stored = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
        scales = {key.removesuffix("scale_weight"): stored.pop(key) for key in list(stored) if "scale_weight" in key}
        stored.pop("model.diffusion_model.scaled_fp8")
        for layer, scale in scales.items():
            stored[f"{layer}weight"] = stored[f"{layer}weight"].float() * scale
        save_file(
            {key: value.half() if value.itemsize == 1 else value for key, value in stored.items()}, path, metadata
        )

    return made


@pytest.mark.parametrize("make", [scaled, scaled_and_all_fp8])
def test_scaled_fp8_on_either_side(webui, pair, own, file_beside, make):
    strong, weak = pair
    eight = file_beside(f"w2sd-{make.__name__}.safetensors", make)
    if webui.name == "a1111":
        assert "scaled fp8, which this WebUI does not read" in webui.refused(alone(eight), **asking(strong))
        return
    if webui.name == "neo":
        # With some versions of torch this host cannot keep such a file as its own checkpoint: it is compared with one
        # that holds the same numbers.
        theirs = webui.picture(**asking(file_beside("w2sd-not-scaled.safetensors", as_it_is_read(make))))
        assert not same(theirs, own[1]) and same(webui.picture(alone(eight), **asking(strong)), theirs)
        return
    theirs = webui.picture(**asking(eight))
    assert not same(theirs, own[1])
    assert same(webui.picture(alone(eight), **asking(strong)), theirs)
    assert same(webui.picture(**asking(strong)), own[0])
    assert same(webui.picture(alone(weak), **asking(eight)), own[1])
    assert same(webui.picture(**asking(eight)), theirs)
    webui.picture(**asking(strong))


def test_with_loras(webui, pair, lora):
    """The weak checkpoint without them, and with them; other LoRAs in the next request; none in the one after."""
    strong, weak = pair
    ask = asking(strong)
    bare = webui.picture(**ask)
    weak_bare = webui.picture(**asking(weak))
    wrong, all_tags = {}, [LORAS.format(lora[0]), " ".join(map(LORAS.format, lora[-2:])), LORAS.format(lora[-1]), ""]
    truths = {tags: webui.picture(prompt=PLAIN["prompt"] + tags, **asking(weak)) for tags in all_tags}
    for tags, weak_with in truths.items():
        prompt = PLAIN["prompt"] + tags
        strong_with = webui.picture(prompt=prompt, **ask)
        told = {
            "with": same(webui.picture(alone(weak, weak_checkpoint_loras=True), prompt=prompt, **ask), weak_with),
            "without": same(webui.picture(alone(weak), prompt=prompt, **ask), weak_bare),
            "strong": same(webui.picture(prompt=prompt, **ask), strong_with),
            "reflected": same(
                *(webui.picture({"lambda_steps": 3, "weak_checkpoint": weak}, prompt=prompt, **ask) for _ in range(2))
            ),
            "strong, reflected": same(webui.picture(prompt=prompt, **ask), strong_with),
            "bare": same(webui.picture(**ask), bare),
            "counts": same(strong_with, bare) == (tags == ""),
        }
        wrong.update({(tags, what): ok for what, ok in told.items() if not ok})
    assert not wrong


def test_with_loras_computed_on_the_fly(webui, pair, lora):
    if webui.name != "a1111":
        pytest.skip("the setting lora_functional is A1111's")
    strong, weak = pair
    ask, prompt = asking(strong), PLAIN["prompt"] + LORAS.format(lora[0])
    webui.post("/sdapi/v1/options", {"lora_functional": True})
    try:
        weak_bare, weak_with = (webui.picture(prompt=text, **asking(weak)) for text in (PLAIN["prompt"], prompt))
        strong_with = webui.picture(prompt=prompt, **ask)
        assert not same(weak_bare, weak_with)
        with_loras = webui.picture(alone(weak, weak_checkpoint_loras=True), prompt=prompt, **ask)
        assert same(with_loras, weak_with)
        assert same(webui.picture(alone(weak), prompt=prompt, **ask), weak_bare)
        assert same(webui.picture(prompt=prompt, **ask), strong_with)
    finally:
        webui.post("/sdapi/v1/options", {"lora_functional": False})
    assert same(webui.picture(alone(weak), prompt=prompt, **ask), webui.picture(**asking(weak)))


def test_the_strong_checkpoint_reloaded_in_between(webui, pair, own, lora):
    """Loaded in place, into the same modules: the weak UNet kept from before is still right."""
    strong, weak = pair
    prompt = PLAIN["prompt"] + LORAS.format(lora[0])
    truth = webui.picture(**asking(weak))
    assert same(webui.picture(alone(weak), prompt=prompt, **asking(strong)), truth)
    webui.picture(prompt=prompt, **asking(weak))
    assert same(webui.picture(alone(weak), prompt=prompt, **asking(strong)), truth)
    webui.picture(alone(strong), **asking(weak))
    assert same(webui.picture(alone(strong), **asking(weak)), own[0])
    assert same(webui.picture(**asking(strong)), own[0])


def test_hires_pass(webui, pair):
    strong, weak = pair
    plain = webui.picture(**HIRES, **asking(strong))
    truth = webui.picture(**HIRES, **asking(weak))
    assert same(webui.picture(alone(weak), **HIRES, **asking(strong)), truth)
    webui.picture({"weak_checkpoint": weak, "lambda_steps": 2}, **HIRES, **asking(strong))
    assert [run["pass"] for run in webui.trace()] == ["txt2img", "hires"]
    assert same(webui.picture(**HIRES, **asking(strong)), plain)


def test_hires_pass_with_another_checkpoint(webui, pair):
    strong, weak = pair
    ask = {**HIRES, **asking(strong), "hr_checkpoint_name": weak}
    plain = webui.picture(**ask)
    webui.picture({"weak_checkpoint": weak, "lambda_steps": 2}, **ask)
    first, second = webui.trace()
    assert first["reflections"][0]["gap_norm"] > 0
    settings = {**IDENTITY, "weak_checkpoint": weak, "lambda_steps": 2}
    webui.picture(settings, **ask)
    first, second = webui.trace()
    assert all(r["gap_norm"] > 0 for r in first["reflections"])
    assert all(r["gap_norm"] == 0 for r in second["reflections"]), "weak against itself"
    assert same(webui.picture(**ask), plain)


def test_hires_pass_with_a_checkpoint_of_another_kind(webui, pair):
    others = [strong for strong, _ in pairs(webui)[1:] if "flux" not in strong]
    if not others:
        pytest.skip("no pair of another architecture")
    ask = {**HIRES, **asking(pair[0]), "hr_checkpoint_name": others[0]}
    message = webui.refused({"weak_checkpoint": pair[1], "lambda_steps": 2}, **ask)
    assert "weak_checkpoint" in message and "hires pass" in message
    assert webui.trace() == [], "refused before any sampling"
    if webui.request(None, **ask).status_code == 500:
        pytest.skip("the WebUI does not draw it without W2SD either (Forge Neo: with the first checkpoint's conds)")
    webui.picture({"weak_checkpoint": pair[1], "lambda_steps": 2, "hires": "off"}, **ask)


def test_refiner(webui, pair):
    """It takes over in the middle of the run, in the same modules: where the weak checkpoint fits it stays the weak
    side; against itself it is then no gap."""
    strong, weak = pair
    # Forge Neo goes by sigma, from about 14.6 to 0.03 here; the others by how many of the timesteps are done.
    switch = 3.0 if webui.name == "neo" else 0.5
    ask = {**asking(strong), "steps": 8, "refiner_checkpoint": weak, "refiner_switch_at": switch}
    plain = webui.picture(**ask)
    settings = {**IDENTITY, "weak_checkpoint": weak}
    webui.picture(settings, **ask)
    (run,) = webui.trace()
    gaps = [r["gap_norm"] > 0 for r in run["reflections"]]
    assert gaps[:2] == [True, True] and gaps[-2:] == [False, False] and gaps == sorted(gaps, reverse=True)
    assert same(webui.picture(**ask), plain)
    webui.picture(**asking(strong))


def test_refiner_of_another_kind(webui, pair):
    others = [strong for strong, _ in pairs(webui)[1:] if "flux" not in strong]
    if not others:
        pytest.skip("no pair of another architecture")
    ask = {**asking(pair[0]), "refiner_checkpoint": others[0], "refiner_switch_at": 0.5}
    # Forge Neo can once: the second time it has the first one's conds.
    if any(webui.request(None, **ask).status_code != 200 for _ in range(2)):
        pytest.skip("the host itself cannot go from one to the other")
    webui.picture({**IDENTITY, "weak_checkpoint": pair[1]}, **ask)
    (run,) = webui.trace()
    gaps = [r["gap_norm"] > 0 for r in run["reflections"]]
    assert gaps[0] and not gaps[-1], "from the refiner on there is no gap left"


# ------------------------------------------------------------------------------------------ refused


def in_file(webui, name):
    """The file of a checkpoint, where it is on this machine and its folder can be written to."""
    (found,) = [m["filename"] for m in webui.get("/sdapi/v1/sd-models") if m["model_name"] == name]
    path = Path(found)
    if not path.is_file():
        pytest.skip("the WebUI's files are not on this machine")
    return path


@pytest.fixture
def file_beside(webui, pair):
    """file_beside(name, make) writes a file beside the weak checkpoint, for one test; make(path, tensors, metadata)."""
    weak, made = in_file(webui, pair[1]), []

    def beside(name, make):
        path = weak.with_name(name)
        with safe_open(weak, "pt") as f:
            make(path, {key: f.get_tensor(key) for key in f.keys()}, f.metadata())  # noqa: SIM118
        made.append(path)
        webui.post("/sdapi/v1/refresh-checkpoints", {})
        return path.stem

    yield beside
    for path in made:
        path.unlink(missing_ok=True)
        path.with_suffix(".yaml").unlink(missing_ok=True)
    webui.post("/sdapi/v1/refresh-checkpoints", {})


def test_freed_by_the_hosts_unload_endpoint_and_by_ours(webui, pair, own):
    for path in ("/sdapi/v1/unload-checkpoint", "/w2sd/v1/free"):
        assert same(webui.picture(alone(pair[1]), **asking(pair[0])), own[1])
        held = kept(webui)
        assert pair[1] in held["name"] and held["peak_bytes"] <= held["bytes"] * 1.05
        assert webui.post(path, {}).status_code == 200
        assert kept(webui) is None
    webui.post("/sdapi/v1/reload-checkpoint", {})
    assert same(webui.picture(alone(pair[1]), **asking(pair[0])), own[1])
    assert same(webui.picture(**asking(pair[0])), own[0])


def test_freed_when_another_kind_of_checkpoint_is_loaded(webui, pair):
    others = [strong for strong, _ in pairs(webui)[1:]]
    if not others:
        pytest.skip("no pair of another architecture")
    webui.picture(alone(pair[1]), **asking(pair[0]))
    assert kept(webui)
    webui.picture(**asking(others[0]))
    assert kept(webui) is None
    webui.picture(**asking(pair[0]))


def test_kept_between_requests(webui, pair):
    webui.post("/w2sd/v1/free", {})
    webui.picture(alone(pair[1]), **asking(pair[0]))
    first = webui.trace()[0]["overlays"][0]["seconds"]
    webui.picture(alone(pair[1]), **asking(pair[0]))
    assert webui.trace()[0]["overlays"][0]["seconds"] == first, "not loaded again"


def test_infotext_names_it_with_its_hash(webui, pair):
    picture = webui.picture({"weak_checkpoint": pair[1], "weak_checkpoint_loras": True}, **asking(pair[0]))
    assert f"W2SD weak checkpoint: {pair[1]}" in picture.infotext
    assert "W2SD weak checkpoint LoRAs: True" in picture.infotext
    listed = {m["model_name"]: m["hash"] for m in webui.get("/sdapi/v1/sd-models")}
    if listed[pair[1]]:
        assert f"W2SD weak checkpoint hash: {listed[pair[1]]}" in picture.infotext
        by_hash = webui.picture({"weak_checkpoint": listed[pair[1]], "weak_checkpoint_loras": True}, **asking(pair[0]))
        assert by_hash.infotext == picture.infotext and same(by_hash, picture)


def test_schema_and_positional_arguments_stay(webui):
    properties = webui.get("/w2sd/v1/schema")["properties"]
    assert properties["weak_checkpoint"]["type"] == "string" and properties["weak_checkpoint"]["default"] == ""
    assert list(properties)[:5] == ["enabled", "lambda_steps", "strength", "inversion", "weak_cfg"]


def test_xyz_axis(webui, pair):
    axes = Axes(webui)
    settings, ask = {"lambda_steps": 3, "weak_cfg": 1}, asking(pair[0])
    listed = [m["title"].split(" [")[0] for m in webui.get("/sdapi/v1/sd-models") if m["model_name"] == pair[1]]
    given = f"None,{listed[0]}"
    images, infotexts = cells(axes.grid(("[W2SD] Weak checkpoint", given), w2sd=settings, **ask), 2)
    assert (images[0] == webui.picture(settings, **ask).pixels).all()
    assert (images[1] == webui.picture({**settings, "weak_checkpoint": pair[1]}, **ask).pixels).all()
    assert "weak checkpoint" not in infotexts[0] and f"W2SD weak checkpoint: {pair[1]}" in infotexts[1]
    answer = axes.grid(("[W2SD] Weak checkpoint", "None,no such file 123"), w2sd=settings, **ask)
    assert answer.status_code == 422 and "no such file 123" in answer.json()["detail"]


def test_plain_pictures_at_the_end(webui, pair, own):
    for name, picture in zip(pair, own):
        again = webui.picture(**asking(name))
        assert np.array_equal(again.pixels, picture.pixels)
    webui.picture(**asking(pair[0]))
