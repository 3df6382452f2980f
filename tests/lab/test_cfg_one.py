"""Pictures at CFG 1: early guidance as the hosts have it, what a negative prompt names, and the report of both."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")

from lib_w2sd.lab.emoji import judge, models
from lib_w2sd.lab.emoji.draw import draw
from lib_w2sd.lab.experiments import cfg_one, negatives
from lib_w2sd.lab.experiments.negatives import Asked
from lib_w2sd.lab.experiments.results import Results
from lib_w2sd.page.presets import BUILT_IN

from .test_experiments import Invented, invented, told

TEXTS, SEEDS, STEPS = ["a rocket", "a blue heart"], [1, 2], 6
HALF = STEPS // 2
NOWHERE = Path("nowhere.json")
PAPER = Path(__file__).parents[2] / "docs" / "paper"


def drawn(way, **more):
    return draw(TEXTS, SEEDS, **way.asks, **more)


def test_early_guidance_is_guidance_in_the_first_half_of_the_steps():
    early = drawn(cfg_one.early(1.5, STEPS))
    assert early.rows == len(TEXTS) * (STEPS + HALF)
    for cfg in (1.0, 1.5):
        whole = drawn(cfg_one.plain(cfg_one.GROUND, cfg, STEPS))
        assert (early.latents - whole.latents).abs().max() > 0.01


def test_auto_guidance_at_cfg_1_is_a_higher_scale_in_the_same_steps():
    """The report's claim that nothing but rounding is between them; the other ways are no such sum."""
    early = drawn(cfg_one.early(1.5, STEPS))
    exact = drawn(cfg_one.pushed(STEPS, "auto-guidance", HALF, 0.5))
    torch.testing.assert_close(early.latents, exact.latents, rtol=1e-4, atol=1e-4)
    assert early.rows == exact.rows
    for family in ("previous-gap", "matched"):
        assert (drawn(cfg_one.pushed(STEPS, family, HALF, 0.5)).latents - early.latents).abs().max() > 0.01


def test_the_hosts_minimum_sigma_is_between_the_last_guided_step_and_the_next():
    sigmas = cfg_one.karras(8, cfg_one.SIGMA_MIN, cfg_one.SIGMA_MAX)
    assert sigmas[4] < cfg_one.minimum_sigma(8) < sigmas[3]


@pytest.mark.parametrize("way", negatives.ways(4)[:9], ids=lambda way: way.key)
def test_a_negative_prompt_counts_but_at_cfg_1_alone(way):
    asks = {name: value for name, value in way.asks.items() if name not in ("text", "negative_text")}
    one, other = (draw(TEXTS, SEEDS, negative=said, **asks) for said in (["flat style", "blue"], ["", ""]))
    at_cfg_1 = way.asks["cfg"] == 1 and not way.asks.get("settings")
    assert torch.equal(one.latents, other.latents) == at_cfg_1
    assert one.rows == other.rows


def test_a_negative_prompt_names_what_the_prompt_leaves_open():
    every = negatives.wanted()
    assert every == negatives.wanted() and len(set(every)) == len(every)
    for one in every:
        assert getattr(one.caption, one.kind) == "" and one.named in judge.values(one.caption.name, one.kind)
        assert one.named not in one.text().split() and one.named in one.negative()
        assert not one.with_it().held_out
    of_two = {(one.kind, one.named) for one in every if one.kind != "color"}
    assert of_two == {("style", "flat"), ("style", "shaded"), ("who", "man"), ("who", "woman")}


def test_each_picture_has_its_own_negative_prompt(monkeypatch):
    seen = []

    def recorded(texts, seeds, negative="", **asks):
        seen.append((texts, negative))
        return draw(texts, seeds, negative=negative, **{**asks, "steps": 2})

    monkeypatch.setattr(negatives.scores, "draw", recorded)
    asked = [negatives.wanted()[0], negatives.wanted()[-1]]
    with_it, _ = (
        negatives.measure(way, asked, 2)
        for way in (negatives.ways(4)[1], negatives.early(4, *negatives.TOLD, negative=False))
    )
    texts = [one.text() for one in asked for _ in range(2)]
    assert seen == [(texts, [one.negative() for one in asked for _ in range(2)]), (texts, "")]
    assert len(with_it["named"]) == len(with_it["reward"]) == len(with_it["name"]) == 2 and with_it["rows"] == 4


@pytest.mark.parametrize("kind", negatives.WORDS)
def test_the_judge_sees_what_is_named_on_real_pictures(kind):
    latents, captions = (sum(parts, []) for parts in zip(*((list(a), b) for a, b in map(models.real, (True, False)))))
    chosen = [(picture, one) for picture, one in zip(latents, captions) if getattr(one, kind)]
    pictures = models.decode(torch.stack([picture for picture, _ in chosen]))
    there, other = [], []
    for _, one in chosen:
        right = getattr(one, kind)
        opened = replace(one, **{kind: ""})
        there.append(Asked(opened, kind, right))
        other.append(Asked(opened, kind, next(v for v in judge.values(one.name, kind) if v != right)))
    assert sum(negatives.shown(pictures, there)) > 0.9 * len(chosen)
    assert sum(negatives.shown(pictures, other)) < 0.1 * len(chosen)


def test_every_way_has_a_name_of_its_own():
    kept = Invented(NOWHERE, None)
    found = {}
    for _, way in cfg_one.plan(kept, kept):
        asks = {name: getattr(value, "__qualname__", value) for name, value in way.asks.items()}
        assert found.setdefault(way.key, asks) == asks, way.key
    assert len(found) > 80


class Named(Invented):
    def of(self, way):
        return self.kept.setdefault(way.key, {**invented(way), "named": told(0.3, seed=way.key)["reward"]})


def test_the_report_has_every_step_count_and_way(tmp_path, monkeypatch):
    own = Named(NOWHERE, None, negatives.MEASURES)
    monkeypatch.setattr(negatives, "results", lambda out, of: own)
    text = cfg_one.section(tmp_path, Invented(tmp_path / "results.json", None))
    assert "nan" not in text
    for steps in cfg_one.STEPS:
        part = text.partition(f"### {steps} steps\n")[2].partition("\n### ")[0]
        assert "plain, CFG 1.5 in the first" in part and "| matched, strength 1, lambda 2 |" in part
        assert f"### With {steps} steps\n" in text
    assert text.count("(the reference)") == 4 * 3 + 3 * 3


def few_steps(rewards: dict) -> tuple:
    """for_few_steps of results in which FORMER's reward is 0.75 and a push's is 0.7, or as said."""
    kept = Invented(NOWHERE, None)
    for steps in cfg_one.STEPS[:2]:
        for push in cfg_one.pushes():
            reward, rows = rewards.get(push, (0.75 if push == cfg_one.FORMER else 0.7, 12))
            kept.kept[cfg_one.pushed(steps, *push).key] = told(reward, rows, seed=str(push))
    return cfg_one.for_few_steps(kept)


def test_the_presets_of_few_steps_are_the_cheapest_push_that_is_not_behind():
    cheap, cheaper = ("previous-gap", 3, 1.0), ("previous-gap", 2, 1.0)
    assert few_steps({}) == cfg_one.FORMER
    assert few_steps({cheap: (0.76, 6)}) == cheap
    assert few_steps({cheap: (0.76, 6), ("auto-guidance", 2, 0.5): (0.77, 6)}) == ("auto-guidance", 2, 0.5)
    assert few_steps({cheap: (0.76, 6), cheaper: (0.7, 5)}) == cheap


def held_where(named: tuple, reward: float) -> str:
    """negatives.held where these shares are named: plain, the gap without a negative prompt, the gap."""
    own = Named(NOWHERE, None)
    gap, alone = (negatives.early(4, *negatives.TOLD, negative) for negative in (True, False))
    for way, share, good in zip((negatives.plains(4)[0], alone, gap), named, (0.7, 0.7, reward)):
        own.kept[way.key] = {**told(good, seed=way.key), "named": told(share, seed=way.key)["reward"]}
    return negatives.held(own, 4)


@pytest.mark.parametrize(
    ("named", "reward", "said"),
    [
        ((0.4, 0.4, 0.2), 0.7, "yes"),
        ((0.4, 0.2, 0.2), 0.7, "no"),
        ((0.4, 0.4, 0.4), 0.7, "no"),
        ((0.4, 0.4, 0.2), 0.6, "in part, the reward falls"),
    ],
)
def test_a_negative_prompt_counts_where_less_of_it_is_left_and_the_prompt_is_kept(named, reward, said):
    assert held_where(named, reward) == said


def test_the_preset_for_negative_prompts_leaves_the_least_without_harm():
    own = Named(NOWHERE, None)
    every = {("previous-gap", 1.0): (0.3, 0.7), ("previous-gap", 2.0): (0.25, 0.7), ("auto-guidance", 1.0): (0.1, 0.6)}
    for steps in negatives.FEW:
        for push, (share, reward) in {**every, None: (0.4, 0.7)}.items():
            way = negatives.early(steps, *push) if push else negatives.plains(steps)[0]
            own.kept[way.key] = {**told(reward, seed=way.key), "named": told(share, seed=way.key)["reward"]}
    assert negatives.for_negatives(own) == ("previous-gap", 2.0)


def test_the_presets_are_what_was_measured():
    few, negative = (
        BUILT_IN[name].fields
        for name in ("Few steps: follow the prompt more", "At CFG 1: let the negative prompt count")
    )
    kept = Results(PAPER / "results.json", None, minutes=0)
    assert (few["inversion"], few["lambda_steps"], few["strength"]) == cfg_one.for_few_steps(kept)
    own = negatives.results(PAPER, kept)
    assert (negative["inversion"], negative["strength"]) == negatives.TOLD == negatives.for_negatives(own)
    # lambda as far as there are steps to improve
    assert {steps: min(negative["lambda_steps"], steps - 1) for steps in negatives.FEW} == {
        steps: negatives.LAMBDAS[steps][0] for steps in negatives.FEW
    }
    assert {negatives.held(own, steps) for steps in negatives.FEW} == {"yes"}
    by, half = kept.gain(
        cfg_one.pushed(4, *cfg_one.for_few_steps(kept)), cfg_one.plain(cfg_one.GROUND, 1.25, 4), "reward"
    )
    assert abs(by) <= half, "as at CFG 1.25, says the preset"
