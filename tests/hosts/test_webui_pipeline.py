"""The pipeline gap: what others have put on the UNet is left out of the weak side's calls, and of nothing else."""

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


def test_a1111_has_none_yet(a1111):
    with pytest.raises(Exception, match="has nothing to make a pipeline gap with"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})
