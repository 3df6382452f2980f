"""Guides and caches that remember what they are called with: each side meets what it has left there itself."""

import fastapi
import pytest

from ..webui.host import same_pictures
from .test_webui_company import Beside

SEEN = {"mean": None}  # a module's
WAYS = ["previous-gap", "matched", "auto-guidance", "fixed-point"]


class Kept:
    mean = None  # a class'


def blended(kept, out):
    """Half of the running mean of what there was."""
    mean = out if kept is None or kept.shape != out.shape else (kept + out) / 2
    return mean, (out + mean) / 2


def guide(args):
    """As Momentum, DCW: keeps its mean in a table of its module, and changes it in place."""
    out = args["denoised"]
    if SEEN["mean"] is None or SEEN["mean"].shape != out.shape:
        SEEN["mean"] = out.clone()
    SEEN["mean"].add_(out).div_(2)
    return (out + SEEN["mean"]) / 2


class Forecast:
    """As Spectrum: every other call is not asked of the network but told from an earlier one."""

    def __init__(self):
        self.count, self.last, self.answers = 0, None, {}

    def __call__(self, network, args):
        t = float(args["timestep"][0])
        if t != self.last:
            self.count, self.last = self.count + 1, t
        shape = tuple(args["input"].shape)
        if self.count % 2 or shape not in self.answers:
            self.answers[shape] = network(args["input"], args["timestep"], **args["c"])
        return self.answers[shape]


def in_the_network(host):
    """As block caches: in the place of the network's forward, with a memory on a class; taken out only at the end."""
    own = type(host.unet).forward

    def forward(self, *args):
        Kept.mean, out = blended(Kept.mean, own(self, *args))
        return out

    return own, forward


class Company(Beside):
    def __init__(self, host, kind):
        super().__init__(host, self.begin)
        self.host, self.kind, self.own, self.filename = host, kind, None, __file__
        # Where extensions end: block caches after sampling, Incantations and CADS after a batch.
        setattr(self, "postprocess_batch" if kind == "network, of a batch" else "post_sample", self.end)

    def begin(self, p):
        SEEN["mean"], Kept.mean = None, None
        objects = self.host.shared.sd_model.forge_objects
        objects.unet = objects.unet.clone()
        if self.kind == "guide":
            objects.unet.model_options["sampler_post_cfg_function"] = [guide]
        elif self.kind == "forecast":
            objects.unet.model_options["model_function_wrapper"] = Forecast()
        else:
            self.own, type(self.host.unet).forward = in_the_network(self.host)

    def end(self, p, *args, **kwargs):
        if self.own is not None:
            type(self.host.unet).forward, self.own = self.own, None


@pytest.fixture(params=["guide", "forecast", "network", "network, of a batch"])
def beside(forge, request):
    bare = forge.txt2img(steps=6)
    company = Company(forge, request.param)
    company.title = lambda: "beside"
    forge.others.append(company)
    plain = forge.txt2img(steps=6)
    assert not same_pictures(bare, plain)
    yield forge, plain, bare
    company.end(None)


@pytest.mark.parametrize("way", WAYS)
def test_equal_sides_are_the_plain_picture(beside, way):
    host, plain, _ = beside
    assert same_pictures(host.txt2img({"inversion": way, "lambda_steps": -1, "weak_cfg": 6.0}, steps=6), plain)
    assert not any(host.hooks.Trace.last.passes[-1].gap_norms())
    assert same_pictures(host.txt2img(steps=6), plain)


@pytest.mark.parametrize("way", [*WAYS, "paper"])
@pytest.mark.parametrize("gap", [{"weak_prompt": "one two three four five six seven eight nine dogs"}, {"weak_cfg": 0}])
def test_next_to_no_strength_leaves_the_picture(beside, way, gap):
    host, (plain,), _ = beside[0], beside[1].pictures, beside[2]
    settings = {"inversion": way, "lambda_steps": -1, "weak_cfg": 6.0, "strength": 1e-9, **gap}
    (picture,) = host.txt2img(settings, steps=6).pictures
    assert (picture - plain).abs().max() < 1e-4
    assert host.hooks.Trace.last.passes[-1].gap_norms().any()


@pytest.mark.parametrize("way", WAYS[:3])
def test_the_weak_side_meets_its_own_memory(beside, way):
    """With the sampler's own, a forecast of the weak side would be told from the prompt's answers: no gap."""
    host, _, _ = beside
    host.txt2img({"inversion": way, "lambda_steps": -1, "weak_cfg": 6.0, "weak_prompt": "a dog"}, steps=6)
    assert all(host.hooks.Trace.last.passes[-1].gap_norms())


def test_after_an_error_of_ours_others_have_ended(beside):
    host, plain, _ = beside
    for number in (1, 2):

        def broken(call, number=number):
            if call == number:
                raise RuntimeError("sizes do not match")

        host.unet.before_call = broken
        with pytest.raises(RuntimeError, match="sizes do not match"):
            host.txt2img({"lambda_steps": 2, "weak_prompt": "a dog"}, steps=6)
        host.unet.before_call = None
        assert all(script.own is None for script in host.others)
        assert same_pictures(host.txt2img(steps=6), plain)
    with pytest.raises(fastapi.HTTPException):
        host.txt2img({"lambda_steps": 2, "weak_loras": "<lora:none:1>"}, steps=6)
    assert all(script.own is None for script in host.others)
    host.others.clear()
    assert same_pictures(host.txt2img(steps=6), beside[2])
