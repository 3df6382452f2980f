"""A study from the command line: what it asks for, what it keeps, how it goes on, and what it says."""

import csv
import json

import pytest
from PIL import Image

from lib_w2sd.errors import SettingError
from lib_w2sd.evaluate import prompts, report, study, verdict, ways
from lib_w2sd.evaluate.__main__ import main

from .fake import serving

ZIGZAG = "Follow the prompt more (Z-Sampling)"
RED = "tests.evaluate.test_study:red"
BLUE = "tests.evaluate.test_study:blue"


def red(pictures, prompts):
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def blue(pictures, prompts):
    """Which does not know W2SD from plain."""
    return [picture.getpixel((0, 0))[2] for picture in pictures]


def evaluated(out, *more, server=None, **fails):
    with serving(**fails) as one:
        code = main([(server or one).url, "--out", str(out), *map(str, more)])
        return code, one.requests


def test_what_is_asked_and_what_is_said(tmp_path, capsys):
    code, requests = evaluated(tmp_path, "--pairs", 6, "--reward", RED, "--w2sd", '{"weak_cfg": 1}')
    assert code == 0 and len(requests) == 24
    plain, w2sd, push, longer = requests[:4]
    assert len({(r["prompt"], r["seed"]) for r in requests[:4]}) == 1 and len({r["seed"] for r in requests}) == 6
    assert "alwayson_scripts" not in plain and (plain["cfg_scale"], plain["steps"]) == (7.0, 28)
    settings = {"weak_cfg": 1, "enabled": True, "comparison": False, "measure": True}
    assert w2sd["alwayson_scripts"] == {"W2SD": {"args": [settings]}}
    assert (push["cfg_scale"], push["steps"]) == (9.0, 28), "the push of W2SD's run"
    assert (longer["cfg_scale"], longer["steps"]) == (7.0, 42), (
        "60 rows instead of 40: what is only measured is no cost"
    )
    text = (tmp_path / "README.md").read_text()
    low = verdict.rate([1.0] * 6, 0.05 / 3).low
    assert "6 pairs of pictures" in text and f"100.0 % ({100 * low:.0f} to 100; 6 : 0)" in text
    assert "| W2SD | " in text and "6 ties" in text
    lines = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    assert len(lines) == 24 and {line["test_study.red"] for line in lines if line["way"] == "W2SD"} == {"200.0"}
    assert Image.open(tmp_path / "wins.png").width > 900 and (tmp_path / "blind.html").exists()
    assert not (tmp_path / "losses.png").exists(), "it lost nowhere"
    on_the_page, pictures = report.shown(tmp_path)
    assert pictures == [(tmp_path / "wins.png", "Where W2SD won most, by test_study.red")]
    assert "won most" in text and "won most" not in on_the_page and "![" not in on_the_page
    assert "pair 6 of 6" in capsys.readouterr().out


def test_it_stops_when_it_is_clear_and_not_before(tmp_path, capsys):
    evaluated(tmp_path / "a", "--pairs", 60, "--until-clear", "--reward", RED)
    evaluated(tmp_path / "b", "--pairs", 30, "--until-clear", "--reward", BLUE)
    made = [len(list((tmp_path / name / "pairs").iterdir())) for name in "ab"]
    assert 8 <= made[0] <= 16 and made[1] == 30
    rows = (tmp_path / "b" / "README.md").read_text().splitlines()
    assert not any("**" in row for row in rows if row.startswith("| test_study"))
    assert report.shown(tmp_path / "b")[1] == [(tmp_path / "b" / "pairs.png", "The first pairs")], (
        "neither won nor lost"
    )


def test_killed_and_resumed_it_says_the_same(tmp_path, capsys):
    """Wherever it was cut: between pairs, in a pair, before a score."""
    asked = "--pairs", 4, "--reward", RED, "--reward", BLUE
    evaluated(tmp_path / "whole", *asked)
    code, requests = evaluated(tmp_path / "cut", *asked, fails_after=6)
    assert code == 1 and "W2SD: no more" in capsys.readouterr().err
    assert "1 pair of pictures" in (tmp_path / "cut" / "README.md").read_text(), "what is there is told"
    code, more = evaluated(tmp_path / "cut", *asked)
    assert code == 0 and len(requests) - 1 + len(more) == 16, "nothing is drawn twice"

    def told(name):
        lines = (tmp_path / name / "README.md").read_text().splitlines()
        return [line for line in lines if "seconds" not in line and not line.startswith(("| plain", "| W2SD"))]

    assert told("whole") == told("cut")
    # Another reward, afterwards, costs no picture.
    code, none = evaluated(tmp_path / "cut", *asked[:4])
    assert code == 0 and none == []


def test_several_webuis_share_the_pairs(tmp_path):
    with serving() as one, serving() as two:
        assert main([one.url, two.url, "--out", str(tmp_path), "--pairs", "12"]) == 0
        assert len(one.requests) + len(two.requests) == 48 and one.requests and two.requests
        for server in (one, two):
            seeds = [r["seed"] for r in server.requests]
            assert all(seeds.count(seed) == 4 for seed in set(seeds)), "a pair is one's"
    assert "No reward was asked" in (tmp_path / "README.md").read_text()


def test_another_study_is_not_mixed_into_this_one(tmp_path, capsys):
    evaluated(tmp_path, "--pairs", 1)
    code, requests = evaluated(tmp_path, "--pairs", 2, "--request", '{"steps": 9}')
    assert code == 1 and requests == [] and "other request; choose another folder" in capsys.readouterr().err


def test_what_cannot_be_is_refused_before_anything_is_drawn(tmp_path, capsys):
    def refused(*more):
        code, requests = evaluated(tmp_path / "never", *more)
        assert code == 1 and requests == [] and not (tmp_path / "never").exists()
        return capsys.readouterr().err

    assert "--pairs was given 0" in refused("--pairs", 0)
    assert "lambda_steps" in refused("--w2sd", '{"lambda_steps": "x"}')
    assert "unknown setting 'lamda'" in refused("--w2sd", '{"lamda": 3}')
    assert "no such file" in refused("--reward", "nowhere.pt")
    empty = tmp_path / "prompts.txt"
    empty.write_text("# nothing\n")
    assert "there is none" in refused("--prompts", empty)
    assert main(["http://127.0.0.1:9", "--out", str(tmp_path / "never")]) == 1
    assert "Is the WebUI running, with --api?" in capsys.readouterr().err


def test_ways_of_ones_own(tmp_path, capsys):
    file = tmp_path / "ways.json"
    more_steps = {"name": "50 steps", "request": {"steps": 50}}
    zigzag = {"name": "zigzag", "preset": ZIGZAG, "w2sd": {"lambda_steps": 3}}
    like = {"name": "as long", "like": "zigzag", "match": "time"}
    file.write_text(json.dumps([more_steps, zigzag, like]))
    read = ways.read(file)
    assert [way.name for way in read] == ["50 steps", "zigzag", "as long"] and read[1].w2sd["lambda_steps"] == 3
    code, requests = evaluated(tmp_path / "out", "--pairs", 1, "--ways", file)
    assert code == 0 and [r["steps"] for r in requests] == [50, 28, 42]
    assert "measure" not in requests[1]["alwayson_scripts"]["W2SD"]["args"][0], "what nobody asks for"

    def refused(*given):
        file.write_text(json.dumps(given))
        with pytest.raises(SettingError) as error:
            ways.read(file)
        return str(error.value)

    assert "at least two" in refused(more_steps)
    assert "'50 steps': this name is given twice" in refused(more_steps, more_steps)
    assert "allowed is an object with a name" in refused({}, more_steps)
    assert "lamda was given" in refused(more_steps, {"name": "a", "lamda": 1})
    assert "allowed is Closer to my ControlNet" in refused(more_steps, {"name": "a", "preset": "nothing"})
    assert "strength" in refused(more_steps, {"name": "a", "w2sd": {"strength": -1}})
    assert "a way with W2SD that stands before it" in refused(more_steps, like)
    assert "allowed is both" in refused(more_steps, zigzag, {"name": "a", "like": "zigzag"})


def test_where_the_push_is_not_known_there_is_no_picture_of_it():
    facts = ways.facts_of([{"evaluations": [{"kind": "step", "rows": 10}], "reflections": [{}]}])
    way = ways.Way("push", like="a", match="push")
    assert ways.matched(way, {"steps": 20, "cfg_scale": 7}, facts) is None and facts["rows_ratio"] == 1.0


def test_our_prompts():
    found = prompts.read(prompts.OURS)
    assert len(found) == len(set(found)) > 35


def test_pairs_are_drawn_anew_and_always_the_same(tmp_path):
    asked = study.Asked(["a", "b", "c"], ways.usual({}), {})
    one = study.Study(tmp_path / "one", asked)
    prompts = [one.pair(i).prompt for i in range(300)]
    assert prompts == [study.Study(tmp_path / "two", asked).pair(i).prompt for i in range(300)]
    assert all(80 < prompts.count(prompt) < 120 for prompt in "abc")


def test_the_papers_tables(tmp_path, capsys):
    weak = '{"weak_checkpoint": "plainer"}'
    code, requests = evaluated(tmp_path / "7", "--table", 7, "--pairs", 1, "--w2sd", weak, "--request", '{"steps": 10}')
    assert code == 0 and "Pick-a-Pic" in capsys.readouterr().out
    assert [(r["cfg_scale"], r["steps"], r["sampler_name"]) for r in requests[:4]] == [(5.5, 10, "DDIM")] * 4
    asked = [r["alwayson_scripts"]["W2SD"]["args"][0] for r in requests[1:4]]
    assert [(a["weak_cfg"], a["strong_cfg"], a["weak_checkpoint"]) for a in asked] == [
        (0.0, None, ""),
        (1.0, 1.0, "plainer"),
        (0.0, None, "plainer"),
    ]
    assert {(a["inversion"], a["lambda_steps"]) for a in asked} == {("paper", -1)}

    file = tmp_path / "pairs.txt"
    file.write_text("a red apple on old wood, soft light\tan apple\n")
    code, requests = evaluated(tmp_path / "6", "--table", 6, "--pairs", 1, "--prompts", file)
    assert code == 0 and {r["prompt"] for r in requests} == {"a red apple on old wood, soft light"}
    w2sd, raw = (r["alwayson_scripts"]["W2SD"]["args"][0] for r in requests[1:3])
    assert w2sd["weak_prompt"] == raw["weak_prompt"] == "an apple"
    assert (w2sd["weak_cfg"], raw["weak_cfg"], raw["weak_alone"]) == (1.0, 5.5, True)

    for more, said in (
        ((2,), "needs a weak checkpoint"),
        ((6,), "a weak one behind a tab"),
        ((5, "--ways", file), "one of the two"),
    ):
        code, requests = evaluated(tmp_path / "never", "--table", *more)
        assert code == 1 and requests == [] and said in capsys.readouterr().err
