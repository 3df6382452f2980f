"""Forge Neo of October 2026: prompt and negative prompt in one call or apart, which each call says of itself."""

import importlib

import pytest

from lib_w2sd.method import ways

from .. import webui
from ..webui.host import same_pictures

GAPS = {
    "guidance": {"weak_cfg": 0},
    "prompt": {"weak_cfg": 6, "weak_prompt": "a dog"},
    "negative prompt": {"weak_cfg": 6, "weak_negative_prompt": "red " * 20},  # longer than any beside it
}
FIELDS = {"prompt": "a cat", "cfg_scale": 6, "steps": 4}


@pytest.fixture(scope="module")
def august():
    """gap, way -> rows of the network, and calls."""
    with webui.opened("neo") as host:
        return rows_and_calls(host)


@pytest.fixture(params=[True, False], ids=["one call", "apart"])
def october(request):
    with webui.opened("neo_next") as host:
        host.shared.batch_cond_uncond = request.param
        yield host


def rows_and_calls(host) -> dict:
    found = {}
    for gap, settings in GAPS.items():
        for way in ways.WAYS:
            host.txt2img({"lambda_steps": 2, "inversion": way, **settings}, **FIELDS)
            found[gap, way] = sum(host.calls), len(host.calls)
    return found


def test_no_row_more_than_in_august(october, august):
    now = rows_and_calls(october)
    assert all(now[asked][0] <= august[asked][0] for asked in august), now
    # Rows of the two sides travel in one call where they did.
    assert now == august or not october.shared.batch_cond_uncond


@pytest.mark.parametrize("way", ("matched", *ways.ALONG))
def test_equal_sides_are_the_plain_picture(october, way):
    plain = october.txt2img(**FIELDS)
    assert same_pictures(october.txt2img({"lambda_steps": -1, "inversion": way, "weak_cfg": 6}, **FIELDS), plain)


@pytest.mark.parametrize(
    ("path", "wide", "kind"),
    [
        ("models/Rectified-XL.safetensors", 2048, "flow"),
        ("rectified/some.safetensors", 2048, "flow"),
        ("models/some.safetensors", 2048, None),
        ("models/rectified.safetensors", 768, None),
    ],
)
def test_an_sdxl_is_a_flow_by_its_name_as_the_host_has_it(path, wide, kind):
    shapes = {"input_blocks.0.0.weight": (320, 4, 3, 3), "input_blocks.4.1.attn2.to_k.weight": (640, wide)}
    with webui.opened("neo"):
        checkpoint = importlib.import_module("lib_w2sd.hosts.neo.checkpoint").NeoCheckpoint
        assert checkpoint.by_its_name(None, path, shapes) == kind
