"""What W2SD costs: time of a request over that of the one it is held against, and the same ratio in UNet rows.

    python -m tests.live.bench --a1111 http://127.0.0.1:7860 --forge http://127.0.0.1:7861

Two requests in turn, so that a machine that changes its speed changes both; the median of the pairs. Where the WebUI
computes on this machine's CPU, its own CPU time decides, which other programs hardly touch; else the clock.

A run may take 3 % more than its rows. A request also encodes prompts and decodes pictures, which W2SD does not add to,
so a ratio below the row ratio is to be expected. Against that, the weak calls of a LoRA gap are looked at by
themselves (*Draw with the weak side alone*, with the gap and without): they may take 10 % more.
"""

import argparse
import math
import statistics
import time
from dataclasses import dataclass, field

from lib_w2sd.method.reflection import INVERSIONS
from lib_w2sd.method.ways import ALONG

from .conftest import HOSTS, WebUI
from .process import cpu_seconds, listening_process
from .test_checkpoint import asking, pairs
from .test_choosing import REWARD

CFG = 6.5
SIZE = {"width": 256, "height": 256, "steps": 8, "cfg_scale": CFG}
# The files of make_loras.py.
RANKS = {4: "w2sd_lora", 64: "w2sd_rank64"}


@dataclass(frozen=True)
class Case:
    """`settings` held against `base` (None: the plain request), both asked for with `ask`.

    most  how many times the row ratio the time ratio may be
    """

    name: str
    settings: dict
    ask: dict = field(default_factory=dict)
    base: "dict | None" = None
    most: float = 1.03


GUIDANCE = [
    Case(f"guidance gap, {inversion}", {"lambda_steps": 4, "inversion": inversion, "weak_cfg": 0})
    for inversion in (*INVERSIONS, *ALONG)
]
PROMPT = Case("prompt gap", {"lambda_steps": 4, "strong_cfg": 1, "weak_cfg": 1, "weak_prompt": "a dog"})
ALONE = {"weak_alone": True, "weak_cfg": CFG}
AT_CFG_1 = {"lambda_steps": 4, "strong_cfg": 1, "weak_cfg": 1}
CHOSEN = {**GUIDANCE[0].settings, "inversion": "matched", "reward": REWARD}


def cases(webui: WebUI) -> list:
    """The cases that this WebUI has the files for."""
    beside = {"inversion": "previous-gap"}
    found = [*GUIDANCE, PROMPT, Case("prompt gap, previous-gap", {**PROMPT.settings, **beside})]
    if webui.request(CHOSEN, **{**SIZE, "steps": 1}).status_code == 200:
        # Two pictures are decoded and scored at every reflected step: what that takes is told, nothing was promised.
        unchosen = {**CHOSEN, "reward": ""}
        found += [
            Case(f"chosen by a reward, {decoder}", {**CHOSEN, "reward_decoder": decoder}, {}, unchosen, math.inf)
            for decoder in ("preview", "vae")
        ]
    answer = webui.client.get("/sdapi/v1/loras")
    there = {entry["name"] for entry in answer.json()} if answer.status_code == 200 else set()
    for rank, name in RANKS.items():
        if name in there:
            ask, gap = {"prompt": f"a photo of a cat <lora:{name}:0.8>"}, {"weak_lora_offset": -2.3}
            found += [
                Case(f"LoRA gap, rank {rank}", {**AT_CFG_1, **gap}, ask),
                Case(f"LoRA gap, rank {rank}: weak calls", {**ALONE, **gap}, ask, ALONE, 1.10),
            ]
    for strong, weak in pairs(webui):
        ask, gap = {**asking(strong), "steps": SIZE["steps"]}, {"weak_checkpoint": weak}
        own = {"weak_alone": True, "weak_cfg": ask.get("cfg_scale", CFG)}
        found += [
            Case(f"checkpoint gap, {weak}", {**AT_CFG_1, **gap}, ask),
            Case(f"checkpoint gap, {weak}: weak calls", {**own, **gap}, ask, own),
        ]
    return found


class Clock:
    """Seconds of a request: by the clock, and of the WebUI's CPU (None where that does not tell)."""

    def __init__(self, webui: WebUI):
        self.webui = webui
        on_gpu = "error" not in webui.get("/sdapi/v1/memory").get("cuda", {"error": ""})
        self.pid = None if on_gpu else listening_process(webui.url)

    def seconds(self, settings, ask: dict) -> tuple:
        before, start = self.pid and cpu_seconds(self.pid), time.perf_counter()
        self.webui.picture(settings, **{**SIZE, **ask})
        return time.perf_counter() - start, self.pid and cpu_seconds(self.pid) - before

    def ratios(self, case: Case, count: int) -> dict:
        """Ratios of `count` pairs: {"clock": [...], "cpu": [...] or None}, and the row ratio by the traces."""
        ask = case.ask
        self.seconds(case.base, ask)  # warm
        base = sum(e["rows"] for run in self.webui.trace() for e in run["evaluations"]) if case.base else None
        self.seconds(case.settings, ask)
        runs = self.webui.trace()
        evaluations = [e for run in runs for e in run["evaluations"]]
        rows = sum(e["rows"] for e in evaluations)
        base = base or sum(e["rows"] for e in evaluations if e["kind"] == "step")
        timed = [(self.seconds(case.base, ask), self.seconds(case.settings, ask)) for _ in range(count)]
        clock, cpu = ([w[i] / p[i] if p[i] else None for p, w in timed] for i in (0, 1))
        return {"clock": clock, "cpu": cpu if self.pid else None, "rows": rows / base, "toggle": runs[-1]["toggle_ms"]}


def spread(values) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else "unknown"


def print_times(clock: Clock, count: int, only: str) -> None:
    for case in cases(clock.webui):
        if only not in case.name:
            continue
        m = clock.ratios(case, count)
        over = statistics.median(m["cpu"] or m["clock"]) / m["rows"]
        toggle = "" if m["toggle"] is None else f"{m['toggle']:.3f}"
        print(
            f"| {clock.webui.name} | {case.name} | {spread(m['clock'])} | {spread(m['cpu'])} | {m['rows']:.3f} "
            f"| {over:.3f} | {case.most} | {'kept' if over <= case.most else 'NOT KEPT'} | {toggle} |",
            flush=True,
        )


def print_memory(webui: WebUI) -> None:
    """What loading a weak UNet takes at its peak, by the loader's own count, as a share of the UNet's bytes. The
    process's own growth tells nothing: its allocator keeps what was freed, by the strong checkpoint's loading too."""
    for strong, weak in pairs(webui):
        webui.post("/w2sd/v1/free", {})
        webui.picture({"weak_checkpoint": weak, "lambda_steps": 1}, **{**asking(strong), "steps": 2})
        (overlay,) = webui.trace()[0]["overlays"]
        print(
            f"| {webui.name} | {weak} beside {strong} | {overlay['bytes'] / 1e6:.1f} | "
            f"{overlay['peak_bytes'] / overlay['bytes']:.3f} | {overlay['seconds'] * 1e3:.0f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in HOSTS:
        parser.add_argument(f"--{name}")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="only the cases whose name has this in it")
    options = parser.parse_args()
    given = [WebUI(name, url) for name in HOSTS if (url := getattr(options, name))]
    for webui in given:
        webui.post("/sdapi/v1/options", {"live_previews_enable": False})
    print(f"{SIZE['width']}x{SIZE['height']}, {SIZE['steps']} steps, {options.pairs} pairs, medians (least to most)\n")
    print("| host | case | clock | CPU time | rows | time / rows | allowed | | switching, ms a call |")
    print("|---|---|---|---|---|---|---|---|---|")
    for webui in given:
        print_times(Clock(webui), options.pairs, options.only)
    if not options.only:
        print("\n| host | weak UNet | MB | loader's peak / UNet | loaded in ms |")
        print("|---|---|---|---|---|")
        for webui in given:
            print_memory(webui)


if __name__ == "__main__":
    main()
