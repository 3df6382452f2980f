"""The playground: the WebUI's own accordion over the small model, in a real browser where there is one."""

import shutil

import pytest

gradio = pytest.importorskip("gradio")
pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")

from lib_w2sd.lab import playground
from lib_w2sd.page.settings import SETTINGS

from ..reflected import REFLECTED


def generate(prompt="a blue heart", **changes):
    settings = [changes.get(f.name, f.default) for f in SETTINGS]
    return playground.generate(prompt, "", 2, 6, "DPM++ 2M", 4.0, 1, *settings)


def test_switched_off_both_sides_are_the_same():
    plain, reflected, _difference, plot, table = generate()
    assert plain.tobytes() == reflected.tobytes() and plot is None
    assert table.count("| 12 |") == 2  # 6 steps of a pair


ONE = {"strong_cfg": 1.0, "weak_cfg": 1.0}


@pytest.mark.parametrize(
    ("gap", "prompt", "rows"),
    [
        ({"weak_cfg": 0.0}, "a blue heart", 18),
        ({**ONE, "weak_prompt": "a heart"}, "a blue heart", 18),
        ({**ONE, "weak_checkpoint": playground.WEAK}, "a blue heart", 18),
        ({**ONE, "weak_lora_offset": -2.3}, "a blue heart <lora:ink:0.8>", 18),
        ({**ONE, "weak_loras": "<lora:blur:1>"}, "a blue heart", 18),
        ({"weak_cfg": 0.0, "inversion": "previous-gap"}, "a blue heart", 12),
        ({"weak_cfg": 0.0, "weak_alone": True}, "a blue heart", 6),
    ],
)
def test_every_gap_acts_and_its_cost_is_told(gap, prompt, rows):
    plain, reflected, _difference, plot, table = generate(prompt, **{**REFLECTED, "lambda_steps": 3, **gap})
    assert plain.tobytes() != reflected.tobytes() and plot.width > 200
    assert f"| {rows} |" in table


def test_a_bad_setting_is_told_on_the_page():
    with pytest.raises(gradio.Error, match="lambda_steps"):
        generate(enabled=True, lambda_steps=-7)
    with pytest.raises(gradio.Error, match="no LoRA 'hat'"):
        generate("a cat <lora:hat:1>")
    with pytest.raises(gradio.Error, match="no checkpoint 'other'"):
        generate(enabled=True, weak_checkpoint="other")


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
