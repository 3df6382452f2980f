"""Rows through the UNet: only those that count, for every pair of scales, and as many as the trace says."""

import pytest

from lib_w2sd.method import ways

from ..webui.host import same_pictures

STEPS, LAMBDA = 5, 2
INVERSIONS = ("paper", "matched", "fixed-point")


def kinds(scale):
    """What a CFG scale asks the network for."""
    return {0: {"uncond"}, 1: {"cond"}}.get(scale, {"cond", "uncond"})


def expected_rows(strong, weak, inversion, prompt_gap=False):
    """Rows of one reflection of one picture."""
    first, second = len(kinds(strong)), len(kinds(weak))
    if inversion == "paper":
        return first + second
    at_x = first + second if prompt_gap else len(kinds(strong) | kinds(weak))
    if inversion == "matched":
        return at_x
    if strong == weak and not prompt_gap:
        return at_x  # x stays where it is, and all rounds are the first
    return at_x + 2 * second


def plain_rows(host, scale):
    """Rows of one call of the sampler's own."""
    return 1 if host.forge and scale == 1 else 2


def rows_of_reflections(host, picture_rows):
    """The trace's rows of each reflection, once it agrees with the network's own count."""
    (run,) = host.trace()
    assert sum(host.calls) == run["rows"] == sum(e["rows"] for e in run["evaluations"])
    assert [e["rows"] for e in run["evaluations"] if e["kind"] == "step"] == [picture_rows] * run["steps"]
    rows = [
        sum(e["rows"] for e in run["evaluations"] if e["step"] == step and e["kind"] != "step")
        for step in range(run["reflected"])
    ]
    assert len(rows) == LAMBDA
    return rows


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize("weak", [0, 1, 3, -2, 6])
@pytest.mark.parametrize("strong", [0, 1, 6, 3])
def test_guidance_gap(host, strong, weak, inversion):
    settings = {"lambda_steps": LAMBDA, "strong_cfg": strong, "weak_cfg": weak, "inversion": inversion}
    for batch in (1, 2):
        host.txt2img(settings, steps=STEPS, batch_size=batch)
        expected = batch * expected_rows(strong, weak, inversion)
        assert rows_of_reflections(host, 2 * batch) == [expected] * LAMBDA


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize("weak", [0, 1, 3])
@pytest.mark.parametrize("request_scale", [0, 1, 6])
def test_strong_side_is_the_requests_own_scale(host, request_scale, weak, inversion):
    settings = {"lambda_steps": LAMBDA, "weak_cfg": weak, "inversion": inversion}
    host.txt2img(settings, steps=STEPS, cfg_scale=float(request_scale))
    expected = expected_rows(request_scale, weak, inversion)
    assert rows_of_reflections(host, plain_rows(host, request_scale)) == [expected] * LAMBDA


@pytest.mark.parametrize("inversion", INVERSIONS)
@pytest.mark.parametrize(("strong", "weak"), [(1, 1), (6, 6), (1, 3), (6, 1)])
def test_prompt_gap(host, strong, weak, inversion):
    settings = {"strong_cfg": strong, "weak_cfg": weak, "weak_prompt": "{prompt}, a dog", "inversion": inversion}
    host.txt2img({"lambda_steps": LAMBDA, **settings}, steps=STEPS)
    expected = expected_rows(strong, weak, inversion, prompt_gap=True)
    assert rows_of_reflections(host, 2) == [expected] * LAMBDA


@pytest.mark.parametrize("sampler", ["Heun", "DDIM", "DPM++ 2M", "PLMS"])
def test_matched_guidance_gap_is_one_pair_for_every_sampler(host, sampler):
    host.txt2img({"lambda_steps": LAMBDA, "inversion": "matched"}, steps=STEPS, sampler_name=sampler)
    (run,) = host.trace()
    reflected = [e["rows"] for e in run["evaluations"] if e["kind"] != "step"]
    assert reflected == [2, 0] * LAMBDA


def test_costs_that_users_are_told(host):
    """Rows of a reflected step with its own call, guidance gap to weak CFG 0."""
    for inversion, cost in (("paper", 5), ("matched", 4), ("fixed-point", 6)):
        host.txt2img({"lambda_steps": 1, "inversion": inversion}, steps=STEPS)
        (run,) = host.trace()
        assert sum(e["rows"] for e in run["evaluations"] if e["step"] == 0) == cost


def test_forge_makes_an_uncond_where_the_request_has_none(forge):
    """At the request's CFG 1 the host encodes no negative prompt; asked for another scale it would go without."""
    fields = {"cfg_scale": 1.0, "steps": STEPS}
    without = forge.txt2img({"lambda_steps": 2}, **fields)
    other = forge.txt2img({"lambda_steps": 2}, **{**fields, "negative_prompt": "a dog on the beach"})
    assert not same_pictures(without, other)
    assert same_pictures(forge.txt2img(**fields), forge.txt2img(negative_prompt="a dog on the beach", **fields))


AND = {"a cat AND a dog": (3, 3), "a cat :0.4 AND a dog :0.6": (3, 2), "a cat :0.5": (2, 2)}


@pytest.mark.parametrize("prompt", AND)
def test_composable_prompts(host, prompt):
    """At CFG 1 the uncond counts unless the parts' weights add up to 1."""
    at_other_scales, at_one = AND[prompt]
    for strong, expected in ((6, at_other_scales), (1, at_one), (0, 1)):
        settings = {"lambda_steps": LAMBDA, "strong_cfg": strong, "weak_cfg": 0, "inversion": "paper"}
        host.txt2img(settings, steps=STEPS, prompt=prompt)
        assert rows_of_reflections(host, at_other_scales) == [expected + 1] * LAMBDA


LONG = "a cat on a table in a house by the sea in the rain at night"


LENGTHS = {"long prompt": {"prompt": LONG}, "long negative": {"negative_prompt": LONG}}
OPTIONS = {
    "together": {},
    "apart": {"batch_cond_uncond": False},
    "padded": {"pad_cond_uncond": True},
    "padded v0": {"pad_cond_uncond_v0": True},
}


@pytest.mark.parametrize("weak", [0, 1, 3])
@pytest.mark.parametrize("way", ways.WAYS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("texts", LENGTHS)
def test_texts_of_two_lengths_cost_no_row_more(host, texts, options, way, weak):
    fields = {"prompt": "a cat", "negative_prompt": "blurry", "cfg_scale": 6.0, "steps": STEPS}
    settings = {"lambda_steps": 3, "inversion": way, "weak_cfg": weak}
    host.txt2img(settings, **fields)
    rows = sum(host.calls)
    vars(host.shared.opts).update(OPTIONS[options])
    host.txt2img(settings, **{**fields, **LENGTHS[texts]})
    assert sum(host.calls) == rows


@pytest.mark.parametrize("way", ["matched", "previous-gap"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("texts", LENGTHS)
def test_a_text_alone_is_what_it_is_beside_its_partner(host, texts, options, way):
    vars(host.shared.opts).update(OPTIONS[options])
    for weak in (0.0, 1.0):
        found = []
        for scale in (weak, weak + 1e-5):
            host.txt2img({"lambda_steps": 3, "inversion": way, "weak_cfg": scale}, cfg_scale=6.0, **LENGTHS[texts])
            found.append([entry["gap_norm"] for entry in host.trace()[0]["reflections"]])
        assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("way", ["matched", "previous-gap", "auto-guidance", "paper"])
@pytest.mark.parametrize("measure", [False, True])
def test_where_the_host_skips_early_guidance_there_is_no_gap_and_no_scale_told(host, measure, way):
    host.shared.opts.skip_early_cond = 0.99
    plain = host.txt2img(steps=STEPS, cfg_scale=6.0)
    skipped = [k for k, rows in enumerate(host.calls) if rows == 1]
    assert len(skipped) >= STEPS - 1  # not the first, on Neo
    for weak in (0, 1e-6, 3):
        settings = {"lambda_steps": -1, "inversion": way, "weak_cfg": weak, "measure": measure}
        made = host.txt2img(settings, steps=STEPS, cfg_scale=6.0)
        (run,) = host.trace()
        for entry in run["reflections"]:
            gap_from = entry["step"] - (way == "previous-gap")
            if gap_from in skipped and way != "paper":  # whose gap is of two places
                assert entry["gap_norm"] == 0
            if entry["step"] in skipped or gap_from in skipped:
                assert entry.get("effective_cfg") is None
        if len(skipped) == STEPS and way != "paper":
            assert same_pictures(made, plain)
            assert {e["rows"] for e in run["evaluations"]} <= {0, 1}


def test_no_scale_is_told_where_the_host_did_not_guide_below_the_minimum_sigma(host):
    host.shared.opts.s_min_uncond = 20.0
    for way in ("matched", "previous-gap"):
        host.txt2img({"lambda_steps": -1, "inversion": way, "weak_cfg": 2}, steps=6, cfg_scale=6.0)
        told = {entry["step"]: entry.get("effective_cfg") for entry in host.trace()[0]["reflections"]}
        assert {step: scale is None for step, scale in told.items()} == {step: bool(step % 2) for step in told}


@pytest.mark.parametrize("options", [{}, {"batch_cond_uncond": False}, {"pad_cond_uncond": True}])
@pytest.mark.parametrize("prompt", ["a cat", LONG])
def test_prompts_of_two_lengths_and_rows_in_batches_of_their_own(host, prompt, options):
    vars(host.shared.opts).update(options)
    for inversion in INVERSIONS:
        settings = {"lambda_steps": LAMBDA, "inversion": inversion}
        host.txt2img(settings, steps=STEPS, prompt=prompt, batch_size=2)
        assert rows_of_reflections(host, 4) == [2 * expected_rows(6, 0, inversion)] * LAMBDA
    plain = host.txt2img(prompt=prompt)
    assert same_pictures(host.txt2img({"weak_cfg": 6, "inversion": "matched"}, prompt=prompt), plain)


def test_cfgpp_counts_its_own_factor(a1111):
    """DDIM CFG++ divides the scale by 12.5: CFG 12.5 is its 1, where the uncond counts for nothing."""
    for strong, expected in ((12.5, 1), (1, 2), (0, 1)):
        settings = {"lambda_steps": LAMBDA, "strong_cfg": strong, "weak_cfg": 3, "inversion": "paper"}
        a1111.txt2img(settings, steps=STEPS, sampler_name="DDIM CFG++")
        assert rows_of_reflections(a1111, 2) == [expected + 2] * LAMBDA


@pytest.mark.parametrize("key", ["concat", "hybrid"])
def test_an_inpainting_checkpoints_rows_have_their_own_image_conditions(a1111, key, monkeypatch):
    a1111.shared.sd_model.model.conditioning_key = key
    network, told = type(a1111.shared.sd_model).apply_model, set()

    def reads_them(self, x, t, cond):
        told.add((len(x), *map(len, cond["c_concat"])))
        return network(self, x, t, cond)

    monkeypatch.setattr(type(a1111.shared.sd_model), "apply_model", reads_them)
    settings = {"lambda_steps": LAMBDA, "strong_cfg": 1, "weak_cfg": 0, "inversion": "paper"}
    a1111.txt2img(settings, steps=STEPS)
    assert rows_of_reflections(a1111, 2) == [2] * LAMBDA
    assert told == {(1, 1), (2, 2)}


def test_the_edit_models_rows_belong_together(a1111):
    """InstructPix2Pix has a third kind of rows."""
    a1111.shared.sd_model.cond_stage_key = "edit"
    settings = {"lambda_steps": LAMBDA, "strong_cfg": 1, "weak_cfg": 0, "inversion": "paper"}
    a1111.txt2img(settings, steps=STEPS)
    assert rows_of_reflections(a1111, 2) == [4] * LAMBDA


@pytest.mark.parametrize("options", [{"s_min_uncond": 20.0}, {"skip_early_cond": 0.5}])
@pytest.mark.parametrize("weak", [0, 3])
def test_options_that_drop_the_uncond_leave_the_samplers_own_calls_as_they_are(host, options, weak):
    vars(host.shared.opts).update(options)
    plain = host.txt2img(steps=STEPS)
    own = host.calls
    assert 1 in own
    equal = host.txt2img({"lambda_steps": LAMBDA, "inversion": "matched", "weak_cfg": 6}, steps=STEPS)
    assert same_pictures(equal, plain)
    assert equal.params.items() >= plain.params.items()
    host.txt2img({"lambda_steps": LAMBDA, "weak_cfg": weak, "inversion": "paper"}, steps=STEPS)
    (run,) = host.trace()
    assert [e["rows"] for e in run["evaluations"] if e["kind"] == "step"] == own


def test_guidance_under_test_is_not_dropped_below_the_negative_guidance_minimum_sigma(host):
    """Every second call there goes without the uncond; a reflection's never do."""
    host.shared.opts.s_min_uncond = 20.0
    host.txt2img({"lambda_steps": -1, "weak_cfg": 3, "inversion": "paper"})
    (run,) = host.trace()
    rows = {kind: [e["rows"] for e in run["evaluations"] if e["kind"] == kind] for kind in ("strong", "weak", "step")}
    assert rows == {"strong": [2] * 5, "weak": [2] * 5, "step": [2, 1, 2, 1, 2, 1]}
