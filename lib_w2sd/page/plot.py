"""The gap made visible: a run's trace as a line of text and two small plots, in HTML for the accordion.

Colours are the page's own (style.css), so that it reads on a light and on a dark theme.
"""

import math
from html import escape
from statistics import mean, median

WIDTH, HEIGHT = 320, 130  # of one plot; the picture scales with its column
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 22, 30


# Of the lines, and of their names below: as attributes, which no page's own style of text overrules.
COLOURS = ("#2f7ae5", "#e0700f", "#2a9d5b", "#b257c4")
DASHES = ("none", "6 3", "2 2")


def html(trace: dict, runs: int = 1) -> str:
    """`trace`: what GET /w2sd/v1/trace answers; `runs`: of how many it is the last."""
    passes = [p for p in trace["passes"] if p["evaluations"] or p["ended"] == "interrupted"]
    if not passes:
        return f'<div class="w2sd-run"><p>{escape(trace["said"])}</p></div>' if trace.get("said") else ""
    if any(p["ended"] == "failed" for p in passes):
        return ""
    reflected = [p for p in passes if p["reflections"]]
    plots = ""
    if reflected:
        steps = max(p["steps"] for p in reflected)
        sizes, cosines = ([_line(p, name) for p in reflected] for name in ("gap_norm", "cosine"))
        plots = _plot("how far each step was pushed", sizes, steps, 0.0, None)
        plots += _plot("does it keep its direction? (1: the same)", cosines, steps, -1.0, 1.0)
        plots += _ahead(reflected, steps)
    legend = "".join(_name(i, name) for i, name in enumerate(_names(reflected)))
    key = f'<div class="w2sd-legend">{legend}</div>' if len(reflected) > 1 else ""
    rows = f"{sum(p['rows'] for p in passes)} UNet rows"
    return (
        f'<div class="w2sd-run"><p title="{rows}">{escape(words(passes, runs))}</p>'
        f'<div class="w2sd-plots">{plots}</div>{key}</div>'
    )


def _names(passes: list) -> list:
    """What each pass is called: by its batch too, where there are several."""
    found, batches = [], {}
    for p in passes:
        batches[p["pass"]] = batches.get(p["pass"], 0) + 1
        found.append((p["pass"], batches[p["pass"]]))
    several = max(batches.values(), default=1) > 1
    return [f"batch {batch}, {name}" if several else name for name, batch in found]


def _look(i: int) -> str:
    return f'stroke="{COLOURS[i % 4]}" stroke-dasharray="{DASHES[i // 4 % 3]}"'


def _name(i: int, name: str) -> str:
    sample = f'<svg width="26" height="10"><line x1="1" x2="25" y1="5" y2="5" stroke-width="2.5" {_look(i)}/></svg>'
    return f"<span>{sample} <span>{escape(name)}</span></span>"


def _ahead(reflected: list, steps: int) -> str:
    """Where a reward has chosen: by how much it liked the picture's own side more, the mean of a batch."""
    lines = [
        [(r["step"] + 1, mean(first - second for first, second in r["rewards"])) for r in run["reflections"]]
        for run in reflected
        if "rewards" in run["reflections"][0]
    ]
    if not lines:
        return ""
    most = max(abs(value) for line in lines for _, value in line) or 1.0
    return _plot("who leads? (score of your model, less that of the weak version)", lines, steps, -most, most)


def _line(run: dict, name: str) -> list:
    """(step, value) of a pass's reflections, where the value is a number."""
    values = [(r["step"] + 1, r[name]) for r in run["reflections"]]
    return [(step, value) for step, value in values if value is not None and math.isfinite(value)]


def words(passes: list, runs: int = 1) -> str:
    """What the run did, and how much longer it took than its sampler's own calls alone."""
    seconds = sum(p["seconds"] for p in passes)
    # Of one that was stopped: what was made, not what was to be.
    reflected = " + ".join(str(p["reflected"] if p["ended"] == "whole" else len(p["reflections"])) for p in passes)
    steps = " + ".join(str(p["steps"] if p["ended"] == "whole" else p["made"]) for p in passes)
    stopped = next((p for p in passes if p["ended"] == "interrupted"), None)
    text = f"Last run{f', the last of {runs}' if runs > 1 else ''}: "
    if stopped:
        text += f"interrupted after {stopped['made']} of {stopped['steps']} steps, "
    text += f"{reflected} of {steps} steps improved"
    pushed = push(passes) or led(passes)
    plain = sum(e["ms"] for p in passes for e in p["evaluations"] if e["kind"] == "step") / 1e3
    text += f", {seconds / plain:.2f} × the time of its steps alone." if plain else "."
    return f"{text} {pushed}" if pushed else text


def push(passes: list) -> str:
    """The first pass's effective guidance, where it is known: the middle one of its steps."""
    known = [r for r in passes[0]["reflections"] if r.get("effective_cfg") is not None]
    if not known:
        return ""
    scale, across = (median(r[name] for r in known) for name in ("effective_cfg", "across"))
    return f"In the improved steps the push was as of CFG {scale:.3g}, with {across:.0%} of it going elsewhere."


def led(passes: list) -> str:
    """Who led in the first pass, where a reward has chosen."""
    chosen = [second for r in passes[0]["reflections"] for second in r.get("second_is_strong", ())]
    return f"By the score the weak version led in {mean(chosen):.0%} of them." if chosen else ""


def _plot(title: str, lines: list, steps: int, low: float, high: "float | None") -> str:
    """Lines of (step, value), over the steps 1 to `steps`; `high` None: as high as they reach."""
    top = high if high is not None else max((value for line in lines for _, value in line), default=1.0) or 1.0

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * (step - 1) / max(steps - 1, 1)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - value) / (top - low)

    drawn = []
    for i, line in enumerate(lines):
        colour = COLOURS[i % 4]
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line)
        drawn.append(f'<polyline fill="none" stroke-width="1.8" {_look(i)} points="{points}"/>')
        drawn += [
            f'<circle fill="{colour}" cx="{x(step):.1f}" cy="{y(value):.1f}" r="2.5">'
            f"<title>step {step}: {value:.3g}</title></circle>"
            for step, value in line
        ]
    axis = HEIGHT - BOTTOM
    marks = "".join(
        f'<line class="w2sd-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{LEFT - 5}" y="{y(v) + 3.5:.1f}" text-anchor="end">{v:.3g}</text>'
        for v in (low, (low + top) / 2, top)
    )
    ends = "".join(
        f'<text x="{x(step):.1f}" y="{axis + 13}" text-anchor="{anchor}">{step}</text>'
        for step, anchor in ((1, "middle"), (steps, "end"))
    )
    return (
        f'<svg class="w2sd-plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="w2sd-title" x="{LEFT}" y="11">{escape(title)}</text>{marks}{ends}'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">step</text>'
        f"{''.join(drawn)}</svg>"
    )
