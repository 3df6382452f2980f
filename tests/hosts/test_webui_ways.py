"""The ways other than reflection with the step's own gap, in the WebUIs: rows, equal sides, seeds, what is said."""

import pytest
import torch

from lib_w2sd.method import ways
from lib_w2sd.page import cost
from lib_w2sd.page.presets import BUILT_IN
from lib_w2sd.page.settings import BY_NAME, as_dict

from ..reflected import reflected
from ..webui.host import same_pictures

STEPS, LAMBDA = 5, 3
REQUEST = {"prompt": "a cat", "negative_prompt": "blurry", "cfg_scale": 6.0, "steps": STEPS}
PROMPT_GAP = {"weak_prompt": "a dog", "weak_cfg": 1, "strong_cfg": 1}
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "Heun", "DPM adaptive", "DDIM", "UniPC")


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("way", ways.ALONG)
def test_equal_sides_give_the_plain_picture(host, way, sampler):
    ask = {**REQUEST, "sampler_name": sampler}
    plain = host.txt2img(**ask)
    equal, gap = ({"weak_cfg": weak, "lambda_steps": -1, "inversion": way} for weak in (6.0, 0.0))
    assert same_pictures(plain, host.txt2img(equal, **ask))
    assert not same_pictures(plain, host.txt2img(gap, **ask))


@pytest.mark.parametrize("way", ways.ALONG)
@pytest.mark.parametrize("sampler", ["Euler", "Heun"])
def test_a_guidance_gap_costs_no_row(host, way, sampler):
    host.txt2img(sampler_name=sampler, **REQUEST)
    plain = sum(host.calls)
    host.txt2img({"weak_cfg": 0, "lambda_steps": LAMBDA, "inversion": way}, sampler_name=sampler, **REQUEST)
    assert sum(host.calls) == plain == host.trace()[0]["rows"]


@pytest.mark.parametrize(
    "rounds,heard",
    [(1, None), (2, None), (1, "callbacks_cfg_denoiser"), (1, "callbacks_cfg_denoised")],
    ids=["", "two rounds", "heard before the network", "and after it"],
)
@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("way", ways.WAYS)
@pytest.mark.parametrize("cfg", [1.0, 6.0])
def test_rows_are_as_said_before(host, cfg, way, measure, rounds, heard):
    if heard:  # by an extension, whatever is asked
        host.modules["script_callbacks"].callback_map[heard].append(lambda params: None)
    for gap in ({"weak_cfg": 0}, {"weak_cfg": 1}, {"weak_cfg": 3, "strong_cfg": 1}, PROMPT_GAP):
        settings = {**gap, "lambda_steps": LAMBDA, "inversion": way, "measure": measure, "rounds": rounds}
        host.txt2img(settings, **{**REQUEST, "cfg_scale": cfg})
        whole = {**as_dict(reflected()), **settings}
        request = {"settings": whole, "kind": cost.ONE, "steps": STEPS, "cfg": cfg, "skips_uncond": host.forge}
        request["pairs"] = host.extension.HOST.pairs()
        assert sum(host.calls) == cost.estimate(request)["rows"], gap


@pytest.mark.parametrize("way", ways.NOISY)
def test_new_noise_is_the_seeds_own(host, way):
    settings = {"weak_cfg": 0, "lambda_steps": LAMBDA, "inversion": way}
    one, again = (host.txt2img(settings, sampler_name="Euler a", **REQUEST) for _ in range(2))
    assert same_pictures(one, again)
    # A batch draws for each picture what it would draw alone, and the sampler's own noise stays as it was.
    plain, still = host.txt2img(sampler_name="Euler a", **REQUEST), {**settings, "strength": 0}
    assert same_pictures(plain, host.txt2img(still, sampler_name="Euler a", **REQUEST))
    both = host.txt2img(settings, batch_size=2, sampler_name="Euler a", **REQUEST)
    assert (both.pictures[0] - one.pictures[0]).abs().max() < 1e-4
    assert not same_pictures(plain, one)


@pytest.mark.parametrize("way", ["matched", *ways.ALONG])
def test_of_a_guidance_gap_the_effective_scale_is_known(host, way):
    host.txt2img({"weak_cfg": 2, "strength": 0.5, "lambda_steps": LAMBDA, "inversion": way}, **REQUEST)
    for entry in host.trace()[0]["reflections"]:
        assert entry["effective_cfg"] == pytest.approx(6 + 0.5 * (6 - 2)) and entry["across"] == 0


@pytest.mark.parametrize("way", [way for way in ways.WAYS if way != "re-sampling"])
def test_of_every_gap_the_effective_scale_can_be_measured(host, way):
    """Measured and known are the same number, where only scales differ; a prompt gap goes elsewhere too."""
    ask = {"lambda_steps": LAMBDA, "inversion": way, "measure": True}
    host.txt2img({**ask, "weak_cfg": 2}, **REQUEST)
    assert all(entry["effective_cfg"] is not None for entry in host.trace()[0]["reflections"])
    first = host.trace()[0]["reflections"][0]
    if way in ("fixed-point", "advanced-re-sampling"):
        assert first["effective_cfg"] == pytest.approx(6 + 4, rel=0.3)
    host.txt2img({**ask, **PROMPT_GAP}, **REQUEST)
    assert all(0 < entry["across"] <= 1 for entry in host.trace()[0]["reflections"])


def test_measuring_changes_no_picture(host):
    for way in ways.WAYS:
        one, other = (
            host.txt2img({"weak_cfg": 2, "inversion": way, "measure": measure}, **REQUEST) for measure in (False, True)
        )
        assert same_pictures(one, other), way


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM"])
@pytest.mark.parametrize("way", ways.WAYS)
def test_rows_are_as_said_before_where_the_host_skips_early_guidance(host, way, sampler):
    host.shared.opts.skip_early_cond = 0.4
    kind = {"Euler": cost.ONE, "Heun": cost.TWO, "DDIM": cost.TIMESTEPS}[sampler]
    for gap in ({"weak_cfg": 0}, {"weak_cfg": 3, "measure": True}, PROMPT_GAP, {"weak_alone": True, "weak_cfg": 0}):
        settings = {"lambda_steps": LAMBDA, "inversion": way, **gap}
        host.txt2img(settings, sampler_name=sampler, **REQUEST)
        whole = {**as_dict(reflected()), **settings}
        request = {"settings": whole, "kind": kind, "steps": STEPS, "cfg": 6.0, "skips_uncond": host.forge}
        said = cost.estimate({**request, **{k: v for k, v in options_of(host).items() if k != "minimum_sigma"}})
        assert sum(host.calls) == said["rows"], gap
    host.txt2img(sampler_name=sampler, **REQUEST)
    assert sum(host.calls) == said["plain"]


def options_of(host) -> dict:
    return host.extension.HOST.unguided()


@pytest.mark.parametrize("where", ["negative_prompt", "weak_negative_prompt"])
def test_at_cfg_1_a_preset_lets_the_negative_prompt_count(host, where):
    """By itself it does nothing there; two hosts do not even encode it."""
    preset = BUILT_IN["At CFG 1: let the negative prompt count"].fields
    at_1 = {**REQUEST, "cfg_scale": 1.0, "negative_prompt": ""}

    def made(settings, text):
        settings = settings and {**settings, **({where: text} if where in BY_NAME else {})}
        return host.txt2img(settings, **{**at_1, **({} if where in BY_NAME else {where: text})}).pictures[0]

    if where not in BY_NAME:
        torch.testing.assert_close(made(None, "blurry"), made(None, "sharp"), rtol=1e-5, atol=1e-5)
    assert (made(preset, "blurry") - made(preset, "sharp")).abs().max() > 0.01
    both = {**preset, "weak_negative_prompt": "blurry"}
    torch.testing.assert_close(made(preset, "blurry"), host.txt2img(both, **at_1).pictures[0], rtol=1e-5, atol=1e-5)


def test_at_cfg_1_auto_guidance_is_the_hosts_own_guidance_in_the_first_steps(host):
    """Its option "Negative Guidance minimum sigma", in all steps, and CFG 1 + strength: docs/paper/cfg-1.md says so."""
    at_1, opts = {**REQUEST, "cfg_scale": 1.0}, host.shared.opts
    gap = {"weak_cfg": 0, "lambda_steps": LAMBDA, "strength": 0.5, "inversion": "auto-guidance"}
    plain, (made,) = host.txt2img(**at_1), host.txt2img(gap, **at_1).pictures
    rows, (run,) = sum(host.calls), host.trace()
    sigmas = [float(one["t"]) for one in run["evaluations"] if one["kind"] == "step"]
    opts.s_min_uncond, opts.s_min_uncond_all = (sigmas[LAMBDA - 1] + sigmas[LAMBDA]) / 2, True
    (early,) = host.txt2img(**{**REQUEST, "cfg_scale": 1.5}).pictures
    torch.testing.assert_close(made, early, rtol=1e-4, atol=1e-4)
    assert (made - plain.pictures[0]).abs().max() > 0.01
    if host.forge:  # A1111 takes both kinds of rows at CFG 1, too
        assert sum(host.calls) == rows == STEPS + LAMBDA
