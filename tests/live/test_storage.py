"""The checkpoint gap where weights are stored in fewer bits than they are computed in: A1111's fp8, Forge's GGUF.

Every call weak is the host's own picture with that checkpoint, to the bit.
"""

import numpy as np
import pytest

from .conftest import PLAIN
from .test_checkpoint import LORAS, alone, asking, names, pairs
from .test_engine import same


@pytest.fixture(params=[False, True], ids=["", "with fp16 kept for LoRAs"])
def fp8(webui, request):
    """A1111 in fp8. In half precision that wants a GPU: a WebUI on a CPU has to run with --no-half."""
    if webui.name != "a1111":
        pytest.skip("the setting FP8 weight is A1111's; Forge's is a choice of its start")
    webui.post("/sdapi/v1/options", {"fp8_storage": "Enable", "cache_fp16_weight": request.param})
    if webui.request(**asking(pairs(webui)[0][0])).status_code != 200:
        webui.post("/sdapi/v1/options", {"fp8_storage": "Disable", "cache_fp16_weight": False})
        pytest.skip("this host draws no picture in fp8")
    yield
    webui.post("/sdapi/v1/options", {"fp8_storage": "Disable", "cache_fp16_weight": False})
    for name in reversed(pairs(webui)[0]):
        webui.picture(**asking(name))  # what is loaded keeps something of fp8, until another has been


def together(webui) -> list:
    """(strong, weak): the pairs, and all that the host loads into the modules of one another."""
    found, there = pairs(webui), set(names(webui))
    return found + [(weak, f"{weak}2") for _, weak in found if f"{weak}2" in there]


def test_fp8(webui, fp8):
    wrong = {}
    for strong, weak in together(webui):
        # Twice: how the host rounds depends on what it held before.
        truths = [webui.picture(**asking(name)) for name in (weak, strong, weak)]
        before = webui.picture(**asking(strong))
        got, after = webui.picture(alone(weak), **asking(strong)), webui.picture(**asking(strong))
        if not (same(got, truths[-1]) and same(after, before) and not same(got, before)):
            wrong[strong, weak] = "not the truth" if same(after, before) else "strong changed"
    assert not wrong


Q8 = "-q8"
FLUX = {"scheduler": "Simple", "distilled_cfg_scale": 3.5, "cfg_scale": 1}  # else small models draw black


@pytest.fixture(scope="module")
def gguf(webui):
    """asking(name) of a strong GGUF checkpoint X-q8 with X-q8-weak, and of their safetensors X and X-weak."""
    there = {model["model_name"]: model["title"] for model in webui.get("/sdapi/v1/sd-models")}
    found = [name[: -len(Q8)] for name in there if name.endswith(Q8) and f"{name}-weak" in there]
    if webui.name != "forge" or not found:
        pytest.skip("no GGUF checkpoints named X-q8 and X-q8-weak")
    modules = [m["filename"] for m in webui.get("/sdapi/v1/sd-modules") if m["model_name"].startswith(found[0])]

    def ask(name):
        override = {"sd_model_checkpoint": there[name], "forge_additional_modules": modules if Q8 in name else []}
        return {**asking(name), "override_settings": override, **FLUX}

    yield found[0], ask
    webui.picture(**ask(found[0]))


@pytest.mark.parametrize("strong,weak", [("{}-q8", "{}-q8-weak"), ("{}-q8", "{}-weak"), ("{}", "{}-q8-weak")])
def test_gguf(webui, gguf, strong, weak):
    name, ask = gguf
    strong, weak = strong.format(name), weak.format(name)
    truth, before = webui.picture(**ask(weak)), webui.picture(**ask(strong))
    got, after = webui.picture(alone(weak, weak_cfg=1), **ask(strong)), webui.picture(**ask(strong))
    assert same(got, truth) and not same(got, before)
    assert same(after, before)


def test_gguf_with_loras(webui, gguf):
    name, ask = gguf
    strong, weak = f"{name}-q8", f"{name}-q8-weak"
    answer = webui.client.get("/sdapi/v1/loras").json()
    names = [entry["name"] for entry in answer if entry["name"].startswith("w2sd_")]
    loras = [lora for lora in names if lora.endswith("lora") and ("flux" in lora or "flux" not in name)]
    if not loras:
        pytest.skip("no LoRA")
    prompt = PLAIN["prompt"] + LORAS.format(loras[0])
    bare, truth = webui.picture(**ask(weak)), webui.picture(prompt=prompt, **ask(weak))
    before = webui.picture(prompt=prompt, **ask(strong))
    assert same(webui.picture(alone(weak, weak_cfg=1, weak_checkpoint_loras=True), prompt=prompt, **ask(strong)), truth)
    assert same(webui.picture(alone(weak, weak_cfg=1), prompt=prompt, **ask(strong)), bare)
    # The host quantises a merged weight again; a difference beside it is spared that. Close, not equal.
    offset = {"weak_alone": True, "weak_cfg": 1, "weak_lora_offset": -2.3}
    got = webui.picture(offset, prompt=prompt, **ask(strong))
    own = webui.picture(prompt=prompt.replace("0.8", "-1.5"), **ask(strong))
    off, gap = (np.abs(picture.pixels.astype(int) - own.pixels).mean() for picture in (got, before))
    assert off < gap / 10, (off, gap)
    assert same(webui.picture(prompt=prompt, **ask(strong)), before)
