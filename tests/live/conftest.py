"""Runs against somebody's own WebUI: pytest tests/live --a1111 http://... --forge http://... --neo http://...

Nothing is assumed but that the WebUI runs with --api and has this extension and one Stable Diffusion checkpoint.

A host that is given twice has two processes of pytest share the tests out between them, each with a server of its own
(-n 2: shares.py).

What tests `record` is printed as tables at the end: one section for each thing and host, rows by columns.
"""

import base64
import functools
import io
import json
import os

import httpx
import numpy as np
import pytest
from PIL import Image

from ..reflected import REFLECTED
from . import families
from .comfyui import ComfyUI
from .quick import most_telling
from .tables import reasons, table, times

HOSTS = {"a1111": "AUTOMATIC1111 WebUI", "forge": "Forge WebUI", "neo": "Forge Neo"}
PLAIN = {
    "prompt": "a photo of a cat",
    "negative_prompt": "blurry",
    "seed": 7,
    "steps": 8,
    "width": 64,
    "height": 64,
    "cfg_scale": 6.5,  # a number that page and API write alike
    "sampler_name": "Euler",
    "scheduler": "Automatic",
}


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="of each file its most telling test, on each host")
    for name, title in HOSTS.items():
        parser.addoption(f"--{name}", action="append", help=f"address of a running {title}")
        parser.addoption(
            f"--{name}-log",
            action="append",
            help="file that its output goes to: test_company looks for exceptions there, test_pipeline for a warning",
        )
    parser.addoption("--comfy", help="address of a running ComfyUI with this checkout and tests/live/probe/comfy")
    parser.addoption("--comfy-log", help="file that its output goes to")


def of_this_process(given: "list | None"):
    """Of an option that was given once for each process of pytest."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return given[number % len(given)] if given else None


RECORDED: dict = {}  # section -> (row, column) -> result, in the order of recording


@pytest.fixture(scope="session")
def record():
    """record(section, row, column, result): one cell of the tables at the end; `result` is a word or a short reason."""

    def cell(section: str, row: str, column: str, result: str):
        RECORDED.setdefault(section, {})[row, column] = result

    return cell


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        cells = [[section, *key, result] for section, of in RECORDED.items() for key, result in of.items()]
        session.config.workeroutput["recorded"] = cells


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for section, row, column, result in getattr(node, "workeroutput", {}).get("recorded", []):
        RECORDED.setdefault(section, {})[row, column] = result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from .shares import Shares  # a process alone needs no xdist

    return Shares(config, log)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        kept = most_telling(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test's fixtures can know of it: `page` takes its picture."""
    report = (yield).get_result()
    item.failed = getattr(item, "failed", False) or report.failed


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"{len(skipped)} skipped")
        for line in reasons(skipped):
            terminalreporter.write_line(line)
    for section, cells in RECORDED.items():
        terminalreporter.section(section)
        for line in table(cells):
            terminalreporter.write_line(line)
    spent = times(report for reports in terminalreporter.stats.values() for report in reports)
    if spent:
        terminalreporter.section("seconds and tests of each file")
        for line in table(spent):
            terminalreporter.write_line(line)


def pytest_generate_tests(metafunc):
    if "webui" in metafunc.fixturenames:
        given = {name: of_this_process(metafunc.config.getoption(name)) for name in HOSTS}
        addresses = [(name, url) for name, url in given.items() if url]
        metafunc.parametrize("webui", addresses, indirect=True, ids=[name for name, _ in addresses])


@pytest.fixture(scope="session")
def comfy(request):
    url = request.config.getoption("--comfy")
    if not url:
        pytest.skip("no ComfyUI given: --comfy http://...")
    return ComfyUI(url)


class Picture:
    """One answer of the API: `pixels` of the first picture (uint8), all `images`, and `infotext`."""

    def __init__(self, answer: dict):
        self.images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(i)))) for i in answer["images"]]
        self.info = json.loads(answer["info"])
        self.infotext = self.info["infotexts"][0]

    @property
    def pixels(self):
        return self.images[0]


def distance(one, other) -> int:
    """The largest difference of two pictures' pixels, in levels."""
    return int(np.abs(one.astype(int) - other).max())


class WebUI:
    def __init__(self, name: str, url: str):
        self.name, self.url = name, url.rstrip("/")
        self.connect()

    @property
    def forge(self) -> bool:
        """Whether it is Forge or what has come of it."""
        return self.name != "a1111"

    @functools.cached_property
    def modules(self) -> list:
        return [m["model_name"] for m in self.get("/sdapi/v1/sd-modules")]

    @functools.cached_property
    def gradio(self) -> int:
        """Its major version."""
        return int(self.get("/config")["version"].partition(".")[0])

    def for_neo(self, payload: dict) -> dict:
        """A request that does not name its modules is drawn with those of the one before; latents are not upscaled."""
        overrides = payload.get("override_settings", {})
        modules = families.modules_of(self, overrides.get("sd_model_checkpoint", ""))
        more = {"override_settings": {"forge_additional_modules": modules, **overrides}}
        if payload.get("enable_hr") and payload.get("hr_upscaler", "Latent").startswith("Latent"):
            more["hr_upscaler"] = "None"
        return {**payload, **more}

    def connect(self):
        self.client = httpx.Client(base_url=self.url, timeout=300)

    def get(self, path: str):
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, payload: "dict | None" = None, **kwargs) -> httpx.Response:
        answer = self.client.post(path, **(kwargs or {"json": payload}))
        if answer.status_code == 500:
            self.connect()  # after an exception of its own the WebUI hangs up
        return answer

    def request(self, w2sd=None, kind: str = "txt2img", **payload) -> httpx.Response:
        """One request. `w2sd`: the settings object (beside REFLECTED), or a list of arguments."""
        payload = {**PLAIN, **payload}
        if self.forge and payload.get("enable_hr"):
            # What its own page sends; the API has no working default.
            payload = {"hr_additional_modules": ["Use same choices"], "hr_cfg": payload["cfg_scale"], **payload}
        if self.name == "neo":
            payload = self.for_neo(payload)
        if w2sd is not None:
            args = w2sd if isinstance(w2sd, list) else [{**REFLECTED, **w2sd}]
            payload["alwayson_scripts"] = {**payload.get("alwayson_scripts", {}), "W2SD": {"args": args}}
        return self.post(f"/sdapi/v1/{kind}", payload)

    def picture(self, w2sd=None, kind: str = "txt2img", **payload) -> Picture:
        return self.answered(self.request(w2sd, kind, **payload))

    def answered(self, answer: httpx.Response) -> Picture:
        assert answer.status_code == 200, answer.text[:2000]
        return Picture(answer.json())

    def trace(self) -> list:
        """The passes of the last request with W2SD."""
        return self.get("/w2sd/v1/trace")["passes"]

    def refused(self, w2sd, **payload) -> str:
        """The message of a request that must not give a picture."""
        answer = self.request(w2sd, **payload)
        assert answer.status_code >= 400, "a picture came back"
        return answer.json()["detail"]


@pytest.fixture(scope="session")
def webui(request):
    name, url = request.param
    host = WebUI(name, url)
    # Previews cost time, and some kinds of them want a download.
    host.post("/sdapi/v1/options", {"live_previews_enable": False})
    return host


@pytest.fixture
def every(request) -> bool:
    """ALL=1."""
    return request.config.getoption("--all-combinations")


@pytest.fixture
def shared_out(webui, every):
    """shared_out(values, k, n): those that the k-th of n tests asks about. What goes by the method and not by the host
    is asked of all values by each of them on A1111 (with `there`: of every `there`-th), on the others
    of each value by one of them."""

    def values_of(values, k: int, n: int, there: int = 1) -> list:
        step = 1 if every else there if webui.name == "a1111" else n
        return list(values)[k % step :: step]

    return values_of


@pytest.fixture(scope="session")
def plain(webui):
    """The plain picture of the default request, for comparison."""
    return webui.picture()


def png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="session")
def init_image():
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))
