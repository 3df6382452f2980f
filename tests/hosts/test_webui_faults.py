"""What goes wrong in the middle of a run: an exception, no memory, NaN, a skip. After each, the host is as before."""

import fastapi
import pytest
import torch

from ..webui.host import same_pictures

SETTINGS = {"lambda_steps": 2, "inversion": "fixed-point", "weak_prompt": "a dog", "weak_cfg": 3}


class Broken(Exception):
    pass


def out_of_memory():
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def out_of_memory_on_the_cpu():
    return RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


def raising_at(host, number, error):
    def before(call):
        if call == number:
            raise error

    host.unet.before_call = before


class Before:
    """The pictures of a host before anything went wrong, and what it took to make them."""

    def __init__(self, host, settings=SETTINGS, **fields):
        self.host, self.settings, self.fields = host, settings, {"steps": 4, **fields}
        self.plain = host.txt2img(**self.fields)
        self.reflected = host.txt2img(settings, **self.fields)
        self.calls = len(host.calls)
        self.evaluations = host.trace()[-1]["evaluations"]

    def hold(self):
        """The next plain picture and the next of W2SD are the same to the last bit; the plain one comes first, and
        once more last."""
        self.host.unet.before_call = None
        self.host.shared.state.interrupted = False
        assert "apply_model" not in vars(self.host.metered)
        assert same_pictures(self.host.txt2img(**self.fields), self.plain)
        assert same_pictures(self.host.txt2img(self.settings, **self.fields), self.reflected)
        assert same_pictures(self.host.txt2img(**self.fields), self.plain)


@pytest.mark.parametrize("error", [Broken, out_of_memory, out_of_memory_on_the_cpu])
@pytest.mark.parametrize("sampler", ["Euler", "UniPC"])
def test_an_error_at_any_call(host, sampler, error):
    before, sides = Before(host, sampler_name=sampler), set()
    for number in range(before.calls):
        given = error()
        raising_at(host, number, given)
        with pytest.raises(Exception) as raised:  # noqa: B017 (which one is what follows)
            host.txt2img(before.settings, **before.fields)
        # The evaluation that broke is not in the trace; it is the next of those of the run that did not break.
        side = before.evaluations[len(host.trace()[-1]["evaluations"])]["kind"]
        sides.add(side)
        if error is Broken or side == "step":
            assert raised.value is given, "not the host's own to report"
        else:
            assert isinstance(raised.value, fastapi.HTTPException) and raised.value.status_code == 507
            assert f"not enough memory for the {side} side" in raised.value.detail and str(given) in raised.value.detail
        before.hold()
    assert sides == {"strong", "weak", "step"}


def giving(host, side, value):
    """From its second call on, that side's evaluation has one number that is none."""
    evaluate, calls = getattr(host.sampling("sides", "HostSides"), side), []

    def spoiled(self, x, t, kwargs):
        output = evaluate(self, x, t, kwargs)
        calls.append(t)
        if len(calls) > 1:
            output = output.clone()
            output[-1, 0, 0, 0] = value
        return output

    return spoiled


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["strong", "weak"])
@pytest.mark.parametrize("fields", [{}, {"sampler_name": "Heun"}, {"sampler_name": "UniPC"}, {"batch_size": 2}])
def test_a_side_that_gives_no_number_ends_the_job(host, monkeypatch, side, value, fields):
    settings = {"lambda_steps": 3, "weak_cfg": -1, "strong_cfg": 4}
    before = Before(host, settings, steps=8, **fields)
    with monkeypatch.context() as patch:
        patch.setattr(host.sampling("sides", "HostSides"), side, giving(host, side, value))
        with pytest.raises(fastapi.HTTPException) as refusal:
            host.txt2img(settings, **before.fields)
        assert refusal.value.status_code == 422
        assert f"the {side} side gave NaN or infinity at step 2, with {side}_cfg" in refusal.value.detail
        assert {"strong": "strong_cfg 4.0", "weak": "weak_cfg -1.0"}[side] in refusal.value.detail
        assert [r["step"] for r in host.trace()[-1]["reflections"]] == [0, 1], "it went on"
    before.hold()


@pytest.mark.parametrize("lambda_steps", [2, -1])
def test_no_number_in_the_last_reflection(host, monkeypatch, lambda_steps):
    """After which the sampler may make no call any more that could find it."""
    before = Before(host, steps=3)
    with monkeypatch.context() as patch:
        patch.setattr(host.sampling("sides", "HostSides"), "weak", giving(host, "weak", float("nan")))
        with pytest.raises(fastapi.HTTPException, match="weak side gave NaN or infinity at step 2, with weak_cfg 0.0;"):
            host.txt2img({"lambda_steps": lambda_steps}, **before.fields)
    before.hold()


def test_no_number_from_the_weak_side_alone(host, monkeypatch):
    before = Before(host)
    with monkeypatch.context() as patch:
        patch.setattr(host.sampling("sides", "HostSides"), "step_as_weak", giving(host, "step_as_weak", float("nan")))
        with pytest.raises(fastapi.HTTPException, match="weak side gave NaN or infinity at step 2"):
            host.txt2img({"weak_alone": True, "weak_cfg": 1}, **before.fields)
    before.hold()


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_a_skip_at_any_call_spares_the_other_pictures(host, sampler):
    """Skip ends one picture of several: the page's button sets a flag, and the next call does not begin."""
    before = Before(host, sampler_name=sampler, n_iter=2)
    changed = 0
    for number in range(before.calls // 2 - 1):

        def skip(call, number=number):
            host.shared.state.skipped |= call == number

        host.unet.before_call = skip
        picture = host.txt2img(before.settings, **before.fields)
        assert len(host.calls) == number + 1 + before.calls // 2
        assert torch.equal(picture.pictures[1], before.reflected.pictures[1])
        changed += not torch.equal(picture.pictures[0], before.reflected.pictures[0])
    before.hold()
    assert changed == before.calls // 2 - 1
