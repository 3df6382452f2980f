"""What the page says before the click, in its own language."""

import json

import pytest

from lib_w2sd.page.settings import Settings, as_dict

from .test_cost import javascript

PAGE = {
    "cfg": 7,
    "steps": 20,
    "distilled_cfg": None,
    "loras": False,
    "sampler": "Euler",
    "footnotes": {"UniPC": "cannot"},
    "checkpoint": "strong.safetensors [0123456789]",
    "flux": False,
}

CASES = [
    # what differs from the defaults, from the page; a part of each sentence that is said
    ({}, {}, []),
    ({"lambda_steps": -1}, {}, []),
    ({"lambda_steps": 19}, {}, []),
    ({"lambda_steps": 20}, {}, ["Lambda is 20, but 20 steps allow 19"]),
    ({"lambda_steps": 0}, {}, ["Lambda is 0"]),
    ({"strength": 0}, {}, ["Strength is 0"]),
    (
        {"weak_cfg": 9},
        {},
        ["Weak CFG 9 is above the strong side's 7: the paper's gains then turn negative (Figure 12)"],
    ),
    ({"weak_cfg": 3, "strong_cfg": "2.5"}, {}, ["Weak CFG 3 is above the strong side's 2.5"]),
    ({"weak_cfg": 7}, {}, ["Both sides are the same"]),
    ({"weak_cfg": 1, "strong_cfg": "1"}, {}, ["Both sides are the same"]),
    ({"weak_cfg": 1, "strong_cfg": "1", "weak_prompt": "a dog"}, {}, []),
    ({"weak_prompt": "a dog"}, {}, ["The weak prompt has no effect at weak CFG 0"]),
    ({"weak_negative_prompt": "a dog"}, {}, []),
    ({"weak_negative_prompt": "a dog", "weak_cfg": 1}, {}, ["The weak negative prompt has no effect at weak CFG 1"]),
    ({"weak_lora_offset": -2.3}, {}, ["A LoRA offset has no effect"]),
    ({"weak_lora_offset": -2.3}, {"loras": True}, []),
    ({"weak_lora_offset": 0.5}, {"loras": True}, ["The weak side's LoRA offset 0.5 is above the strong side's 0"]),
    ({"weak_loras": "<lora:x:-1>"}, {}, []),
    ({"weak_checkpoint": "None"}, {}, []),
    ({"weak_checkpoint": "weak.safetensors"}, {}, []),
    ({"weak_checkpoint": "folder/strong.safetensors"}, {}, ["The weak checkpoint is the loaded one"]),
    (
        {"weak_checkpoint": "weak.safetensors", "weak_lora_offset": -1},
        {"loras": True},
        ["A weak checkpoint together with LoRA scales of one side will be refused"],
    ),
    ({}, {"sampler": "UniPC"}, ["UniPC: cannot."]),
    ({"weak_distilled_cfg": "1"}, {}, ["Distilled CFG will be refused"]),
    ({"weak_distilled_cfg": "1"}, {"flux": True, "distilled_cfg": 3.5}, []),
    (
        {"weak_distilled_cfg": "4"},
        {"flux": True, "distilled_cfg": 3.5},
        ["The weak side's distilled CFG is above the strong side's"],
    ),
    ({}, {"flux": True, "cfg": 1, "distilled_cfg": 3.5}, ["Flux at CFG 1 has no CFG guidance to take away"]),
    ({"weak_alone": True}, {}, ["The weak side draws alone"]),
]


@pytest.fixture(scope="module")
def said():
    asked = [[{**as_dict(Settings(enabled=True)), **given}, {**PAGE, **page}] for given, page, _ in CASES]
    program = f"{json.dumps(asked)}.map(([settings, page]) => w2sdWarnings.warnings(settings, page, 20, 10))"
    return javascript(program, "w2sd_cost.js", "w2sd_warnings.js")


@pytest.mark.parametrize("i", range(len(CASES)))
def test_warnings(said, i):
    given, page, expected = CASES[i]
    assert len(said[i]) == len(expected), (given, page, said[i])
    assert all(part in sentence for part, sentence in zip(expected, said[i])), said[i]
