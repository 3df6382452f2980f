"""The cost of a request, said before it is made: a table, and what the hosts' stand-ins count as they make it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib_w2sd.page import cost
from lib_w2sd.page.settings import BY_NAME, Settings, as_dict

HERE = Path(__file__).parent
CASES = json.loads((HERE / "cost_cases.json").read_text(encoding="utf8"))
NAMES = [case["name"] for case in CASES]


def complete(request: dict) -> dict:
    """The page always sends every setting."""
    return {**request, "settings": {**as_dict(Settings()), **request["settings"]}}


def same(given: dict, expected: dict) -> bool:
    return {**given, "ratio": 0} == {"compared": 0, **expected, "ratio": 0} and given["ratio"] == pytest.approx(
        expected["ratio"]
    )


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_in_python(case):
    assert same(cost.estimate(complete(case["request"])), case["expected"])


SAMPLER = {"one": "Euler", "two": "Heun", "three": "HeunPP2", "fast": "DPM fast", "timesteps": "DDIM", "plms": "PLMS"}
SAMPLER["half"] = "Kohaku LoNyu Yog"


def is_for(case, host) -> bool:
    """Whether the stand-in can make the case's picture, and would at this host."""
    request, settings = case["request"], case["request"]["settings"]
    return (
        settings["enabled"]
        and not {"weak_loras", "weak_lora_offset", "weak_checkpoint", "weak_distilled_cfg", "weak_model"}
        & set(settings)
        and "<lora" not in settings.get("weak_prompt", "")
        and (host.forge or request["kind"] != "three")
        and (host.flavour == "neo" or request["kind"] != "half")
        and not request.get("exactly")
        # What the two hosts count differently: the sampler's own call at CFG 1, and any call of the weak side alone.
        and bool(request.get("skips_uncond", host.forge and request["cfg"] != 1 and not settings.get("weak_alone")))
        == host.forge
    )


def rows_of(host, request: dict) -> int:
    """The rows that the stand-in's network sees when it makes the picture."""
    hires = request.get("hires")
    fields = {"steps": request["steps"], "cfg_scale": request["cfg"], "sampler_name": SAMPLER[request["kind"]]}
    if request["pictures"] > 1:
        fields |= {"n_iter": 2, "batch_size": request["pictures"] // 2}
    if hires:
        fields |= {"enable_hr": True, "hr_second_pass_steps": hires["steps"]}
        if host.forge:
            fields["hr_cfg"] = hires["cfg"]
    if request["denoising"] is None:
        host.txt2img(request["settings"], **fields)
    else:
        host.img2img(request["settings"], denoising_strength=request["denoising"], **fields)
    return sum(host.calls)


def test_as_the_host_counts(host, monkeypatch):
    def quick(x, t, encoder_hidden_states):
        """What is counted is how often it is asked: the answer may be anything of picture and prompt."""
        return SimpleNamespace(sample=x * 0.5 + encoder_hidden_states.mean((1, 2))[:, None, None, None])

    monkeypatch.setattr(host.unet.network, "forward", quick)
    cases = [case for case in CASES if is_for(case, host)]
    assert len(cases) > 20
    counted = {case["name"]: rows_of(host, case["request"]) for case in cases}
    assert counted == {case["name"]: case["expected"]["rows"] for case in cases}


COMPARED = (
    {"inversion": "paper", "lambda_steps": 4},
    {"inversion": "matched", "lambda_steps": 4, "weak_prompt": "a dog", "weak_cfg": 2},
    {"inversion": "previous-gap", "lambda_steps": 4, "strong_cfg": 2},
    {"inversion": "auto-guidance", "lambda_steps": 4, "weak_negative_prompt": "a dog"},
    {"weak_alone": True, "weak_cfg": 3, "lambda_steps": 4},
    {"lambda_steps": 0},
)
PASSES = (
    {},
    {"kind": "two"},
    {"denoising": 0.6},
    {"hires": {"kind": "one", "steps": 0, "cfg": 6, "area": 2.25}},
    {"hires": {"kind": "one", "steps": 4, "cfg": 6, "area": 2.25}},
)


@pytest.mark.parametrize("with_", BY_NAME["comparison_with"].choices)
@pytest.mark.parametrize("hires", ["same", "off"])
def test_a_comparison_as_the_host_counts_it(host, monkeypatch, with_, hires):
    def quick(x, t, encoder_hidden_states):
        return SimpleNamespace(sample=x * 0.5 + encoder_hidden_states.mean((1, 2))[:, None, None, None])

    monkeypatch.setattr(host.unet.network, "forward", quick)
    for settings in COMPARED:
        for of_a_pass in PASSES:
            asked = {"enabled": True, **settings, "hires": hires, "comparison": True, "comparison_with": with_}
            request = {"kind": "one", "steps": 8, "cfg": 6, "pictures": 1, "denoising": None, **of_a_pass}
            request = complete({**request, "settings": asked, "skips_uncond": host.forge})
            # The run itself is counted above.
            alone = cost.estimate({**request, "settings": {**request["settings"], "comparison": False}})["rows"]
            counted = rows_of(host, request)
            told = cost.estimate(request)
            measures = with_ == "same push"  # which the run itself then does
            assert told["rows"] - told["compared"] == alone or measures
            assert told["rows"] == counted, (settings, of_a_pass)


@pytest.mark.parametrize(
    ("sampler", "two_calls", "kind"),
    [
        ("sample_euler", False, "one"),
        ("sample_euler", True, "two"),
        ("sample_heun", False, "two"),
        ("restart_sampler", False, "two"),
        ("sample_heunpp2", False, "three"),
        ("sample_dpm_fast", False, "fast"),
        ("sample_Kohaku_LoNyu_Yog", False, "half"),
        ("sample_dpmpp_2s_ancestral_RF", False, "two"),
        ("ddim", False, "timesteps"),
        ("plms", False, "plms"),
        ("somebody's", False, "one"),
    ],
)
def test_kinds_of_samplers(sampler, two_calls, kind):
    assert cost.kind_of(sampler, two_calls) == kind
