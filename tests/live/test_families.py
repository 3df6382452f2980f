"""Every family of networks that the WebUI has checkpoints of, in every gap that it can have.

The measure is always the WebUI's own picture: the weak side alone is what the WebUI draws with the weak settings, and
equal settings leave the plain picture. A family without files is skipped: "absent".
"""

import pytest

from lib_w2sd.method import ways

from . import families
from .conftest import distance, png
from .layouts import no_gap
from .test_company import scripts as scripts  # a fixture
from .test_engine import same
from .test_samplers import GAP, PASSES, note, outcome, samplers

# What a batch of two differs by from two of one: rows at CFG 0 are evaluated alone, the WebUI's in a pair; LoRAs are
# added beside a layer, the WebUI's merged into it.
ROUNDING = 2
ALONE = {"weak_alone": True}


@pytest.fixture(scope="module", params=families.FAMILIES, ids=lambda family: family.name)
def family(request):
    """Of the module, so that all tests of a family follow each other: another's checkpoint takes seconds to load."""
    return request.param


@pytest.fixture
def ask(webui, family):
    strong, _ = families.pair_of(webui, family)
    return asking(family, strong)


def asking(family, checkpoint: str, **besides) -> dict:
    own = {"cfg_scale": 5, "scheduler": "Simple" if family.name not in ("sd15", "sdxl") else "Automatic", "steps": 4}
    return {**own, **family.ask, **besides, "override_settings": {"sd_model_checkpoint": checkpoint}}


def far(one, other) -> int:
    """The largest difference of any of two answers' pictures: a video's frames."""
    assert len(one.images) == len(other.images)
    return max(distance(a, b) for a, b in zip(one.images, other.images))


def gaps(webui) -> list:
    return [r["gap_norm"] for run in webui.trace() for r in run["reflections"]]


def noted(record, webui, family, gap: str):
    record(f"families, {webui.name}", family.name, gap, "ok")


def in_turn(family, every: bool, first: bool):
    """Of these two questions every family asks one."""
    if not every and not family.frames and (families.FAMILIES.index(family) % 2 == 0) != first:
        pytest.skip("the next family asks it")


def test_no_gap(webui, record, family, ask):
    plain = webui.picture(**ask)
    assert same(webui.picture(no_gap(ask), **ask), plain)
    assert set(gaps(webui)) == {0}
    (run,) = webui.trace()
    assert run["reflected"] == run["steps"] - 1 > 0
    noted(record, webui, family, "no gap")


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_guidance(webui, record, family, ask, inversion):
    ask = {**ask, "cfg_scale": 4}
    plain = webui.picture(**ask)
    settings = {"lambda_steps": 2, "weak_cfg": 0, "inversion": inversion}
    made = webui.picture(settings, **ask)
    (run,) = webui.trace()
    rows = {kind: {e["rows"] for e in run["evaluations"] if e["kind"] == kind} for kind in ("strong", "weak", "step")}
    assert rows == {"strong": {2}, "weak": {{"paper": 1, "matched": 0, "fixed-point": 2}[inversion]}, "step": {2}} or (
        inversion == "fixed-point" and rows["weak"] <= {0, 1, 2}
    )
    assert min(gaps(webui)) > 0 and not same(made, plain)
    assert same(webui.picture(settings, **ask), made)
    assert same(webui.picture(**ask), plain)
    noted(record, webui, family, "guidance")


@pytest.mark.parametrize("scale", [0, 1, 2.5])
def test_weak_cfg_alone(webui, family, ask, scale):
    truth, plain = webui.picture(**{**ask, "cfg_scale": scale}), webui.picture(**{**ask, "cfg_scale": 4})
    alone = webui.picture({**ALONE, "weak_cfg": scale}, **{**ask, "cfg_scale": 4})
    assert far(alone, truth) <= (ROUNDING if scale == 0 else 0)
    assert far(truth, plain) > ROUNDING


@pytest.mark.parametrize("scale", [1, 4])
def test_prompt_alone(webui, record, family, ask, scale):
    """Texts of other lengths too: some networks see a shorter one repeated where it shares a call with a longer."""
    ask = {**ask, "cfg_scale": scale}
    plain = webui.picture(**ask)
    for prompt in ("a dog", "a photo of a cat that sits on a long wooden table in the garden of an old house"):
        truth = webui.picture(**{**ask, "prompt": prompt})
        alone = webui.picture({**ALONE, "weak_cfg": scale, "weak_prompt": prompt}, **ask)
        assert far(alone, truth) == 0, prompt
        assert far(plain, truth) > 0
    settings = {"lambda_steps": 2, "strong_cfg": 1, "weak_cfg": 1, "weak_prompt": "a dog"}
    webui.picture(settings, **ask)
    assert min(gaps(webui)) > 0
    noted(record, webui, family, "prompt")


@pytest.mark.parametrize("text_encoder", [False, True])
def test_lora_alone(webui, record, family, ask, text_encoder):
    lora = families.lora_of(webui, family)
    te = "" if text_encoder else "0:"

    def prompt(scale):
        return f"a photo of a cat <lora:{lora}:{te}{scale}>"

    scale = ask["cfg_scale"]
    strong, truth, bare = (
        webui.picture(**{**ask, "prompt": p}) for p in (prompt(0.8), prompt(-1.5), "a photo of a cat")
    )
    assert far(strong, truth) > ROUNDING and far(bare, truth) > ROUNDING
    weak = {"weak_cfg": scale, "weak_lora_text_encoder": text_encoder, "weak_loras": f"<lora:{lora}:{te}-1.5>"}
    with_lora = {**ask, "prompt": prompt(0.8)}
    assert far(webui.picture({**ALONE, **weak}, **with_lora), truth) <= ROUNDING
    assert far(webui.picture({**ALONE, **weak}, **ask), truth) <= ROUNDING, "of the weak side only"
    made = webui.picture({"lambda_steps": 2, "strong_cfg": 1, **weak, "weak_cfg": 1}, **with_lora)
    assert min(gaps(webui)) > 0 and not same(made, strong)
    assert same(webui.picture(**with_lora), strong) and same(webui.picture(**ask), bare)
    noted(record, webui, family, "LoRA")


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_lora_without_a_gap(webui, family, ask, inversion, every):
    """A scale spelled out that is the picture's own: the sides are one."""
    in_turn(family, every, first=True)
    lora = families.lora_of(webui, family)
    ask = {**ask, "prompt": f"a photo of a cat <lora:{lora}:0.8>"}
    settings = {"lambda_steps": 2, "weak_cfg": ask["cfg_scale"], "inversion": inversion}
    without = webui.picture(settings, **ask)
    assert same(webui.picture({**settings, "weak_loras": f"<lora:{lora}:0.8>"}, **ask), without)


def test_checkpoint_alone(webui, record, family, ask):
    strong, weak = families.pair_of(webui, family)
    scale = ask["cfg_scale"]
    plain, truth = webui.picture(**ask), webui.picture(**asking(family, weak))
    assert far(plain, truth) > 0
    alone = webui.picture({**ALONE, "weak_cfg": scale, "weak_checkpoint": weak}, **ask)
    assert far(alone, truth) == 0
    assert "which is the loaded checkpoint itself" in webui.refused(no_gap(ask, weak_checkpoint=strong), **ask)
    made = webui.picture({"lambda_steps": 2, "strong_cfg": 1, "weak_cfg": 1, "weak_checkpoint": weak}, **ask)
    assert min(gaps(webui)) > 0 and not same(made, plain)
    assert same(webui.picture(**ask), plain)
    noted(record, webui, family, "checkpoint")


def test_checkpoint_with_lora(webui, family, ask, every):
    in_turn(family, every, first=False)
    _, weak = families.pair_of(webui, family)
    prompt = f"a photo of a cat <lora:{families.lora_of(webui, family)}:0:0.8>"
    scale = ask["cfg_scale"]
    truth = webui.picture(**asking(family, weak, prompt=prompt))
    weak_settings = {**ALONE, "weak_cfg": scale, "weak_checkpoint": weak}
    alone = webui.picture({**weak_settings, "weak_checkpoint_loras": True}, **{**ask, "prompt": prompt})
    assert far(alone, truth) == 0
    bare = webui.picture(weak_settings, **{**ask, "prompt": prompt})
    assert far(bare, webui.picture(**asking(family, weak))) == 0
    assert far(bare, alone) > 0


def test_distilled_guidance(webui, record, family, ask):
    if not family.distilled:
        message = webui.refused({"lambda_steps": 2, "weak_distilled_cfg": 1}, **ask)
        assert "the loaded checkpoint has no distilled guidance" in message
        return
    truth = webui.picture(**{**ask, "distilled_cfg_scale": 1})
    alone = webui.picture({**ALONE, "weak_cfg": ask["cfg_scale"], "weak_distilled_cfg": 1}, **ask)
    assert far(alone, truth) == 0 < far(truth, webui.picture(**ask))
    noted(record, webui, family, "distilled")


@pytest.mark.parametrize("way", ways.WAYS)
def test_rows_are_those_that_the_network_is_called_with(webui, record, family, ask, way, scripts):
    """Counted in the network itself (tests/live/probe), beside what the trace and the page's forecast say."""
    if "w2sd probe" not in scripts:
        pytest.skip("absent: tests/live/probe among the WebUI's extensions")
    ask = {**ask, "cfg_scale": 4, "alwayson_scripts": {"W2SD probe": {"args": ["rows"]}}}
    webui.picture(**ask)
    plain = webui.get("/w2sd-probe")["rows"]
    assert plain == ask["steps"] * 2
    for settings in (
        {"weak_cfg": 0},
        {"weak_cfg": 4, "weak_prompt": "a dog"},
        {"strong_cfg": 1, "weak_cfg": 1, "weak_checkpoint": families.pair_of(webui, family)[1]},
    ):
        webui.picture({"lambda_steps": 2, "inversion": way, **settings}, **ask)
        (run,) = webui.trace()
        assert webui.get("/w2sd-probe")["rows"] == run["rows"] > 0, settings
    noted(record, webui, family, "rows")


def test_the_picture_that_is_edited_is_seen_by_both_sides(webui, record, family, ask, init_image):
    if not family.reference:
        pytest.skip("no reference")

    def edited(w2sd=None, picture=init_image, **more):
        init = {"init_images": [png(picture)], "denoising_strength": 1}
        return webui.picture(w2sd, kind="img2img", **{**ask, **more}, **init)

    plain, other = edited(), edited(picture=init_image[::-1].copy())
    assert far(plain, other) > ROUNDING, "the reference counts"
    assert far(edited(no_gap(ask)), plain) == 0
    _, weak = families.pair_of(webui, family)
    for settings, same_as in (
        ({"weak_prompt": "a dog"}, {"prompt": "a dog"}),
        ({"weak_checkpoint": weak}, {"override_settings": {"sd_model_checkpoint": weak}}),
    ):
        truth = edited(**same_as)
        alone = edited({**ALONE, "weak_cfg": ask["cfg_scale"], **settings})
        assert far(alone, truth) == 0 < far(alone, plain), settings
        edited(no_gap(ask, **settings))
        assert min(gaps(webui)) > 0
        assert far(edited(), plain) == 0, "the next picture has its reference, too"
    noted(record, webui, family, "reference")


def test_schedule_with_its_shift(webui, family, ask):
    """The sigmas of a flow's reflections are the schedule's, shifted: each step ends where the next begins."""
    if not family.shift:
        pytest.skip("no shift")
    shift, steps = ask["distilled_cfg_scale"], ask["steps"]
    webui.picture({"lambda_steps": -1}, **ask)
    (run,) = webui.trace()
    even = [1 - i / steps for i in range(steps)]
    expected = [shift * s / (1 + (shift - 1) * s) for s in even]
    assert [r["t"] for r in run["reflections"]] == pytest.approx(expected[:-1], rel=2e-3)
    assert [r["t_next"] for r in run["reflections"]] == pytest.approx(expected[1:], rel=2e-3)


def test_two_pictures_or_a_video(webui, family, ask, every):
    in_turn(family, every, first=True)
    ask = {**ask, "batch_size": 5 if family.frames else 2}
    settings = {"lambda_steps": 2, "weak_cfg": 0, "strong_cfg": 4}
    plain = webui.picture(**ask)
    assert far(webui.picture(no_gap(ask), **ask), plain) == 0
    made = webui.picture(settings, **ask)
    assert far(made, plain) > 0 and far(webui.picture(settings, **ask), made) == 0
    rows = {e["rows"] for e in webui.trace()[0]["evaluations"] if e["kind"] == "strong"}
    assert rows == {4}  # of a pair each, two pictures or the two frames of latents that five of a video's are
    if family.frames:
        assert len(made.images) == 5


def test_hires_and_img2img(webui, family, ask, init_image, every):
    in_turn(family, every, first=False)
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "None" if webui.name == "neo" else "Latent"}
    hires |= {"hr_second_pass_steps": 3, "denoising_strength": 0.6}
    if family.ask.get("distilled_cfg_scale"):
        hires["hr_distilled_cfg"] = family.ask["distilled_cfg_scale"]
    plain = webui.picture(**ask, **hires)
    assert same(webui.picture(no_gap(ask), **ask, **hires), plain)
    assert [run["pass"] for run in webui.trace()] == ["txt2img", "hires"]
    webui.picture({"lambda_steps": 1, "weak_cfg": 0, "strong_cfg": 4}, **ask, **hires)
    assert min(gaps(webui)) > 0 and len(gaps(webui)) == 2
    init = {"init_images": [png(init_image)], "denoising_strength": 0.7}
    plain, again = (webui.picture(kind="img2img", **ask, **init) for _ in range(2))
    no = webui.picture(no_gap(ask), kind="img2img", **ask, **init)
    assert far(no, plain) <= max(2 * far(plain, again), 2)
    assert set(gaps(webui)) == {0}


FLOWS = ["txt2img", "img2img 0.5", "inpaint"]


@pytest.mark.parametrize("name", FLOWS)
def test_every_sampler_on_a_flow(webui, record, init_image, shared_out, name):
    """Of one family, the first that is there: the others differ from it in their network only. Of the samplers Forge
    asks one half, Neo the other."""
    flows = [f for f in families.FAMILIES if f.shift or f.distilled]
    there = [f for f in flows if families.there(webui, f)]
    if not there:
        pytest.skip("absent")
    flow = min(there, key=lambda f: f.distilled)
    ask = asking(flow, families.pair_of(webui, flow)[0], cfg_scale=4)
    kind, fields, runs = PASSES[name]
    # Of four steps DDIM and PLMS would make two and improve one; with the usual gap that is too little beside what
    # inpainting draws without a seed.
    fields, gap = {**fields, "steps": fields["steps"] + 2}, {**GAP, "weak_cfg": -6}
    if kind == "img2img":
        ask["init_images"] = [png(init_image)]
    wrong, turn = {}, FLOWS.index(name) + (len(FLOWS) if webui.name == "forge" else 0)
    for sampler in shared_out(samplers(webui), turn, 2 * len(FLOWS)):
        made = {**ask, **fields, "sampler_name": sampler}
        equal = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": 4}
        note(
            record,
            wrong,
            f"samplers on a flow, {webui.name}",
            sampler,
            name,
            outcome(webui, kind, runs, equal, gap, **made),
        )
    assert not wrong
