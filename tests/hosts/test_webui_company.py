"""Evaluations beside other extensions: what they guide gets both rows, what they count is the sampler's own."""

import functools
import importlib
from types import SimpleNamespace

import pytest
import torch

from ..webui.host import Heard, same_pictures

GAP = {"lambda_steps": 2, "strong_cfg": 1, "weak_cfg": 0, "inversion": "paper"}


def rows(host) -> set:
    """Rows of the strong and of the weak evaluations."""
    (run,) = host.trace()
    return {(e["kind"], e["rows"]) for e in run["evaluations"] if e["kind"] != "step"}


def passed_on(network, args):
    return network(args["input"], args["timestep"], **args["c"])


class Beside:
    """A script of another extension."""

    filename = "beside"
    scale = 3.0  # of its guidance, less at every call

    def __init__(self, host, hooked):
        for hook, own in vars(host.modules["scripts"].Script).items():
            if not hook.startswith("_") and callable(own):
                setattr(self, hook, lambda *args, **kwargs: None)
        self.process_before_every_sampling = lambda p, *args, **kwargs: hooked(p)


@pytest.mark.parametrize("name", ["sampler_cfg_function", "sampler_post_cfg_function"])
def test_guidance_in_forges_unet_gets_both_rows(forge, name):
    forge.txt2img(GAP)
    assert rows(forge) == {("strong", 1), ("weak", 1)}
    options = forge.shared.sd_model.forge_objects.unet.model_options
    forge.others.append(Beside(forge, lambda p: options.update({name: [lambda args: args["denoised"]]})))
    forge.txt2img(GAP)
    assert rows(forge) == {("strong", 2), ("weak", 2)}
    options.clear()


@pytest.mark.parametrize("way", ["matched", "previous-gap", "auto-guidance"])
def test_guidance_in_forges_unet_goes_by_what_its_patch_has_noted_in_that_call(forge, way):
    """As Forge's self-attention guidance, by the attention's scores: no rows of an earlier call will do."""
    noted = {}
    forge.unet.before_call = lambda _: noted.update(scores=1.0)  # called with the network
    options = forge.shared.sd_model.forge_objects.unet.model_options

    def guide(args):
        return args["denoised"] * (1 + noted.pop("scores") / 100)

    def guided(p):
        patched = {"patches_replace": {"attn1": {}}}
        options.update(transformer_options=patched, sampler_post_cfg_function=[guide])

    forge.others.append(Beside(forge, guided))
    plain = forge.txt2img(None, cfg_scale=6.0)
    assert same_pictures(plain, forge.txt2img({"inversion": way, "weak_cfg": 6, "lambda_steps": -1}, cfg_scale=6.0))
    forge.unet.before_call = None
    options.clear()


@pytest.mark.parametrize("way", ["matched", "previous-gap", "auto-guidance"])
@pytest.mark.parametrize("callback", ["on_cfg_denoised", "on_cfg_after_cfg"])
def test_who_reads_in_a_callback_what_was_noted_in_the_network_meets_that_call(a1111, callback, way):
    """As the extension Self Attention Guidance on A1111, whose forward stands in a layer's place."""
    noted, before = {}, a1111.unet.forward

    def forward(*args, **kwargs):
        noted["scores"] = 1.0
        return before(*args, **kwargs)

    def read(params):
        params.x = params.x * (1 + noted.pop("scores") / 100)

    getattr(a1111.modules["script_callbacks"], callback)(read)
    a1111.unet.forward = forward
    try:
        plain = a1111.txt2img(None, cfg_scale=6.0)
        assert same_pictures(plain, a1111.txt2img({"inversion": way, "weak_cfg": 6, "lambda_steps": -1}, cfg_scale=6.0))
    finally:
        del a1111.unet.forward


@pytest.mark.parametrize("settings", [GAP, {"strong_cfg": 4, "weak_cfg": 2, "weak_prompt": "a dog"}])
def test_guidance_in_forges_unet_is_not_asked_before_the_network(forge, settings):
    """Self-attention guidance needs what the network's own call has recorded."""
    made, order = [], []
    forge.unet.before_call = lambda _: made.append(1)

    def guide(args):
        order.append(len(made))
        return args["denoised"]

    options = forge.shared.sd_model.forge_objects.unet.model_options
    forge.others.append(Beside(forge, lambda p: options.update(sampler_post_cfg_function=[guide])))
    forge.txt2img({**settings, "inversion": "matched"})
    forge.unet.before_call = None
    assert order[0] == 1
    options.clear()


def test_guidance_in_a1111s_denoiser_gets_both_rows(a1111):
    a1111.txt2img(GAP)
    assert rows(a1111) == {("strong", 1), ("weak", 1)}

    def guide(p):
        class Guided(type(p.sampler.model_wrap_cfg)):
            def combine_denoised(self, *args, **kwargs):
                return super().combine_denoised(*args, **kwargs)

        p.sampler.model_wrap_cfg.__class__ = Guided

    a1111.others.append(Beside(a1111, guide))
    a1111.txt2img(GAP)
    assert rows(a1111) == {("strong", 2), ("weak", 2)}


def test_who_listens_before_the_network_takes_no_rows(host):
    """It is told of all rows as ever, and does not see which of them are evaluated."""
    heard = Heard()
    host.modules["script_callbacks"].on_cfg_denoiser(
        lambda params: heard.append((len(params.x), params.text_uncond.shape))
    )
    host.txt2img(None)
    plain = set(heard.taken())
    host.txt2img(GAP)
    assert rows(host) == {("strong", 1), ("weak", 1)}
    assert set(heard.taken()) == plain


def test_who_has_hooked_layers_besides_gets_both_rows(host):
    """As NegPiP and Regional Prompter, which know a row's kind from its place in the pair."""
    before = host.unet.forward

    def hooked(*args, **kwargs):
        return before(*args, **kwargs)

    host.modules["script_callbacks"].on_cfg_denoiser(lambda params: setattr(host.unet, "forward", hooked))
    try:
        host.txt2img(GAP)
        assert rows(host) == {("strong", 2), ("weak", 2)}
    finally:
        vars(host.unet).pop("forward", None)


@pytest.mark.parametrize(
    "alone,beside", [({"weak_cfg": 0}, {"weak_cfg": 1e-6}), ({"strong_cfg": 1}, {"strong_cfg": 1 + 1e-6})]
)
def test_who_draws_in_tiles_gets_both_rows(a1111, alone, beside):
    """As Tiled Diffusion: the network's rows are one tile's pair after the other."""

    def tiled(p):
        wrap = p.sampler.model_wrap_cfg.inner_model
        whole = type(wrap).forward

        def forward(x, sigma, **kwargs):
            return torch.cat([whole(wrap, x[..., half], sigma, **kwargs) for half in (slice(0, 4), slice(4, 8))], -1)

        wrap.forward = forward

    a1111.others.append(Beside(a1111, tiled))
    found = []
    for settings in (alone, beside):
        a1111.txt2img({**settings, "lambda_steps": 2, "inversion": "paper"})
        found.append([entry["gap_norm"] for entry in a1111.trace()[0]["reflections"]])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_who_listens_after_the_network_gets_both_rows(host):
    host.modules["script_callbacks"].on_cfg_denoised(lambda params: None)
    host.txt2img(GAP)
    # At CFG 1 Forge itself leaves the negative prompt's rows out, and its extensions know.
    assert rows(host) == {("strong", 1 if host.forge else 2), ("weak", 2)}


class Regions:
    """As Regional Prompter's script: it goes on to listen once it has drawn a picture."""

    filename, active = "extensions/regional/scripts/rp.py", False

    def heard(self, params):
        pass


def test_who_is_switched_off_and_goes_on_to_listen_costs_no_row(host):
    host.txt2img(GAP)
    alone = rows(host)
    script = Regions()
    host.modules["script_callbacks"].on_cfg_denoised(script.heard)
    host.txt2img(GAP)
    assert rows(host) == alone
    script.active = True
    host.txt2img(GAP)
    assert rows(host) != alone


@pytest.mark.parametrize(
    "patch",
    [
        lambda unet: unet.model_options.update(transformer_options={"patches_replace": {"attn2": {}}}),
        lambda unet: unet.model_options.update(model_function_wrapper=passed_on),
        lambda unet: setattr(unet, "controlnet_linked_list", SimpleNamespace(on=lambda output: output)),
    ],
    ids=["attention", "wrapper", "ControlNet"],
)
def test_who_is_told_of_rows_in_forges_unet_sees_them_as_they_are(forge, patch):
    """IP-Adapter, ControlNet's "more important" modes: a negative prompt's row is marked as one."""
    unet = forge.shared.sd_model.forge_objects.unet
    before, linked = dict(unet.model_options), unet.controlnet_linked_list
    forge.others.append(Beside(forge, lambda p: patch(unet)))
    forge.txt2img(GAP)
    assert rows(forge) == {("strong", 1), ("weak", 2)}
    unet.model_options, unet.controlnet_linked_list = before, linked


def test_what_a_script_counts_is_the_samplers_own_calls(host):
    script = Beside(host, lambda p: None)
    host.others.append(script)

    def counted(calls):
        script.calls = getattr(script, "calls", 0) + 1
        Beside.scale -= 0.25

    host.unet.before_call = counted
    seen = []
    for settings in (None, {"lambda_steps": 3, "weak_cfg": 2}):
        script.calls, Beside.scale = 0, 3.0
        host.txt2img(settings, steps=6)
        seen.append((script.calls, Beside.scale))
    host.unet.before_call = None
    assert seen[0] == seen[1] and seen[0][0] > 0


def on_the_instance(denoiser, guide):
    denoiser.combine_denoised = functools.partial(guide, denoiser.combine_denoised)


def on_the_class(denoiser, guide):
    own = type(denoiser).combine_denoised
    type(denoiser).combine_denoised = lambda self, *args: guide(functools.partial(own, self), *args)


def under_the_hosts_name(denoiser, guide):
    own = type(denoiser).combine_denoised

    @functools.wraps(own)
    def combine_denoised(self, *args):
        return guide(functools.partial(own, self), *args)

    type(denoiser).combine_denoised = combine_denoised


@pytest.mark.parametrize("where", [on_the_instance, on_the_class, under_the_hosts_name])
def test_who_puts_cond_and_uncond_together_gets_both_rows_and_no_scale_is_told(a1111, where):
    """CFG Rescale on the class, Incantations and Neutral Prompt on the instance."""
    told = []

    def guide(original, x_out, conds_list, uncond, cond_scale):
        told.append(len(x_out))
        return 0.7 * original(x_out, conds_list, uncond, cond_scale)

    a1111.others.append(Beside(a1111, lambda p: where(p.sampler.model_wrap_cfg, guide)))
    a1111.txt2img({**GAP, "measure": False})
    assert rows(a1111) == {("strong", 2), ("weak", 2)} and set(told) == {2}
    a1111.txt2img({"inversion": "matched", "weak_cfg": 0})
    assert all(entry.get("effective_cfg") is None for entry in a1111.trace()[0]["reflections"])


def test_who_stands_in_the_place_of_forges_sampling_function_gets_both_rows(forge):
    module = importlib.import_module("backend.sampling.sampling_function")
    own = module.sampling_function
    module.sampling_function = functools.wraps(own)(lambda *args, **kwargs: own(*args, **kwargs))
    forge.txt2img(GAP)
    assert rows(forge) == {("strong", 2), ("weak", 2)}
    forge.txt2img({"inversion": "matched", "weak_cfg": 0})
    assert all(entry.get("effective_cfg") is None for entry in forge.trace()[0]["reflections"])


TREES = []  # of the prompts that were encoded last


class Trees(Beside):
    """Neutral Prompt: it reads prompts as they are encoded, and goes by what it has read in every call."""

    def __init__(self, host):
        super().__init__(host, lambda p: on_the_instance(p.sampler.model_wrap_cfg, self.guide))
        parser = host.modules["prompt_parser"]
        own = parser.get_multicond_learned_conditioning

        def encode(model, prompts, *args):
            global TREES
            TREES = [prompt.split("AND") for prompt in prompts]
            return own(model, prompts, *args)

        parser.get_multicond_learned_conditioning = encode

    def guide(self, original, x_out, conds_list, uncond, cond_scale):
        assert [len(tree) for tree in TREES] == [len(parts) for parts in conds_list]
        by = [sum(map(len, tree)) / 100 for tree in TREES]
        return original(x_out, conds_list, uncond, cond_scale * by[0])


@pytest.mark.parametrize("way", ["previous-gap", "matched", "paper"])
def test_what_encoding_leaves_behind_is_each_sides_own(a1111, way):
    a1111.others.append(Trees(a1111))
    prompt, other = "a cat AND a large grey dog", "a tree"
    plain = a1111.txt2img(prompt=prompt)
    for weak_prompt in (other, "a house AND a tree AND rain", "one AND two"):
        settings = {"weak_prompt": weak_prompt, "weak_cfg": 3, "inversion": way, "strength": 1e-9}
        assert all(
            torch.allclose(one, two, atol=1e-4)
            for one, two in zip(plain.pictures, a1111.txt2img(settings, prompt=prompt).pictures)
        )
    assert same_pictures(a1111.txt2img(prompt=prompt), plain)
    alone = a1111.txt2img({"weak_alone": True, "weak_prompt": other, "weak_cfg": 6}, prompt=prompt, cfg_scale=6.0)
    assert same_pictures(alone, a1111.txt2img(prompt=other, cfg_scale=6.0))


@pytest.mark.parametrize("way", ["previous-gap", "matched"])
def test_who_stands_there_by_the_hosts_record_stands_there_in_every_call(a1111, way):
    """Incantations takes its function out and puts it in again as each call begins."""
    patches, calls = a1111.modules["patches"], a1111.modules["script_callbacks"]

    def hooked(p):
        held = {}

        def begins(params):
            if "denoiser" in held:
                patches.undo("theirs", held.pop("denoiser"), "combine_denoised")
            own = params.denoiser.combine_denoised
            patches.patch("theirs", params.denoiser, "combine_denoised", lambda *args: 0.7 * own(*args))
            held["denoiser"] = params.denoiser

        calls.callback_map["callbacks_cfg_denoiser"].clear()
        patches.originals.clear()
        calls.on_cfg_denoiser(begins)

    a1111.others.append(Beside(a1111, hooked))
    plain = a1111.txt2img(cfg_scale=6.0)
    assert same_pictures(a1111.txt2img({"inversion": way, "weak_cfg": 6}, cfg_scale=6.0), plain)
    a1111.txt2img({"inversion": way, "weak_cfg": 0}, cfg_scale=6.0)
    assert all(entry.get("effective_cfg") is None for entry in a1111.trace()[0]["reflections"])


def test_our_own_code_is_nobody_elses(a1111):
    """What counts rows in front of the network is put back nowhere."""
    whose = importlib.import_module("lib_w2sd.hosts.sampling.isolation.whose")
    own = [importlib.import_module(f"lib_w2sd.{name}").__file__ for name in ("method.rows", "hosts.sampling.sides")]
    assert not any(map(whose.is_theirs, (*own, a1111.extension.__file__)))
    packages = "/opt/env/lib/python3.11/site-packages/transformers/auto.py", "/usr/lib/python3/dist-packages/yaml.py"
    assert not any(map(whose.is_theirs, packages)), "of whatever environment"
    assert whose.is_theirs("/elsewhere/extension/script.py")
