"""The suites that need a running WebUI can at least be read without one."""

import importlib
import pkgutil

import pytest

from tests import live

MODULES = sorted(module.name for module in pkgutil.iter_modules(live.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_of_the_live_suite_is_imported(name):
    if name == "make_detector":
        pytest.importorskip("ultralytics")  # a script for whoever tries ADetailer; not among our requirements
    importlib.import_module(f"tests.live.{name}")
