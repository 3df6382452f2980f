"""Takes every picture of the page in docs/ from running WebUIs, and writes it in place.

    python -m tests.live.pictures --a1111 http://127.0.0.1:7860 --forge http://127.0.0.1:7861 --neo http://127.0.0.1:7862

Of the WebUIs given, each picture is of the first that its line in PICTURES names; those of none are left as they are.
--only NAME ... takes these alone. On A1111 with what `make checkpoint` writes (the study needs it, checkpoints and
reward); elsewhere with the smallest checkpoint of a name that the live suite knows. Chromium as in the live suite.
"""

import argparse
import io
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from lib_w2sd.lab.emoji.grid import PROMPTS

from .conftest import HOSTS, WebUI
from .pages import ACCORDION, TIMEOUT, Page, chromium
from .test_emoji import ASK, a_study

OUT = Path(__file__).parents[2] / "docs"
MOST = 150_000  # bytes of a picture
TALLEST = 2500  # pixels: the first sheets of a study's gallery are enough
OWN = "emoji-strong"
SMALL = ("tiny-sd15", "small-sd15")  # as make live has them; their weights are random
REQUEST = {**ASK, "prompt": PROMPTS[3], "seed": 1}


def save(path: Path, image: Image.Image, most: int = MOST) -> int:
    """A PNG of at most so many bytes, with as many colours as that allows; then smaller."""
    image = image.convert("RGB")
    while True:
        for colours in (256, 128, 64, 32):
            file = io.BytesIO()
            image.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=1).save(file, "PNG", optimize=True)
            if len(file.getvalue()) <= most:
                path.parent.mkdir(parents=True, exist_ok=True)
                return path.write_bytes(file.getvalue())
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)


class Shots:
    """The pages of one WebUI."""

    def __init__(self, browser, webui: WebUI):
        self.browser, self.webui = browser, webui
        self.own = self.webui.name == "a1111" and OWN in self.checkpoints()
        self.request = {**REQUEST, "override_settings": {}}
        if not self.own:
            self.request.update(prompt="a photo of a cat", width=128, height=128, cfg_scale=6.5)

    def checkpoints(self) -> list:
        return [model["model_name"] for model in self.webui.get("/sdapi/v1/sd-models")]

    def checkpoint(self) -> str:
        return OWN if self.own else next((name for name in self.checkpoints() if name in SMALL), self.checkpoints()[0])

    def page(self, **kwargs) -> Page:
        page = Page(self.browser, self.webui, Path("out"), **kwargs).loaded()
        page.fill(**self.request)
        return page

    def shot(self, page: Page, where: str) -> Image.Image:
        page.page.mouse.move(0, 0)  # nothing is pointed at
        page.page.wait_for_timeout(1500)
        taken = page.page.locator(where).first.screenshot(timeout=TIMEOUT)
        page.page.close()
        return Image.open(io.BytesIO(taken))

    def on(self, page: Page) -> Page:
        box = page.page.locator(f"{ACCORDION}-visible-checkbox")
        if not box.is_checked():
            box.click()
        return page

    def after_a_run(self) -> Image.Image:
        page = self.on(self.page().open())
        page.generate(timeout=4 * TIMEOUT)
        page.page.locator(f"{ACCORDION}_run svg").first.wait_for(timeout=TIMEOUT)
        return self.shot(page, ACCORDION)

    def open(self, **kwargs) -> Image.Image:
        page = self.page(**kwargs).open().experts()
        for box in page.page.locator(f"{ACCORDION}_gaps input").all():
            if box.is_visible():  # what the loaded checkpoint can have
                page.gap(box.get_attribute("data-gap"), True)
        return self.shot(page, ACCORDION)

    def comparison(self) -> Image.Image:
        page = self.on(self.page(height=1300).open())
        page.setting("comparison").locator("input").check()
        page.generate(timeout=4 * TIMEOUT)
        thumbnails = page.page.locator("#txt2img_gallery .thumbnails button, #txt2img_gallery .thumbnail-item").all()
        widest = "button => Math.max(...[...button.querySelectorAll('img')].map(i => i.naturalWidth / i.naturalHeight))"
        max(thumbnails, key=lambda thumbnail: thumbnail.evaluate(widest)).click()
        return self.shot(page, "#txt2img_results")

    def grid(self) -> Image.Image:
        """What the button and Generate make: the grid itself."""
        page = self.page().open()
        page.page.click(f"{ACCORDION}_grid")
        page.page.wait_for_timeout(4000)
        page.generate(timeout=20 * TIMEOUT)
        found = max((Image.fromarray(pixels) for pixels in page.gallery()), key=lambda image: image.width)
        page.page.close()
        return found

    def study(self) -> Image.Image:
        if not self.own:
            raise LookupError(f"no {OWN}: make checkpoint")
        page = self.page()
        a_study(page, self.webui, f"pictures {uuid.uuid4().hex[:8]}")
        page.open()  # which closes it
        taken = self.shot(page, "#txt2img_script_container")
        return taken.crop((0, 0, taken.width, min(taken.height, TALLEST)))


@dataclass(frozen=True)
class Picture:
    """`hosts`: of these the first that is given."""

    hosts: tuple
    take: "Callable[[Shots], Image.Image]"


ANY = ("a1111", "forge", "neo")
PICTURES = {
    "accordion": Picture(("forge", "a1111", "neo"), Shots.after_a_run),
    "accordion-open": Picture(ANY, Shots.open),
    "accordion-dark": Picture(ANY, lambda shots: shots.open(dark=True)),
    "accordion-narrow": Picture(ANY, lambda shots: shots.open(width=420)),
    "accordion-neo": Picture(("neo",), Shots.after_a_run),
    "comparison": Picture(ANY, Shots.comparison),
    "grid-a1111": Picture(("a1111",), Shots.grid),
    "grid-forge": Picture(("forge",), Shots.grid),
    "study": Picture(("a1111",), Shots.study),
}
PLAYGROUND = "playground"


def playground(browser) -> Image.Image:
    """`make playground`, after one click on Generate."""
    from lib_w2sd.lab import playground as served

    blocks = served.page()
    _, url, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        page = browser.new_page(viewport={"width": 1400, "height": 1150})
        page.goto(url)
        page.locator("#w2sd_txt2img-checkbox input").check(timeout=TIMEOUT)
        page.locator("#generate").click()
        page.locator("#scores table").wait_for(timeout=4 * TIMEOUT)
        page.locator("#trace").scroll_into_view_if_needed()
        page.locator("#trace img").wait_for(timeout=TIMEOUT)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(1500)
        taken = page.screenshot()
        page.close()
    finally:
        blocks.close()
    return Image.open(io.BytesIO(taken))


def take(addresses: dict, only=(), out: Path = OUT) -> int:
    """How many were not taken. addresses: {name of a WebUI: its address}."""
    failed = 0
    with chromium() as browser:
        for name, webui in ((name, WebUI(name, url)) for name, url in addresses.items()):
            wanted = {
                picture: how.take
                for picture, how in PICTURES.items()
                if next((host for host in how.hosts if host in addresses), None) == name
                and (not only or picture in only)
            }
            if not wanted:
                continue
            shots = Shots(browser, webui)
            before = webui.get("/sdapi/v1/options")["sd_model_checkpoint"]
            webui.post("/sdapi/v1/options", {"sd_model_checkpoint": shots.checkpoint()}).raise_for_status()
            for picture, how in wanted.items():
                failed += not written(out / f"{picture}.png", lambda how=how, shots=shots: how(shots))
            with suppress(httpx.HTTPError):  # it may have ended meanwhile; the next one has its turn all the same
                webui.post("/sdapi/v1/options", {"sd_model_checkpoint": before})
        if not only or PLAYGROUND in only:
            failed += not written(out / f"{PLAYGROUND}.png", lambda: playground(browser))
    return failed


def written(path: Path, how) -> bool:
    try:
        size = save(path, how())
    except Exception as error:  # the others are taken all the same
        print(f"{path.name}: not taken: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
        return False
    print(f"{path.name}: {size / 1000:.0f} kB", flush=True)
    return True


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live.pictures", description=__doc__.splitlines()[0])
    for name, title in HOSTS.items():
        parser.add_argument(f"--{name}", help=f"address of a running {title}")
    parser.add_argument("--only", nargs="+", choices=(*PICTURES, PLAYGROUND), default=(), help="these pictures alone")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: docs)")
    given = parser.parse_args(argv)
    return take({name: url for name in HOSTS if (url := getattr(given, name))}, given.only, given.out)


if __name__ == "__main__":
    raise SystemExit(main())
