"""The pipeline gap: what others have put on the UNet is left out of the weak side's calls, and of nothing else."""

import sys
from types import SimpleNamespace

import pytest

GAP = {"weak_cfg": 0.5, "strong_cfg": 0.5, "lambda_steps": 3}


def guide(args):
    return args["denoised"] * 1.1


guide.__module__ = "forge_sag.py"


@pytest.fixture
def added(forge):
    """added("ControlNet", "SAG"): extensions that are on in the requests from here on."""
    scripts = forge.modules["scripts"]

    class Adds(scripts.Script):
        parts = ()

        def title(self):
            return "adds"

        def process_before_every_sampling(self, p, *args, **kwargs):
            objects = forge.shared.sd_model.forge_objects
            objects.unet = objects.unet.clone()
            if "ControlNet" in self.parts:
                objects.unet.controlnet_linked_list = SimpleNamespace(on=lambda output: output * 0.9)
            if "SAG" in self.parts:
                objects.unet.model_options.setdefault("sampler_post_cfg_function", []).append(guide)

    script = Adds()
    forge.others.append(script)

    def on(*parts):
        script.parts = parts

    return on


def same(one, other):
    return all(a.equal(b) for a, b in zip(one.pictures, other.pictures))


@pytest.mark.parametrize("part", ["ControlNet", "SAG", "everything"])
def test_the_weak_side_alone_is_the_picture_without_it(forge, added, part):
    off = forge.txt2img()
    added("ControlNet") if part == "everything" else added(part)
    on = forge.txt2img()
    assert not same(off, on)
    # At the picture's own scale, as the plain one.
    alone = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part})
    assert same(alone, off)
    gap = forge.txt2img({**GAP, "weak_without": part})
    (run,) = forge.trace()
    assert not same(gap, on) and min(r["gap_norm"] for r in run["reflections"]) > 0
    assert run["overlays"] == [{"kind": "pipeline", "without": [part]}]
    assert same(forge.txt2img(), on), "the next plain picture is what it was"


def test_one_of_two_stays(forge, added):
    added("SAG")
    with_sag = forge.txt2img()
    added("ControlNet", "SAG")
    alone = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": ["ControlNet"]})
    assert same(alone, with_sag)
    both = forge.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": "SAG+ControlNet"})
    added()
    assert same(both, forge.txt2img())


def test_what_the_picture_has_not_is_said(forge, added):
    added("SAG")
    with pytest.raises(Exception, match="weak_without .* was given 'ControlNet', but there is no ControlNet in this"):
        forge.txt2img({**GAP, "weak_without": "ControlNet"})
    with pytest.raises(Exception, match="there is no IP-Adapter and no FreeU"):
        forge.txt2img({**GAP, "weak_without": "IP-Adapter, SAG, FreeU"})
    forge.txt2img({**GAP, "weak_without": "ControlNet", "lambda_steps": 0})  # nothing to reflect


def unit(kind, **more):
    return SimpleNamespace(control_model_type=SimpleNamespace(name=kind), **more)


@pytest.fixture
def controlnet(a1111):
    """sd-webui-controlnet as far as the gap looks at it: what its units' forward adds, and which units there are."""
    adapter = SimpleNamespace(weight=1.0)
    hook = SimpleNamespace(control_params=[unit("ControlNet", control_model=None, gain=0.9)])
    hook.control_params.append(unit("IPAdapter", control_model=adapter, gain=1.0))

    class ControlNet(a1111.modules["scripts"].Script):
        latest_network = hook

        def title(self):
            return "ControlNet"

    def forward(x, t, **kwargs):
        output = network(x, t, **kwargs) * (1 + 0.2 * adapter.weight)
        for one in hook.control_params:
            output = output * one.gain
        return output

    model = a1111.shared.sd_model
    network, model.apply_model = model.apply_model, forward
    a1111.others.append(ControlNet())
    yield hook, adapter
    model.apply_model = network


def test_on_a1111_the_weak_sides_calls_find_fewer_units(a1111, controlnet):
    hook, adapter = controlnet
    both, units = a1111.txt2img(), list(hook.control_params)
    for part, kept, weight in (("ControlNet", units[1:], 1.0), ("IP-Adapter", units[:1], 0.0), ("everything", [], 0.0)):
        hook.control_params, adapter.weight = kept, weight
        off = a1111.txt2img()
        hook.control_params, adapter.weight = list(units), 1.0
        assert not same(off, both)
        assert same(a1111.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part}), off), part
        assert not same(a1111.txt2img({**GAP, "weak_without": part}), both)
        assert a1111.trace()[0]["overlays"] == [{"kind": "pipeline", "without": [part]}]
        assert hook.control_params == units and adapter.weight == 1.0
        assert same(a1111.txt2img(), both)
    with pytest.raises(Exception, match="there is no FreeU in this picture"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet, FreeU"})
    hook.control_params.append(unit("Controlllite", control_model=None, gain=1.0))
    with pytest.raises(Exception, match="cannot leave out ControlLLLite"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})


def test_on_a1111_without_the_extension_there_is_none(a1111, monkeypatch):
    with pytest.raises(Exception, match="there is no ControlNet in this picture"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})
    monkeypatch.setattr(a1111.modules["extensions"], "active", list)
    monkeypatch.delitem(sys.modules, "lib_w2sd.hosts.a1111.pipeline")
    assert not a1111.extension.HOST.has("pipeline")
    with pytest.raises(Exception, match="lacks .*the extension sd-webui-controlnet"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})
