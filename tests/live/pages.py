"""The WebUI's page in a real browser (Chromium; CHROMIUM names another program), for the tests that use it."""

import io
import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from ..reflected import REFLECTED
from .conftest import PLAIN

ACCORDION = "#w2sd_txt2img"
OF_A_GRADIO, SHARED_GRADIO = ("test_page_accordion", "test_page_promises"), 4
TIMEOUT = 120_000
# The copy of Neo that is pinned loads each new tab's page a second time, two seconds after the first (modules/ui.py).
LOADED_ONCE = "sessionStorage.setItem('physton_icon_refreshed', '1')"
# The host shows its button Interrupt from the click to the end. The log below the gallery is written anew then, and
# holds the time taken: it mostly changes, but not if the run before took as long. Where it does not, a while will do.
WATCH = """tab => {
  const button = document.querySelector(`#${tab}_interrupt`), log = document.querySelector(`#html_log_${tab}`);
  const run = window.w2sdRun = {button, log, before: log.innerHTML, begun: false, ended: null};
  const look = () => {
    const shown = getComputedStyle(button).display != 'none';
    run.begun ||= shown;
    run.ended = !run.begun || shown ? null : run.ended ?? performance.now();
  };
  new MutationObserver(look).observe(button, {attributes: true});
}"""
DONE = """tab => {
  const {button, log, before, ended} = window.w2sdRun;
  if (getComputedStyle(button).display != 'none') return false;
  // The host hides its button when the job has ended, which can be before Gradio has the answer.
  if (document.querySelector(`#html_log_${tab} .pending`)) return false;
  const now = document.querySelector(`#html_log_${tab}`).innerHTML;
  return now != before || (ended !== null && performance.now() - ended > 3000);
}"""


# As the hosts' own scripts write into a field.
FILL = """fields => {
  for (const [where, value] of Object.entries(fields)) {
    const box = document.querySelector(where);
    box.value = value;
    updateInput(box);
  }
}"""


def tabs(where: str) -> str:
    """The buttons of a row of tabs: up to Gradio 4, and since."""
    return f"{where} > .tab-nav button, {where} > .tab-wrapper > [role=tablist] button"


def program() -> "str | None":
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


STICKING_OUT = """accordion => {
    const outer = accordion.getBoundingClientRect();
    return [...accordion.querySelectorAll("input, textarea")].filter((control) => {
        const box = control.getBoundingClientRect();
        return control.checkVisibility() && box.width && (box.left < outer.left || box.right > outer.right + 1);
    }).map((control) => control.closest("[id]").id);
}"""


@contextmanager
def chromium():
    # Without these Chromium calls home at every start.
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=quiet)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser():
    if program() is None:
        pytest.skip("no Chromium on this machine: set CHROMIUM to the program")
    with chromium() as browser:
        yield browser


class Page:
    """A tab (txt2img, until `to` another), filled with the request that the other tests send through the API."""

    tab = "txt2img"

    def __init__(self, browser, webui, shots: Path, dark=False, width=1500, height=1900):
        self.webui, self.shots = webui, shots
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(TIMEOUT)  # of a click, of the way to a page: the machine may be busy
        self.page.add_init_script(LOADED_ONCE)
        self.page.goto(webui.url + ("/?__theme=dark" if dark else "/?__theme=light"), wait_until="commit")
        self.begun = time.monotonic()

    def loaded(self):
        self.page.wait_for_selector(ACCORDION, timeout=TIMEOUT)
        self.page.wait_for_selector("#txt2img_generate", timeout=TIMEOUT)
        # The host's own scripts go on for a while after that.
        self.page.wait_for_timeout(1000 if time.monotonic() - self.begun > 20 else 2000)
        return self

    def to(self, tab):
        self.tab = tab
        self.page.locator(tabs("#tabs"), has_text=tab).first.click()
        return self

    def fill(self, **values):
        request = {**PLAIN, **values}
        texts = {f"#{self.tab}_{name} textarea": name for name in ("prompt", "neg_prompt")}
        numbers = ("steps", "width", "height", "cfg_scale", "seed")
        fields = {**texts, **{f"#{self.tab}_{name} input[type=number]": name for name in numbers}}
        request["neg_prompt"] = request["negative_prompt"]
        self.page.evaluate(FILL, {where: str(request[name]) for where, name in fields.items()})
        if self.page.locator(f"#{self.tab}_sampling input").first.input_value() != request["sampler_name"]:
            self.choose(f"#{self.tab}_sampling", request["sampler_name"])
        return self

    def number(self, where, value):
        box = self.page.locator(f"{where} input[type=number]").first
        box.fill(str(value))
        box.blur()

    def choose(self, where, value, nth=0):
        box = self.page.locator(f"{where} input").nth(nth)
        box.click()
        box.fill(str(value))
        # Prompt matrix is Prompt Matrix on Neo.
        self.page.locator(f'ul.options li[aria-label="{value}" i]').first.click()

    def open(self, where=ACCORDION):
        self.page.locator(f"{where} > .label-wrap .icon").click()
        return self

    def narrow(self, width: int):
        self.page.set_viewport_size({"width": width, "height": 1900})
        self.page.wait_for_timeout(500)
        return self

    def eventually(self, told, expected):
        """What `told()` gives becomes `expected`: some of the page is filled in by the server."""
        for _ in range(40):
            if told() == expected:
                return
            self.page.wait_for_timeout(250)
        assert told() == expected

    def sticking_out(self) -> list:
        """The controls that reach over the accordion's sides."""
        return self.page.locator(ACCORDION).evaluate(STICKING_OUT)

    def setting(self, name):
        return self.page.locator(f"{ACCORDION}_{name}").first

    def value(self, name):
        """What stands in a number's or a text's box."""
        return self.setting(name).locator("input[type=number], textarea, input").first.input_value()

    def gap(self, name, on: bool):
        # What is in force is known with the first answer.
        self.page.locator(f"{ACCORDION} .w2sd-cost:not(:empty)").wait_for(timeout=TIMEOUT)
        self.page.locator(f"{ACCORDION}_gap_{name}").set_checked(on)
        self.page.wait_for_timeout(1000)

    def reflect(self):
        """As REFLECTED, which is not as the page's defaults are."""
        self.experts().setting("inversion").locator(f"input[value={REFLECTED['inversion']}]").check()
        self.number(f"{ACCORDION}_strength", REFLECTED["strength"])
        return self.experts()  # closed again

    def experts(self):
        return self.open(f"{ACCORDION}_experts")

    def preset(self, name):
        # The list of a weak checkpoint, where a preset has put the cursor, can lie over the box.
        self.page.evaluate("document.activeElement?.blur()")
        # Not written: Gradio 3.41 leaves the list open under what was.
        self.page.locator(f"{ACCORDION}_preset input").first.click()
        self.page.locator(f'{ACCORDION}_preset ul.options li[aria-label="{name}"]').first.click()
        self.page.keyboard.press("Tab")  # where the list lay over the box, the click opens it again
        self.page.wait_for_timeout(1000)

    def said(self, part="panel"):
        """The text of the panel (cost and warnings), of a preset (preset_about) or of the last run (run)."""
        return self.page.locator(f"{ACCORDION}_{part}").first.inner_text()

    def generate(self, timeout=TIMEOUT):
        """Press Generate and wait; the infotext below the gallery, or the error there."""
        self.begin()
        return self.ended(timeout)

    def begin(self):
        self.page.evaluate(WATCH, self.tab)
        self.page.click(f"#{self.tab}_generate")

    def ended(self, timeout=TIMEOUT):
        self.page.wait_for_function(DONE, arg=self.tab, timeout=timeout)
        self.page.wait_for_timeout(500)
        info, log = (self.page.locator(f"#html_{part}_{self.tab}").first for part in ("info", "log"))
        return info.inner_text(), log.inner_text()

    def gallery(self) -> list:
        """The pictures below the button, pixels of each."""
        sources = self.page.locator(f"#{self.tab}_gallery .grid-container img, #{self.tab}_gallery .thumbnails img")
        addresses = dict.fromkeys(image.get_attribute("src") for image in sources.all())
        return [
            np.asarray(Image.open(io.BytesIO(self.page.request.get(urljoin(self.webui.url, a)).body())).convert("RGB"))
            for a in addresses
        ]

    def shot(self, name, where=None):
        self.shots.mkdir(parents=True, exist_ok=True)
        target = self.page.locator(where) if where else self.page
        target.screenshot(path=self.shots / f"{self.webui.name}-{name}.png")


class Ahead:
    """Pages of a WebUI, each begun while the test before it waits for pictures: to load one takes as long as a test."""

    def __init__(self, browser, webui, shots: Path):
        self.browser, self.webui, self.shots = browser, webui, shots
        self.next = None

    def begin(self):
        self.next = self.next or Page(self.browser, self.webui, self.shots)

    def take(self) -> Page:
        self.begin()
        taken, self.next = self.next, None
        return taken.loaded()


@pytest.fixture(scope="module")
def ahead(browser, webui, request):
    made = Ahead(browser, webui, Path(request.config.rootpath) / "out" / "live")
    yield made
    if made.next:
        made.next.page.close()


def comes_next(request, webui) -> bool:
    """Whether the next test of the module that is asked of this WebUI asks for a page."""
    items = request.session.items
    after = [item for item in items[items.index(request.node) + 1 :] if not asked_elsewhere(item, webui)][:1]
    return any(item.path == request.node.path and "page" in item.fixturenames for item in after)


def asked_elsewhere(item, webui) -> bool:
    """Forge and Neo of August 2026 have the same Gradio: each has every other test of what the page itself does."""
    first = {"forge": 0, "neo": 1}.get(webui.name)
    whole = any(map(item.config.getoption, ("--all-combinations", "--quick")))
    if first is None or whole or item.path.stem not in OF_A_GRADIO or webui.gradio != SHARED_GRADIO:
        return False
    tests = [name for name in vars(item.module) if name.startswith("test_")]
    return tests.index(item.originalname) % 2 != first


@pytest.fixture
def page(ahead, request, webui):
    if asked_elsewhere(request.node, webui):
        pytest.skip(f"asked on the other WebUI of Gradio {SHARED_GRADIO}")
    made = ahead.take()
    if comes_next(request, webui):
        ahead.begin()
    yield made
    if getattr(request.node, "failed", False):
        made.shot("failed-" + re.sub(r"[^\w]+", "-", request.node.name))
    made.page.close()


def paste(page, infotext):
    page.page.fill("#txt2img_prompt textarea", infotext)
    page.page.click("#paste")
    expect(page.page.locator("#txt2img_prompt textarea")).to_have_value(PLAIN["prompt"], timeout=TIMEOUT)
    page.page.wait_for_timeout(1000)
