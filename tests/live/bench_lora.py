"""What a LoRA gap costs: python -m tests.live.bench_lora a1111 http://127.0.0.1:7860

Needs the files of make_loras.py in the WebUI's LoRA folder.
"""

import statistics
import sys
import time

import torch

from lib_w2sd import layers

from .conftest import WebUI

RANKS = {4: "w2sd_lora", 64: "w2sd_rank64"}


def evaluations(webui, settings, **ask) -> dict:
    """Median milliseconds of the strong, weak and step evaluations of a run, the first of each kind left out."""
    settings = {"lambda_steps": -1, "inversion": "paper", "weak_cfg": 6.5, **settings}
    webui.picture(settings, **{"width": 256, "height": 256, "steps": 8, **ask})
    (run,) = webui.trace()
    times = {}
    for e in run["evaluations"]:
        times.setdefault(e["kind"], []).append(e["ms"])
    return {kind: statistics.median(ms[1:]) for kind, ms in times.items()}


def weak_calls(webui, repeats: int = 3) -> dict:
    """rank -> weak call over plain call, both of the same rows, at 256x256. Best of `repeats`, as other programs may
    run; `without`: the same with a gap of nothing but another weak prompt."""
    found = {}
    for rank, name in RANKS.items():
        ask = {"prompt": f"a photo of a cat <lora:{name}:0.8>"}
        runs = [evaluations(webui, {"weak_lora_offset": -2.3}, **ask) for _ in range(repeats)]
        found[rank] = min(run["weak"] for run in runs) / min(run["strong"] for run in runs)
    runs = [evaluations(webui, {"weak_prompt": "a dog"}) for _ in range(repeats)]
    found["without"] = min(run["weak"] for run in runs) / min(run["strong"] for run in runs)
    return found


def toggle_ms(touched: int = 800, times: int = 50) -> dict:
    """Milliseconds to switch an overlay on and off, and what it costs a call while it is off, over `touched` layers."""
    modules = [torch.nn.Linear(1, 1) for _ in range(touched)]
    x = torch.zeros(1, 1)

    def call():
        start = time.perf_counter()
        for module in modules:
            module(x)
        return (time.perf_counter() - start) * 1e3

    def median(function):
        return statistics.median(function() for _ in range(times))

    def switch():
        start = time.perf_counter()
        with overlay.on():
            pass
        return (time.perf_counter() - start) * 1e3

    overlay = layers.Overlay(
        lambda _: {m: layers.Change(low_rank=(torch.zeros(1, 1), torch.zeros(1, 1))) for m in modules}
    )
    with torch.no_grad():
        plain = median(call)
        with overlay.installed(None):
            return {"switch": median(switch), "while off": median(call) - plain}


def lora(webui) -> dict:
    """For the bench: {"weak call": {rank: ratio}, "toggle": {"switch": ms, "while off": ms}}."""
    return {"weak call": weak_calls(webui), "toggle": toggle_ms()}


if __name__ == "__main__":
    print(lora(WebUI(*sys.argv[1:3])))
