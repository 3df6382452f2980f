"""The GET routes, in a FastAPI application as the hosts have one."""

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import lib_w2sd
from lib_w2sd.method.trace import Trace
from lib_w2sd.page import api
from lib_w2sd.page.forecast import Facts
from lib_w2sd.page.settings import schema

PATHS = ("/w2sd/v1/schema", "/w2sd/v1/trace", "/w2sd/v1/host")


def client(credentials=None):
    app = FastAPI()
    api.add_routes(app, lambda: {"host": "test", "relies_on": {}}, Facts(), credentials)
    return TestClient(app)


def test_schema_is_the_settings():
    answer = client().get("/w2sd/v1/schema")
    assert answer.status_code == 200
    assert answer.json() == schema()
    jsonschema.Draft202012Validator(answer.json()).validate({"enabled": True, "lambda_steps": 3})


def test_trace_is_the_last_requests():
    Trace.last = None
    assert client().get("/w2sd/v1/trace").json() == {"passes": []}
    Trace().add(name="txt2img", sampler="sample_euler", steps=4, reflected=2, inversion="paper").close()
    (found,) = client().get("/w2sd/v1/trace").json()["passes"]
    assert (found["pass"], found["steps"], found["reflected"]) == ("txt2img", 4, 2)


def test_host_is_described_with_our_version():
    assert client().get("/w2sd/v1/host").json() == {"w2sd": lib_w2sd.__version__, "host": "test", "relies_on": {}}


@pytest.mark.parametrize("path", PATHS)
def test_routes_are_as_closed_as_the_hosts_own_api(path):
    closed = client({"ada": "secret", "bob": "pässword"})
    assert closed.get(path).status_code == 401
    assert closed.get(path).headers["WWW-Authenticate"].startswith("Basic")
    assert closed.get(path, auth=("ada", "wrong")).status_code == 401
    assert closed.get(path, auth=("eve", "secret")).status_code == 401
    assert closed.get(path, auth=("ada", "pässword")).status_code == 401
    assert closed.get(path, auth=("ada", "secret")).status_code == 200
    assert client().get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_routes_only_read(path):
    assert client().post(path).status_code == 405


def test_estimate_is_the_pages():
    """Open, as the host's own progress is: a page has no credentials of the API's."""
    asked = {"settings": {"lambda_steps": 5}, "page": {"steps": 10, "cfg": 7}}
    for app in (client(), client({"ada": "secret"})):
        answer = app.post("/w2sd/v1/estimate", json=asked)
        assert answer.status_code == 200 and "4 of 10 steps" in answer.json()["cost"]
    for nonsense in ([], "x", {"page": [1]}, {"page": {"steps": "many"}}, {"settings": 3}):
        assert client().post("/w2sd/v1/estimate", json=nonsense).status_code == 422
