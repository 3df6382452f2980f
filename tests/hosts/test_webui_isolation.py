"""What an evaluation of ours hands on may be changed, and what others keep is theirs: equal sides are the plain picture
to the bit beside whoever changes, draws or counts, and a push of nothing leaves it."""

import queue
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch

from lib_w2sd.method import ways

from ..webui.host import same_pictures

EQUAL = {"lambda_steps": -1, "weak_cfg": 6.0}
WHERE = ("matched", *ways.ALONG)
OWN = random.Random(), np.random.default_rng(), np.random.RandomState(), torch.Generator()
COUNTED = 0


def drawing():
    """Numbers of generators of every kind."""
    own, numpys, older, torchs = OWN
    for seeded in (own.seed, older.seed, torchs.manual_seed, random.seed, np.random.seed, torch.manual_seed):
        seeded(3)
    numpys.bit_generator.state = np.random.default_rng(3).bit_generator.state
    return lambda: (
        own.random()
        + numpys.random()
        + older.random_sample()
        + float(torch.rand(1, generator=torchs))
        + random.random()
        + float(np.random.random())
        + float(torch.rand(1))
    )


class Counts:
    on_class = 0

    def __init__(self):
        self.on_object, self.tensor, self.nested = 0, torch.zeros(1), {"list": []}


def counting():
    """How often it was called, kept in as many ways."""
    global COUNTED
    COUNTED, Counts.on_class = 0, 0
    one, listed, table, held, array, inner = Counts(), [], {}, torch.zeros(1), np.zeros(1), 0

    def counted():
        global COUNTED
        nonlocal inner
        inner += 1
        COUNTED += 1
        Counts.on_class += 1
        counted.calls += 1
        one.on_object += 1
        one.tensor = one.tensor + 1
        one.nested["list"].append(1)
        listed.append(1)
        table["calls"] = table.get("calls", 0) + 1
        held.add_(1)
        array[0] += 1
        numbers = [inner, COUNTED, Counts.on_class, counted.calls, one.on_object, float(one.tensor), len(listed)]
        return sum([*numbers, len(one.nested["list"]), table["calls"], float(held), array[0]])

    counted.calls = 0
    return counted


def of_the_latent(params):
    params.x.mul_(1.02)


def of_sigma(params):
    params.sigma.mul_(0.98)


def of_the_image(params):
    params.image_cond.add_(0.1)
    params.x.add_(params.image_cond.mean())


def of_the_mask(params):
    params.denoiser.mask.mul_(0.9)
    params.denoiser.init_latent.add_(0.1)


class Tuner:
    """As CD Tuner: another weight in a layer's place as the first call begins, the layer's own at the end."""

    own = None

    def __init__(self, host):
        self.host = host

    @property
    def layer(self):
        return self.host.unet.network.conv_in

    def __call__(self, params):
        if self.own is None:
            self.own = self.layer.weight.clone()
            self.layer.weight = torch.nn.Parameter(self.own * 1.2, requires_grad=False)

    def end(self):
        if self.own is not None:
            self.layer.weight = torch.nn.Parameter(self.own, requires_grad=False)


def hearing(host):
    """As Incantations' S-CFG: a hook keeps what it hears of a layer, and a callback after the network reads it."""
    heard = {"mean": None}
    handle = host.unet.network.conv_in.register_forward_hook(lambda layer, given, out: heard.update(mean=out.mean()))
    maps = host.modules["script_callbacks"].callback_map
    maps["callbacks_cfg_denoiser"][:] = []
    maps["callbacks_cfg_denoised"][:] = [lambda params: params.x.mul_(1 + heard["mean"] / 10)]

    def end():
        maps["callbacks_cfg_denoised"][:] = []
        handle.remove()

    return end


def beside(host, name: str):
    """Listen to the denoiser as an extension does that changes, draws or counts."""
    drawn, counted = drawing(), counting()
    tuner = Tuner(host)
    if name == "hooks":
        return hearing(host)
    listeners = {
        "the latent": of_the_latent,
        "sigma": of_sigma,
        "the image": of_the_image,
        "the mask": of_the_mask,
        "draws": lambda params: params.x.add_(drawn() / 50),
        "counts": lambda params: params.x.add_(counted() / 1000),
        "weights": tuner,
    }
    callbacks = host.modules["script_callbacks"].callback_map["callbacks_cfg_denoiser"]
    callbacks[:] = [listeners[name]]
    return tuner.end


def made(host, name: str, settings, **fields):
    end = beside(host, name)
    more = {}
    if name == "the mask":
        mask = torch.zeros(1, 4, 8, 8)
        mask[..., :4] = 1.0
        more = {"mask": mask.clone(), "nmask": 1 - mask}
    picture = (host.img2img if more else host.txt2img)(settings, **{"steps": 4, **more, **fields})
    end()
    return picture


ALL = ("the latent", "sigma", "the image", "the mask", "draws", "counts", "weights", "hooks")


@pytest.mark.parametrize("way", WHERE)
@pytest.mark.parametrize("name", ALL)
def test_equal_sides_are_the_plain_picture(host, name, way):
    plain = made(host, name, None)
    equal = made(host, name, {**EQUAL, "inversion": way})
    assert same_pictures(plain, equal)
    gaps = [r["gap_norm"] for run in host.trace() for r in run["reflections"]]
    assert gaps and not any(gaps)


@pytest.mark.parametrize("way", WHERE)
def test_weights_that_others_change_are_the_networks_own_afterwards(host, way):
    bare, weight = host.txt2img(steps=4), host.unet.network.conv_in.weight.clone()
    for _ in range(2):
        made(host, "weights", {**EQUAL, "weak_cfg": 2.0, "inversion": way})
        assert torch.equal(host.unet.network.conv_in.weight, weight)
    host.modules["script_callbacks"].callback_map["callbacks_cfg_denoiser"][:] = []
    assert same_pictures(bare, host.txt2img(steps=4))


class Importing(OrderedDict):
    """As transformers' tables of models: what is asked for is imported then, and may not be there."""

    def items(self):
        raise ValueError("Could not find Llama4ImageProcessor")

    values = keys = __iter__ = items


def test_a_table_that_makes_what_is_asked_for_is_not_asked(host):
    table, seen = Importing(), []
    dict.__setitem__(table, "seen", seen)

    def listener(params):
        dict.__getitem__(table, "seen").append(1)
        params.x.add_(len(seen) / 100)

    callbacks = host.modules["script_callbacks"].callback_map["callbacks_cfg_denoiser"]
    callbacks[:] = [listener]
    plain = host.txt2img(None, steps=4)
    seen.clear()
    assert same_pictures(plain, host.txt2img({**EQUAL, "inversion": "matched"}, steps=4))


@pytest.mark.parametrize("way", ["matched", "previous-gap"])
def test_who_hooks_the_denoisers_model_once_keeps_what_that_needs(a1111, way):
    """As AnimateDiff: in the first call it notes something for itself, and that it has done so on the host's object."""
    noted = type("Noted", (), {})()

    def listener(params):
        model = params.denoiser.inner_model
        if not hasattr(model, "hooked"):
            model.hooked, noted.scale = True, 1.01
        params.x.mul_(noted.scale)

    a1111.modules["script_callbacks"].callback_map["callbacks_cfg_denoiser"][:] = [listener]
    first = a1111.txt2img({**EQUAL, "inversion": way}, steps=4)
    assert same_pictures(first, a1111.txt2img(None, steps=4))


@pytest.mark.parametrize("way", ways.WAYS)
@pytest.mark.parametrize("name", ALL)
def test_a_push_of_nothing_leaves_the_picture(host, name, way):
    plain = made(host, name, None)
    pushed = made(host, name, {**EQUAL, "inversion": way, "strength": 1e-9, "weak_prompt": "a dog"})
    for one, other in zip(plain.pictures, pushed.pictures):
        assert (one - other).abs().max() < 1e-4 * max(1.0, float(one.abs().max()))


@pytest.mark.parametrize("way", WHERE)
def test_prompt_editing_goes_by_the_samplers_own_step(host, way):
    """A weak side asked beside the sampler's own call is of that call's step, not of the next."""
    ask = {"prompt": "a [cat:dog:0.5]", "steps": 6}
    plain = host.txt2img(None, **ask)
    assert same_pictures(plain, host.txt2img({**EQUAL, "inversion": way}, **ask))


@pytest.mark.parametrize("way", ["matched", "paper", "fixed-point", "previous-gap", "auto-guidance"])
def test_the_samplers_own_calls_are_the_plain_runs(host, way):
    heard = queue.SimpleQueue()

    def hear(params):
        heard.put((params.denoiser.step, params.sampling_step, len(params.x), float(params.sigma.sum())))

    host.modules["script_callbacks"].on_cfg_denoiser(hear)
    host.txt2img(None)
    plain = [heard.get() for _ in range(heard.qsize())]
    host.txt2img({**EQUAL, "strength": 1e-9, "weak_prompt": "a dog", "inversion": way})
    calls = [heard.get() for _ in range(heard.qsize())]
    (run,) = host.trace()
    kinds = [e["kind"] for e in run["evaluations"]]
    assert len(kinds) == len(calls)
    assert [call for kind, call in zip(kinds, calls) if kind == "step"] == plain


# ---------------------------------------------------------------- a CFG scale that changes by being used


class Falling(float):
    """As the script "CFG Scheduling" has it."""

    def __init__(self, value):
        self.given, self.arr, self.curstep = queue.SimpleQueue(), [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], 0

    def __mul__(self, other):
        value = self.arr[self.curstep]
        self.curstep += 1
        self.given.put(value)
        return value * other

    __rmul__ = __mul__


@pytest.mark.parametrize("way", ways.WAYS)
def test_a_scale_that_changes_by_being_used_is_used_by_the_sampler_alone(a1111, way):
    def scales(settings):
        scale, used = Falling(7.0), queue.SimpleQueue()
        unguided = a1111.modules["sd_samplers_cfg_denoiser"].CFGDenoiser.combine_denoised

        def combine(self, x_out, conds_list, uncond, cond_scale):
            used.put(cond_scale)
            return unguided(self, x_out, conds_list, uncond, cond_scale)

        a1111.modules["sd_samplers_cfg_denoiser"].CFGDenoiser.combine_denoised = combine
        picture = a1111.txt2img(settings, cfg_scale=scale, steps=6)
        a1111.modules["sd_samplers_cfg_denoiser"].CFGDenoiser.combine_denoised = unguided
        return picture, [used.get() for _ in range(used.qsize())], scale

    plain, given, scale = scales(None)
    assert given == [10.0, 9.0, 8.0, 7.0, 6.0, 5.0]
    picture, given, scale = scales({"lambda_steps": -1, "strength": 1e-9, "weak_cfg": 2.0, "inversion": way})
    kinds = [e["kind"] for e in a1111.trace()[0]["evaluations"]]
    assert all(type(one) is float for one in given)
    assert scale.curstep == 6
    assert (plain.pictures[0] - picture.pictures[0]).abs().max() < 1e-4 * float(plain.pictures[0].abs().max())
    own = [one for kind, one in zip(kinds, given) if kind == "step"]
    if len(kinds) == len(given):
        assert own == [10.0, 9.0, 8.0, 7.0, 6.0, 5.0]


def test_what_prepares_a_run_draws_nothing(host, monkeypatch):
    """A network that is made draws its first weights; what the host draws after that, such as its VAE's encoder in the
    hires pass, is what it would have been (Forge Neo, with a weak checkpoint: rounding that grew to a level)."""
    kind = host.sampling("sampling_pass", "SamplingPass")
    build = kind.build_sides

    def drawn():
        return [float(torch.rand(1)), random.random(), float(np.random.random())]

    def building(one_pass):
        drawn()
        build(one_pass)

    monkeypatch.setattr(kind, "build_sides", building)
    found = []
    for settings in (None, {"weak_cfg": 0}):
        torch.manual_seed(3), random.seed(3), np.random.seed(3)
        host.txt2img(settings, cfg_scale=6.0, enable_hr=True)
        found.append(drawn())
    assert found[0] == found[1]
