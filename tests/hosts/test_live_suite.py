"""The suites that need a running WebUI can at least be read without one; and what is left out of every suite."""

import importlib
import itertools
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import live
from tests.covering import covering

MODULES = sorted(module.name for module in pkgutil.iter_modules(live.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_of_the_live_suite_is_imported(name):
    if name == "make_detector":
        pytest.importorskip("ultralytics")  # a script for whoever tries ADetailer; not among our requirements
    importlib.import_module(f"tests.live.{name}")


@given(st.lists(st.tuples(*3 * [st.integers(0, 3)]), min_size=1, unique=True), st.sampled_from([1, 2]))
def test_what_is_left_out_is_there_beside_something_else(values, at_once):
    """Whether or not the combinations are all that there could be."""
    combinations = [dict(zip("abc", one)) for one in values]
    kept = [combinations[i] for i in covering(combinations, at_once)]

    def met(some):
        return {pair for one in some for pair in itertools.combinations(one.items(), at_once)}

    assert met(kept) == met(combinations)


def test_a_picture_of_the_page_is_brought_under_its_limit(tmp_path):
    """Fewer colours first, then smaller: even noise, of which nothing can be left out."""
    pictures = pytest.importorskip("tests.live.pictures")
    noise = pictures.Image.effect_noise((900, 700), 90).convert("RGB")
    assert pictures.save(tmp_path / "noise.png", noise) <= pictures.MOST
    flat = pictures.Image.new("RGB", (900, 700), "red")
    pictures.save(tmp_path / "flat.png", flat)
    with pictures.Image.open(tmp_path / "flat.png") as kept:
        assert kept.size == (900, 700)
