"""Distilled guidance, as Flux has it on Forge: a part of the conds, and no setting for other checkpoints."""

from types import SimpleNamespace

import pytest
import torch

from lib_w2sd.gaps import Side
from lib_w2sd.page.settings import Settings


@pytest.mark.parametrize("name", ["strong_distilled_cfg", "weak_distilled_cfg"])
def test_a_checkpoint_without_it_refuses_it(host, name):
    with pytest.raises(Exception, match=f"{name} .* was given 2, but the loaded checkpoint has no distilled"):
        host.txt2img({name: 2.0})
    host.txt2img({name: 2.0, "lambda_steps": 0})  # nothing to reflect


@pytest.fixture
def evaluator(forge):
    """What evaluates the sides of a pass of the stand-in, and the class of its conds' schedules."""
    p = forge.request("Txt2Img", {})
    p.sampler = SimpleNamespace()
    p.prompts, p.negative_prompts = ["cat"], [""]
    one_pass = forge.hooks.SamplingPass(forge.extension.HOST(p), Settings(enabled=True))
    return forge.sampling("sides.evaluator", "Evaluator")(one_pass, network=None, coordinates=None)


def conds(webui, guidance):
    """Two pictures: one with a timetable, one composed of two parts."""
    from tests.webui.prompts import Scheduled

    def scheduled(end):
        return Scheduled(end, {"crossattn": torch.ones(2, 3), "guidance": torch.tensor(guidance)})

    part = webui.ComposableScheduledPromptConditioning
    batch = [[part([scheduled(2), scheduled(8)], 1.0)], [part([scheduled(8)], 0.5), part([scheduled(8)], 2.0)]]
    cond = webui.MulticondLearnedConditioning(shape=(2,), batch=batch)
    return {"cond": cond, "uncond": [[scheduled(8)], [scheduled(8)]], "cond_scale": 3.0}


def scales(ask):
    in_cond = [[[float(s.cond["guidance"]) for s in part.schedules] for part in parts] for parts in ask["cond"].batch]
    return in_cond, [[float(s.cond["guidance"]) for s in schedules] for schedules in ask["uncond"]]


@pytest.mark.parametrize("scale", [2.0, 0.0])
def test_every_cond_of_a_side_has_its_scale_and_the_pictures_own_keep_theirs(forge, evaluator, scale):
    kwargs = conds(forge.modules["prompt_parser"], 3.5)
    ask = evaluator.asked(kwargs, Side(inputs={"guidance": scale}))
    assert scales(ask) == ([[[scale, scale]], [[scale], [scale]]], [[scale], [scale]])
    assert scales(kwargs) == ([[[3.5, 3.5]], [[3.5], [3.5]]], [[3.5], [3.5]])
    assert [[part.weight for part in parts] for parts in ask["cond"].batch] == [[1.0], [0.5, 2.0]]
    assert [s.end_at_step for s in ask["cond"].batch[0][0].schedules] == [2, 8]


def test_own_scale_leaves_the_conds_alone(forge, evaluator):
    kwargs = conds(forge.modules["prompt_parser"], 3.5)
    assert evaluator.asked(kwargs, Side())["cond"] is kwargs["cond"]


def test_cfg_1_needs_no_uncond(forge, evaluator):
    kwargs = {**conds(forge.modules["prompt_parser"], 3.5), "uncond": None}
    assert evaluator.asked(kwargs, Side(1.0, inputs={"guidance": 2.0}))["uncond"] is None
