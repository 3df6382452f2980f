"""Writes down what a fixed list of requests gives, and holds later answers to it: nothing that a user sees may change
when code is moved.

    python -m tests.live.recorded record FILE --a1111 http://127.0.0.1:7860 --forge http://127.0.0.1:7861
    python -m tests.live.recorded compare FILE --a1111 ... --forge ...

Kept of each request: status, the reason of a refusal, pixels, infotexts, and the trace without its times; of each
WebUI also the schema, the controls that its API lists and its XYZ axes. Both times the WebUI must be the same, with
the same models, options and threads. `record` draws img2img, part of which has no seed, four times: there
pictures may afterwards be off by twice what those differed by, at least by two levels; everywhere else by nothing.
`compare` prints every difference and exits 1 if there is one.
"""

import argparse
import base64
import hashlib
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import HOSTS, PLAIN, Picture, WebUI, distance, png
from .grids import Axes
from .layouts import asking
from .test_passes import SECOND
from .test_samplers import PASSES
from .test_surfaces import BAD

INIT = png(np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8))
SAMPLERS = ("Euler a", "DPM++ 2M", "DDIM", "Heun", "UniPC")
COMPARED = ("img2img 0.9", "hires")
TIMES = ("ms", "seconds", "toggle_ms")  # of a trace
GAP = {"lambda_steps": 3, "weak_cfg": 2}
AT_CFG_1 = {"lambda_steps": 3, "strong_cfg": 1, "weak_cfg": 1}
PROMPTS = {**GAP, "weak_prompt": "a [dog:bird:0.5], {prompt}", "weak_negative_prompt": "sharp"}
OFFSETS = {"weak_lora_offset": -2.3, "strong_lora_offset": 0.7}
REFUSED = [
    *(settings for settings, *_ in BAD),
    {"weak_prompt": "a cat <hypernet:x:1>"},
    {"weak_loras": "<lora:w2sd_nowhere:1>"},
    {"weak_loras": "no tag"},
    {"weak_checkpoint": "no such file"},
    {"strong_distilled_cfg": 2},
]


def gaps(weak: str) -> dict:
    """{name: (settings, tags in the prompt)}: every gap alone, and together."""
    lora, loras = "<lora:w2sd_lora:0.8>", "<lora:w2sd_lora:0.8><lora:w2sd_loha:-0.5>"
    checkpoint, on_it = {**AT_CFG_1, "weak_checkpoint": weak}, {"weak_checkpoint_loras": True}
    named = {"weak_loras": "<lora:w2sd_lora:-1><lora:w2sd_dora:0.5>"}
    encoder = {"weak_lora_offset": -1, "weak_lora_text_encoder": True}
    return {
        "guidance": ({"lambda_steps": 3}, ""),
        "guidance, both scales": ({**GAP, "strong_cfg": 9.5, "strength": 0.6, "lambda_steps": -1}, ""),
        "prompt": (PROMPTS, ""),
        "LoRA on both sides": (GAP, loras),
        "LoRA, weak offset": ({**AT_CFG_1, "weak_lora_offset": -2.3}, lora),
        "LoRA, strong offset": ({**AT_CFG_1, "strong_lora_offset": 0.7}, lora),
        "LoRA, both offsets": ({**AT_CFG_1, **OFFSETS}, loras),
        "LoRA named": ({**AT_CFG_1, **named}, lora),
        "LoRA in the weak prompt": ({**GAP, "weak_prompt": "{prompt} <lora:w2sd_lora:-1.5>"}, lora),
        "LoRA of the text encoder": ({**GAP, **encoder}, "<lora:w2sd_te:0.8>"),
        "checkpoint": (checkpoint, ""),
        "checkpoint, LoRA on the strong side": (checkpoint, lora),
        "checkpoint with LoRAs": ({**checkpoint, **on_it}, loras),
        "checkpoint and LoRA": ({**checkpoint, **on_it, **OFFSETS, **named}, loras),
        "all gaps": ({**PROMPTS, "weak_checkpoint": weak, **on_it, **OFFSETS, **named}, loras),
    }


def requests_of(webui) -> dict:
    """{name: (settings or None, request)}: what this WebUI has the checkpoints for."""
    ask = asking(webui, "sd15")
    weak = ask["override_settings"]["sd_model_checkpoint"] + "-weak"
    every, made = gaps(weak), {"off": (None, ask), "switched off": ({"enabled": False, "lambda_steps": 3}, ask)}

    def add(name: str, gap: str, request: "dict | None" = None, **settings):
        told, tags = every[gap]
        made[name] = ({**told, **settings}, {**ask, "prompt": PLAIN["prompt"] + tags, **(request or {})})

    for gap in every:
        add(gap, gap)
        add(f"{gap}, weak alone", gap, weak_alone=True)
    for gap in ("guidance", "LoRA, both offsets", "checkpoint and LoRA"):
        for inversion in ("paper", "fixed-point"):  # beside matched
            add(f"{gap}, {inversion}", gap, inversion=inversion)
        for sampler in SAMPLERS:
            add(f"{gap}, {sampler}", gap, {"sampler_name": sampler})
    for gap in ("prompt", "checkpoint and LoRA"):
        for name, (kind, fields, _) in PASSES.items():
            init = {"init_images": [INIT]} if kind == "img2img" else {}
            add(f"{gap}, {name}", gap, {"kind": kind, **fields, **init}, comparison=name in COMPARED)
        add(f"{gap}, hires off", gap, PASSES["hires"][1], hires="off")
        add(f"{gap}, hires own", gap, PASSES["hires"][1], hires="own", hires_lambda_steps=1)
        add(f"{gap}, batch", gap, {"batch_size": 2, "n_iter": 2})
    add("comparison of a batch", "guidance", {"batch_size": 2}, comparison=True)
    for name, fields in SECOND.items():
        add(f"hires of its own {name}", "prompt", {**PASSES["hires"][1], **fields})
    values = [0.5, "paper", 2, 4, "a dog", "sharp", "own", 2, -1, 0.5, "<lora:w2sd_dora:0.5>", True, weak, True]
    made["positional"] = ([True, 3, *values], {**made["LoRA named"][1], **PASSES["hires"][1]})
    if webui.name == "a1111":
        for gap in ("LoRA, both offsets", "checkpoint and LoRA"):
            options = {**ask["override_settings"], "lora_functional": True}
            add(f"{gap}, on the fly", gap, {"override_settings": options})
    for layout in ("sdxl", "flux"):
        try:
            other = asking(webui, layout)
        except pytest.skip.Exception:
            continue
        named, cfg = other["override_settings"]["sd_model_checkpoint"], other.get("cfg_scale", PLAIN["cfg_scale"])
        told = {"off": None, "guidance": GAP, "prompt": {**PROMPTS, "weak_cfg": cfg}}
        told["checkpoint"] = {**AT_CFG_1, "weak_checkpoint": f"{named}-weak"}
        if layout == "flux":
            told["distilled"] = scales = {**AT_CFG_1, "strong_distilled_cfg": 2, "weak_distilled_cfg": 1}
            told["distilled, weak alone"] = {**scales, "weak_alone": True}
            made["flux, distilled, hires"] = (scales, {**other, **PASSES["hires"][1], "hr_distilled_cfg": 2.0})
        made.update({f"{layout}, {name}": (settings, other) for name, settings in told.items()})
    made.update({f"refused: {settings}": (settings, ask) for settings in REFUSED})
    for axes, settings, tags in grids(weak):
        request = {**ask, "prompt": PLAIN["prompt"] + tags, "axes": axes}
        made["grid: " + ", ".join(label for label, _ in axes)] = (settings, request)
    return made


def grids(weak: str) -> list:
    """(axes, settings, tags in the prompt)"""
    return [
        ([("[W2SD] Lambda", "0,3"), ("[W2SD] Weak CFG", "0,2")], None, ""),
        ([("[W2SD] Enabled", "True,False")], GAP, ""),
        ([("[W2SD] Weak prompt S/R", "cat,dog")], GAP, ""),
        ([("[W2SD] Inversion", "paper,matched"), ("[W2SD] Weak checkpoint", f"None,{weak}")], GAP, ""),
        ([("[W2SD] Weak LoRA offset", "0,-2.3")], AT_CFG_1, "<lora:w2sd_lora:0.8>"),
        ([("[W2SD] Strength", "0.5,7")], GAP, ""),  # refused
    ]


def drawn(webui, axes, settings, request: dict) -> dict:
    """What one request gives."""
    request = dict(request)
    grid = request.pop("axes", None)
    answer = axes.grid(*grid, w2sd=settings, **request) if grid else webui.request(settings, **request)
    if answer.status_code != 200:
        said = answer.json()
        return {"status": answer.status_code, "detail": said.get("detail") or said}
    picture = Picture(answer.json())
    infotexts = picture.info["infotexts"]
    return {
        "status": 200,
        "images": [{"sha256": hashlib.sha256(i.tobytes()).hexdigest(), "png": png(i)} for i in picture.images],
        "infotexts": infotexts,
        "trace": untimed(webui.trace()) if "W2SD" in str(infotexts) else None,  # else it is another request's
    }


def untimed(trace):
    if isinstance(trace, dict):
        return {key: untimed(value) for key, value in trace.items() if key not in TIMES}
    return [untimed(value) for value in trace] if isinstance(trace, list) else trace


def everything(webui) -> dict:
    """All that is kept of a WebUI, as JSON has it, and how many levels each request's pictures may be off."""
    webui.post("/sdapi/v1/options", {"live_previews_enable": False})
    webui.post("/w2sd/v1/free", {})
    axes, asked = Axes(webui), requests_of(webui)
    infos = [info for info in webui.get("/sdapi/v1/script-info") if info["name"] == "w2sd"]
    kept = {"schema": webui.get("/w2sd/v1/schema"), "controls": infos, "axes": axes.labels}
    kept["near"] = {name: int(request.get("kind") == "img2img") for name, (_, request) in asked.items()}
    kept["requests"] = {name: drawn(webui, axes, *request) for name, request in asked.items()}
    return json.loads(json.dumps(kept))


def levels(one: dict, other: dict) -> int:
    """How far two kept pictures are apart."""
    if one["sha256"] == other["sha256"]:
        return 0
    a, b = (np.asarray(Image.open(io.BytesIO(base64.b64decode(i["png"])))) for i in (one, other))
    return distance(a, b) if a.shape == b.shape else 255


def differences(before, after, where: str, near: int = 0):
    """Lines that say what is no longer as it was. `near`: levels that a picture may be off; if it is not 0, numbers of
    a trace may be off by a hundredth."""
    if isinstance(before, dict) and isinstance(after, dict) and "png" in before and "png" in after:
        off = levels(before, after)
        yield from [f"{where}: {off} levels off"] if off > near else []
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from differences(before.get(key, "absent"), after.get(key, "absent"), f"{where}/{key}", near)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for k, (one, other) in enumerate(zip(before, after)):
            yield from differences(one, other, f"{where}/{k}", near)
    elif near and isinstance(before, float) and isinstance(after, float):
        yield from [] if math.isclose(before, after, rel_tol=1e-2) else [f"{where}: {before} -> {after}"]
    elif before != after:
        yield f"{where}: {str(before)[:300]!r} -> {str(after)[:300]!r}"


def held(kept: dict, now: dict, host: str) -> list:
    """All differences of a WebUI; where pictures may be off is what `kept` says."""
    lines = []
    for name in {**kept["requests"], **now["requests"]}:
        both = (every["requests"].get(name, "not asked") for every in (kept, now))
        lines += differences(*both, f"{host}: {name}", kept["near"].get(name, 0))
    for what in ("schema", "controls", "axes"):
        lines += differences(kept[what], now[what], f"{host}: {what}")
    return lines


def recorded(webui) -> dict:
    kept, axes = everything(webui), Axes(webui)
    for name, asked in requests_of(webui).items():
        if kept["near"][name]:
            first = kept["requests"][name].get("images", [])
            pairs = [pair for _ in range(3) for pair in zip(first, drawn(webui, axes, *asked).get("images", []))]
            kept["near"][name] = max([2, *(2 * levels(*pair) for pair in pairs)])
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    for name in HOSTS:
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    hosts = [WebUI(name, url) for name in HOSTS if (url := getattr(given, name))]
    if given.what == "record":
        kept = {webui.name: recorded(webui) for webui in hosts}
        given.file.write_text(json.dumps(kept, indent=1))
        failed = [
            f"{host}: {name}: {one['detail']}"
            for host, of_host in kept.items()
            for name, one in of_host["requests"].items()
            if one["status"] >= 500
        ]
        print("\n".join(failed), file=sys.stderr)
        sys.exit(bool(failed))  # what fails both times proves nothing
    kept = json.loads(given.file.read_text())
    lines = [line for webui in hosts for line in held(kept[webui.name], everything(webui), webui.name)]
    print("\n".join(lines) or "Everything is as it was.")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
