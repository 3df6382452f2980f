"""What W2SD costs: seconds of a W2SD request over seconds of the plain one, against the ratio of their UNet rows.

    python -m tests.live.bench --a1111 http://127.0.0.1:7860 --forge http://127.0.0.1:7861

Plain and W2SD requests in turn, so that a machine that changes its speed changes both; the median of the pairs.
The promise: at most 3 % above the row ratio. A request also encodes prompts and decodes pictures, which W2SD does
not add to, so a ratio below the row ratio is to be expected.
"""

import argparse
import statistics
import time

from .conftest import WebUI

SIZE = {"width": 256, "height": 256, "steps": 8}
CASES = {
    "guidance gap, paper": {"lambda_steps": 4, "inversion": "paper", "weak_cfg": 0},
    "guidance gap, matched": {"lambda_steps": 4, "inversion": "matched", "weak_cfg": 0},
    "guidance gap, fixed-point": {"lambda_steps": 4, "inversion": "fixed-point", "weak_cfg": 0},
    "both sides at CFG 1, weak prompt": {"lambda_steps": 4, "strong_cfg": 1, "weak_cfg": 1, "weak_prompt": "a dog"},
}
PROMISE = 1.03


def seconds(webui: WebUI, settings=None) -> float:
    start = time.perf_counter()
    webui.picture(settings, **SIZE)
    return time.perf_counter() - start


def measure(webui: WebUI, settings: dict, pairs: int) -> dict:
    """Median seconds and ratio of `pairs` pairs, and the row ratio by the trace of the W2SD run."""
    seconds(webui), seconds(webui, settings)  # warm
    plain, reflected = zip(*[(seconds(webui), seconds(webui, settings)) for _ in range(pairs)])
    (run,) = webui.trace()
    own = sum(e["rows"] for e in run["evaluations"] if e["kind"] == "step")
    ratios = [w / p for p, w in zip(plain, reflected)]
    return {
        "plain s": statistics.median(plain),
        "W2SD s": statistics.median(reflected),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "rows": run["rows"] / own,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a1111")
    parser.add_argument("--forge")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", default="", help="only the cases whose name has this in it")
    options = parser.parse_args()
    print(
        f"{SIZE['width']}x{SIZE['height']}, {SIZE['steps']} steps, {options.pairs} pairs a line, medians (least, most)"
    )
    print(
        "| host | case | plain s | W2SD s | time ratio | row ratio | time / rows | |\n|---|---|---|---|---|---|---|---|"
    )
    for name in ("a1111", "forge"):
        url = getattr(options, name)
        if not url:
            continue
        webui = WebUI(name, url)
        webui.post("/sdapi/v1/options", {"live_previews_enable": False})
        for case, settings in CASES.items():
            if options.only not in case:
                continue
            m = measure(webui, settings, options.pairs)
            over = m["ratio"] / m["rows"]
            print(
                f"| {name} | {case} | {m['plain s']:.2f} | {m['W2SD s']:.2f} | {m['ratio']:.3f} "
                f"({m['least']:.3f} to {m['most']:.3f}) | {m['rows']:.3f} | {over:.3f} "
                f"| {'kept' if over <= PROMISE else 'NOT KEPT'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
