"""The extension's script in a stand-in of each WebUI: what it does to pictures, and what it leaves alone."""

from collections import Counter

import pytest
import torch

from ..webui.host import Heard, same_pictures

SAMPLERS = [
    "Euler",
    "Euler a",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM++ 2M",
    "DPM++ 2S a",
    "DPM++ SDE",
    "DPM++ 2M SDE",
] + ["DPM++ 2M SDE Heun", "DPM++ 3M SDE", "DPM fast", "DPM adaptive", "Restart", "LCM"]
SAMPLERS += ["DDIM", "DDIM CFG++", "PLMS", "UniPC"]
ADDED = {"a1111": [], "forge": ["HeunPP2"], "neo": ["HeunPP2", "Kohaku LoNyu Yog"]}
CASES = [(flavour, sampler) for flavour, added in ADDED.items() for sampler in SAMPLERS + added]
every_sampler = pytest.mark.parametrize(("host", "sampler"), CASES, indirect=["host"])
EQUAL = {"inversion": "matched", "weak_cfg": 6.0, "lambda_steps": -1}  # no gap: the plain picture


class Recorder:
    """A script of another extension that writes down which hooks it gets."""

    filename = "recorder"

    def title(self):
        return "Recorder"

    def __init__(self, host):
        self.hooks, self.samplers = [], []
        for hook in vars(host.modules["scripts"].Script):
            if hook in ORDER or hook == "before_hr":
                setattr(self, hook, lambda p, *args, hook=hook, **kwargs: self.note(hook, p))

    def note(self, hook, p):
        self.hooks.append(hook)
        if hook == "process_before_every_sampling":
            self.samplers.append(p.sampler)


ORDER = ["setup", "before_process", "process"]
BATCH = ["before_process_batch", "after_extra_networks_activate", "process_batch", "process_before_every_sampling"]
ENDED = ["post_sample", "postprocess_batch", "postprocess_image_after_composite"]
ORDER += [*BATCH, *ENDED, "postprocess"]


def test_order_of_hooks_in_the_stand_in(host):
    """As measured on the hosts."""
    host.others.append(Recorder(host))
    recorder = host.others[0]
    host.txt2img({}, n_iter=2)
    assert recorder.hooks == ["setup", "before_process", "process", *(BATCH + ENDED) * 2, "postprocess"]
    assert len(set(map(id, recorder.samplers))) == 2

    recorder.hooks.clear(), recorder.samplers.clear()
    host.txt2img({}, enable_hr=True)
    hires = ["before_hr"] + ["process_before_every_sampling"] * (2 if host.forge else 1)
    assert recorder.hooks == ["setup", "before_process", "process", *BATCH, *hires, *ENDED, "postprocess"]
    assert len(set(map(id, recorder.samplers))) == 2

    recorder.samplers.clear()
    host.img2img({}, n_iter=3)
    assert len(recorder.samplers) == 3 and len(set(map(id, recorder.samplers))) == 1


@every_sampler
def test_no_gap_is_the_plain_picture_to_the_last_bit(host, sampler):
    plain = host.txt2img(sampler_name=sampler)
    for inversion in ("fixed-point", "matched"):
        assert same_pictures(host.txt2img({**EQUAL, "inversion": inversion}, sampler_name=sampler), plain)
    (run,) = host.trace()
    assert run["reflected"] == run["steps"] - 1 == len(run["reflections"]) > 0
    assert all(r["gap_norm"] == 0 for r in run["reflections"])


@every_sampler
def test_off_is_as_if_not_installed(host, sampler):
    plain = host.txt2img(sampler_name=sampler)
    calls = host.calls
    off = host.txt2img({"enabled": False, "lambda_steps": 3}, sampler_name=sampler)
    assert same_pictures(off, plain)
    assert off.params == plain.params and off.comments == plain.comments
    assert host.calls == calls


@pytest.mark.parametrize("off", [{"enabled": False}, [], [False, 3, 1.0]], ids=["object", "nothing", "positional"])
def test_off_leaves_the_sampler_and_the_request_alone(host, off):
    p = host.request("Img2Img", off)
    host.process(p)
    assert p.sampler.func is host.sampler_function("Euler")
    assert getattr(p, host.hooks.TRACE) is None
    assert not any("W2SD" in label for label in p.extra_generation_params)


@pytest.mark.parametrize("nothing", [{"strength": 0}, {"lambda_steps": 0}])
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2S a", "DDIM", "UniPC", "DPM adaptive"])
def test_nothing_to_reflect_is_the_plain_picture(host, sampler, nothing):
    plain = host.txt2img(sampler_name=sampler)
    calls = host.calls
    assert same_pictures(host.txt2img(nothing, sampler_name=sampler), plain)
    assert host.calls == calls


@every_sampler
def test_a_gap_changes_the_picture_the_same_way_every_time(host, sampler):
    plain = host.txt2img(sampler_name=sampler)
    reflected = host.txt2img({"lambda_steps": 2}, sampler_name=sampler)
    assert not same_pictures(plain, reflected)
    assert torch.isfinite(reflected.pictures[0]).all()
    assert same_pictures(host.txt2img({"lambda_steps": 2}, sampler_name=sampler), reflected)
    assert same_pictures(host.txt2img(sampler_name=sampler), plain)


def test_strength_goes_continuously_from_the_plain_picture(host):
    plain = host.txt2img().pictures[0]
    moved = [
        (host.txt2img({"strength": strength, "lambda_steps": 1}).pictures[0] - plain).norm().item()
        for strength in (0.01, 0.1, 0.5, 1.0)
    ]
    assert 0 < moved[0] < moved[1] < moved[2] < moved[3]
    assert moved[0] < 0.1 * moved[3]


def test_caller_keeps_its_noise(host):
    """DDIM starts from the very tensor that other extensions were shown."""
    for sampler in ("DDIM", "PLMS", "Euler"):
        p = host.request("Txt2Img", {}, sampler_name=sampler)
        noises = []
        p.hook_before_sampling = lambda x, noise, c, uc, p=p, noises=noises: (
            noises.append((x, x.clone())),
            type(p).hook_before_sampling(p, x, noise, c, uc),
        )
        host.process(p)
        assert all(torch.equal(x, was) for x, was in noises) and noises


@pytest.mark.parametrize("settings", [{}, {"inversion": "matched", "weak_prompt": "{prompt}, a dog", "weak_cfg": 1}])
@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE", "DPM++ 2M SDE", "DDIM"])
def test_picture_of_a_batch_is_the_picture_of_its_own_seed(host, sampler, settings):
    prompts = ["a cat", "a red house in the rain", "three birds"]
    host.shared.opts.eta_ddim = 1.0
    common = {"sampler_name": sampler, "eta": 1.0}
    together = host.txt2img(settings, prompt=prompts, batch_size=3, seed=5, **common).pictures
    for k, prompt in enumerate(prompts):
        (alone,) = host.txt2img(settings, prompt=prompt, seed=5 + k, **common).pictures
        torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=1e-3)


def test_batches_one_after_the_other_are_the_pictures_of_their_seeds(host):
    together = host.txt2img({}, n_iter=3, seed=5).pictures
    for k in range(3):
        assert torch.equal(together[k], host.txt2img({}, seed=5 + k).pictures[0])
    assert [run["pass"] for run in host.trace()] == ["txt2img"]
    host.txt2img({}, n_iter=3)
    assert [run["pass"] for run in host.trace()] == ["txt2img"] * 3


LENGTHS = [
    "a cat",
    "one two three four five six seven eight nine ten",
    "a [red:very very very very very very long:3] bird",
]


@pytest.mark.parametrize("model", ["base", "flow"])
def test_weak_negative_prompts_of_a_batch_may_differ_in_length(host, model):
    """The host stacks the negative prompts of a batch, and expects them to be of one length. They are filled up as its
    prompts are: the same text in either place is the same picture."""
    if model == "flow" and not host.forge:
        pytest.skip("Forge's")
    host.sd_models.load(model)
    common = {"prompt": LENGTHS, "batch_size": 3, "steps": 6}
    for scale in (0, 3, -1):
        # Both texts the same: what is added scale times is nothing, so it is the picture at CFG 1.
        negative = {"weak_negative_prompt": "{prompt}", "weak_cfg": scale}
        made = host.txt2img({"lambda_steps": 3, **negative}, **common)
        same = host.txt2img({"lambda_steps": 3, "weak_cfg": 1}, **common)
        for one, other in zip(made.pictures, same.pictures):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        alone = host.txt2img({"weak_alone": True, **negative}, **common)
        for one, other in zip(alone.pictures, host.txt2img(**{**common, "cfg_scale": 1.0}).pictures):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


EDITED = "a [cat:dog:3] on a [table:.5], [red::2]"


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM++ SDE", "DDIM", "PLMS", "DPM fast"])
def test_prompt_editing_is_not_shifted(host, sampler):
    fields = {"prompt": EDITED, "negative_prompt": "[blurry:sharp:4]", "sampler_name": sampler}
    plain = host.txt2img(**fields)
    assert same_pictures(host.txt2img(EQUAL, **fields), plain)
    assert not same_pictures(host.txt2img(**{**fields, "prompt": "a cat on a , red"}), plain)


def test_extra_evaluations_see_the_prompts_of_their_step(host):
    """By the text that another extension's callback is shown; the weak prompt has a timetable of its own."""
    heard = Heard()
    host.modules["script_callbacks"].on_cfg_denoiser(lambda params: heard.append(params.text_cond.clone()))
    host.txt2img(prompt=EDITED)
    plain = heard.taken()
    host.txt2img({"lambda_steps": 4, "weak_cfg": 1, "weak_prompt": "[one:two:2]"}, prompt=EDITED)
    seen = heard.taken()
    strong, weak, own = ([*seen[k:12:3]] for k in range(3))
    own += seen[12:]
    assert all(map(torch.equal, own, plain)) and len(own) == len(plain) == 6
    assert all(map(torch.equal, strong, plain))
    same_as_before = [torch.equal(a, b) for a, b in zip(weak, weak[1:])]
    assert same_as_before == [True, True, False]  # calls 0, 1 and 2 belong to "one"


def test_other_extensions_callbacks_shape_strong_and_weak_evaluations(host):
    callbacks, heard = host.modules["script_callbacks"], Heard()

    def on_denoiser(params):
        heard.append("denoiser")
        assert params.denoiser.p.sampler.model_wrap_cfg is params.denoiser

    def on_after(params):
        heard.append("after")
        params.x = 0.9 * params.x

    callbacks.on_cfg_denoiser(on_denoiser)
    callbacks.on_cfg_denoised(lambda params: heard.append("denoised"))
    without = host.txt2img({"lambda_steps": 2})
    callbacks.on_cfg_after_cfg(on_after)
    shaped = host.txt2img({"lambda_steps": 2})
    told = {"denoiser": 20, "after": 10} | ({} if host.forge else {"denoised": 20})
    assert Counter(heard.taken()) == told
    assert not same_pictures(without, shaped)
    assert same_pictures(host.txt2img(), host.txt2img(EQUAL))


def test_wrapped_once_though_img2img_uses_one_sampler_for_all_batches(host):
    plain = host.img2img(n_iter=3)
    assert len(host.calls) == 3 * 5  # strength 0.75 of 6 steps
    host.img2img({"lambda_steps": 2, "inversion": "paper"}, n_iter=3)
    assert len(host.calls) == 3 * (5 + 2 * 2)
    assert [(run["pass"], run["steps"], run["reflected"]) for run in host.trace()] == [("img2img", 5, 2)] * 3
    assert same_pictures(host.img2img(EQUAL, n_iter=3), plain)


def test_off_again_on_a_sampler_that_was_wrapped(host):
    """An XYZ grid's cell in img2img, say."""
    plain = host.img2img()
    p = host.request("Img2Img", {"lambda_steps": 2})
    host.process(p)
    sampler = p.sampler
    p.script_args[1] = {"enabled": False}
    p.init = lambda: None
    p.sampler = sampler
    assert same_pictures(host.process(p), plain)
    assert not hasattr(sampler.func, host.hooks.ORIGINAL)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "Heun"])
def test_inpainting_without_a_gap_is_the_plain_picture(host, sampler):
    nmask = torch.zeros(4, 8, 8)
    nmask[:, 2:6, 2:6] = 1.0
    fields = {"sampler_name": sampler, "mask": 1 - nmask, "nmask": nmask}

    def picture(settings):
        torch.manual_seed(3)  # Forge draws from the global generator in every call
        return host.img2img(settings, **fields)

    plain = picture(None)
    assert same_pictures(picture(EQUAL), plain)
    reflected = picture({"lambda_steps": 2}).pictures[0]
    assert not torch.equal(reflected, plain.pictures[0])


HIRES = [({}, [2, 2]), ({"hires": "off"}, [2]), ({"hires": "own", "hires_lambda_steps": 1}, [2, 1])]
HIRES += [({"hires": "own", "hires_lambda_steps": -1}, [2, 5]), ({"hires": "own", "hires_lambda_steps": 0}, [2])]


@pytest.mark.parametrize(("settings", "reflected"), HIRES)
def test_hires_pass(host, settings, reflected):
    fields = {"enable_hr": True, "hr_cfg": 6.0}
    host.txt2img({"lambda_steps": 2, "inversion": "paper", **settings}, **fields)
    assert [run["reflected"] for run in host.trace()] == reflected
    assert [run["pass"] for run in host.trace()] == ["txt2img", "hires"][: len(reflected)]
    steps = host.trace()[0]["steps"] + (6 if len(reflected) == 1 else host.trace()[1]["steps"])
    assert len(host.calls) == steps + 2 * sum(reflected)
    equal = {**EQUAL, **settings} if settings else EQUAL
    assert same_pictures(host.txt2img(equal, **fields), host.txt2img(**fields))


def test_forge_hires_pass_has_a_cfg_of_its_own(forge):
    fields = {"enable_hr": True, "hr_cfg": 4.0}
    plain = forge.txt2img(**fields)
    settings = {"lambda_steps": 2, "inversion": "matched", "hires": "own", "hires_lambda_steps": 2, "weak_cfg": 4.0}
    kind, scales = forge.sampling("sides.evaluator", "Evaluator"), []
    inner = kind.evaluate

    def evaluate(self, x, t, kwargs, side, name):
        scales.append((self.webui.hires_pass, self.scale_of(side, kwargs)))
        return inner(self, x, t, kwargs, side, name)

    kind.evaluate = evaluate
    p = forge.request("Txt2Img", settings, **fields)
    picture = forge.process(p)
    assert scales == [(False, 6.0), (False, 4.0)] * 2 + [(True, 4.0), (True, 4.0)] * 2
    assert p.hr_cfg == 4.0
    assert not same_pictures(picture, plain)
    assert all(r["gap_norm"] == 0 for r in forge.trace()[1]["reflections"])
    assert all(r["gap_norm"] > 0 for r in forge.trace()[0]["reflections"])


def test_hires_pass_is_reflected_at_the_weak_scale(host):
    """Forge's denoiser does not look at the scale that it is called with there."""
    fields = {"enable_hr": True, "hr_cfg": 6.0, "hr_prompt": "a large cat"}
    pictures = [host.txt2img(**fields)]
    for weak_cfg, rows in ((0, [2, 1]), (1, [2, 1]), (3, [2, 2])):
        settings = {"lambda_steps": 0, "hires": "own", "hires_lambda_steps": 1, "weak_cfg": weak_cfg}
        settings["inversion"] = "paper"
        pictures.append(host.txt2img(settings, **fields))
        (run,) = host.trace()
        assert [e["rows"] for e in run["evaluations"] if e["kind"] != "step"] == rows
    assert not any(same_pictures(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_hires_prompts_are_what_the_placeholders_stand_for_there(host):
    """A weak prompt that spells out the pass's own prompt is no gap."""
    fields = {"enable_hr": True, "hr_cfg": 6.0, "hr_prompt": "a large cat", "hr_negative_prompt": "small"}
    settings = {**EQUAL, "weak_prompt": "{prompt} ", "weak_negative_prompt": " {negative_prompt}"}
    p = host.request("Txt2Img", [True, -1, 1.0, "matched", 6.0, None, "{prompt}, x", "{negative_prompt}"], **fields)
    kind, texts = host.sampling("prompts", "Prompts"), []
    encode = kind.encode
    kind.encode = lambda self, t, neg, model=None: texts.append((t, neg)) or encode(self, t, neg, model)
    host.process(p)
    assert (["a cat, x"], False) in texts and (["a large cat, x"], False) in texts
    assert same_pictures(host.txt2img(settings, **fields), host.txt2img(**fields))


def test_flow_model(forge):
    forge.sd_models.SELECTED = "flow"
    plain = forge.txt2img()
    assert same_pictures(forge.txt2img(EQUAL), plain)
    assert not same_pictures(forge.txt2img({"lambda_steps": 3}), plain)
    assert forge.trace()[0]["reflections"][0]["t"] == 1.0
