"""ComfyUI's own nodes that change what a model answers, and its guiders: they stay in force on the side that has them.

pytest tests/live/test_comfy_guidance.py --comfy http://...
"""

import pytest

from .comfy_families import SD3, Wan
from .comfyui import CFG, Workshop, distance, equal

WEAK_CFG = 2.0  # not 0: APG divides by the scale


class TwoLevels(Workshop):
    """FreeU and the downscaling touch nothing in a network of one."""

    checkpoint = "small-sd15-two-levels"


def batch():
    return Workshop(batch=4)


ATTENTION = {"q": 1.2, "k": 1.1, "v": 0.9, "out": 1.0}
EDM = {"sampling": "eps", "sigma_max": 80.0, "sigma_min": 0.02}
DOWNSCALE = {"start_percent": 0.0, "end_percent": 0.9, "downscale_after_skip": True}
DOWNSCALE.update(block_number=1, downscale_factor=2.0, downscale_method="bicubic", upscale_method="bicubic")
SKIPPED = {"double_layers": "0", "single_layers": "", "start_percent": 0.0, "end_percent": 1.0}
WINDOWS = {"context_overlap": 1, "context_schedule": "standard_static", "context_stride": 1, "closed_loop": False}
WINDOWS["fuse_method"] = "pyramid"
# node -> (workshop, its inputs)
NODES = {
    "RescaleCFG": (Workshop, {"multiplier": 0.7}),
    "PerturbedAttentionGuidance": (Workshop, {"scale": 3.0}),
    "SelfAttentionGuidance": (Workshop, {"scale": 0.5, "blur_sigma": 2.0}),
    "SkipLayerGuidanceSD3": (SD3, {"layers": "0", "scale": 3.0, "start_percent": 0.0, "end_percent": 1.0}),
    "SkipLayerGuidanceDiT": (SD3, {**SKIPPED, "scale": 3.0, "rescaling_scale": 0.3}),
    "SkipLayerGuidanceDiTSimple": (SD3, SKIPPED),
    "APG": (Workshop, {"eta": 0.5, "norm_threshold": 5.0, "momentum": -0.5}),
    "TCFG": (Workshop, {}),
    "CFGZeroStar": (Workshop, {}),
    "CFGNorm": (Workshop, {"strength": 0.8}),
    "Mahiro": (Workshop, {}),
    "FreSca": (Workshop, {"scale_low": 0.8, "scale_high": 1.25, "freq_cutoff": 2}),
    "Epsilon Scaling": (Workshop, {"scaling_factor": 1.05}),
    "RenormCFG": (Workshop, {"cfg_trunc": 100.0, "renorm_cfg": 1.0}),
    "PerpNeg": (Workshop, {"empty_conditioning": "", "neg_scale": 0.7}),
    "LatentApplyOperationCFG": (Workshop, {"operation": "sharpen"}),
    "VideoLinearCFGGuidance": (batch, {"min_cfg": 1.0}),
    "VideoTriangleCFGGuidance": (batch, {"min_cfg": 1.0}),
    "FreeU": (TwoLevels, {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}),
    "FreeU_V2": (TwoLevels, {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    "PatchModelAddDownscale": (TwoLevels, DOWNSCALE),
    "HyperTile": (Workshop, {"tile_size": 32, "swap_size": 2, "max_depth": 0, "scale_depth": False}),
    "TomePatchModel": (Workshop, {"ratio": 0.5}),
    "UNetSelfAttentionMultiply": (Workshop, ATTENTION),
    "UNetCrossAttentionMultiply": (Workshop, ATTENTION),
    "ModelSamplingDiscrete": (Workshop, {"sampling": "v_prediction", "zsnr": False}),
    "ModelSamplingContinuousEDM": (Workshop, EDM),
    "WanContextWindowsManual": (Wan, {**WINDOWS, "context_length": 1, "context_overlap": 0}),
}


def guided(w: Workshop, node: str, given: dict):
    given = dict(given)
    if "empty_conditioning" in given:
        given["empty_conditioning"] = w.text("")
    if "operation" in given:
        given["operation"] = w.graph("LatentOperationSharpen", sharpen_radius=3, sigma=1.0, alpha=0.1)
    return w.graph(node, model=w.model, **given)


@pytest.mark.parametrize("node", NODES)
def test_a_guidance_node_stays_in_force_and_nearly_no_push_is_nearly_its_plain_picture(comfy, node, record):
    workshop, given = NODES[node]
    w = workshop()
    model = guided(w, node, given)
    found = comfy.latents(
        w.graph,
        plain=w.ksampler(model),
        without=w.ksampler(),
        nearly=w.ksampler(w.w2sd_model(model, weak_cfg=WEAK_CFG, strength=1e-9)),
        equal=w.ksampler(w.w2sd_model(model, weak_cfg=CFG)),
        along=w.ksampler(w.w2sd_model(model, weak_cfg=CFG, inversion="previous-gap")),
        pushed=w.ksampler(w.w2sd_model(model, weak_cfg=WEAK_CFG)),
        alone=w.ksampler(w.w2sd_model(model, weak_cfg=WEAK_CFG, weak_alone=True)),
        weak=w.ksampler(model, cfg=WEAK_CFG),
    )
    found |= comfy.latents(w.graph, after=w.ksampler(model, latent=w.anew()))
    plain = found["plain"]
    for name in ("without", "nearly", "pushed"):
        record("guidance nodes of ComfyUI: distance", node, name, f"{distance(found[name], plain):.1g}")
    sames = {"two sides alike": "equal", "alike, previous-gap": "along", "afterwards": "after"}
    for name, key in sames.items():
        record("guidance nodes of ComfyUI: distance", node, name, "plain" if equal(found[key], plain) else "NOT")
    same = equal(found["alone"], found["weak"])
    record("guidance nodes of ComfyUI: distance", node, "weak alone", "the host's" if same else "NOT")
    assert distance(found["nearly"], plain) < 1e-4
    assert distance(plain, found["without"]) > distance(found["nearly"], plain), "it does something by itself"
    assert all(equal(found[key], plain) for key in sames.values())
    assert same
    assert distance(found["pushed"], plain) > 1e-3


def test_a_model_that_sees_a_picture_against_one_that_does_not(comfy, record):
    """What IP-Adapter's packs do, by a stand-in: they change the model, so the weak one is that without."""
    w = Workshop()
    seeing = w.graph("W2SDSeesAPicture", model=w.model, weight=1.0)
    strong, weak = w.guider(seeing), w.guider()
    found = comfy.latents(
        w.graph,
        plain=w.advanced(w.sampler(), strong),
        weak=w.advanced(w.sampler(), weak),
        alone=w.advanced(w.w2sd(weak, weak_alone=True), strong),
        equal=w.advanced(w.w2sd(strong), strong),
        along=w.advanced(w.w2sd(strong, inversion="previous-gap"), strong),
        nearly=w.advanced(w.w2sd(weak, strength=1e-9), strong),
        pushed=w.advanced(w.w2sd(weak), strong),
        by_model=w.ksampler(w.w2sd_model(seeing, weak_model=w.model, weak_cfg=CFG)),
        preset=w.ksampler(w.w2sd_model(seeing, weak_model=w.model, preset="Closer to my IP-Adapter")),
    )
    for name in ("weak", "nearly", "pushed", "preset"):
        record("an IP-Adapter's kind: distance", "SD1.5", name, f"{distance(found[name], found['plain']):.1g}")
    assert equal(found["alone"], found["weak"])
    assert equal(found["equal"], found["plain"]) and equal(found["along"], found["plain"])
    assert distance(found["nearly"], found["plain"]) < 1e-4
    assert distance(found["pushed"], found["plain"]) > 1e-3
    assert equal(found["by_model"], found["pushed"])
    assert distance(found["preset"], found["plain"]) > 1e-3


# ---------------------------------------------------------------- guiders


def guiders(w: Workshop) -> dict:
    """{guider's class: (a guider, the same with less guidance)}."""
    three = {"model": w.model, "cond1": w.positive, "cond2": w.text("a hat"), "negative": w.negative}
    nothing = {"model": w.model, "positive": w.positive, "negative": w.negative, "empty_conditioning": w.text("")}
    one = {"model": w.model, "conditioning": w.positive}

    def dual(cfg: float, style: str):
        return w.graph("DualCFGGuider", **three, cfg_conds=cfg, cfg_cond2_negative=cfg - 1, style=style)

    return {
        "DualCFGGuider": lambda: (dual(CFG, "regular"), dual(2.0, "regular")),
        "DualCFGGuider, nested": lambda: (dual(CFG, "nested"), dual(2.0, "nested")),
        "PerpNegGuider": lambda: tuple(w.graph("PerpNegGuider", **nothing, cfg=c, neg_scale=0.7) for c in (CFG, 2.0)),
        "BasicGuider": lambda: (
            w.graph("BasicGuider", **one),
            w.graph("BasicGuider", **{**one, "conditioning": w.negative}),
        ),
        "CFGGuider against BasicGuider": lambda: (w.guider(), w.graph("BasicGuider", **one)),
    }


GUIDERS = tuple(guiders(Workshop()))


@pytest.mark.parametrize("kind", GUIDERS)
def test_any_two_guiders(comfy, kind, record):
    w = Workshop()
    strong, weak = guiders(w)[kind]()
    found = comfy.latents(
        w.graph,
        plain=w.advanced(w.sampler(), strong),
        weak=w.advanced(w.sampler(), weak),
        alone=w.advanced(w.w2sd(weak, weak_alone=True), strong),
        equal=w.advanced(w.w2sd(strong), strong),
        nearly=w.advanced(w.w2sd(weak, strength=1e-9), strong),
        pushed=w.advanced(w.w2sd(weak), strong),
    )
    for name in ("weak", "nearly", "pushed"):
        record("guiders of ComfyUI: distance", kind, name, f"{distance(found[name], found['plain']):.1g}")
    assert equal(found["alone"], found["weak"]) and equal(found["equal"], found["plain"])
    assert distance(found["nearly"], found["plain"]) < 1e-4
    assert distance(found["pushed"], found["plain"]) > 1e-3
