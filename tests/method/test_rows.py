"""Rows through the network: counted, and within one reflection not computed twice."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_w2sd.method.rows import RowMeter


class Network:
    """Each row by itself; `batches` are the rows it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, x, t, **kwargs):
        self.batches.append(len(x))
        context = kwargs["cond"]["c_crossattn"][0]
        return torch.tanh(x) + t[:, None] + context.mean(dim=(1, 2))[:, None]


def ask(rows, start=0, context=None):
    """(args, kwargs) of a call with rows `start` to `start + rows` of one fixed batch."""
    part = slice(start, start + rows)
    x = torch.arange(24.0).reshape(8, 3)[part]
    context = torch.arange(8.0)[part, None, None].expand(-1, 2, 2) if context is None else context
    return (x, torch.ones(8)[part]), {"cond": {"c_crossattn": [context], "c_concat": [torch.zeros(rows, 5, 1, 1)]}}


def test_rows_are_counted():
    meter, network = RowMeter(), Network()
    for rows in (1, 2, 3):
        meter.call(network, *ask(rows))
    assert meter.rows == 6 and network.batches == [1, 2, 3]


def test_a_videos_frames_are_counted():
    """Its latents are [rows, channels, frames, height, width]; a call of one side may carry the other's rows."""
    meter = RowMeter(may_join=lambda shape: True)
    video = torch.randn(2, 3, 5, 2, 2)
    with meter.sharing():
        for x in (video[:1], video[1:], video[1:]):
            meter.call(lambda x: x, (x,), {})
    meter.call(lambda x: x, (video,), {})
    assert meter.rows == 2 * 5 + 2 * 5
    with meter.sharing():
        with meter.noting():
            meter.call(lambda x: x, (video[1:],), {})
        meter.call(lambda x: x, (video[:1],), {})
        assert meter.rows == 5 * 5
        meter.call(lambda x: x, (video[1:],), {})
    assert meter.rows == 6 * 5


@given(st.lists(st.sampled_from([(1, 0), (1, 1), (2, 0), (2, 2), (4, 0), (1, 3)]), min_size=1, max_size=6))
def test_sharing_changes_no_result(calls):
    meter, network = RowMeter(), Network()
    with meter.sharing():
        for rows, start in calls:
            args, kwargs = ask(rows, start)
            assert torch.equal(meter.call(network, args, kwargs), Network()(*args, **kwargs))
    assert meter.rows == sum(network.batches)


def test_either_half_of_a_pair_serves_a_later_single_row_and_the_pair_itself():
    meter, network = RowMeter(), Network()
    with meter.sharing():
        meter.call(network, *ask(4))
        for rows, start in ((2, 0), (2, 2), (4, 0), (1, 3)):
            meter.call(network, *ask(rows, start))
    assert network.batches == [4]
    assert meter.rows == 4


def test_single_rows_do_not_make_a_pair():
    meter, network = RowMeter(), Network()
    with meter.sharing():
        meter.call(network, *ask(1, 0))
        meter.call(network, *ask(1, 1))
        meter.call(network, *ask(2, 0))
    assert network.batches == [1, 1, 2]


def test_nothing_is_shared_outside_nor_from_one_reflection_to_the_next():
    meter, network = RowMeter(), Network()
    meter.call(network, *ask(1))
    for _ in range(2):
        with meter.sharing():
            meter.call(network, *ask(1))
    meter.call(network, *ask(1))
    assert network.batches == [1, 1, 1, 1]


def test_sharing_ends_with_an_interrupt():
    class Interrupted(BaseException):
        pass

    meter, network = RowMeter(), Network()
    with pytest.raises(Interrupted), meter.sharing():
        meter.call(network, *ask(1))
        raise Interrupted
    meter.call(network, *ask(1))
    assert network.batches == [1, 1]


CHANGES = {
    "x": lambda args, kwargs: args[0].add_(1e-6),
    "t": lambda args, kwargs: args[1].add_(1),
    "context": lambda args, kwargs: kwargs["cond"]["c_crossattn"].__setitem__(0, torch.ones(1, 2, 2)),
    "longer context": lambda args, kwargs: kwargs["cond"]["c_crossattn"].__setitem__(0, torch.zeros(1, 4, 2)),
    "another argument": lambda args, kwargs: kwargs["cond"].__setitem__("y", torch.zeros(1, 2)),
    "dtype": lambda args, kwargs: kwargs["cond"].__setitem__("c_concat", [torch.zeros(1, 5, 1, 1).half()]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_input_is_another_row(change):
    meter, network = RowMeter(), Network()
    args, kwargs = ask(1)
    with meter.sharing():
        meter.call(network, args, kwargs)
        args, kwargs = ask(1)
        args = tuple(a.clone() for a in args)
        CHANGES[change](args, kwargs)
        meter.call(network, args, kwargs)
    assert network.batches == [1, 1]


NOTED = {"cond_or_uncond": ([0], [1]), "split_conditions": (True, False)}  # of Forge, of Forge Neo of October 2026


@pytest.mark.parametrize("name", NOTED)
def test_what_the_host_notes_about_a_call_is_no_input(name):
    meter, network = RowMeter(), Network()
    args, kwargs = ask(1)
    with meter.sharing():
        for noted in NOTED[name]:
            meter.call(network, args, {**kwargs, "transformer_options": {name: noted}})
    assert network.batches == [1]


@pytest.mark.parametrize("name", NOTED)
def test_what_the_host_notes_keeps_no_rows_from_travelling(name):
    meter, network = RowMeter(may_join=lambda shape: True), Network()
    (x, *rest), kwargs = ask(1)
    with meter.sharing():
        with meter.noting():
            meter.call(network, (x + 1, *rest), {**kwargs, "transformer_options": {name: NOTED[name][0]}})
        meter.call(network, (x, *rest), {**kwargs, "transformer_options": {name: NOTED[name][1]}})
    assert network.batches == [2]


def test_the_same_rows_under_other_patches_are_another_question():
    """Perturbed-attention guidance asks for its cond rows a second time, with the attention exchanged."""
    meter, network = RowMeter(), Network()
    args, kwargs = ask(1)

    def patch(q, k, v):
        return v

    with meter.sharing():
        for patches in ({}, {"patches_replace": {"attn1": {("middle", 0): patch}}}, {}):
            meter.call(network, args, {**kwargs, "transformer_options": {"cond_or_uncond": [0], **patches}})
    assert network.batches == [1, 1]


def test_results_are_the_callers_own():
    """The hosts' LCM edits what it was given, in place."""
    meter, network = RowMeter(), Network()
    with meter.sharing():
        first = meter.call(network, *ask(2))
        expected = first.clone()
        first.zero_()
        second = meter.call(network, *ask(2))
        assert torch.equal(second, expected)
        second.zero_()
        assert torch.equal(meter.call(network, *ask(2)), expected)
    assert network.batches == [2]


def test_plain_values_count_too():
    meter, seen = RowMeter(), []

    def network(x, scale=1.0, name=None):
        seen.append((scale, name))
        return x * scale

    x = torch.ones(1, 2)
    with meter.sharing():
        for scale, name in ((1.0, None), (1.0, None), (2.0, None), (1.0, "a"), (1, None)):
            meter.call(network, (x,), {"scale": scale, "name": name})
    assert seen == [(1.0, None), (2.0, None), (1.0, "a"), (1, None)]
