"""W2SD's place among a request's script arguments: what is written there goes wherever the arguments go."""

from copy import copy
from types import SimpleNamespace

import pytest
from hypothesis import given

from lib_w2sd.page.settings import as_dict, parse

from ..settings_strategies import VALID, valid_requests


class Script(SimpleNamespace):
    def title(self):
        return self.name


def request(of, args, kind):
    """A request with other scripts' arguments around ours."""
    around = [Script(name="first", args_from=1, args_to=3), Script(name="last", args_from=3 + len(args), args_to=99)]
    ours = Script(name=of.TITLE, args_from=3, args_to=3 + len(args))
    scripts = SimpleNamespace(alwayson_scripts=[around[0], ours, around[1]])
    return SimpleNamespace(scripts=scripts, script_args=kind([0, "a", "b", *args, "c"]))


@pytest.mark.parametrize("kind", [list, tuple])
def test_given_and_put(host, kind):
    of = host.extension.arguments

    @given(valid_requests, VALID["lambda_steps"], VALID["weak_cfg"])
    def check(settings, lambda_steps, weak_cfg):
        values = {"lambda_steps": lambda_steps, "weak_cfg": weak_cfg}
        expected = parse([{**settings, **values}])
        as_object, as_list = [settings, None, None], list(as_dict(parse([settings])).values())
        for args in (as_object, as_list):
            p = request(of, args, kind)
            assert parse([of.given(p)]) == parse([settings])
            cell = copy(p)
            of.put(cell, values)
            assert parse(cell.script_args[3 : 3 + len(args)]) == expected
            assert p.script_args == kind([0, "a", "b", *args, "c"]), "the request that the cell is a copy of"
            assert isinstance(cell.script_args, kind) and len(cell.script_args) == len(p.script_args)
            assert cell.script_args[:3] == p.script_args[:3] and cell.script_args[-1] == "c"

    check()


def test_w2sd_left_out_of_a_request(host):
    """As ADetailer does with the scripts that its settings do not name."""
    of = host.extension.arguments
    p = request(of, [{"enabled": True}], list)
    del p.scripts.alwayson_scripts[1]
    of.put(p, {"enabled": False})
    assert of.given(p) == {} and p.script_args[3] == {"enabled": True}
