"""The pipeline gap: what others have put on the UNet is left out of the weak side's calls, and of nothing else.

On Forge, whose units stand on the UNet; A1111's are in test_webui_pipeline_a1111.
"""

import itertools

import pytest

from .test_webui_faults import Before, Broken, raising_at

GAP = {"weak_cfg": 0.5, "strong_cfg": 0.5, "lambda_steps": 3}


def guide(args):
    return args["denoised"] * 1.1


guide.__module__ = "forge_sag.py"


class Net:
    """A ControlNet unit as Forge chains them; on() is what the stand-in's network asks of the last."""

    def __init__(self, gain, previous=None):
        self.gain, self.strength, self.previous_controlnet = gain, 1.0, previous
        self.timestep_percent_range = (0.0, 1.0)

    def on(self, output):
        before = output if self.previous_controlnet is None else self.previous_controlnet.on(output)
        return before * (1 + (self.gain - 1) * self.strength)


@pytest.fixture
def added(forge):
    """added(0.9, "SAG"): what is on in the requests from here on; a number is a ControlNet's factor."""
    scripts = forge.modules["scripts"]

    class Adds(scripts.Script):
        parts, nets, window, windows = (), (), (0.0, 1.0), ()

        def title(self):
            return "adds"

        def process_before_every_sampling(self, p, *args, **kwargs):
            objects = forge.shared.sd_model.forge_objects
            objects.unet = objects.unet.clone()
            self.nets = []
            for gain in [part for part in self.parts if isinstance(part, float)]:
                self.nets.append(Net(gain, objects.unet.controlnet_linked_list))
                objects.unet.controlnet_linked_list = self.nets[-1]
            for net, window in itertools.zip_longest(self.nets, self.windows, fillvalue=self.window):
                net.timestep_percent_range = window
            if "SAG" in self.parts:
                objects.unet.model_options.setdefault("sampler_post_cfg_function", []).append(guide)

    script = Adds()
    forge.others.append(script)

    def on(*parts):
        script.parts = parts

    on.script = script
    return on


def same(one, other):
    return all(a.equal(b) for a, b in zip(one.pictures, other.pictures))


@pytest.mark.parametrize("part", ["ControlNet", "1st ControlNet", "SAG", "everything"])
def test_the_weak_side_alone_is_the_picture_without_it(forge, added, part):
    off = forge.txt2img()
    added("SAG" if part == "SAG" else 0.9)
    on = forge.txt2img()
    assert not same(off, on)
    # At the picture's own scale, as the plain one.
    alone = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part})
    assert same(alone, off)
    gap = forge.txt2img({**GAP, "weak_without": part})
    (run,) = forge.trace()
    assert not same(gap, on) and min(r["gap_norm"] for r in run["reflections"]) > 0
    assert run["overlays"] == [{"kind": "pipeline", "without": [part], "weight": 0.0}]
    assert same(forge.txt2img(), on), "the next plain picture is what it was"


def test_one_of_two_stays(forge, added):
    added("SAG")
    with_sag = forge.txt2img()
    added(0.9, "SAG")
    alone = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": ["ControlNet"]})
    assert same(alone, with_sag)
    both = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": "SAG+ControlNet"})
    added()
    assert same(both, forge.txt2img())


def test_single_units_of_several(forge, added):
    three, alone = (0.9, 1.2, 0.8), {"weak_alone": True, "weak_cfg": 6.0}
    for parts, kept in (("1st ControlNet", (1.2, 0.8)), ("2nd ControlNet", (0.9, 0.8)), ("3rd ControlNet", (0.9, 1.2))):
        added(*kept)
        fewer = forge.txt2img()
        added(*three)
        all_three = forge.txt2img()
        assert same(forge.txt2img({**alone, "weak_without": parts}), fewer), parts
        assert not same(forge.txt2img({**GAP, "weak_without": parts}), all_three)
        assert same(forge.txt2img(), all_three)
    added(1.2)
    one = forge.txt2img()
    added(*three)
    assert same(forge.txt2img({**alone, "weak_without": "1st ControlNet, 3rd ControlNet"}), one)
    added(0.9, 1.2)
    with pytest.raises(Exception, match="there is no 3rd ControlNet in this picture"):
        forge.txt2img({**GAP, "weak_without": "3rd ControlNet"})


def test_a_share_of_the_weight(forge, added):
    alone = {"weak_alone": True, "weak_cfg": 6.0, "weak_weight": 0.5}
    added(1 + (0.9 - 1) * 0.5, 1 + (1.2 - 1) * 0.5)
    both = forge.txt2img()
    added(0.9, 1 + (1.2 - 1) * 0.5)
    second = forge.txt2img()
    added(0.9, 1.2)
    on = forge.txt2img()
    assert same(forge.txt2img({**alone, "weak_without": "ControlNet"}), both)
    assert same(forge.txt2img({**alone, "weak_without": "2nd ControlNet"}), second)
    assert same(forge.txt2img(), on)
    added(0.9, "SAG")
    for part, told in (("SAG", "SAG"), ("everything", "everything")):
        with pytest.raises(Exception, match=f"weak_weight .* was given 0.5, but {told} has no weight of its own"):
            forge.txt2img({**GAP, "weak_weight": 0.5, "weak_without": part})


WITHOUT = [{"weak_without": "2nd ControlNet"}, {"weak_without": "ControlNet", "weak_weight": 0.5}]


@pytest.mark.parametrize("more", WITHOUT)
def test_an_error_at_any_call_leaves_the_units_as_they_were(forge, added, more):
    added(0.9, 1.2, 0.8)
    before = Before(forge, {**GAP, **more})
    for number in range(before.calls):
        raising_at(forge, number, Broken())
        with pytest.raises(Broken):
            forge.txt2img(before.settings, **before.fields)
        nets = added.script.nets
        assert [net.previous_controlnet for net in nets] == [None, *nets[:2]] and {net.strength for net in nets} == {
            1.0
        }
        before.hold()


@pytest.mark.parametrize(
    "fields", [{"enable_hr": True, "hr_second_pass_steps": 3, "hr_cfg": 6.0}, {"batch_size": 2}, {"n_iter": 2}]
)
def test_in_every_pass(forge, added, fields):
    """Another patcher in each, and one that was made before."""
    off = forge.txt2img(**fields)
    added(0.9)
    whole = forge.txt2img(**fields)
    assert same(forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": "ControlNet"}, **fields), off)
    gap = forge.txt2img({**GAP, "weak_without": "ControlNet"}, **fields)
    assert not any(a.equal(b) for a, b in zip(gap.pictures, whole.pictures))
    assert all(r["gap_norm"] > 0 for run in forge.trace() for r in run["reflections"])
    assert same(forge.txt2img(**fields), whole)


def test_an_ip_adapters_patch_has_a_share_of_every_units_weight(forge):
    from lib_w2sd.hosts.forge.pipeline import WithoutParts

    class Patch:
        weights = [1.0, 0.5]

        def __call__(self):
            return self.weights

    Patch.__module__ = "lib_ipadapter.IPAdapterPlus"
    patch, found = Patch(), set()
    weak = WithoutParts(None, ("IP-Adapter",), 0.5)._kept(
        {"patches_replace": {"attn2": {("input", 1, 0): patch}}}, found
    )
    assert weak["patches_replace"]["attn2"]["input", 1, 0]() == [0.5, 0.25] and patch() == [1.0, 0.5]
    assert found == {"IP-Adapter"}


class LLLite:
    """What a ControlLLLite has for a layer on Forge: it counts its calls."""

    multiplier = 0.8
    start_step, end_step = 0, 2

    def __init__(self):
        self.current_step = 0


def lllite(layers: int):
    patch = type("control_net_lllite_patch", (), {"__module__": "lib_controllllite.lib_controllllite"})()
    patch.modules = {f"lllite_{number}": LLLite() for number in range(layers)}
    return patch


def test_control_lllite_goes_or_has_a_share_in_each_of_its_layers(forge):
    from lib_w2sd.hosts.forge.pipeline import WithoutParts

    patch, found = lllite(2), set()
    options = {"transformer_options": {"patches": {"attn1_patch": [patch], "attn2_patch": [patch]}}}
    weak = WithoutParts(None, ("ControlNet",), 0.5)
    assert weak._kept(options, found) == options and found == {"ControlNet"}
    layers = list(patch.modules.values())
    with weak.on():
        assert [layer.multiplier for layer in layers] == [0.4, 0.4]
    assert [layer.multiplier for layer in layers] == [0.8, 0.8]
    assert WithoutParts(None, ("ControlNet",))._kept({**options, "kept": 1}, found) == {"kept": 1}
    # It ends after two steps.
    told = weak.told([{"step": step} for step in range(3)])
    assert "ControlNet ends before the last 1 of the 3 improved steps" in told


def test_what_control_lllite_counts_of_reflections_is_taken_back(forge):
    """It finds its window by the number of its calls."""
    patch, options = lllite(1), forge.shared.sd_model.forge_objects.unet.model_options
    (layer,) = patch.modules.values()
    network = forge.shared.sd_model.forge_objects.unet.model
    whole = network.apply_model

    def counting(*args, **kwargs):
        layer.current_step += 1
        return whole(*args, **kwargs)

    network.apply_model = counting
    options.setdefault("transformer_options", {})["patches"] = {"attn1_patch": [patch]}
    try:
        forge.txt2img()
        calls, layer.current_step = layer.current_step, 0
        forge.txt2img({**GAP, "weak_cfg": 2})
        assert layer.current_step == calls
    finally:
        network.apply_model = whole
        del options["transformer_options"]["patches"]


@pytest.mark.parametrize("name", ["tile", "inpaint"])
def test_a_preprocessors_own_patch_is_controlnets(forge, name):
    from lib_w2sd.hosts.forge.pipeline import WithoutParts

    def block(h, flag, options):
        return h

    block.__module__, found = f"preprocessor_{name}.py", set()
    assert WithoutParts(None, ("ControlNet",))._kept({"block_modifiers": [block], "kept": 1}, found) == {"kept": 1}
    assert found == {"ControlNet"}


def test_a_unit_that_ends_before_lambda_is_told_of(forge, added):
    """Of three reflected steps of six, at 999 of 999 timesteps and then fewer."""
    whole = {**GAP, "weak_without": "ControlNet"}
    added(0.9)
    (comments,) = {tuple(forge.txt2img(whole).comments)}
    assert not any("improved steps" in comment for comment in comments)
    for window, told in (
        ((0.0, 0.3), "ControlNet ends before the last 1 of the 3 improved steps"),
        ((0.0, 0.1), "ControlNet ends before the last 2 of the 3 improved steps"),
        ((0.9, 1.0), "ControlNet acts in none of the 3 improved steps"),
        ((0.1, 1.0), ""),  # it begins later, and is there at the last
    ):
        added.script.window = window
        comments = [comment for comment in forge.txt2img(whole).comments if "improved steps" in comment]
        assert [told in comment for comment in comments] == [True] * bool(told), window
    # One of two is enough.
    added.script.window = (0.0, 0.1)
    added(0.9, 1.2)
    added.script.windows = [(0.0, 0.1), (0.0, 1.0)]
    assert not any("improved steps" in comment for comment in forge.txt2img(whole).comments)


def test_what_the_picture_has_not_is_said(forge, added):
    added("SAG")
    with pytest.raises(Exception, match="weak_without .* was given 'ControlNet', but there is no ControlNet in this"):
        forge.txt2img({**GAP, "weak_without": "ControlNet"})
    with pytest.raises(Exception, match="there is no IP-Adapter and no FreeU"):
        forge.txt2img({**GAP, "weak_without": "IP-Adapter, SAG, FreeU"})
    forge.txt2img({**GAP, "weak_without": "ControlNet", "lambda_steps": 0})  # nothing to reflect
