"""What the page tells in a real browser is so: of the last job, of the preset in force, of the steps, of a name."""

import json
import re
import time

from playwright.sync_api import expect

from .pages import ACCORDION, TIMEOUT, ahead, browser, page, paste  # noqa: F401  (fixtures)

GENTLE = "Follow the prompt a little more"
SAME_TIME = "Same time as before"
OWN = "made by a test of promises"


def box(page):
    return page.setting("preset").locator("input").first


def steps(page):
    return page.page.locator("#txt2img_steps input[type=number]").first


def asked(page) -> list:
    """Every estimate that the page asks for from now on, as it was asked."""
    bodies = []
    page.page.on("request", lambda request: bodies.append(request.post_data) if "estimate" in request.url else None)
    return bodies


# ---------------------------------------------------------------------- the last job


def test_the_panel_tells_of_this_tabs_last_job_alone(page, webui):
    page.fill(steps=4).open().reflect()
    page.number(f"{ACCORDION}_lambda_steps", 2)
    page.generate()
    run = page.setting("run")
    expect(run).to_contain_text("2 of 4 steps improved", timeout=TIMEOUT)
    webui.picture({"lambda_steps": 3}, steps=7)  # somebody else's, through the API
    # Refused: no job of anybody's.
    page.gap("prompt", True)
    page.setting("weak_prompt").locator("textarea").fill("a (dog")
    _, log = page.generate()
    assert "weak_prompt" in log
    expect(run).not_to_contain_text("steps improved", timeout=TIMEOUT)
    page.gap("prompt", False)
    page.generate()
    expect(run).to_contain_text("2 of 4 steps improved", timeout=TIMEOUT)
    # Without W2SD: neither.
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    page.generate()
    expect(run).not_to_contain_text("steps improved", timeout=TIMEOUT)


def test_a_job_that_takes_as_long_as_the_one_before_has_ended_too(page):
    """The time taken, below the gallery, is then the same words."""
    page.fill(steps=4).open().reflect()
    page.page.evaluate(
        """() => Object.defineProperty(
            document.querySelector("#html_log_txt2img"), "innerText", {get: () => "Time taken: 0.7 sec."}
        )"""
    )
    page.number(f"{ACCORDION}_lambda_steps", 2)
    page.generate()
    run = page.setting("run")
    expect(run).to_contain_text("2 of 4 steps improved", timeout=TIMEOUT)
    page.number(f"{ACCORDION}_lambda_steps", 1)
    page.generate()
    expect(run).to_contain_text("1 of 4 steps improved", timeout=TIMEOUT)
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    page.generate()
    expect(run).not_to_contain_text("steps improved", timeout=TIMEOUT)


def sampling(webui):
    """Wait until the job at work has made a step."""
    for _ in range(600):
        if webui.get("/sdapi/v1/progress?skip_current_image=true")["state"]["sampling_step"] > 0:
            return
        time.sleep(0.1)
    raise AssertionError("no step in a minute")


def test_a_stopped_run_says_how_far_it_came(page, webui):
    page.fill(width=256, height=256).open().reflect()
    page.number(f"{ACCORDION}_lambda_steps", 100)
    run = page.setting("run")
    for button, steps_asked in (("interrupt", 150), ("skip", 140)):
        page.number("#txt2img_steps", steps_asked)
        page.begin()
        page.page.wait_for_timeout(500)  # until then it tells of the job before
        sampling(webui)
        page.page.click(f"#txt2img_{button}")
        page.ended()
        told = re.compile(rf"interrupted after (\d+) of {steps_asked} steps, (\d+) of (\d+) steps improved")
        expect(run).to_contain_text(told, timeout=TIMEOUT)
        made, improved, of_made = map(int, told.search(run.inner_text()).groups())
        assert made < steps_asked and made == of_made and improved <= made + 1


def test_batches_have_names_and_colours_in_the_legend(page):
    page.fill(steps=4).open().reflect()
    page.number(f"{ACCORDION}_lambda_steps", 3)
    page.number("#txt2img_batch_count", 2)
    page.generate()
    page.number("#txt2img_batch_count", 1)
    legend = page.page.locator(f"{ACCORDION}_run .w2sd-legend").first
    expect(legend).to_contain_text("batch 2", timeout=TIMEOUT)
    colours = "lines => lines.map(line => getComputedStyle(line).stroke)"
    of_names = legend.locator("line").evaluate_all(colours)
    of_lines = page.page.locator(f"{ACCORDION}_run svg.w2sd-plot").first.locator("polyline").evaluate_all(colours)
    assert of_names == of_lines and len(set(of_names)) == 2


# ---------------------------------------------------------------------- presets


def test_the_preset_in_force_is_named_and_no_other(page, webui):
    page.fill(steps=20).open()
    expect(box(page)).to_have_value(GENTLE)
    page.number(f"{ACCORDION}_weak_cfg", 2)
    expect(box(page)).to_have_value("")
    panel = page.setting("panel")
    expect(panel).to_contain_text(f"Changed from '{GENTLE}'")
    page.number(f"{ACCORDION}_weak_cfg", 0)
    expect(box(page)).to_have_value(GENTLE)
    expect(panel).not_to_contain_text("Changed from")
    page.preset("More of my LoRA")
    expect(box(page)).to_have_value("More of my LoRA")
    page.page.wait_for_timeout(6000)
    expect(box(page)).to_have_value("More of my LoRA")
    paste(page, webui.picture({"lambda_steps": -1, "strength": 0.5, "inversion": "previous-gap"}).infotext)
    expect(box(page)).to_have_value("Follow the prompt more (Z-Sampling)")


def late(page, seconds: float):
    """Every answer to the page's questions is held back."""
    page.page.evaluate(
        """(milliseconds) => {
            const real = window.fetch;
            window.fetch = async (where, how) => {
                const answer = await real(where, how);
                if (String(where).includes("estimate")) await new Promise((done) => setTimeout(done, milliseconds));
                return answer;
            };
        }""",
        seconds * 1000,
    )


def test_an_answer_that_comes_late_does_not_undo_a_choice(page):
    """It is about the settings that the accordion had before the preset filled it."""
    page.fill(steps=20)
    late(page, 1.5)
    page.open()
    page.preset("More of my LoRA")
    page.page.wait_for_timeout(5000)
    expect(box(page)).to_have_value("More of my LoRA")
    expect(page.setting("panel")).not_to_contain_text("Changed from")


def test_an_answer_that_comes_late_does_not_undo_a_name(page):
    """It is about the presets that there were before one was saved, or comes while another name is written."""
    page.fill().open()
    page.page.wait_for_timeout(2000)
    late(page, 1.5)
    page.number(f"{ACCORDION}_lambda_steps", 3)
    page.page.wait_for_timeout(500)
    try:
        saved(page, OWN)
        page.page.wait_for_timeout(3000)
        expect(box(page)).to_have_value(OWN)
        page.number(f"{ACCORDION}_lambda_steps", 4)
        page.page.wait_for_timeout(1000)
        write(page, OWN)
        page.page.wait_for_timeout(3000)
        expect(box(page)).to_have_value(OWN)
    finally:
        removed(page, OWN)


def test_a_name_that_comes_while_the_list_is_open_leaves_the_others_in_it(page):
    """Opened between the script's answer and Gradio's writing of it."""
    page.page.evaluate(
        """box => {
            const named = w2sdPage.presetNamed;
            w2sdPage.presetNamed = (tab) => {
                const told = named(tab);
                document.querySelector(box).focus();
                window.w2sdNamed = told[0];
                return told;
            };
        }""",
        f"{ACCORDION}_preset input",
    )
    page.open().page.wait_for_function("name => window.w2sdNamed === name", arg=GENTLE)
    page.page.wait_for_timeout(2000)
    assert page.page.locator(f"{ACCORDION}_preset ul.options li").count() > 3


def test_a_preset_is_held_against_the_page(page):
    page.fill(steps=20).open()
    panel = page.setting("panel")
    page.preset("Few steps: follow the prompt more")
    expect(panel).to_contain_text("This preset is for CFG 1 and 4 to 9 steps; yours are CFG 6.5 and 20 steps.")
    page.number("#txt2img_cfg_scale", 1)
    page.number("#txt2img_steps", 8)
    expect(panel).not_to_contain_text("This preset is for")
    page.preset("Follow the prompt more (Z-Sampling)")
    expect(panel).to_contain_text("At CFG 1 there is no guidance to take away")
    page.gap("prompt", True)
    expect(panel).to_contain_text("nothing is chosen below yet")


def test_same_time_halves_once_and_gives_the_steps_back(page):
    page.fill(steps=20).open()
    for _ in range(3):
        page.preset(SAME_TIME)
        expect(steps(page)).to_have_value("10")
        assert page.value("lambda_steps") == "5"
    page.preset(GENTLE)
    expect(steps(page)).to_have_value("20")
    page.preset(SAME_TIME)
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    expect(steps(page)).to_have_value("20")
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    page.preset(SAME_TIME)
    expect(steps(page)).to_have_value("10")
    page.number("#txt2img_steps", 12)  # the user's own
    page.preset(GENTLE)
    expect(steps(page)).to_have_value("12")


def write(page, name: str):
    """As paste, an input method and a phone's keyboard do: a value and an input event, and no key. Once more where
    Gradio has just been about to name a preset there: who writes sees that."""
    for _ in range(3):
        box(page).evaluate(
            """(box, name) => {
                const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
                box.focus();
                value.set.call(box, name);
                box.dispatchEvent(new InputEvent("input", {bubbles: true, data: name, inputType: "insertFromPaste"}));
            }""",
            name,
        )
        page.page.wait_for_timeout(300)
        if box(page).input_value() == name:
            return


def press(page, part: str, said: str):
    page.page.click(f"{ACCORDION}_{part}")
    expect(page.setting("preset_about")).to_contain_text(said, timeout=TIMEOUT)
    expect(page.setting("preset_about")).to_be_visible()


def save(page, name: str, said: str):
    write(page, name)
    press(page, "preset_save", said)


def saved(page, name: str):
    save(page, name, f"'{name}'")
    if "again" in page.said("preset_about"):  # a run that was killed has left one
        press(page, "preset_save", f"Saved as '{name}'.")


def removed(page, name: str):
    write(page, name)
    press(page, "preset_delete", f"again to delete the preset '{name}'")
    press(page, "preset_delete", f"Deleted '{name}'.")


def test_a_name_that_was_pasted_is_the_name_and_nothing_is_lost_by_one_click(page):
    page.fill().open()
    other, again = f"{OWN} 2", "press the disk again to overwrite"
    try:
        page.number(f"{ACCORDION}_lambda_steps", 3)
        saved(page, OWN)
        saved(page, other)
        page.number(f"{ACCORDION}_lambda_steps", 4)
        save(page, OWN, f"'{OWN}': {again}")
        save(page, other, f"'{other}': {again}")
        page.preset(OWN)
        expect(page.setting("lambda_steps").locator("input[type=number]")).to_have_value("3")
        for name in ("None", "more of my lora"):
            save(page, name, "choose another name")
        page.number(f"{ACCORDION}_lambda_steps", 4)
        save(page, OWN, again)
        press(page, "preset_save", f"Saved as '{OWN}'.")
    finally:
        for name in (OWN, other):
            removed(page, name)


def test_a_name_that_is_written_while_gradio_fills_in_another_stays(page):
    page.fill().open()
    page.page.wait_for_timeout(1000)
    write(page, OWN)
    late = """() => {
        document.activeElement.blur();
        Object.assign(w2sdPage.state.txt2img, {named: "", renamed: "of before"});
        return w2sdPage.presetNamed("txt2img");
    }"""
    assert page.page.evaluate(late) == [OWN]


# ---------------------------------------------------------------------- asking


def test_a_text_is_asked_about_once_it_is_written(page):
    page.fill().open()
    page.page.wait_for_timeout(1500)
    bodies, letters = asked(page), " in the soft light of a morning"
    begun = time.monotonic()
    page.page.locator("#txt2img_prompt textarea").press_sequentially(letters, delay=40)
    pauses = (time.monotonic() - begun) / 0.25  # a busy machine writes slowly
    page.page.wait_for_timeout(1500)
    told = len(bodies)
    assert 1 <= told <= min(2 + pauses / 2, len(letters) / 2)
    assert json.loads(bodies[-1])["page"]["prompt"].endswith("of a morning")
    page.page.wait_for_timeout(2000)
    assert len(bodies) == told, "and nothing without a change"


def test_a_server_that_does_not_answer_is_said(page):
    page.fill().open()
    panel = page.setting("panel")
    expect(panel).to_contain_text("× the time")
    page.page.route("**/w2sd/v1/estimate", lambda route: route.abort())
    page.number(f"{ACCORDION}_lambda_steps", 5)
    expect(panel).to_contain_text("does not answer")
    expect(panel).not_to_contain_text("× the time")
    page.page.unroute("**/w2sd/v1/estimate")
    page.number(f"{ACCORDION}_lambda_steps", 6)
    expect(panel).to_contain_text("5 of 8 steps improved")


def test_switched_off_the_panel_is_quiet(page):
    page.fill(steps=8).open()
    panel = page.setting("panel")
    expect(panel.locator("li")).to_have_count(1)  # 10 of 8 steps
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    expect(panel).to_contain_text("W2SD is off")
    expect(panel.locator("li")).to_have_count(0)
    page.page.locator(f"{ACCORDION}-visible-checkbox").click()
    expect(panel).not_to_contain_text("W2SD is off")
    expect(panel.locator("li")).to_have_count(1)


def test_what_the_experts_part_holds_counts_while_it_is_closed(page):
    page.fill(steps=20).open()
    bodies = asked(page)
    page.number(f"{ACCORDION}_lambda_steps", 9)
    page.page.wait_for_timeout(1500)
    settings = json.loads(bodies[-1])["settings"]
    assert settings["inversion"] == "previous-gap" and settings["rounds"] == 1 and settings["weak_without"] == []
    assert "was given" not in page.said()


# ---------------------------------------------------------------------- who cannot see, or has no mouse


def test_every_button_that_is_a_picture_has_a_name(page):
    page.fill().open().experts()
    page.page.wait_for_timeout(1000)
    for part in ("preset_save", "preset_delete", "refresh_weak_checkpoint"):
        button = page.setting(part)
        assert button.get_attribute("aria-label") and button.get_attribute("title")
    assert page.setting("preset_about").get_attribute("aria-live") == "polite"
    assert "API: lambda_steps" in page.setting("lambda_steps").get_attribute("title")
    expect(page.setting("inversion")).to_contain_text("what the step before has shown")


def test_the_accordion_opens_from_the_keyboard(page):
    head = page.page.locator(f"{ACCORDION} > .label-wrap")
    page.page.wait_for_timeout(1000)
    for key in ("Enter", "Space"):
        head.focus()
        page.page.keyboard.press(key)
        expect(page.setting("lambda_steps")).to_be_visible()
        page.page.keyboard.press(key)
        expect(page.setting("lambda_steps")).to_be_hidden()
        head.focus()


def test_the_grids_note_stands_at_the_grid_and_goes_with_it(page):
    page.fill(steps=4).open()
    page.page.click(f"{ACCORDION}_grid")
    told = page.page.locator(".w2sd-filled")
    expect(told).to_contain_text("Press Generate")
    between = page.page.evaluate(
        """() => {
            const [list, told] = ["#txt2img_script_container #script_list", ".w2sd-filled"].map(
                (where) => document.querySelector(where).getBoundingClientRect()
            );
            return told.top - list.bottom;
        }"""
    )
    assert 0 <= between < 60, "below the list of scripts"
    for axis, values in (("x", "0, 1, 2, 3"), ("y", "-2, 0, 1, 3")):  # until then the server is still filling it in
        box_of = page.page.locator(f"#script_txt2img_xyz_plot_{axis}_values").locator("textarea, input").first
        expect(box_of).to_have_value(values, timeout=TIMEOUT)
    page.choose("#script_list", "None")
    expect(told).to_have_count(0, timeout=TIMEOUT)


def test_nothing_is_longer_than_two_lines_of_a_narrow_window(page):
    page.narrow(360).open().experts()
    for gap in ("prompt", "loras", "checkpoint"):
        page.gap(gap, True)
    page.page.wait_for_timeout(1000)
    page.shot("accordion-360", ACCORDION)
    lines = page.page.locator(ACCORDION).evaluate(
        """accordion => {
            const found = [];
            const walker = document.createTreeWalker(accordion, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const words = walker.currentNode.textContent.trim(), of = walker.currentNode.parentElement;
                if (words.length < 25 || !of.offsetParent || of.closest(".w2sd-warnings, svg, style, script")) continue;
                const range = document.createRange();
                range.selectNodeContents(walker.currentNode);
                const tops = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
                if (tops.size > 2) found.push(`${tops.size}: ${words}`);
            }
            return found;
        }"""
    )
    assert lines == []
    assert page.sticking_out() == []
