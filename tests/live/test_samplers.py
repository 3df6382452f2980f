"""Every sampler of the WebUI in every kind of pass, every scheduler, one to sixty steps.

Wherever the WebUI itself makes a picture: each of the first lambda steps is reflected once, before the step's own
call; the picture is one; the same seed gives it again; and with equal settings it is the plain one, which holds only
if what is written to is the sampler's own latent, and nothing else is touched.
"""

import math

import numpy as np
import pytest

from .conftest import PLAIN, Picture, distance, png
from .test_engine import HIRES

EQUAL = {"lambda_steps": -1, "inversion": "matched", "weak_cfg": PLAIN["cfg_scale"]}
GAP = {"lambda_steps": 2, "inversion": "matched", "weak_cfg": 0}
MASK = np.zeros((64, 64), dtype=np.uint8)
MASK[16:48, 16:48] = 255
# pass -> (kind of request, its fields, names of its runs); img2img makes only a part of the steps
PASSES = {
    "txt2img": ("txt2img", {"steps": 5}, ["txt2img"]),
    "img2img 0.5": ("img2img", {"steps": 6, "denoising_strength": 0.5}, ["img2img"]),
    "img2img 0.9": ("img2img", {"steps": 4, "denoising_strength": 0.9}, ["img2img"]),
    "inpaint": (
        "img2img",
        {"steps": 4, "denoising_strength": 0.8, "mask": png(MASK), "inpainting_fill": 1},
        ["img2img"],
    ),
    "hires": ("txt2img", {"steps": 4, **HIRES, "hr_second_pass_steps": 4}, ["txt2img", "hires"]),
}


class Wrong(Exception):
    """What is not as it has to be, for the table."""


def hold(condition, what: str):
    if not condition:
        raise Wrong(what)


def away(one, other) -> int:
    return distance(one.pixels, other.pixels)


def hold_reflections(run: dict, lambda_steps: int):
    """One reflection for each of the first lambda steps, each before the first call of its step."""
    expected = run["steps"] - 1 if lambda_steps < 0 else min(lambda_steps, run["steps"] - 1)
    hold(run["reflected"] == expected, f"{run['reflected']} of {run['steps']} steps reflected, not {expected}")
    hold([r["step"] for r in run["reflections"]] == list(range(expected)), "not each of the first steps")
    hold(all(math.isfinite(r["gap_norm"]) for r in run["reflections"]), "a gap that is no number")
    for step in range(expected):
        kinds = [e["kind"] for e in run["evaluations"] if e["step"] == step]
        hold(kinds[:3] == ["strong", "weak", "step"], f"step {step + 1} is {kinds}")
        # DPM adaptive may take a step back and reflect it anew.
        again = run["sampler"] == "sample_dpm_adaptive"
        hold(again or kinds.count("strong") == 1, f"step {step + 1} is {kinds}")
    hold(all(e["kind"] == "step" for e in run["evaluations"] if e["step"] >= expected), "a later step is reflected")


def outcome(webui, kind: str, runs: list, equal=EQUAL, gap=GAP, **ask) -> str:
    """The cell of one sampler in one pass: "ok", why there is nothing to check, or what is wrong."""
    answer = webui.request(None, kind, **ask)
    if answer.status_code != 200:
        said = answer.json()
        why = str(said.get("errors") or said.get("message") or said.get("detail")).split("\n")[0]
        return f"n.a.: without W2SD too: {said.get('error')}: {why}"
    try:
        plain = Picture(answer.json())
        if plain.pixels.std() == 0:
            return "n.a.: of one colour without W2SD too"  # Forge Neo's DPM++ 2s a RF, for flow models only
        alike = [plain]

        def differ(other, repeats: int = 1) -> bool:
            """By more than img2img's own repeats do: part of what it draws has no seed."""
            if kind == "txt2img" or away(plain, other) == 0:
                return away(plain, other) > 0
            while len(alike) <= repeats:
                alike.append(webui.picture(None, kind, **ask))
            own = max(away(one, another) for one in alike for another in alike)
            return away(plain, other) > max(2 * own, 2)

        reflected = webui.picture(gap, kind, **ask)
        made = webui.trace()
        hold([run["pass"] for run in made] == runs, f"passes {[run['pass'] for run in made]}")
        for run in made:
            hold_reflections(run, gap["lambda_steps"])
        hold(reflected.pixels.std() > 0, "a picture of one colour")
        if any(run["reflected"] for run in made):
            hold(differ(reflected), "the gap changes nothing")
        if kind == "txt2img":
            hold(away(reflected, webui.picture(gap, kind, **ask)) == 0, "the same seed gives another picture")
        same = webui.picture(equal, kind, **ask)
        for run in webui.trace():
            hold_reflections(run, equal["lambda_steps"])
        # Two repeats may be alike by chance: then a few more tell.
        hold(not differ(same) or not differ(same, repeats=5), f"equal settings are {away(plain, same)} levels off")
    except Wrong as wrong:
        return f"WRONG: {wrong}"
    return "ok"


def note(record, cells: dict, *where) -> None:
    """Record a cell, and keep it if it is wrong."""
    *key, result = where
    record(*key, result)
    if not result.startswith(("ok", "n.a.")):
        cells[tuple(key)] = result


def samplers(webui) -> list:
    return [sampler["name"] for sampler in webui.get("/sdapi/v1/samplers")]


@pytest.mark.parametrize("name", PASSES)
def test_every_sampler_in_every_pass(webui, record, init_image, shared_out, name):
    kind, fields, runs = PASSES[name]
    wrong = {}
    there = 1 if name == "txt2img" else len(PASSES) - 1
    for sampler in shared_out(samplers(webui), [*PASSES].index(name), len(PASSES), there):
        if sampler.endswith(" RF"):  # with this checkpoint it gives one colour, or what is no number, without W2SD too
            note(record, wrong, f"samplers, {webui.name}", sampler, name, "n.a.: for flow models only")
            continue
        ask = {"sampler_name": sampler, **fields}
        if kind == "img2img":
            ask["init_images"] = [png(init_image)]
        # It makes 20 steps and more, of three calls, whatever it is asked for.
        equal = {**EQUAL, "lambda_steps": 3} if sampler == "DPM adaptive" else EQUAL
        result = outcome(webui, kind, runs, equal, **ask)
        note(record, wrong, f"samplers, {webui.name}", sampler, name, result)
    assert not wrong


@pytest.mark.parametrize("sampler", ["Euler", "Heun"])
def test_every_scheduler(webui, record, shared_out, sampler):
    wrong = {}
    labels = [scheduler["label"] for scheduler in webui.get("/sdapi/v1/schedulers")]
    for scheduler in shared_out(labels, ["Euler", "Heun"].index(sampler), 2):
        result = outcome(webui, "txt2img", ["txt2img"], sampler_name=sampler, scheduler=scheduler, steps=4)
        note(record, wrong, f"schedulers, {webui.name}", scheduler, sampler, result)
    assert not wrong


# A few samplers at each number; Restart repeats steps from 20 on once, from 36 on twice.
NUMBERS = {
    1: ["Euler", "Heun", "DPM++ 2M", "LCM", "DPM fast"],
    2: ["Euler a", "DPM fast", "PLMS", "DPM2"],
    3: ["DPM++ 2S a", "UniPC", "DDIM", "DPM fast"],
    8: ["DPM++ SDE", "UniPC", "DDIM CFG++"],
    24: ["Restart", "DPM++ 3M SDE", "DPM fast"],
    36: ["Restart", "UniPC"],
    60: ["Euler", "PLMS"],
}


@pytest.mark.parametrize("steps", NUMBERS)
def test_any_number_of_steps(webui, record, shared_out, steps):
    wrong = {}
    for sampler in shared_out(NUMBERS[steps], 0, 2):
        gap = {**GAP, "lambda_steps": min(steps, 5)}
        result = outcome(webui, "txt2img", ["txt2img"], gap=gap, sampler_name=sampler, steps=steps)
        note(record, wrong, f"steps, {webui.name}", sampler, str(steps), result)
    assert not wrong
