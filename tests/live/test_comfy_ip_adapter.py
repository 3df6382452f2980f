"""IP-Adapter by its pack for ComfyUI, cubiq's ComfyUI_IPAdapter_plus: what it changes is the model, so the weak one is
the model without.

pytest tests/live/test_comfy_ip_adapter.py --comfy http://...
"""

import pytest

from lib_w2sd.method import ways

from .comfyui import CFG, STEPS, Workshop, distance, equal

EXACT = ("matched", *ways.ALONG)  # where two sides alike are plain to the bit
PRESET = "Closer to my IP-Adapter"
FILES = {"ipadapter_file": "tiny-ip-adapter_sd15.safetensors", "clip_name": "tiny-CLIP-ViT-H-14-s32B-b79K.safetensors"}
HOW = {"weight": 1.0, "weight_type": "linear", "combine_embeds": "concat", "start_at": 0.0, "end_at": 1.0}
HOW["embeds_scaling"] = "V only"
KINDS = {
    "all of it": {},
    "for a part of the steps": {"start_at": 0.2, "end_at": 0.7},
    "keys and values": {"embeds_scaling": "K+V", "weight": 1.5},
    "at two places": {"weight_type": "ease in"},
    "in a mask": {},
    "two of them": {},
}


def seeing(w: Workshop, model=None, **how):
    """The model that sees a picture."""
    loaded = w.graph("IPAdapterModelLoader", ipadapter_file=FILES["ipadapter_file"])
    encoder = w.graph("CLIPVisionLoader", clip_name=FILES["clip_name"])
    given = {"ipadapter": loaded, "clip_vision": encoder, "image": w.graph("LoadImage", image="example.png")}
    return w.graph("IPAdapterAdvanced", model=model or w.model, **{**HOW, **given, **how})


def of_kind(w: Workshop, kind: str):
    how = dict(KINDS[kind])
    if kind == "in a mask":
        how["attn_mask"] = w.graph("SolidMask", value=0.6, width=64, height=64)
    if kind == "two of them":
        how["model"] = seeing(w, weight=0.5, weight_type="ease in")
    return seeing(w, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_without_it_is_the_weak_side(comfy, kind, record):
    w = Workshop("small-sd15-two-levels" if kind == "at two places" else "")
    model = of_kind(w, kind)
    strong, weak = w.guider(model), w.guider()

    def pushed(other, **settings):
        return w.advanced(w.w2sd(other, **settings), strong)

    def by_model(**settings):
        return w.ksampler(w.w2sd_model(model, **{"weak_model": w.model, "weak_cfg": CFG, **settings}))

    found = comfy.latents(
        w.graph,
        plain=w.advanced(w.sampler(), strong),
        weak=w.advanced(w.sampler(), weak),
        alone=pushed(weak, weak_alone=True),
        alone_by_model=by_model(weak_alone=True),
        nothing=pushed(weak, strength=1e-9),
        nothing_by_model=by_model(strength=1e-9),
        preset=by_model(preset=PRESET),
        **{way: pushed(weak, inversion=way) for way in ways.WAYS},
        matched_by_model=by_model(),
        **{f"{way}, alike": pushed(strong, inversion=way) for way in EXACT},
        alike_by_model=by_model(weak_model=model),
    )
    again = w.anew()
    after = comfy.latents(
        w.graph,
        plain=w.advanced(w.sampler(), strong, latent=again),
        weak=w.advanced(w.sampler(), weak, latent=again),
    )
    plain = found["plain"]
    for name in ("weak", "nothing", "preset", *ways.WAYS):
        record("IP-Adapter by its pack, SD1.5: distance", kind, name, f"{distance(found[name], plain):.2g}")
    assert distance(found["weak"], plain) > 1e-3
    assert equal(found["alone"], found["weak"]) and equal(found["alone_by_model"], found["weak"]), "weak alone"
    assert distance(found["nothing"], plain) < 1e-4 and distance(found["nothing_by_model"], plain) < 1e-4
    assert all(equal(after[name], found[name]) for name in after), "afterwards"
    for way in EXACT:
        assert equal(found[f"{way}, alike"], plain), way
    for way in ways.WAYS:
        assert distance(found[way], plain) > 1e-4, way
    assert equal(found["alike_by_model"], plain)
    assert equal(found["matched_by_model"], found["matched"])
    assert distance(found["preset"], plain) > 1e-3


@pytest.mark.parametrize("node", ["model", "sampler"])
@pytest.mark.parametrize(
    "gap, way, more",
    # Of three reflected steps of six, beside the sampler's own rows
    [
        ("without it", "matched", 3 * 4),
        ("without it", "paper", 3 * 4),
        ("without it", "previous-gap", 2 * 2),  # the first has no gap before it
        ("without it", "auto-guidance", 3 * 2),
        # Both see the picture: one pair, or none.
        ("guidance", "matched", 3 * 2),
        ("guidance", "previous-gap", 0),
        ("guidance", "auto-guidance", 0),
        ("guidance, from CFG 1", "matched", 3 * 2),
    ],
)
def test_rows_are_those_that_the_network_has_seen(comfy, node, gap, way, more):
    w = Workshop()
    model = seeing(w, w.graph("W2SDCountRows", model=w.model))
    given, cfg = {"inversion": way, "measure": False}, 1.0 if gap == "guidance, from CFG 1" else CFG
    bare = gap == "without it"
    if node == "model":
        weak = {"weak_cfg": CFG, "weak_model": w.model} if bare else {"weak_cfg": 0.0}
        sampled = w.ksampler(w.w2sd_model(model, **weak, **given), cfg=cfg)
    else:
        weak = w.guider() if bare else w.guider(model, cfg=0.0)
        sampled = w.advanced(w.w2sd(weak, **given), w.guider(model, cfg=cfg))
    rows, words = comfy.counted(w, sampled)
    assert rows == (1 if cfg == 1 else 2) * STEPS + more
    assert f"{rows} UNet rows" in words
    assert ("as of CFG" in words) == (not bare)
