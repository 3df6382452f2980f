"""Fixtures of the suite that needs no WebUI."""

import os

import pytest
import torch
from hypothesis import settings

from . import webui
from .covering import left_out

torch.set_num_threads(1)
# No test is timed: machines differ.
settings.register_profile("tests", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "60")))
settings.load_profile("tests")


def pytest_addoption(parser):
    parser.addoption("--all-combinations", action="store_true", help="all combinations of every test's parameters")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all-combinations"):
        out = left_out(items)
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=list(out))


@pytest.fixture(params=webui.FLAVOURS)
def host(request):
    """A freshly started stand-in of each WebUI, with the extension's script in it."""
    with webui.opened(request.param) as host:
        yield host
        assert host.errors == [], "a hook raised, and the host went on without it"


@pytest.fixture
def a1111():
    with webui.opened("a1111") as host:
        yield host
        assert host.errors == []


@pytest.fixture
def forge():
    with webui.opened("forge") as host:
        yield host
        assert host.errors == []
