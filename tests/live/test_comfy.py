"""The nodes in a real ComfyUI, through its API: pytest tests/live/test_comfy.py --comfy http://..."""

import json
import time

import pytest
from PIL import Image

from lib_w2sd.method import ways

from .comfy_examples import EXAMPLES, OUT, guidance, made, name_of, opened, smaller
from .comfyui import CFG, STEPS, ComfyUI, Refused, Workshop, distance, equal
from .pages import browser  # noqa: F401

WEAK = "small-sd15-weak"


def pytest_generate_tests(metafunc):
    """Every sampler of the running ComfyUI's own list."""
    if "sampler" in metafunc.fixturenames:
        url = metafunc.config.getoption("--comfy")
        nodes = ComfyUI(url).nodes() if url else {"KSamplerSelect": {"input": {"required": {"sampler_name": [[]]}}}}
        metafunc.parametrize("sampler", nodes["KSamplerSelect"]["input"]["required"]["sampler_name"][0])


# ---------------------------------------------------------------- equal sides, weak alone, strength


def test_every_sampler_at_equal_sides_is_plain_and_at_others_is_not(comfy, sampler, record):
    w = Workshop()
    of = w.sampler(sampler)
    try:
        found = comfy.latents(
            w.graph,
            plain=w.advanced(of, steps=4),
            equal=w.advanced(w.w2sd(w.guider(), of, lambda_steps=2), steps=4),
            nearly=w.advanced(w.w2sd(w.guider(cfg=1.0), of, lambda_steps=2, strength=1e-9), steps=4),
            other=w.advanced(w.w2sd(w.guider(cfg=1.0), of, lambda_steps=2), steps=4),
        )
    except Refused as refusal:
        record("samplers of ComfyUI", sampler, "equal sides", f"refused: {refusal}")
        raise
    record("samplers of ComfyUI", sampler, "equal sides", "plain" if equal(found["equal"], found["plain"]) else "NOT")
    record("samplers of ComfyUI", sampler, "weak CFG 1", f"{distance(found['other'], found['plain']):.2g}")
    record("samplers of ComfyUI", sampler, "strength 1e-9", f"{distance(found['nearly'], found['plain']):.1g}")
    assert equal(found["equal"], found["plain"])
    assert distance(found["other"], found["plain"]) > 1e-3
    assert distance(found["nearly"], found["plain"]) < 1e-3


def weak_sides(w: Workshop) -> dict:
    """{gap: (strong guider, weak guider)}."""
    lora = {"lora_name": "tiny_sd15.safetensors", "strength_clip": 0.0}
    low, high = (
        w.graph("LoraLoader", model=w.model, clip=w.clip, strength_model=strength, **lora) for strength in (-1.5, 0.8)
    )
    hint = w.graph("EmptyImage", width=64, height=64, batch_size=1, color=0x80C0FF)
    net = w.graph("ControlNetLoader", control_net_name="tiny_controlnet.safetensors")
    control = {"control_net": net, "image": hint, "start_percent": 0.0, "end_percent": 1.0, "vae": w.vae}
    controlled = w.graph("ControlNetApplyAdvanced", positive=w.positive, negative=w.negative, strength=1.0, **control)
    held = w.guider(positive=controlled.output(0), negative=controlled.output(1))
    hook = w.graph("CreateHookLoraModelOnly", lora_name="tiny_sd15.safetensors", strength_model=0.8)
    hooked = w.graph(
        "CLIPTextEncode",
        clip=w.graph("SetClipHooks", clip=w.clip, apply_to_conds=True, schedule_clip=False, hooks=hook),
        text="a photo of a cat",
    )
    rescaled = w.graph("RescaleCFG", model=w.model, multiplier=0.7)
    flow = w.graph("ModelSamplingSD3", model=w.model, shift=3.0)
    other_flow = w.graph("ModelSamplingSD3", model=w.load(WEAK), shift=3.0)
    return {
        "guidance": (w.guider(), w.guider(cfg=1.0)),
        "prompt": (w.guider(), w.guider(positive=w.text("a drawing"))),
        "checkpoint": (w.guider(), w.guider(w.load(WEAK))),
        "LoRA": (w.guider(high), w.guider(low)),
        "LoRA against none": (w.guider(high), w.guider()),
        "LoRA by hooks": (w.guider(positive=hooked), w.guider()),
        "ControlNet": (held, w.guider()),
        "ControlNet on another checkpoint": (held, w.guider(w.load(WEAK), *controlled_conds(controlled))),
        "another guidance node": (w.guider(), w.guider(rescaled)),
        "flow, checkpoint": (w.guider(flow), w.guider(other_flow)),
    }


def controlled_conds(controlled) -> tuple:
    return controlled.output(0), controlled.output(1)


GAPS = ("guidance", "prompt", "checkpoint", "LoRA", "LoRA against none", "LoRA by hooks", "ControlNet")
GAPS += ("ControlNet on another checkpoint", "another guidance node", "flow, checkpoint")


@pytest.mark.parametrize("gap", GAPS)
def test_a_gap_pushes_leaves_equal_sides_plain_and_its_weak_side_alone_is_itself(comfy, gap, record):
    w = Workshop()
    strong, weak = weak_sides(w)[gap]
    euler = w.sampler()
    found = comfy.latents(
        w.graph,
        plain=w.advanced(euler, strong),
        weak=w.advanced(euler, weak),
        alone=w.advanced(w.w2sd(weak, weak_alone=True), strong),
        pushed=w.advanced(w.w2sd(weak), strong),
        equal=w.advanced(w.w2sd(strong), strong),
        nothing=w.advanced(w.w2sd(weak, strength=1e-30), strong),
    )
    found |= comfy.latents(w.graph, after=w.advanced(euler, strong, latent=w.anew()))
    for name in ("pushed", "weak"):
        record("gaps in ComfyUI", gap, name, f"{distance(found[name], found['plain']):.2g}")
    assert equal(found["alone"], found["weak"]), "weak alone"
    assert equal(found["equal"], found["plain"]), "equal sides"
    assert equal(found["nothing"], found["plain"]), "strength 1e-30"
    assert equal(found["after"], found["plain"]), "afterwards"
    assert distance(found["pushed"], found["plain"]) > 1e-3


@pytest.mark.parametrize("way", ways.WAYS)
def test_every_way_is_drawn_and_the_two_nodes_agree(comfy, way):
    w = Workshop()
    found = comfy.latents(
        w.graph,
        plain=w.ksampler(),
        advanced=w.advanced(w.w2sd(w.guider(cfg=0.0), inversion=way)),
        model=w.ksampler(w.w2sd_model(inversion=way)),
    )
    assert equal(found["advanced"], found["model"])
    assert distance(found["model"], found["plain"]) > 1e-3


def test_masks_and_batches_at_equal_sides_are_plain(comfy):
    w = Workshop(batch=2)
    mask = w.graph("SolidMask", value=1.0, width=32, height=64)
    noise = w.graph(
        "KSampler",
        model=w.model,
        positive=w.positive,
        negative=w.negative,
        latent_image=w.latent,
        seed=3,
        steps=1,
        cfg=1.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    )
    masked = w.graph("SetLatentNoiseMask", samples=noise, mask=mask)
    found = comfy.latents(
        w.graph,
        plain=w.advanced(w.sampler(), latent=masked),
        equal=w.advanced(w.w2sd(w.guider()), latent=masked),
        other=w.advanced(w.w2sd(w.guider(cfg=1.0)), latent=masked),
    )
    assert found["plain"].shape[0] == 2
    assert equal(found["equal"], found["plain"])
    assert distance(found["other"], found["plain"]) > 1e-3


# ---------------------------------------------------------------- rows, words, interrupting


@pytest.mark.parametrize(
    "way, weak_cfg, more",
    # Of three reflected steps of six, beside the sampler's own two rows a step.
    [
        ("matched", 0.0, 3 * 2),  # both sides from one pair
        ("matched", 1.0, 3 * 2),
        ("paper", 1.0, 3 * 3),
        ("previous-gap", 0.0, 0),
        ("auto-guidance", 0.0, 0),
    ],
)
def test_rows_are_those_that_the_network_has_seen(comfy, way, weak_cfg, more):
    w = Workshop()
    counting = w.graph("W2SDCountRows", model=w.model)
    sampled = w.ksampler(w.w2sd_model(counting, inversion=way, weak_cfg=weak_cfg, measure=False))
    rows, words = comfy.counted(w, sampled)
    assert rows == 2 * STEPS + more
    assert f"{rows} UNet rows" in words
    assert f" of {STEPS} steps improved" in words


def test_the_last_run_says_the_push_as_a_cfg_scale_and_draws_it(comfy):
    w = Workshop()
    _, words = comfy.counted(w, w.ksampler(w.w2sd_model()))
    assert "as of CFG" in words
    w = Workshop()
    last = w.graph("W2SDLastRun", latent=w.ksampler(w.w2sd_model()))
    saved = w.graph("SaveImage", images=last.output(1), filename_prefix="w2sd")[0]
    assert comfy.outputs(w.graph)[saved]["images"]


def test_an_interrupted_run_ends_at_once_and_the_next_is_as_ever(comfy):
    w = Workshop()
    plain = comfy.latents(w.graph, plain=w.ksampler())["plain"]
    w = Workshop()
    w.graph("SaveLatent", samples=w.ksampler(w.w2sd_model(lambda_steps=-1), steps=400), filename_prefix="w2sd")
    prompt = comfy.queue(w.graph)
    time.sleep(8)
    comfy.interrupt()
    begun = time.monotonic()
    with pytest.raises(InterruptedError):
        comfy.result(prompt)
    assert time.monotonic() - begun < 60
    w = Workshop()
    found = comfy.latents(w.graph, plain=w.ksampler(sampler="euler"), equal=w.ksampler(w.w2sd_model(weak_cfg=CFG)))
    assert equal(found["plain"], plain) and equal(found["equal"], plain)


# ---------------------------------------------------------------- refused in words


def refusals() -> dict:
    """{what: (its workflow, what the words name)}."""
    found = {}
    w = Workshop()
    found["latents of another kind"] = w, w.ksampler(w.w2sd_model(weak_model=w.load("small-sdxl"))), "latents"
    w = Workshop()
    flow = w.graph("ModelSamplingSD3", model=w.load(WEAK), shift=3.0)
    found["a flow"] = w, w.ksampler(w.w2sd_model(weak_model=flow)), "a flow"
    w = Workshop()
    found["both nodes"] = w, w.advanced(w.w2sd(w.guider()), w.guider(w.w2sd_model())), "both"
    w = Workshop()
    found["twice"] = w, w.advanced(w.w2sd(w.guider(), w.w2sd(w.guider()))), "with W2SD"
    w = Workshop()
    found["a preset that needs a model"] = w, w.ksampler(w.w2sd_model(preset="More of my checkpoint")), "weak_model"
    w = Workshop()
    basic = w.graph("BasicGuider", model=w.w2sd_model(), conditioning=w.positive)
    found["no negative prompt"] = w, w.advanced(w.sampler(), basic), "weak_cfg"
    w = Workshop()
    basic = w.graph("BasicGuider", model=w.model, conditioning=w.positive)
    found["nothing to measure by"] = w, w.advanced(w.w2sd(w.guider(cfg=1.0), measure=True), basic), "measure"
    w = Workshop()
    cached = w.graph("EasyCache", model=w.model, reuse_threshold=0.2, start_percent=0.0, end_percent=1.0, verbose=False)
    found["EasyCache"] = w, w.ksampler(w.w2sd_model(cached)), "EasyCache"
    w = Workshop()
    found["no number"] = w, w.ksampler(w.w2sd_model(strong_cfg="much")), "strong_cfg"
    return found


@pytest.mark.parametrize("what", refusals())
def test_what_cannot_be_is_refused_in_words(comfy, what):
    w, sampled, named = refusals()[what]
    w.graph("SaveLatent", samples=sampled, filename_prefix="w2sd")
    with pytest.raises(Refused, match="W2SD") as refused:
        comfy.outputs(w.graph)
    assert named in str(refused.value) and "allowed" in str(refused.value)


# ---------------------------------------------------------------- the examples of the guide


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_an_example_of_the_guide_draws(comfy, example):
    """What its picture carries, with the suite's own models."""
    name = name_of(example)
    carried = Image.open(OUT / f"{name}.png").text
    graph = json.loads(carried["prompt"])
    assert graph == json.loads(json.dumps(made(example)))
    assert json.loads(carried["workflow"]) == json.loads((OUT / f"{name}.json").read_text(encoding="utf-8"))
    outputs = comfy.outputs(smaller(graph))
    assert sum(len(output.get("images", ())) for output in outputs.values()) == 2, "the picture and the plots"
    assert any("steps improved" in output["text"][0] for output in outputs.values() if "text" in output)


def test_the_page_loads_an_example_without_a_missing_node(comfy, browser):
    page = opened(browser, str(comfy.client.base_url))
    workflow = json.loads((OUT / "guidance.json").read_text(encoding="utf-8"))
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_function("wanted => window.app.graph._nodes.length === wanted", arg=len(workflow["nodes"]))
    node = page.evaluate(
        """() => {
          const node = window.app.graph._nodes.find(node => node.type === "W2SDModel");
          return {errors: !!node.has_errors, shown: Object.fromEntries(node.widgets.map(w => [w.name, w.value]))};
        }"""
    )
    assert not node["errors"]
    wanted = made(guidance)
    (given,) = [n["inputs"] for n in wanted.values() if n["class_type"] == "W2SDModel"]
    assert node["shown"] == {name: value for name, value in given.items() if not isinstance(value, list)}
