"""The LoRA gap and the checkpoint gap at once: a weak checkpoint with LoRAs at scales of the weak side's own."""

import pytest

from .conftest import PLAIN
from .test_checkpoint import alone, asking, lora, own, pair  # noqa: F401
from .test_engine import same

# On the UNet alone: the text encoder is the loaded checkpoint's on both sides.
TAG = "<lora:{}:0:{}>"


def prompt(*tags):
    return " ".join([PLAIN["prompt"], *(TAG.format(*tag) for tag in tags)])


def gap_norm(webui, settings, **ask):
    settings = {"lambda_steps": 1, "inversion": "matched", "weak_cfg": PLAIN["cfg_scale"], **settings}
    webui.picture(settings, **ask)
    (run,) = webui.trace()
    return run["reflections"][0]["gap_norm"]


@pytest.fixture(params=[False, True], ids=["merged", "on the fly"])
def on_the_fly(webui, request):
    """Both ways of A1111; Forge chooses by the storage of the weights."""
    if webui.name != "a1111" and request.param:
        pytest.skip("the setting lora_functional is A1111's")
    if not request.param:
        yield
        return
    webui.post("/sdapi/v1/options", {"lora_functional": True})
    yield
    webui.post("/sdapi/v1/options", {"lora_functional": False})


def test_the_weak_checkpoint_with_loras_at_weak_scales(webui, pair, own, lora, on_the_fly):  # noqa: F811
    """Every call weak: the host's own picture with that checkpoint and those scales, to the bit."""
    strong, weak = pair
    first, other = lora[0], lora[-1]
    strong_with = webui.picture(prompt=prompt((first, 0.8)), **asking(strong))
    wrong = {}
    cases = {
        "offset": ({"weak_checkpoint_loras": True, "weak_lora_offset": -2.3}, [(first, -1.5)]),
        "one named": ({"weak_loras": f"<lora:{other}:0.4>"}, [(other, 0.4)]),
        "in the weak prompt": ({"weak_prompt": f"{{prompt}}<lora:{other}:0.4>"}, [(other, 0.4)]),
        "both": (
            {"weak_checkpoint_loras": True, "weak_lora_offset": -0.5, "weak_loras": f"<lora:{other}:-1>"},
            [(first, 0.3), (other, -1)],
        ),
        "offset without LoRAs": ({"weak_lora_offset": -2.3}, []),
    }
    for told, (settings, tags) in cases.items():
        truth = webui.picture(prompt=prompt(*tags), **asking(weak))
        got = webui.picture(alone(weak, **settings), prompt=prompt((first, 0.8)), **asking(strong))
        after = webui.picture(prompt=prompt((first, 0.8)), **asking(strong))
        wrong.update({told: "not the truth"} if not same(got, truth) else {})
        wrong.update({told: "the LoRA does not count"} if tags and same(truth, own[1]) else {})
        wrong.update({told: "strong changed"} if not same(after, strong_with) else {})
    assert not wrong


def test_a_strong_offset_against_a_weak_checkpoint(webui, pair, lora):  # noqa: F811
    strong, weak = pair
    ask = asking(strong)
    ours = gap_norm(webui, {"weak_checkpoint": weak, "strong_lora_offset": 0.7}, prompt=prompt((lora[0], 0.8)), **ask)
    hosts = gap_norm(webui, {"weak_checkpoint": weak}, prompt=prompt((lora[0], 1.5)), **ask)
    assert ours > 0 and ours == pytest.approx(hosts, rel=1e-4)


def test_all_gaps_at_once(webui, pair, own, lora):  # noqa: F811
    strong, weak = pair
    ask = {**asking(strong), "prompt": prompt((lora[0], 0.8))}
    plain = webui.picture(**ask)
    settings = {
        "lambda_steps": -1,
        "weak_cfg": 2,
        "weak_prompt": "{prompt}, grey",
        "weak_checkpoint": weak,
        "weak_checkpoint_loras": True,
        "weak_lora_offset": -2.3,
        "strong_lora_offset": 0.7,
        "weak_lora_text_encoder": True,
    }
    first, second = webui.picture(settings, **ask), webui.picture(settings, **ask)
    assert same(first, second) and not same(first, plain)
    assert same(webui.picture(**ask), plain)
    assert same(webui.picture(**asking(strong)), own[0])
