"""The lab's experiments: what is measured of a way, what the tables make of it, and the reports."""

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")

from lib_w2sd.lab import __main__, report, sampling
from lib_w2sd.lab.emoji import judge, lora, models
from lib_w2sd.lab.emoji.draw import STEPS, draw
from lib_w2sd.lab.experiments import (
    architectures,
    balance,
    bought,
    directions,
    inversion_error,
    knobs,
    pipeline,
    results,
    statistics,
    tables,
    ways,
)
from lib_w2sd.lab.experiments.results import NotMeasured, Results
from lib_w2sd.page.presets import BUILT_IN

GROUND = ways.Ground("DPM++ 2M")
PROMPTS = 12


def told(reward: float, rows: float = 40, ink: float = 5.0, distance: float = 30.0, spread: float = 0.001, seed=0):
    """As ways.measure tells it: about these values for each prompt."""
    rng = random.Random(seed)

    def around(value):
        return [value + spread * rng.gauss(0, 1) for _ in range(PROMPTS)]

    found = {"reward": around(reward), "name": around(0.9), "variety": around(0.1), "ink": around(ink)}
    return {**found, "distance": around(distance), "all": distance, "rows": rows}


def invented(way) -> dict:
    """The same for the same way, and no two alike."""
    rng = random.Random(way.key)
    return told(rng.uniform(0.6, 0.8), rng.randrange(20, 90), rng.uniform(1, 9), rng.uniform(20, 40), seed=way.key)


class Invented(Results):
    """Of every way something, and no file."""

    def of(self, way):
        return self.kept.setdefault(way.key, invented(way))


@pytest.fixture
def kept(tmp_path):
    return Invented(tmp_path / "results.json", None)


def test_a_way_is_measured_once_and_kept(tmp_path):
    calls = []

    def measure(way):
        calls.append(way.key)
        return told(0.7)

    way = ways.plain(GROUND, 2.0)
    first = Results(tmp_path / "results.json", measure)
    assert first.of(way) == first.of(way) == Results(tmp_path / "results.json", measure).of(way)
    assert calls == [way.key] and list(json.loads((tmp_path / "results.json").read_text())) == calls


def test_when_the_time_is_over_nothing_new_is_measured(tmp_path):
    results_ = Results(tmp_path / "results.json", invented, minutes=0)
    assert not results_.has(ways.plain(GROUND, 2.0))
    with pytest.raises(NotMeasured, match="plain/2"):
        results_.of(ways.plain(GROUND, 2.0))


def test_a_difference_is_paired_by_prompt():
    one, other = told(0.5, spread=0.3, seed=1), told(0.5, spread=0.3, seed=1)
    other["reward"] = [value - 0.01 for value in other["reward"]]
    by, half = results.difference(one, other, "reward")
    assert by == pytest.approx(0.01) and half < 1e-9
    assert results.marked(by, half) == "**+0.010** ± 0.000" and results.marked(0.01, 0.02) == "+0.010 ± 0.020"


def test_every_way_has_a_name_of_its_own():
    """Two ways of the same name would share what was measured of one."""
    found, kept = {}, Invented(Path("nowhere.json"), None)
    every = [way for _, _, of in bought.plan(kept) for way in of]
    every += [way for block in tables.blocks(kept) for gap in tables.CLAIMS for way in tables.ways(block, gap)]
    every += [knobs.moved(axis, 2.0, "paper", value) for axis in knobs.axes(2.0) for value in axis.values]
    every += inversion_error.ways().values()
    for way in every:
        asks = {name: value for name, value in way.asks.items() if not callable(value)}
        assert found.setdefault(way.key, (type(way), asks)) == (type(way), asks), way.key
    assert len(found) > 300


def test_the_strong_models_pictures_are_measured_and_the_inked_ones_are_near_ink():
    captions = ways.wanted()[:2]
    plain, inked = (ways.measure(ways.plain(GROUND, 2.0, 4, model), captions, 2) for model in ("", ways.INKED))
    assert plain["rows"] == inked["rows"] == 8 and len(plain["reward"]) == len(inked["ink"]) == 2
    assert "ink" not in plain and max(inked["ink"]) < 8


def test_a_models_name_says_its_loras():
    half = lora.model("strong+ink@0.5")
    x, sigma, cond = torch.randn(1, 4, 8, 8), torch.ones(1), half.encode(["a rocket"])
    torch.testing.assert_close(half(x, sigma, cond), lora.merged(models.load("strong"), "ink", 0.5)(x, sigma, cond))
    assert lora.model("strong+ink@0") is models.load("strong")
    with pytest.raises(ValueError, match="no LoRA 'oil' here, only ink, blur"):
        lora.model("strong+oil@1")


@pytest.mark.parametrize(
    ("gain", "distance", "told_"), [(0.1, 20, "yes"), (0.1, 40, "in part"), (0, 40, "no"), (0, 30, "undecided")]
)
def test_what_counts_as_held(tmp_path, gain, distance, told_):
    def measure(way):
        return told(0.7, seed=way.key) if way.family.startswith("plain") else told(0.7 + gain, distance=distance)

    block = tables.Block(GROUND, 1.0, 2.0)
    assert tables.held(Results(tmp_path / "r.json", measure), block, "prompt", "matched") == told_


def test_a_gap_that_only_does_what_guidance_does_is_not_beyond_the_control(tmp_path):
    def measure(way):
        return told(0.7 if way.key.endswith("plain/1/20") else 0.8, seed=way.key)

    kept = Results(tmp_path / "r.json", measure)
    block = tables.Block(GROUND, 1.0, 2.0)
    assert tables.held(kept, block, "checkpoint", "matched") == "yes"
    assert "**" not in tables.beyond(kept, block, "checkpoint", "matched")


def test_the_rule_takes_the_cheapest_of_the_best(tmp_path):
    rewards = {"matched": (0.80, 60), "previous-gap": (0.80, 40), "auto-guidance": (0.70, 40), "paper": (0.8001, 80)}
    kept = Results(tmp_path / "r.json", lambda way: told(*rewards[way.family], seed=way.key))
    chosen, best = bought.by_the_rule(kept, bought.against(GROUND, "guidance", 2.0, 10, 0.5))
    assert chosen.family == "previous-gap" and best.family in ("matched", "previous-gap", "paper")


SECTIONS = {
    "tables": ("| Table 2 | checkpoint gap |", ()),
    "gap-size": ("## Figure 12", ("gap-size.png",)),
    "equal-time": ("Held: no", ("equal-time.png",)),
    "share": ("checkpoint gap at CFG 1", ("share.png",)),
    "inversion-error": ("matched, k = 0.2", ()),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_tells_what_was_measured(kept, tmp_path, name):
    module, function = __main__.EXPERIMENTS[name][0].split(".")
    text = getattr({"tables": tables, "knobs": knobs, "inversion_error": inversion_error}[module], function)(
        tmp_path, kept
    )
    said, files = SECTIONS[name]
    assert said in text and "nan" not in text
    assert all((tmp_path / file).stat().st_size > 5000 for file in files)


def test_what_it_buys_has_every_ground_and_the_rule(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(bought, "choices", lambda path, ground: path)
    text = bought.section(tmp_path, kept)
    for ground in bought.GROUNDS:
        assert f"## {ground.told}: plain is best at CFG" in text
        assert f"| {ground.told}: Guidance gap |" in text.partition("What the rule chooses")[2]
    assert (tmp_path / "quality-euler-a.png").exists()


def test_a_report_says_what_is_not_measured_yet(tmp_path, capsys):
    def run(name):
        if name == "share":
            raise NotMeasured("some/way")
        return f"## {name}\n"

    path = report.write(tmp_path, run, {"tables": "README.md", "share": "README.md", "buys": "buys.md"})
    text = path.read_text()
    assert "## tables" in text and "Not measured yet (`some/way` is missing): `python -m lib_w2sd.lab share`" in text
    assert "| strong | 2600 |" in text and (tmp_path / "buys.md").read_text() == "## buys\n"


def test_the_best_strength_is_the_line_searchs(monkeypatch):
    """Strong errs by e and weak by 2 e, or by -e: the least error is at w = 1, or at -1/2."""
    latents, error = torch.randn(40, 4, 8, 8), torch.randn(40, 4, 8, 8)

    class Erring:
        def __init__(self, by):
            self.by = by

        def encode(self, texts):
            return None

        def __call__(self, x, sigma, cond):
            return latents + self.by * error

    erring = {"strong": Erring(1.0), "weak": Erring(2.0), "strong+blur@1": Erring(-1.0)}
    monkeypatch.setattr(lora, "model", erring.__getitem__)
    captions = models.real(True)[1][:40]
    found = directions.along(latents, captions, torch.tensor([3.0]))
    assert directions.best_strength(*found["checkpoint"][0][:2]).mean == pytest.approx(1.0)
    assert directions.best_strength(*found["LoRA"][0][:2]).mean == pytest.approx(-0.5)
    assert found["checkpoint"][0][2].min() > 0.999 and found["LoRA"][0][2].max() < -0.999


def test_the_real_pictures_are_known_by_their_captions():
    for held_out in (False, True):
        latents, captions = models.real(held_out)
        assert len(latents) == len(captions) == 64 and all(c.held_out == held_out for c in captions)
        found = judge.retrieved(models.decode(latents), captions)["name"]
        assert sum(found) / len(found) > 0.9


def test_the_biased_pair_is_biased():
    shares = {
        way: balance.flat(balance.drawn(balance.WAYS[way], 1, 24)[0], 24).mean().item() for way in ("weak", "strong")
    }
    assert shares["weak"] < shares["strong"] - 0.1


def test_the_balance_section_shows_every_way(tmp_path, monkeypatch):
    pictures = torch.rand(8, 3, 64, 64)
    monkeypatch.setattr(balance, "drawn", lambda way, seeds, count: (pictures, 20.0))
    text = balance.section(tmp_path, Invented(tmp_path / "results.json", None), 2, 4)
    assert all(f"| {way} |" in text for way in balance.WAYS) and (tmp_path / "balance.png").exists()
    pushed = [f"| CFG {cfg:g}: {way.told} |" for cfg in balance.CFGS for way in balance.swept(cfg)[1:]]
    assert all(line in text for line in pushed) and text.count("(the reference)") == len(balance.CFGS)


def test_the_balance_is_measured_with_the_preset_of_a_checkpoint_gap():
    (way,) = (way for way in balance.swept(1.0) if "previous-gap, strength 0.5, lambda 19" in way.told)
    preset = BUILT_IN["More of my checkpoint"].fields
    measured = asdict(replace(way.asks["settings"], lambda_steps=-1))
    assert {name: measured[name] for name in preset} == preset


def test_the_wrong_inversion_is_wrong_and_gone_afterwards():
    every, captions = inversion_error.ways(), ways.wanted()[:2]
    few = {
        name: type(way)(way.key, way.family, way.told, {**way.asks, "steps": 4, "settings": _few(way)})
        for name, way in every.items()
        if name in ("paper", "paper, unscaled", "matched", "matched, k = 1")
    }
    before = sampling.Pair.coordinates
    drawn = {name: _reward(way, captions) for name, way in few.items()}
    assert drawn["paper"] != drawn["paper, unscaled"] and drawn["matched"] != drawn["matched, k = 1"]
    assert sampling.Pair.coordinates is before


def _few(way):
    return ways.replace(way.asks["settings"], lambda_steps=2)


def _reward(way, captions):
    if isinstance(way, inversion_error.Unscaled):
        with inversion_error.unscaled():
            return ways.measure(way, captions, 2)["reward"]
    return ways.measure(way, captions, 2)["reward"]


def test_the_pipelines_report_has_both_units(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "measure_of", lambda unit: lambda way: {**invented(way), "like": told(0.5)["reward"]})
    monkeypatch.setattr(pipeline, "sheet", lambda path: None)
    text = pipeline.section(tmp_path, Results(tmp_path / "results.json", None))
    assert "## ControlNet (edges), Figure 11" in text and "## IP-Adapter, Figure 10" in text
    assert (tmp_path / "pipeline-edges.json").exists() and (tmp_path / "pipeline-price.png").exists()


def test_the_prompts_have_held_out_ones_among_them():
    captions = ways.wanted()
    assert len(captions) == 32 and sum(caption.held_out for caption in captions) == 8
    assert statistics.table(["a"], [[STEPS]]) == "| a |\n| --- |\n| 20 |\n"


def test_the_same_model_through_pixels_moves_little_and_another_is_asked_in_its_own_space():
    """Against the checkpoint gap's move, which comes out the same with and without pixel space."""
    ways_, texts = architectures.ways(), ["a red apple", "a lion face"]

    def latents(name):
        asks = {**ways_[name].asks, "steps": 8}
        if "settings" in asks:
            asks["settings"] = ways.replace(asks["settings"], lambda_steps=3)
        return draw(texts, [1, 2], **asks).latents

    base = latents("plain, CFG 1")
    itself = latents("matched, strength 1, lambda 10, strong against itself, through pixels")
    moved, through = (latents(f"matched, strength 1, lambda 10{more}") for more in ("", ", through pixels"))
    assert (itself - base).norm() < 0.4 * (moved - base).norm()
    alike = torch.nn.functional.cosine_similarity((moved - base).flatten(), (through - base).flatten(), dim=0)
    assert alike > 0.8
