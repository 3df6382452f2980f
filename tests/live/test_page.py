"""The WebUI's page in a real browser: the accordion's settings from the mouse to the picture."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from .conftest import PLAIN, distance, png
from .pages import ACCORDION, Page, ahead, browser, page, paste, tabs  # noqa: F401  (fixtures)


def test_tick_and_generate(page, webui):
    page.fill().open()
    page.number(f"{ACCORDION}_lambda_steps", 3)
    expect(page.page.locator(f"{ACCORDION}-visible-checkbox")).to_be_checked()
    infotext, _ = page.generate()
    page.shot("txt2img")
    assert infotext.strip() == webui.picture([{"enabled": True, "lambda_steps": 3}]).infotext.strip()
    assert webui.trace()[0]["reflected"] == 2  # previous-gap: the first step has none before it


def test_checkbox_alone_is_enough(page):
    page.fill()
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    infotext, _ = page.generate()
    assert "W2SD lambda: 10" in infotext
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    infotext, _ = page.generate()
    assert "W2SD" not in infotext


def test_img2img_tab_has_it_too(page):
    page.to("img2img")
    expect(page.page.locator("#w2sd_img2img")).to_be_visible()
    expect(page.page.locator("#w2sd_img2img_hires_pass")).to_be_hidden()


def test_img2img_batch(page, webui, init_image, tmp_path):
    """The host makes every file from one request object: each is reflected as if it had come alone."""
    files = {"1": init_image, "2": init_image[::-1].copy(), "3": 255 - init_image}
    for name, pixels in files.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    page.to("img2img").fill()
    page.number("#img2img_denoising_strength", 0.7)
    page.page.locator(tabs("#mode_img2img"), has_text="Batch").first.click()
    if webui.forge:
        uploaded = [tmp_path / f"{name}.png" for name in files]
        page.page.set_input_files("#img2img_batch_upload input[type=file]", uploaded)
    else:  # of what today's Chromium uploads, Gradio 3.41 has nothing left at Generate, without W2SD too
        page.page.locator(tabs("#img2img_batch_source"), has_text="From directory").first.click()
        page.page.fill("#img2img_batch_input_dir textarea", str(tmp_path))
    page.page.wait_for_timeout(2000)
    page.page.locator("#w2sd_img2img-visible-checkbox").click()
    _, log = page.generate()
    page.shot("batch")
    made = page.gallery()
    assert len(made) == len(files), log
    for pixels, (name, init) in zip(made, files.items()):
        asked = {"init_images": [png(init)], "denoising_strength": 0.7}
        alone, plain = (webui.picture(w2sd, "img2img", **asked) for w2sd in ([{"enabled": True}], None))
        # Forge encodes the given picture with noise that has no seed.
        assert distance(alone.pixels, pixels) <= min(2, distance(plain.pixels, pixels) / 10), name


def test_error_is_shown_below_the_gallery_and_the_next_picture_comes(page):
    page.fill().open().gap("prompt", True)
    page.setting("weak_prompt").locator("textarea").fill("a (dog")
    _, log = page.generate()
    page.shot("error", "#txt2img_results")
    assert "W2SD: weak_prompt" in log and "'a (dog'" in log and "balanced" in log
    page.setting("weak_prompt").locator("textarea").fill("a dog")
    infotext, log = page.generate()
    assert "W2SD weak prompt: a dog" in infotext
    assert "The weak prompt has no effect at weak CFG 0" in log


def test_paste_restores_the_settings_and_the_picture(page, webui):
    made = webui.picture(
        {
            "lambda_steps": -1,
            "strength": 0.35,
            "inversion": "matched",
            "weak_cfg": -1.5,
            "strong_cfg": 4.5,
            "weak_prompt": 'a "dog", {prompt}: no',
            "weak_negative_prompt": "",
            "hires": "own",
            "hires_lambda_steps": 2,
        }
    )
    paste(page, made.infotext)
    expect(page.page.locator(f"{ACCORDION}-visible-checkbox")).to_be_checked()
    page.experts()  # what is closed is not on Gradio 6's page
    values = {
        "lambda_steps": "-1",
        "strength": "0.35",
        "weak_cfg": "-1.5",
        "hires_lambda_steps": "2",
    }
    for name, value in values.items():
        expect(page.setting(name).locator("input[type=number]")).to_have_value(value)
    expect(page.setting("strong_cfg").locator("input, textarea").first).to_have_value("4.5")
    expect(page.setting("weak_prompt").locator("textarea")).to_have_value('a "dog", {prompt}: no')
    expect(page.setting("weak_negative_prompt").locator("textarea")).to_have_value("")
    for name, value in (("inversion", "matched"), ("hires", "own")):
        expect(page.setting(name).locator(f"input[value={value}]")).to_be_checked()
    infotext, _ = page.generate()
    assert infotext.strip() == made.infotext.strip()

    plain = webui.picture()
    paste(page, plain.infotext)
    expect(page.page.locator(f"{ACCORDION}-visible-checkbox")).not_to_be_checked()

    # Back on with defaults: what the earlier picture had set is reset.
    paste(page, webui.picture({"lambda_steps": 2}).infotext)
    expect(page.setting("strong_cfg").locator("input, textarea").first).to_have_value("")
    expect(page.setting("weak_prompt").locator("textarea")).to_have_value("{prompt}")
    expect(page.setting("hires").locator("input[value=same]")).to_be_checked()


def test_xyz_grid(page, webui):
    page.fill()
    page.choose("#script_list", "X/Y/Z plot")
    axes = {"x": ("[W2SD] Lambda", "0, 2, 4"), "y": ("[W2SD] Weak CFG", "0, 3")}
    for axis, (label, _) in axes.items():
        page.choose(f"#script_txt2img_xyz_plot_{axis}_type", label)
    page.page.wait_for_timeout(1500)  # choosing a type empties the values, a while later
    for axis, (_, values) in axes.items():
        box = f"#script_txt2img_xyz_plot_{axis}_values"
        page.page.locator(f"{box} textarea, {box} input").first.fill(values)
    page.generate()
    page.shot("xyz")
    width = page.page.locator("#txt2img_gallery img").first.evaluate("image => image.naturalWidth")
    assert width >= 3 * PLAIN["width"]
    assert len(webui.trace()[0]["reflections"]) == 3, "the last cell's lambda is 4, the first step has no gap before it"


def test_looks(browser, webui, request):
    """Screenshots to be looked at: light, narrow, dark. What can be asserted: nothing sticks out to the side."""
    shots = Path(request.config.rootpath) / "out" / "live"
    for theme, widths in (("light", (1500, 420)), ("dark", (1500,))):
        page = Page(browser, webui, shots, dark=theme == "dark").loaded()
        page.open().experts()
        for gap in ("prompt", "loras", "checkpoint"):
            page.gap(gap, True)
        for width in widths:
            page.narrow(width).shot(f"accordion-{theme if width > 1000 else 'narrow'}", ACCORDION)
            assert page.sticking_out() == [], (theme, width)
        page.page.close()
