"""Every family that ComfyUI loads in small, each gap by each way.

pytest tests/live/test_comfy_families.py --comfy http://...
"""

import pytest

from lib_w2sd.method import ways

from .comfy_families import FAMILIES, GAPS, SD3, Flux, PixArt, weak_sides
from .comfyui import CFG, Refused, Workshop, distance, equal

EXACT = ("matched", *ways.ALONG)  # where two sides alike are plain to the bit
STEPS, LAMBDA = 3, 2


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gap_of_a_family(comfy, family, gap, record):
    workshop, lora, _ = FAMILIES[family]
    w = workshop()
    strong, weak = weak_sides(w, lora)[gap]()
    euler = w.sampler()

    def pushed(other, **settings):
        return w.advanced(w.w2sd(other, lambda_steps=LAMBDA, **settings), strong, steps=STEPS)

    found = comfy.latents(
        w.graph,
        plain=w.advanced(euler, strong, steps=STEPS),
        weak=w.advanced(euler, weak, steps=STEPS),
        alone=pushed(weak, weak_alone=True),
        nothing=pushed(weak, strength=1e-9),
        **{way: pushed(weak, inversion=way) for way in ways.WAYS},
        **{f"{way}, alike": pushed(strong, inversion=way) for way in EXACT},
    )
    found |= comfy.latents(w.graph, after=w.advanced(euler, strong, steps=STEPS, latent=w.anew()))
    plain = found["plain"]
    table = f"gaps of families in ComfyUI ({gap}): distance"
    record(table, family, "weak alone", f"{distance(found['alone'], plain):.2g}")
    record(table, family, "strength 1e-9", f"{distance(found['nothing'], plain):.1g}")
    for way in ways.WAYS:
        record(table, family, way, f"{distance(found[way], plain):.2g}")
    assert plain.isfinite().all()
    assert equal(found["alone"], found["weak"]), "weak alone"
    assert distance(found["weak"], plain) > 1e-3
    assert distance(found["nothing"], plain) < 1e-4
    assert equal(found["after"], plain), "afterwards"
    for way in EXACT:
        assert equal(found[f"{way}, alike"], plain), way
    for way in ways.WAYS:
        assert distance(found[way], plain) > 1e-4, way


@pytest.mark.parametrize("way, more", [("matched", 2), ("paper", 4), ("previous-gap", 0), ("auto-guidance", 0)])
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_family_are_those_that_its_network_has_seen(comfy, family, way, more):
    """Beside the sampler's own two a step: both sides at one place from one pair, or each from its own."""
    workshop, _, each = FAMILIES[family]
    w = workshop()
    counting = w.graph("W2SDCountRows", model=w.model)
    given = {"inversion": way, "weak_cfg": 0.0, "lambda_steps": LAMBDA, "measure": False}
    rows, words = comfy.counted(w, w.ksampler(w.w2sd_model(counting, **given), steps=STEPS))
    assert rows == each * (2 * STEPS + LAMBDA * more)
    assert f"{rows} UNet rows" in words


# ---------------------------------------------------------------- two architectures


class Both(Workshop):
    """SD1.5, and PixArt alpha beside it with its own text."""

    def __init__(self, size: int = 320):
        super().__init__(size=size)
        self.other = PixArt.__new__(PixArt)
        self.other.graph = self.graph
        self.other.loaded = self.other.load(PixArt.checkpoint)
        self.other.model, self.other.clip, _ = self.other.parts()
        self.other.positive, self.other.negative = self.other.text("a photo of a cat"), self.other.text("blurry")


def test_another_architecture_with_the_same_latents(comfy, record):
    w = Both()
    conds = w.other.positive, w.other.negative
    strong, weak = w.guider(), w.guider(w.other.model, *conds)
    euler, few = w.sampler(), {"steps": STEPS}
    named = {"weak_model": w.other.model, "weak_positive": conds[0], "weak_negative": conds[1], "weak_cfg": CFG}
    found = comfy.latents(
        w.graph,
        plain=w.advanced(euler, strong, **few),
        weak=w.advanced(euler, weak, **few),
        alone=w.advanced(w.w2sd(weak, weak_alone=True), strong, **few),
        nothing=w.advanced(w.w2sd(weak, lambda_steps=LAMBDA, strength=1e-9), strong, **few),
        pushed=w.advanced(w.w2sd(weak, lambda_steps=LAMBDA), strong, **few),
        by_model=w.ksampler(w.w2sd_model(lambda_steps=LAMBDA, **named), **few),
    )
    found |= comfy.latents(w.graph, after=w.advanced(euler, strong, **few, latent=w.anew()))
    for name in ("weak", "pushed"):
        far = distance(found[name], found["plain"])
        record("two architectures in ComfyUI: distance", "SD1.5 against PixArt alpha", name, f"{far:.2g}")
    assert equal(found["alone"], found["weak"])
    assert distance(found["nothing"], found["plain"]) < 1e-4
    assert distance(found["pushed"], found["plain"]) > 1e-3
    assert equal(found["by_model"], found["pushed"])
    assert equal(found["after"], found["plain"])


def refusals() -> dict:
    """{what: (its workflow, what is sampled, what the words name)}."""
    found = {}
    w = Both(64)
    found["no text of its own"] = w, w.ksampler(w.w2sd_model(weak_model=w.other.model)), "weak_positive"
    w = Both(64)
    given = {"weak_model": w.other.model, "weak_positive": w.other.positive}
    found["nor negative prompt"] = w, w.ksampler(w.w2sd_model(**given)), "weak_negative"
    w = SD3()
    flux = w.guider(w.graph("UNETLoader", unet_name="small-flux.safetensors", weight_dtype="default"))
    found["latents of another kind"] = w, w.advanced(w.w2sd(flux)), "latents"
    return found


@pytest.mark.parametrize("what", refusals())
def test_another_architecture_that_does_not_fit_is_refused_in_words(comfy, what):
    w, sampled, named = refusals()[what]
    w.graph("SaveLatent", samples=sampled, filename_prefix="w2sd")
    with pytest.raises(Refused, match="W2SD") as refused:
        comfy.outputs(w.graph)
    assert named in str(refused.value) and "allowed" in str(refused.value)


# ---------------------------------------------------------------- what conditioning can carry


def described(w: Workshop, what: str):
    """The prompt with more than text in it."""
    if what == "GLIGEN":
        boxes = w.graph("GLIGENLoader", gligen_name="tiny_gligen.safetensors")
        place = {"width": 32, "height": 32, "x": 16, "y": 16}
        about = {"conditioning_to": w.positive, "clip": w.clip, "gligen_textbox_model": boxes, "text": "a hat"}
        return w.graph("GLIGENTextBoxApply", **about, **place)
    if what == "concatenated":
        return w.graph("ConditioningConcat", conditioning_to=w.positive, conditioning_from=w.text("a hat"))
    if what == "area":
        place = {"width": 64, "height": 64, "x": 32, "y": 32, "strength": 1.0}
        placed = w.graph("ConditioningSetArea", conditioning=w.text("a hat"), **place)
        return w.graph("ConditioningCombine", conditioning_1=w.positive, conditioning_2=placed)
    if what == "mask":
        mask = w.graph("SolidMask", value=0.7, width=64, height=64)
        about = {"mask": mask, "strength": 1.0, "set_cond_area": "default"}
        return w.graph(
            "ConditioningCombine",
            conditioning_1=w.positive,
            conditioning_2=w.graph("ConditioningSetMask", conditioning=w.text("a hat"), **about),
        )
    if what == "part of the steps":
        late = w.graph("ConditioningSetTimestepRange", conditioning=w.text("a hat"), start=0.3, end=1.0)
        return w.graph("ConditioningCombine", conditioning_1=w.positive, conditioning_2=late)
    if what == "distilled guidance":
        return w.graph("FluxGuidance", conditioning=w.positive, guidance=1.0)
    assert what == "reference"
    return w.graph("ReferenceLatent", conditioning=w.positive, latent=w.latent)


CARRIED = dict.fromkeys(("GLIGEN", "concatenated", "mask", "part of the steps"), Workshop)
CARRIED["area"] = lambda: Workshop(size=128)  # whose smallest is 64
CARRIED["reference"] = CARRIED["distilled guidance"] = Flux


@pytest.mark.parametrize("what", CARRIED)
def test_what_a_prompt_carries_is_its_sides_alone(comfy, what, record):
    """The strong prompt has it, the weak one has not; and the other way round."""
    w = CARRIED[what]()
    held, bare, euler, few = w.guider(positive=described(w, what)), w.guider(), w.sampler(), {"steps": STEPS}

    def pushed(weak, strong, **settings):
        return w.advanced(w.w2sd(weak, lambda_steps=LAMBDA, **settings), strong, **few)

    found = comfy.latents(
        w.graph,
        held=w.advanced(euler, held, **few),
        bare=w.advanced(euler, bare, **few),
        equal=pushed(held, held),
        along=pushed(held, held, inversion="previous-gap"),
        alone=pushed(bare, held, weak_alone=True),
        held_alone=pushed(held, bare, weak_alone=True),
        nothing=pushed(bare, held, strength=1e-9),
        nothing_bare=pushed(held, bare, strength=1e-9),
        pushed=pushed(bare, held),
    )
    record("what a prompt carries, ComfyUI", what, "it", f"{distance(found['held'], found['bare']):.2g}")
    record("what a prompt carries, ComfyUI", what, "pushed", f"{distance(found['pushed'], found['held']):.2g}")
    assert distance(found["held"], found["bare"]) > 1e-4
    assert equal(found["equal"], found["held"]) and equal(found["along"], found["held"])
    assert equal(found["alone"], found["bare"]) and equal(found["held_alone"], found["held"])
    assert distance(found["nothing"], found["held"]) < 1e-4 and distance(found["nothing_bare"], found["bare"]) < 1e-4
    assert distance(found["pushed"], found["held"]) > 1e-4
