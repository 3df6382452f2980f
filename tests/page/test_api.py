"""The GET routes, in a FastAPI application as the hosts have one."""

import asyncio
import threading

import gradio
import jsonschema
import pytest
from fastapi import FastAPI, HTTPException
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
    """Open as the page is, which has no credentials of the API's."""
    asked = {"settings": {"lambda_steps": 5}, "page": {"steps": 10, "cfg": 7}}
    for app in (client(), client({"ada": "secret"})):
        answer = app.post("/w2sd/v1/estimate", json=asked)
        assert answer.status_code == 200 and "4 of 10 steps" in answer.json()["cost"]
    for nonsense in ([], "x", None, {"page": [1]}, {"page": {"steps": "many"}}, {"settings": 3}):
        assert client().post("/w2sd/v1/estimate", json=nonsense).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"page": {"steps": 1' + b"0" * 100_000 + b"}}",
        b'{"page": {"steps": Infinity}}',
        b'{"page": {"batch_count": 1e308, "steps": 1e308}}',
        b'{"page": {"width": 0, "hires": true, "hires_width": 5}}',
        b'{"page": {"cfg": "x", "hires": true}}',
    ],
    ids=lambda body: body[:30].decode(errors="replace"),
)
def test_what_is_no_request_to_be_estimated(body):
    assert client().post("/w2sd/v1/estimate", content=body).status_code in (200, 422)


def test_a_question_has_an_end():
    """What is longer is not read, whatever its header says."""
    asked = {"settings": {"weak_prompt": "a" * (api.LARGEST - 100)}}
    assert client().post("/w2sd/v1/estimate", json=asked).status_code == 200
    assert client().post("/w2sd/v1/estimate", json={**asked, "more": "a" * 100}).status_code == 413
    taken = []

    def parts():
        for _ in range(1000):
            taken.append(1)
            yield b" " * 10_000

    assert client().post("/w2sd/v1/estimate", content=parts()).status_code == 413


def test_estimate_is_no_work_of_the_event_loop(monkeypatch):
    """The WebUI answers others meanwhile."""
    threads = []

    def slow(facts, request):
        threads.append(threading.current_thread())
        return {}

    monkeypatch.setattr(api, "forecast", slow)
    app = FastAPI()

    @app.get("/loop")
    async def loop():
        return threads.append(threading.current_thread())

    api.add_routes(app, dict, Facts())
    with TestClient(app) as one:
        one.get("/loop")
        one.post("/w2sd/v1/estimate", json={})
    in_loop, asked = threads
    assert in_loop is not asked


@pytest.mark.parametrize("works", [True, False], ids=["unloaded", "failed"])
def test_what_is_kept_is_freed_before_the_host_says_that_it_has_unloaded(works):
    """Who has the answer may ask at once what is still held."""
    app, happened = FastAPI(), []

    @app.post(api.UNLOAD)
    def unload():
        if not works:
            raise HTTPException(500)

    api.add_routes(app, dict, Facts(), free_memory=lambda: happened.append("freed"))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        happened.append(message.get("status", "body"))

    scope = {"type": "http", "method": "POST", "path": api.UNLOAD, "headers": [], "query_string": b""}
    asyncio.run(app({**scope, "http_version": "1.1"}, receive, send))
    assert happened == (["freed", 200, "body"] if works else [500, "body"])


# ---------------------------------------------------------------- the page's own login


def behind_login(credentials=None):
    """Gradio's application, with --gradio-auth ada:secret."""
    with gradio.Blocks() as blocks:
        gradio.Textbox()
    app = gradio.routes.App.create_app(blocks)
    app.auth, app.tokens, blocks.auth, blocks.auth_message = {"ada": "secret"}, {}, {"ada": "secret"}, None
    api.add_routes(app, lambda: {"host": "test"}, Facts(), credentials)
    return TestClient(app, base_url="https://testserver")  # one of its cookies is for https alone


ROUTES = [*(("GET", path) for path in PATHS), ("POST", "/w2sd/v1/free"), ("POST", "/w2sd/v1/estimate")]


@pytest.mark.parametrize("credentials", [None, {"api": "key"}], ids=["page's login", "and the API's"])
def test_routes_are_as_closed_as_the_page(credentials):
    app = behind_login(credentials)
    for method, path in ROUTES:
        assert app.request(method, path, json={}).status_code == 401, path
        assert app.request(method, path, json={}, auth=("ada", "secret")).status_code == 401, "no login by itself"
        assert app.request(method, path, json={}, headers={"Cookie": "access-token=guessed"}).status_code == 401
        by_key = app.request(method, path, json={}, auth=("api", "key")).status_code
        assert by_key == (200 if credentials else 401)
    assert app.post("/login", data={"username": "ada", "password": "secret"}).status_code == 200
    for method, path in ROUTES:
        assert app.request(method, path, json={}).status_code == 200, path


def test_a_page_without_a_login_asks_for_none():
    with gradio.Blocks() as blocks:
        gradio.Textbox()
    app = gradio.routes.App.create_app(blocks)
    app.auth = None
    api.add_routes(app, dict, Facts())
    with_key = gradio.routes.App.create_app(blocks)
    with_key.auth = None
    api.add_routes(with_key, dict, Facts(), {"api": "key"})
    for method, path in ROUTES:
        assert TestClient(app).request(method, path, json={}).status_code == 200
        closed = TestClient(with_key).request(method, path, json={}).status_code
        assert closed == (200 if path.endswith("estimate") else 401)
