"""Who may ask W2SD's own routes, and that nobody's question keeps the others waiting.

A WebUI started with --gradio-auth is asked with LOGIN=name:password in the environment; one without needs none.
"""

import os
import threading
import time

import httpx
import pytest

ROUTES = [
    ("GET", "/w2sd/v1/schema"),
    ("GET", "/w2sd/v1/trace"),
    ("GET", "/w2sd/v1/host"),
    ("POST", "/w2sd/v1/free"),
    ("POST", "/w2sd/v1/estimate"),
]
ESTIMATE = "/w2sd/v1/estimate"
# Each made a search begin again at every place; with 30 kB of the first the WebUI stood still for half a minute.
HOSTILE = [
    {"settings": {"weak_prompt": "<lora:"}},
    {"page": {"prompt": "<lora:"}},
    {"settings": {"weak_negative_prompt": "<x:"}},
    {"settings": {"weak_checkpoint": " "}, "page": {"checkpoint": "x"}},
]


def session(webui) -> httpx.Client:
    """A client that is logged in, where the page asks for that."""
    client = httpx.Client(base_url=webui.url, timeout=300)
    if login := os.environ.get("LOGIN"):
        name, _, password = login.partition(":")
        assert client.post("/login", data={"username": name, "password": password}).status_code == 200
    return client


def test_the_pages_login_is_asked_for(webui):
    if not os.environ.get("LOGIN"):
        pytest.skip("no LOGIN is given: start the WebUI with --gradio-auth")
    stranger = httpx.Client(base_url=webui.url, timeout=300)
    assert stranger.get("/config").status_code == 401
    for method, path in ROUTES:
        assert stranger.request(method, path, json={}).status_code == 401, path
        guessed = {"Cookie": "access-token=guessed; access-token-unsecure=guessed"}
        assert stranger.request(method, path, json={}, headers=guessed).status_code == 401, path
    known = session(webui)
    for method, path in ROUTES:
        assert known.request(method, path, json={}).status_code == 200, path


def test_a_question_has_an_end(webui):
    client = session(webui)
    assert client.post(ESTIMATE, json={"settings": {"weak_prompt": "a" * 5_000_000}}).status_code == 413
    assert client.post(ESTIMATE, content=b"[" * 100_000).status_code == 422


def test_others_are_answered_meanwhile(webui, record):
    """While one asks for what takes longest, as large as it may be, the rest of the WebUI goes on."""
    ended, statuses = threading.Event(), []

    def asking():
        client = session(webui)
        for asked in HOSTILE * 3:
            body = {
                key: {name: "a" + of * (120_000 // len(of)) for name, of in given.items()}
                for key, given in asked.items()
            }
            statuses.append(client.post(ESTIMATE, json=body).status_code)
        ended.set()

    other, waited = session(webui), []
    thread = threading.Thread(target=asking)
    thread.start()
    while not ended.is_set() and len(waited) < 1000:
        begun = time.perf_counter()
        assert other.get("/sdapi/v1/samplers").status_code == 200
        waited.append(time.perf_counter() - begun)
    thread.join()
    record(f"estimate, {webui.name}", "longest that another waited", "seconds", f"{max(waited):.2f}")
    assert set(statuses) == {200} and max(waited) < 5
