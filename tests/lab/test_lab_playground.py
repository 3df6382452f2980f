"""The playground: the WebUI's own accordion over the small model, in a real browser where there is one."""

import shutil

import pytest

gradio = pytest.importorskip("gradio")
pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")

from lib_w2sd.lab import playground
from lib_w2sd.page.settings import SETTINGS

WEAK = list(playground.WEAK_MODELS)[1]


def generate(prompt="bright bag", **changes):
    settings = [changes.get(f.name, f.default) for f in SETTINGS]
    return playground.generate(prompt, "", 4, 6, "Euler", 1.5, 1, WEAK, *settings)


def test_switched_off_both_sides_are_the_same():
    strong, reflected, _difference, plot, table = generate()
    assert strong.tobytes() == reflected.tobytes() and plot is None
    assert table.count("| 12 |") == 2  # 6 steps of a pair


def test_switched_on_the_pictures_differ_and_the_cost_is_told():
    on = {"enabled": True, "lambda_steps": 3, "strong_cfg": 1.0, "weak_cfg": 1.0}
    strong, reflected, _difference, plot, table = generate(**on)
    assert strong.tobytes() != reflected.tobytes() and plot.width > 200
    assert "| 12 |" in table and "| 18 |" in table


def test_a_bad_setting_or_prompt_is_told_on_the_page():
    with pytest.raises(gradio.Error, match="lambda_steps"):
        generate(enabled=True, lambda_steps=-7)
    with pytest.raises(gradio.Error, match="'cat'"):
        generate(prompt="cat")
    with pytest.raises(gradio.Error, match="'hat'"):
        generate(enabled=True, weak_prompt="{prompt} hat")


def test_the_page_in_a_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as p:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        try:
            browser = p.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except sync_api.Error:
            pytest.skip("there is no Chromium on this machine")
        blocks = playground.page()
        _, url, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
        try:
            page = browser.new_page(viewport={"width": 1500, "height": 1250})
            page.goto(url)
            page.locator("#w2sd_txt2img-checkbox input").check(timeout=60_000)
            page.locator("#w2sd_txt2img_weak_cfg input[type=number]").fill("0")
            page.locator("#w2sd_txt2img_strong_cfg textarea, #w2sd_txt2img_strong_cfg input").first.fill("1")
            page.locator("#generate").click()
            page.locator("#scores table").wait_for(timeout=120_000)
            page.locator("#trace").scroll_into_view_if_needed()  # the picture is loaded when it comes into sight
            page.locator("#trace img").wait_for(timeout=60_000)
            page.screenshot(path=str(tmp_path / "playground.png"), full_page=True)
            assert "W2SD" in page.locator("#scores").inner_text()
            assert (tmp_path / "playground.png").stat().st_size > 50_000
        finally:
            blocks.close()
            browser.close()
