"""Evaluations beside other extensions: what they guide gets both rows, what they count is the sampler's own."""

from types import SimpleNamespace

import pytest

GAP = {"lambda_steps": 2, "strong_cfg": 1, "weak_cfg": 0, "inversion": "paper"}


def rows(host) -> set:
    """Rows of the strong and of the weak evaluations."""
    (run,) = host.trace()
    return {(e["kind"], e["rows"]) for e in run["evaluations"] if e["kind"] != "step"}


class Beside:
    """A script of another extension."""

    filename = "beside"
    scale = 3.0  # of its guidance, less at every call

    def __init__(self, host, hooked):
        for hook in vars(host.modules["scripts"].Script):
            if not hook.startswith("_"):
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


@pytest.mark.parametrize("callback", ["on_cfg_denoiser", "on_cfg_denoised"])
def test_a_listener_gets_both_rows(host, callback):
    """As NegPiP and Regional Prompter, which know a row's kind from its place in the pair."""
    getattr(host.modules["script_callbacks"], callback)(lambda params: None)
    host.txt2img(GAP)
    # At CFG 1 Forge itself leaves the negative prompt's rows out, and its extensions know.
    assert rows(host) == {("strong", 1 if host.forge else 2), ("weak", 2)}


@pytest.mark.parametrize(
    "patch",
    [
        lambda unet: unet.model_options.update(transformer_options={"patches_replace": {"attn2": {}}}),
        lambda unet: unet.model_options.update(model_function_wrapper=lambda network, args: None),
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
