"""The accordion in a real browser: presets, switches, cost, warnings, the plot, comparison, the ready grid."""

import json
import re

import pytest
from playwright.sync_api import expect

from lib_w2sd.gaps import GAPS
from lib_w2sd.page import presets

from .conftest import PLAIN
from .pages import ACCORDION, TIMEOUT, ahead, browser, page, paste  # noqa: F401  (fixtures)

OWN = "made by a test"


def gaps(page):
    """The gaps that are switched on, where their sections, and no others, are shown."""
    offered = page.page.locator(f"{ACCORDION}_gaps input").evaluate_all("boxes => boxes.map(box => box.dataset.gap)")
    on = [gap for gap in offered if page.page.locator(f"{ACCORDION}_gap_{gap}").is_checked()]
    shown = [g.name for g in GAPS if page.page.locator(f"{ACCORDION}_section_{g.name}").is_visible()]
    return on if on == shown else f"{on} are on, {shown} shown"


def settings(page):
    """What the page's own half reads in the accordion."""
    return {
        "lambda_steps": page.value("lambda_steps"),
        "weak_cfg": page.value("weak_cfg"),
        "weak_lora_offset": page.value("weak_lora_offset"),
        "weak_distilled_cfg": page.value("weak_distilled_cfg"),
    }


def rows(page) -> "tuple[int, int]":
    """With W2SD and without, where the mouse rests on the line in bold."""
    told = page.page.locator(f"{ACCORDION}_panel .w2sd-cost").first.get_attribute("title")
    return tuple(map(int, re.findall(r"\d+", told)))


# name -> (what it fills in beside the defaults, the gaps that it switches on)
FILLS = {
    "Follow the prompt more (Z-Sampling)": ({"weak_cfg": "0"}, ["guidance"]),
    "More of my LoRA": ({"weak_lora_offset": "-2.3", "weak_cfg": "1"}, ["loras"]),
    "More of my checkpoint": ({"weak_cfg": "1"}, ["checkpoint"]),
    "More of my prompt's detail": ({"weak_cfg": "1"}, ["prompt"]),
    "Follow the prompt more, and more of my checkpoint": ({"weak_cfg": "0"}, ["guidance", "checkpoint"]),
    "Flux: follow the prompt more": (
        {"weak_distilled_cfg": "1", "weak_cfg": "1", "lambda_steps": "10"},
        ["distilled"],
    ),
}


def test_presets_fill_the_fields_and_show_what_applies(page, webui):
    """One after the other: nothing is left of the one before."""
    page.fill(steps=20).open()
    for name, (filled, shown) in FILLS.items():
        if "distilled" in shown and webui.name == "a1111":
            assert page.page.locator(f"{ACCORDION}_gap_distilled").count() == 0
            continue  # neither the switch nor the preset is offered where it could only be refused
        page.preset(name)
        expected = {"lambda_steps": "-1", "weak_lora_offset": "0", "weak_distilled_cfg": "", **filled}
        page.eventually(lambda: settings(page), expected)
        page.eventually(lambda: gaps(page), shown)
        expect(page.setting("panel")).to_contain_text(presets.BUILT_IN[name].about)


def test_what_the_weak_version_is_drawn_without_is_read_from_its_boxes(page, webui):
    page.fill(steps=20).open()
    if page.page.locator(f"{ACCORDION}_gap_pipeline").count() == 0:
        assert webui.name == "a1111", "without sd-webui-controlnet the switch is not there"
        return
    page.preset("Closer to my ControlNet")
    page.eventually(lambda: gaps(page), ["pipeline"])
    assert "was given" not in page.said()
    expect(page.setting("panel")).to_contain_text("19 of 20 steps improved")
    other = "FreeU" if webui.forge else "IP-Adapter"
    page.page.locator(f"{ACCORDION}_weak_without label", has_text=other).first.click()
    said = f"there is no ControlNet and no {other} in this picture"
    assert said in " ".join(page.generate())
    assert said in webui.refused({"lambda_steps": 3, "weak_without": f"ControlNet, {other}"})


def test_same_time_as_before_halves_the_pages_steps(page):
    page.fill(steps=25).open()
    page.preset("Same time as before")
    expect(page.page.locator("#txt2img_steps input[type=number]")).to_have_value("12")
    page.eventually(lambda: settings(page)["lambda_steps"], "6")
    page.eventually(lambda: gaps(page), ["guidance"])
    # What the picture took before, not at the steps that the preset has just halved.
    expect(page.setting("panel")).to_contain_text("of your 25 steps: 6 of 12 steps improved.")
    page.number("#txt2img_steps", 20)
    expect(page.setting("panel")).not_to_contain_text("of your")
    page.number("#txt2img_steps", 12)
    infotext, _ = page.generate()
    assert "Steps: 12," in infotext and "W2SD lambda: 6," in infotext


def test_own_preset_saved_used_after_a_reload_and_deleted(page):
    page.fill().open()
    page.number(f"{ACCORDION}_lambda_steps", 3)
    page.number(f"{ACCORDION}_weak_cfg", 2.5)
    box = page.setting("preset").locator("input").first
    box.fill(OWN)
    box.press("Enter")
    page.page.wait_for_timeout(1000)
    for _ in range(2):  # asks first, where a run that was killed has left one
        page.page.click(f"{ACCORDION}_preset_save")
        page.page.wait_for_timeout(1500)
        if page.said("preset_about") == f"Saved as '{OWN}'.":
            break
    assert page.said("preset_about") == f"Saved as '{OWN}'."
    page.page.reload()
    page.page.wait_for_selector(ACCORDION, timeout=TIMEOUT)
    page.page.wait_for_timeout(3000)
    page.fill().open()
    page.page.wait_for_timeout(1500)
    assert settings(page)["lambda_steps"] == "10"
    page.preset(OWN)
    page.eventually(lambda: (settings(page)["lambda_steps"], settings(page)["weak_cfg"]), ("3", "2.5"))
    infotext, _ = page.generate()
    assert "W2SD lambda: 3," in infotext and "W2SD weak CFG: 2.5" in infotext
    for _ in range(2):  # asks first
        page.page.click(f"{ACCORDION}_preset_delete")
        page.page.wait_for_timeout(1500)
    assert page.said("preset_about") == f"Deleted '{OWN}'."
    page.setting("preset").locator("input").first.click()
    expect(page.page.locator(f"ul.options li[aria-label='{OWN}']")).to_have_count(0)


def test_a_presets_name_that_is_none_is_said(page):
    page.open()
    box = page.setting("preset").locator("input").first
    box.fill("../<b>")
    box.press("Enter")
    page.page.wait_for_timeout(1000)
    page.page.click(f"{ACCORDION}_preset_save")
    page.page.wait_for_timeout(1500)
    assert "1 to 60 letters" in page.said("preset_about")


def test_switches_of_the_gaps(page):
    page.fill().open()
    page.page.wait_for_timeout(1000)
    page.eventually(lambda: gaps(page), ["guidance"])
    page.gap("loras", True)
    page.eventually(lambda: gaps(page), ["guidance", "loras"])
    assert settings(page)["weak_lora_offset"] == "-2.3"
    page.gap("guidance", False)
    page.eventually(lambda: gaps(page), ["loras"])
    assert settings(page)["weak_cfg"] == "1"
    page.gap("loras", False)
    page.eventually(lambda: gaps(page), [])
    assert settings(page)["weak_lora_offset"] == "0"
    page.gap("prompt", True)
    box = page.setting("weak_prompt").locator("textarea")
    # By keyboard; what stands there in between does not make the section go.
    box.press("Control+a")
    box.press_sequentially("{prompt}", delay=30)
    page.page.wait_for_timeout(1000)
    page.eventually(lambda: gaps(page), ["prompt"])
    box.press_sequentially(", blurry", delay=30)
    page.gap("prompt", False)
    page.eventually(lambda: gaps(page), [])
    assert box.input_value() == "{prompt}"
    page.gap("guidance", True)
    page.eventually(lambda: gaps(page), ["guidance"])
    assert settings(page)["weak_cfg"] == "0"


def test_switch_by_keyboard(page):
    page.fill().open()
    box = page.page.locator(f"{ACCORDION}_gap_checkpoint")
    box.focus()
    page.page.keyboard.press("Space")
    page.page.wait_for_timeout(1000)
    page.eventually(lambda: gaps(page), ["guidance", "checkpoint"])


def test_paste_shows_what_was_used(page, webui):
    made = webui.picture({"lambda_steps": 4, "weak_cfg": 2, "weak_prompt": "a dog", "comparison": True})
    page.open()
    page.gap("loras", True)
    paste(page, made.infotext)
    page.page.wait_for_timeout(1000)
    page.eventually(lambda: gaps(page), ["guidance", "prompt"])
    expect(page.setting("panel")).to_contain_text("About 3 × the time: 4 of 8 steps improved. The comparison")
    assert rows(page)[:2] == (8 * 2 + 4 * 4 + 16, 16)


def test_cost_follows_the_page_and_is_what_the_run_takes(page, webui):
    page.fill(steps=20).open()
    page.number(f"{ACCORDION}_lambda_steps", 10)
    expect(page.setting("panel")).to_contain_text("About 1 × the time: 9 of 20 steps improved")
    assert rows(page) == (40, 40)
    page.reflect()
    expect(page.setting("panel")).to_contain_text("About 1.5 × the time: 10 of 20 steps improved")
    assert rows(page) == (60, 40)
    page.number("#txt2img_steps", 8)
    page.number("#txt2img_batch_size", 2)
    page.number(f"{ACCORDION}_lambda_steps", 3)
    expect(page.setting("panel")).to_contain_text("About 1.38 × the time: 3 of 8 steps improved")
    assert rows(page) == (44, 32)
    page.choose("#txt2img_sampling", "Heun")
    expect(page.setting("panel")).to_contain_text("About 1.2 × the time: 3 of 8 steps improved")
    assert rows(page) == (72, 60)
    page.experts().setting("inversion").locator("input[value=paper]").check()
    expect(page.setting("panel")).to_contain_text("About 1.3 × the time: 3 of 8 steps improved")
    assert rows(page) == (78, 60)
    page.generate()
    assert sum(p["rows"] for p in webui.trace()) == 78
    page.number("#txt2img_batch_size", 1)


def test_cost_of_the_hires_pass(page, webui):
    page.fill(steps=4).open().reflect()
    page.number(f"{ACCORDION}_lambda_steps", 2)
    page.open("#txt2img_hr")
    page.page.wait_for_timeout(1000)
    page.number("#txt2img_hires_steps", 3)
    if webui.forge:
        page.number("#txt2img_hr_cfg", 6.5)
    # 2 rows a step and 2 more a reflection; the second pass has 4 times the area.
    expect(page.setting("panel")).to_contain_text("2 + 2 of 4 + 3 steps improved")
    assert rows(page) == (22, 14)
    expect(page.setting("panel")).to_contain_text("About 1.62 × the time")
    page.generate()
    assert [p["rows"] for p in webui.trace()] == [12, 10]
    page.page.locator("#txt2img_hr-visible-checkbox").uncheck()


def test_cost_in_img2img(page):
    page.to("img2img")
    page.page.locator("#w2sd_img2img > .label-wrap .icon").click()
    page.number("#img2img_steps", 20)
    page.number("#img2img_denoising_strength", 0.5)
    panel = page.page.locator("#w2sd_img2img_panel").first
    expect(panel).to_contain_text("9 of 11 steps improved")


def test_warnings_before_the_click(page, webui):
    page.fill(steps=8).open()
    panel = page.setting("panel")
    expect(panel).to_contain_text("10 steps to improve are asked for, 8 steps allow 6")
    page.number(f"{ACCORDION}_lambda_steps", 4)
    expect(panel).not_to_contain_text("are asked for")
    page.number(f"{ACCORDION}_weak_cfg", 9)
    expect(panel).to_contain_text("Weak CFG 9 is above the strong side's 6.5")
    page.number(f"{ACCORDION}_weak_cfg", 6.5)
    expect(panel).to_contain_text("Nothing differs")
    page.number(f"{ACCORDION}_weak_cfg", 0)
    expect(panel.locator("li")).to_have_count(0)
    page.gap("loras", True)
    expect(panel).to_contain_text("the prompt has no LoRA")
    page.page.fill("#txt2img_prompt textarea", "a cat <lora:any:1>")
    expect(panel).not_to_contain_text("the prompt has no LoRA")
    page.page.fill("#txt2img_prompt textarea", PLAIN["prompt"])
    page.gap("loras", False)
    page.gap("checkpoint", True)
    above = ":is(#setting_sd_model_checkpoint, .model_selection)"  # A1111's, Forge's
    chosen = page.page.locator(f"{above} input").first
    # Forge Neo's page has a choice of its own; Forge's is empty where a request gave a name.
    if not chosen.input_value():
        titles = {model["model_name"]: model["title"] for model in webui.get("/sdapi/v1/sd-models")}
        kept = webui.get("/sdapi/v1/options")["sd_model_checkpoint"]  # a title, or a name where a request gave one
        page.choose(above, titles.get(kept, kept))
    loaded = chosen.input_value()
    page.choose(f"{ACCORDION}_weak_checkpoint", re.sub(r" \[.*", "", loaded))
    expect(panel).to_contain_text("The weak checkpoint is the loaded one")
    page.gap("checkpoint", False)
    expect(panel.locator("li")).to_have_count(0)
    page.choose("#txt2img_sampling", "DDIM")  # which every WebUI has
    expect(panel).to_contain_text("lambda counts those made")
    page.shot("warnings", ACCORDION)


def test_plot_after_a_run(page, webui):
    page.fill().open().reflect()
    page.number(f"{ACCORDION}_lambda_steps", 4)
    assert page.page.locator(f"{ACCORDION}_run svg").count() == 0
    page.generate()
    expect(page.page.locator(f"{ACCORDION}_run svg").first).to_be_visible(timeout=TIMEOUT)
    (run,) = webui.trace()
    assert "4 of 8 steps improved" in page.said("run")
    assert page.page.locator(f"{ACCORDION}_run [title]").first.get_attribute("title") == f"{run['rows']} UNet rows"
    finite = [r for r in run["reflections"] if r["gap_norm"] is not None]
    size = page.page.locator(f"{ACCORDION}_run svg.w2sd-plot").first
    assert size.locator("circle").count() == len(finite)
    page.shot("plot", ACCORDION)


def test_comparison_picture(page, webui):
    page.fill().open()
    page.number(f"{ACCORDION}_lambda_steps", 4)
    page.setting("comparison").locator("input").check()
    infotext, _ = page.generate()
    assert "W2SD lambda: 4" in infotext
    # Each picture is there more than once, small and large.
    widths = page.page.locator("#txt2img_gallery img").evaluate_all(
        "images => Object.entries(Object.fromEntries(images.map(image => [image.src, image.naturalWidth])))"
    )
    plain, compared = sorted(width for _, width in widths)
    assert plain == PLAIN["width"] and compared >= 3 * PLAIN["width"]
    page.shot("comparison", "#txt2img_results")


def test_a_preset_asks_for_what_it_needs_and_puts_the_cursor_there(page):
    page.fill().open()
    panel = page.setting("panel")
    for name, where, given in (
        ("More of my checkpoint", f"{ACCORDION}_weak_checkpoint", None),
        ("More of my prompt's detail", f"{ACCORDION}_weak_prompt", "a dog"),
        ("More of my LoRA", "#txt2img_prompt", "a cat <lora:any:0.8>"),
    ):
        page.preset(name)
        ask = presets.BUILT_IN[name].ask
        expect(panel).to_contain_text(ask)
        expect(panel).not_to_contain_text("Nothing differs")
        expect(page.page.locator(where).locator("textarea, input").first).to_be_focused()
        if given:
            page.page.fill(f"{where} textarea", given)
            expect(panel).not_to_contain_text(ask)


# The way to the grid is cut short, as on a busy machine.
CUT_SHORT = """accordion => document.querySelector(`${accordion}_grid`).addEventListener(
  "click", () => setTimeout(() => scrollTo({top: 0, behavior: "instant"}), 700)
)"""


def test_ready_grid(page, webui):
    page.fill(steps=4)
    page.open().reflect().experts()  # open, so that there is more than fits a window
    page.setting("comparison").locator("input").check()
    page.page.evaluate(CUT_SHORT, ACCORDION)
    page.page.click(f"{ACCORDION}_grid")
    page.page.wait_for_timeout(3000)
    told = page.page.locator(".w2sd-filled")
    expect(told).to_contain_text("Press Generate")
    expect(told).to_be_in_viewport()
    expect(page.page.locator("#script_list input").first).to_have_value("X/Y/Z plot")
    boxes = {
        "x_type": "[W2SD] Lambda",
        "x_values": "0, 1, 2, 3",
        "y_type": "[W2SD] Weak CFG",
        "y_values": "-2, 0, 1, 3",
    }
    for part, value in boxes.items():
        box = page.page.locator(f"#script_txt2img_xyz_plot_{part}").locator("textarea, input").first
        expect(box).to_have_value(value)
    page.number("#txt2img_steps", 2)
    infotext, _ = page.generate(timeout=4 * TIMEOUT)
    assert "W2SD comparison" not in infotext, "a grid's cells are not compared"
    page.shot("grid")
    width = page.page.locator("#txt2img_gallery img").first.evaluate("image => image.naturalWidth")
    assert width >= 4 * PLAIN["width"]
    assert len(webui.trace()[0]["reflections"]) == 1, "the last cell's lambda is 3, and it has two steps"


def test_page_asks_for_nothing_until_the_accordion_is_opened(page):
    """What the host itself asks at a start does not name us, and nothing of it is ours."""
    config = page.page.evaluate("() => window.gradio_config || null")
    ours = {c["id"] for c in config["components"] if str(c["props"].get("elem_id", "")).startswith("w2sd_")}
    asked = []

    def note(request):
        if "/w2sd/v1" in request.url:
            asked.append(request.url)
        if request.method == "POST" and request.post_data:
            index = json.loads(request.post_data).get("fn_index") if request.post_data.startswith("{") else None
            if index is not None:
                targets = [t if isinstance(t, int) else t[0] for t in config["dependencies"][index]["targets"]]
                asked.extend(target for target in targets if target in ours)

    page.page.on("request", note)
    page.page.reload()
    page.page.wait_for_selector(ACCORDION, timeout=TIMEOUT)
    page.page.wait_for_timeout(4000)
    assert asked == []


def test_a_translated_page_is_read_by_its_values(page):
    """Words are what a WebUI's localization puts in their place; here it is given all of ours, in the browser."""
    page.fill(steps=8).open()
    if not page.page.locator(f"{ACCORDION}_gap_pipeline").count():
        pytest.skip("this WebUI has nothing that a weak version could do without")
    page.experts().gap("pipeline", True)
    page.page.evaluate(
        """() => {
            for (const node of document.querySelectorAll("[id^=w2sd_txt2img] label, [id^=w2sd_txt2img] label span")) {
                if (!node.children.length) window.localization[node.textContent.trim()] = "ä" + node.textContent.trim();
            }
            localizeWholePage();
        }"""
    )
    boxes = page.setting("weak_without").locator("label")
    assert all("ä" in words for words in boxes.all_inner_texts())
    boxes.filter(has_text="äIP-Adapter").locator("input").check()
    page.setting("inversion").locator("input[value=paper]").check()
    page.page.wait_for_timeout(1500)
    asked = page.page.evaluate(
        """async () => {
            const real = window.fetch, bodies = [];
            window.fetch = (where, how) => {
                if (String(where).includes("estimate")) bodies.push(how.body);
                return real(where, how);
            };
            w2sdPage.refreshSoon();
            document.querySelector("#txt2img_steps input[type=number]").value = "9";
            w2sdPage.refreshSoon();
            await new Promise((done) => setTimeout(done, 2000));
            window.fetch = real;
            return bodies;
        }"""
    )
    told = json.loads(asked[-1])["settings"]
    assert "IP-Adapter" in told["weak_without"] and all("ä" not in name for name in told["weak_without"])
    assert told["inversion"] == "paper" and told["hires"] in ("same", "off", "own")
    assert "weak_without" not in page.said()


def test_a_script_of_the_list_is_told_before_the_click(page):
    page.fill(steps=8).open()
    page.setting("comparison").locator("input").check()
    page.page.wait_for_timeout(1500)
    assert "The comparison picture is counted" in page.said()
    page.choose("#txt2img_script_container #script_list", "Prompt matrix")
    page.page.wait_for_timeout(1500)
    said = page.said()
    assert "The comparison picture is counted" not in said and "No comparison picture is made with a script" in said
