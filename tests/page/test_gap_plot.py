"""The last run, drawn: what stands in the trace stands in the picture."""

import math
import re
import xml.etree.ElementTree as ElementTree

from lib_w2sd.page import plot as gap_plot


def drawn(host):
    trace = {"passes": host.trace()}
    text = gap_plot.html(trace)
    # Well-formed, so that no browser has to guess.
    return trace, ElementTree.fromstring(text), text


def test_every_reflected_step_is_a_point(host):
    host.txt2img({"lambda_steps": 4}, steps=6)
    trace, root, text = drawn(host)
    size, direction = root.findall(".//svg")
    assert len(size.findall("circle")) == 4 and len(direction.findall("circle")) == 3
    said = [float(re.search(r": (.*)", c.find("title").text)[1]) for c in size.findall("circle")]
    norms = [r["gap_norm"] for r in trace["passes"][0]["reflections"]]
    assert all(math.isclose(a, b, rel_tol=0.01) for a, b in zip(said, norms))
    # The higher the value, the higher the point, and the largest is at the top.
    heights = [float(c.get("cy")) for c in size.findall("circle")]
    assert sorted(heights) == [heights[i] for i in sorted(range(4), key=lambda i: -norms[i])]
    assert min(heights) == gap_plot.TOP
    rows = trace["passes"][0]["rows"]
    assert "4 of 6 steps improved" in text and f'title="{rows} UNet rows"' in text


def test_a_hires_pass_is_a_line_of_its_own(host):
    host.txt2img({"lambda_steps": 2}, steps=6, enable_hr=True)
    _, root, text = drawn(host)
    lines = [line.get("stroke") for line in root.find(".//svg").findall("polyline")]
    assert lines == list(gap_plot.COLOURS[:2])
    assert "2 + 2 of 6 + 6 steps" in text
    assert legend(root) == list(zip(("txt2img", "hires"), lines))


def legend(root) -> list:
    """(name, colour) of each line. Both stand in attributes: a page's style of all that is text overrules a class."""
    entries = root.findall(".//div[@class='w2sd-legend']/span")
    return [(entry.find("span").text, entry.find("svg/line").get("stroke")) for entry in entries]


def test_batches_are_told_apart(host):
    host.txt2img({"lambda_steps": 2}, steps=6, enable_hr=True, n_iter=3)
    _, root, _ = drawn(host)
    names = [f"batch {batch}, {name}" for batch in (1, 2, 3) for name in ("txt2img", "hires")]
    assert [name for name, _ in legend(root)] == names
    looks = [(line.get("stroke"), line.get("stroke-dasharray")) for line in root.find(".//svg").findall("polyline")]
    assert len(set(looks)) == 6


def test_an_interrupted_run_says_what_was_made(host):
    trace = {"passes": host.txt2img({"lambda_steps": -1}, steps=6) and host.trace()}
    (run,) = trace["passes"]
    assert run["ended"] == "whole" and "interrupted" not in gap_plot.html(trace)
    few = [e for e in run["evaluations"] if e["step"] < 2]
    stopped = {**run, "ended": "interrupted", "made": 2, "evaluations": few, "reflections": run["reflections"][:2]}
    assert "interrupted after 2 of 6 steps, 2 of 2 steps improved" in gap_plot.html({"passes": [stopped]})
    at_once = {**stopped, "made": 0, "evaluations": [], "reflections": []}
    assert "interrupted after 0 of 6 steps" in gap_plot.html({"passes": [at_once]})
    assert gap_plot.html({"passes": [{**stopped, "ended": "failed"}]}) == "", "a refusal is said below the gallery"


def test_time_is_set_against_the_steps_alone():
    evaluations = [
        {"kind": kind, "ms": ms, "rows": 2, "step": 0, "t": 1.0}
        for kind, ms in (("strong", 100.0), ("weak", 50.0), ("step", 100.0), ("step", 100.0))
    ]
    run = {"reflected": 1, "steps": 2, "ended": "whole", "seconds": 0.35, "evaluations": evaluations, "reflections": []}
    assert gap_plot.words([run]) == "Last run: 1 of 2 steps improved, 1.75 × the time of its steps alone."
    assert gap_plot.words([run], runs=9).startswith("Last run, the last of 9: 1 of 2")


def test_the_push_is_said_as_a_cfg_scale():
    known = [{"effective_cfg": scale, "across": across} for scale, across in ((9.0, 0.3), (11.0, 0.1), (12.0, 0.2))]
    said = gap_plot.push([{"reflections": [{"step": 0}, *known]}])
    assert said == "In the improved steps the push was as of CFG 11, with 20% of it going elsewhere."
    assert gap_plot.push([{"reflections": [{"step": 0}]}]) == ""


def test_what_is_no_number_is_left_out(host):
    host.txt2img({"lambda_steps": 3}, steps=6)
    trace = {"passes": host.trace()}
    trace["passes"][0]["reflections"][1] |= {"gap_norm": math.nan, "cosine": math.inf}
    text = gap_plot.html(trace)
    assert "nan" not in text and "inf" not in text and text.count("<circle") == 2 + 1


def test_no_run_no_plot(host):
    assert gap_plot.html({"passes": []}) == ""
    host.txt2img({"weak_alone": True}, steps=6)
    _, root, text = drawn(host)
    assert root.findall(".//svg") == [] and "0 of 6 steps improved" in text
