"""The stand-in of the tests is held to the real host: what W2SD relies on is there, and takes the same parameters."""

import re

from tests.webui import signatures


def parameters(signature: str) -> list:
    """Parameter names of "(self, x, sigma=None) -> y"; annotations and defaults are the host's own affair."""
    inside = re.sub(r"\)\s*(->.*)?$", "", signature.strip()[1:])
    inside = re.sub(r"""'[^']*'|"[^"]*"|\[[^\]]*\]|\{[^}]*\}""", "", inside)
    return [re.split(r"[:=]", name)[0].strip() for name in inside.split(",") if name.strip()]


def test_parameters():
    assert parameters("(self, p, steps: 'int | None' = 3, *, api=None) -> dict") == ["self", "p", "steps", "*", "api"]


def test_what_w2sd_relies_on_is_there(webui):
    described = webui.get("/w2sd/v1/host")
    assert described["host"] == webui.name
    missing = [path for path, signature in described["relies_on"].items() if signature is None]
    assert not missing


def test_standin_takes_the_same_parameters(webui):
    real, standin = webui.get("/w2sd/v1/host")["relies_on"], signatures(webui.name)["relies_on"]
    assert set(standin) == set(real)
    differ = {
        path: (real[path], standin[path]) for path in real if parameters(real[path]) != parameters(standin[path] or "")
    }
    assert not differ
