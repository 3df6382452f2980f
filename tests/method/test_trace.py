"""The trace: evaluations with rows and times, reflections with their gaps."""

import json

import pytest
import torch

from lib_w2sd.method.trace import Trace


@pytest.fixture
def run():
    trace = Trace()
    return trace.add(name="txt2img", sampler="sample_euler", steps=4, reflected=2, inversion="matched")


def evaluate(run, kind, step, rows):
    counter = iter([10, 10 + rows])
    with run.evaluation(kind, step, torch.tensor([7.5, 7.5]), lambda: next(counter)):
        pass


def test_evaluations_are_listed_in_order_with_their_rows(run):
    evaluate(run, "strong", 0, 2)
    evaluate(run, "weak", 0, 0)
    evaluate(run, "step", 0, 2)
    listed = run.as_dict()["evaluations"]
    assert [(e["kind"], e["rows"], e["t"], e["step"]) for e in listed] == [
        ("strong", 2, 7.5, 0),
        ("weak", 0, 7.5, 0),
        ("step", 2, 7.5, 0),
    ]
    assert all(e["ms"] >= 0 for e in listed)
    assert run.rows == 4
    assert run.seconds == sum(e["ms"] for e in listed) / 1000


def test_an_interrupted_evaluation_is_not_listed(run):
    with pytest.raises(KeyboardInterrupt), run.evaluation("strong", 0, 7.5, lambda: 0):
        raise KeyboardInterrupt
    assert run.evaluations == []


def test_gap_is_the_mean_norm_of_a_picture_and_its_cosine_to_the_step_before(run):
    gap = torch.zeros(2, 4, 3, 3)
    gap[0, 0, 0, 0], gap[1, 0, 0, 0] = 3.0, 5.0
    turned = gap.clone()
    turned[1] = -gap[1]
    run.reflection(0, torch.tensor([7.0]), 5.0, gap)
    run.reflection(1, torch.tensor([5.0]), 3.0, 2 * turned)
    first, second = run.as_dict()["reflections"]
    assert first == {"step": 0, "t": 7.0, "t_next": 5.0, "gap_norm": 4.0, "cosine": None}
    assert second["gap_norm"] == 8.0
    assert second["cosine"] == pytest.approx(0.0)  # one picture's gap kept its direction, the other's turned


def test_a_step_that_the_sampler_took_back_is_noted_as_it_was_in_the_end(run):
    one, other, last = (torch.full((1, 4, 2, 2), value) for value in (1.0, -2.0, 3.0))
    for step, gap in ((0, other), (0, one), (1, other), (1, last)):
        run.reflection(step, 7.0, 5.0, gap)
    first, second = run.as_dict()["reflections"]
    assert (first["gap_norm"], first["cosine"]) == (4.0, None)
    assert (second["gap_norm"], second["cosine"]) == (12.0, pytest.approx(1.0))


def test_half_precision_gaps_do_not_overflow(run):
    run.reflection(0, 7.0, 5.0, torch.full((1, 4, 64, 64), 600.0, dtype=torch.float16))
    assert run.as_dict()["reflections"][0]["gap_norm"] == pytest.approx(600 * 128)


def test_trace_is_plain_json_and_holds_no_tensor_afterwards(run):
    evaluate(run, "strong", 0, 2)
    run.reflection(0, torch.tensor([7.0]), 5.0, torch.ones(1, 4, 2, 2))
    run.close()
    json.dumps(Trace.last.as_dict(), allow_nan=False)
    assert run._gaps == {}
    big = [
        v
        for e in run.evaluations + run.reflections
        for v in e.values()
        if isinstance(v, torch.Tensor) and v.numel() > 8
    ]
    assert big == []


def test_summary_is_one_line_that_names_the_run(run):
    evaluate(run, "strong", 0, 2)
    assert run.summary().startswith("W2SD txt2img, sample_euler: 2 of 4 steps reflected (matched), 2 UNet rows, 0.0 s")


def test_the_last_trace_is_that_of_the_pass_that_ended_last():
    """A request that only waits for its turn does not hide the one before."""
    what = {"name": "txt2img", "sampler": "sample_euler", "steps": 4, "reflected": 2, "inversion": "paper"}
    first, second = Trace(), Trace()
    waiting = second.add(**what)
    first.add(**what).close()
    assert Trace.last is first
    waiting.close()
    assert Trace.last is second
