"""What the accordion says before the click, and that the WebUI, asked for the same picture, agrees."""

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_w2sd.page import presets
from lib_w2sd.page.forecast import Facts, forecast, read
from lib_w2sd.page.settings import NAMES, Settings, as_dict

from ..reflected import REFLECTED, reflected
from ..settings_strategies import INVALID, VALID
from ..webui.host import same_pictures

FACTS = Facts(
    kinds={"Euler": "one", "Heun": "two"},
    footnotes={"DPM fast": "counts blocks"},
    skips_uncond=True,
    presets=presets.BUILT_IN,
    find_preset=presets.BUILT_IN.get,
)
PAGE = {
    "cfg": 7,
    "steps": 20,
    "sampler": "Euler",
    "prompt": "a cat",
    "checkpoint": "strong.safetensors [0123456789]",
    "distilled_cfg": None,
    "preset": None,
}
LORA = {"prompt": "a cat <lora:x:0.8>"}
NEGATIVE = "At CFG 1: let the negative prompt count"
FLUX = {"preset": "flux", "distilled_cfg": 3.5}


def said(settings=(), page=(), **request) -> dict:
    return forecast(FACTS, {"settings": {**REFLECTED, **dict(settings)}, "page": {**PAGE, **dict(page)}, **request})


VIDEOS = [
    # the page's own fields, the frames that are counted
    ({"batch_size": 2, "video": None}, 2),
    ({"batch_size": 2, "video": False, "frames": 16, "frames_at_once": 8}, 2),
    ({"batch_size": 2, "video": True, "frames": 24, "frames_at_once": 16}, 24),
    ({"batch_size": 2, "video": True, "frames": 0, "frames_at_once": 16}, 16),
    ({"batch_size": 2, "video": True, "frames": 24, "frames_at_once": 16, "batch_count": 2}, 48),
    # of Wan's latents
    *(({"batch_size": of, "preset": "wan"}, frames) for of, frames in ((1, 1), (4, 1), (5, 2), (16, 4), (81, 21))),
]


@pytest.mark.parametrize("page,frames", VIDEOS)
def test_a_videos_frames_are_its_pictures(page, frames):
    rows = 2 * 20 * frames  # of a pair at every step
    told = said({"lambda_steps": 10}, {**page, "preset": page.get("preset")})
    assert told["rows"] == f"{rows // 2 * 3} UNet rows instead of {rows}."


def test_a_comparison_is_counted_where_one_is_made():
    asked = {"comparison": True, "comparison_with": "same time"}
    without = said()
    assert said(asked)["cost"] == "About 4 × the time: 10 of 20 steps improved. The comparison picture is counted."
    assert said(asked)["rows"] == "160 UNet rows instead of 40, 100 of them for the comparison picture."
    for script in (None, "None"):
        assert said(asked, {"script": script}) == {**said(asked), "hidden": said(asked)["hidden"]}
    told = said(asked, {"script": "SD upscale"})
    assert told["cost"] == without["cost"]
    assert any("No comparison picture" in words and "(SD upscale)" in words for words in told["warnings"])
    assert said({}, {"script": "SD upscale"})["warnings"] == without["warnings"]


# Texts that are no setting: each makes a search for an end that is not there begin again at every place.
OPEN_ENDED = [
    {"settings": {"weak_prompt": "<lora:"}},
    {"settings": {"weak_negative_prompt": "<x:"}},
    {"settings": {"weak_prompt": "(" + "\\"}},
    {"settings": {"weak_prompt": "<lora:x:1>("}},
    {"settings": {"weak_loras": "<lora:"}},
    {"settings": {"weak_loras": "<lora:a:1>,"}},
    {"settings": {"weak_checkpoint": " "}, "page": {"checkpoint": "x"}},
    {"settings": {"weak_checkpoint": "[a] "}, "page": {"checkpoint": "x"}},
    {"settings": {"weak_model": " "}},
    {"settings": {"reward": " "}},
    {"settings": {"weak_without": ","}},
    {"settings": {"strong_cfg": "1"}},
    {"page": {"prompt": "<lora:"}},
    {"page": {"checkpoint": "[a "}, "settings": {"weak_checkpoint": "x"}},
    {"page": {"sampler": "Euler "}},
    {"preset": "a "},
]


@pytest.mark.parametrize("texts", OPEN_ENDED, ids=str)
def test_time_grows_no_faster_than_the_text(texts):
    def seconds(length):
        asked = {"settings": {}, "page": dict(PAGE)}
        for where, of in texts.items():
            if where == "preset":
                asked[where] = of * (length // len(of))
            else:
                asked[where] |= {key: "a" + part * (length // len(part)) + "b" for key, part in of.items()}
        took = []
        for _ in range(3):
            begun = time.process_time()
            forecast(FACTS, asked)
            took.append(time.process_time() - begun)
        return min(took)

    short, long = seconds(8_000), seconds(64_000)
    assert long < 4 * 8 * max(short, 0.002), "8 times the text"


CASES = [
    # what differs from REFLECTED, from the page; a part of each sentence that is said
    ({}, {}, []),
    ({"lambda_steps": -1}, {}, []),
    ({"lambda_steps": 19}, {}, []),
    ({"lambda_steps": 20}, {}, ["20 steps to improve are asked for, 20 steps allow 19: the last is never"]),
    ({"lambda_steps": 19, "inversion": "previous-gap"}, {}, []),
    (
        {"lambda_steps": 20, "inversion": "previous-gap"},
        {},
        ["20 steps allow 18: the last is never improved, and the first"],
    ),
    ({"lambda_steps": 1, "inversion": "previous-gap"}, {}, ["needs a step before, so at least 2 steps to improve"]),
    ({"lambda_steps": 0}, {}, ["Steps to improve is 0"]),
    ({"strength": 0}, {}, ["Strength is 0"]),
    (
        {"weak_cfg": 9},
        {},
        ["Weak CFG 9 is above the strong side's 7: that turns the gain around (Figure 12)"],
    ),
    ({"weak_cfg": 3, "strong_cfg": "2.5"}, {}, ["Weak CFG 3 is above the strong side's 2.5"]),
    ({"weak_cfg": 7}, {}, ["Nothing differs"]),
    ({"weak_cfg": 1, "strong_cfg": "1"}, {}, ["Nothing differs"]),
    ({"weak_cfg": 1, "strong_cfg": "1", "weak_prompt": "a dog"}, {}, []),
    ({"weak_prompt": "a dog"}, {}, ["The weak prompt has no effect at weak CFG 0"]),
    ({"weak_negative_prompt": "a dog"}, {}, []),
    ({"weak_negative_prompt": "a dog", "weak_cfg": 1}, {}, ["The weak negative prompt has no effect at weak CFG 1"]),
    ({"weak_lora_offset": -2.3}, {}, ["A LoRA offset has no effect"]),
    ({"weak_lora_offset": -2.3}, LORA, []),
    ({"weak_lora_offset": 0.5}, LORA, ["The weak side's LoRA offset 0.5 is above the strong side's 0"]),
    ({"weak_loras": "<lora:x:-1>"}, {}, []),
    ({"weak_checkpoint": "None"}, {}, []),
    ({"weak_checkpoint": "weak.safetensors"}, {}, []),
    ({"weak_checkpoint": "folder/strong.safetensors"}, {}, ["The weak checkpoint is the loaded one"]),
    ({"weak_checkpoint": "weak.safetensors", "weak_lora_offset": -1}, LORA, []),
    ({"weak_checkpoint_loras": True}, {}, ["LoRAs on the weak checkpoint have no effect"]),
    ({"weak_model": "sd15", "lambda_steps": 3}, {}, []),
    ({"weak_model": "sd15"}, {}, ["try 3 steps to improve first"]),
    ({"weak_refiner_checkpoint": "c"}, {}, ["A weak checkpoint for the refiner has no effect"]),
    ({"weak_model_modules": "ae"}, {}, ["no weak model is chosen"]),
    (
        {"weak_model": "sd15", "lambda_steps": 3, "weak_without": "SAG", "weak_lora_offset": -1},
        LORA,
        ["no part in LoRA scales and what is left out"],
    ),
    ({}, {"sampler": "DPM fast"}, ["DPM fast: counts blocks."]),
    ({"weak_distilled_cfg": "1"}, {}, ["Distilled CFG will be refused"]),
    ({"weak_distilled_cfg": "1"}, FLUX, []),
    ({"weak_distilled_cfg": "4"}, FLUX, ["The weak side's distilled CFG is above the strong side's"]),
    ({}, {**FLUX, "cfg": 1}, ["Flux at CFG 1 has no CFG guidance to take away"]),
    ({"weak_alone": True}, {}, ["draws alone"]),
    ({"weak_prompt": "a (dog"}, {}, ["weak_prompt (Weak prompt) was given 'a (dog', in which a ( is never closed"]),
    ({"lambda_steps": None}, {}, ["lambda_steps"]),
]


@pytest.mark.parametrize(("settings", "page", "expected"), CASES)
def test_warnings(settings, page, expected):
    warnings = said(settings, page)["warnings"]
    assert len(warnings) == len(expected), warnings
    assert all(part in sentence for part, sentence in zip(expected, warnings)), warnings


@pytest.mark.parametrize(
    ("name", "given_then"),
    [
        ("More of my LoRA", ({}, LORA)),
        ("More of my checkpoint", ({"weak_checkpoint": "weak"}, {})),
        ("Follow the prompt more, and more of my checkpoint", ({"weak_checkpoint": "weak"}, {})),
        ("More of my prompt's detail", ({"weak_prompt": "a dog"}, {})),
        ("Few steps: more of my prompt's detail", ({"weak_prompt": "a dog"}, {})),
        ("Few steps: more of my LoRA", ({}, LORA)),
        ("More than an older kind of model", ({"weak_model": "sd15"}, {})),
    ],
)
def test_a_preset_names_what_it_still_needs_until_it_is_there(name, given_then):
    preset = presets.BUILT_IN[name]
    settings, page = given_then
    few = {"cfg": 1, "steps": 8} if name.startswith("Few steps") else {}
    warnings = said(preset.fields, few, preset=name)["warnings"]
    assert preset.ask in warnings and not any("Nothing differs" in w for w in warnings)
    assert said({**preset.fields, **settings}, {**few, **page}, preset=name)["warnings"] == []
    # Other settings, though the preset's name still stands in its box.
    assert preset.ask not in said({**preset.fields, "weak_cfg": -2.0}, preset=name)["warnings"]


def test_the_preset_for_negative_prompts_asks_for_one_wherever_it_may_stand():
    """Forge and Forge Neo lock their own field at CFG 1: then ours is the place for it."""
    name = NEGATIVE
    preset = presets.BUILT_IN[name]
    at_1 = {"cfg": 1, "steps": 8}
    told = said(preset.fields, at_1, preset=name, opened=["prompt"])
    assert told["warnings"] == [preset.ask] and told["preset"]["name"] == name
    assert said(preset.fields, {**at_1, "negative_prompt": " \n"}, preset=name)["warnings"] == [preset.ask]
    own = said(preset.fields, {**at_1, "negative_prompt": "blurry"}, preset=name, opened=["prompt"])
    ours = said({**preset.fields, "weak_negative_prompt": "blurry"}, at_1, preset=name, opened=["prompt"])
    for one in (own, ours):
        assert one["warnings"] == [] and one["preset"]["name"] == name
    assert own["rows"] == ours["rows"]


def test_a_preset_for_few_steps_acts_at_cfg_1_on_some_of_four_steps():
    preset = presets.BUILT_IN["Few steps: follow the prompt more"]
    told = said(preset.fields, {"cfg": 1, "steps": 4}, preset=preset.name)
    assert told["preset"]["name"] == preset.name
    assert told["warnings"] == [] and "2 of 4 steps improved" in told["cost"]


def test_cost_is_one_line():
    page = {"settings": {}, "page": PAGE}
    told = forecast(FACTS, page)
    assert told["cost"] == "About 1 × the time: 9 of 20 steps improved, from step 2."
    assert told["rows"] == "40 UNet rows instead of 40."
    assert said()["cost"] == "About 1.5 × the time: 10 of 20 steps improved."
    assert said()["rows"] == "60 UNet rows instead of 40."
    hires = {"hires": True, "hires_scale": 2.0, "hires_steps": 0, "hires_cfg": 7}
    assert "10 + 10 of 20 + 20 steps" in said(page=hires)["cost"]
    assert "About 1 ×" in said({"lambda_steps": 0})["cost"]


def test_half_the_steps_are_set_against_what_the_user_had():
    """10 steps, 5 of them improved, two rows more each: 30 rows against the 40 of 20 steps."""
    cost = said({"lambda_steps": 5}, {"steps": 10}, had_steps=20)["cost"]
    assert cost == "About 0.75 × the time of your 20 steps: 5 of 10 steps improved."
    assert "of your" not in said({"lambda_steps": 5}, {"steps": 10}, had_steps=10)["cost"]


@pytest.mark.parametrize(
    ("size", "area"),
    [
        ({"hires_scale": 2}, 4),
        ({"hires_width": 1024, "hires_height": 512}, 2),
        ({"hires_width": 1024}, 4),
        ({"hires_height": 768}, 2.25),
    ],
)
def test_the_hires_passes_area(size, area):
    """Plain, of the same steps, it takes `area` times the first pass; at lambda 0 nothing but the ratio can tell."""
    page = {"hires": True, "width": 512, "height": 512, **size}
    settings = {"hires": "own", "hires_lambda_steps": 0}
    ratio = (60 + 40 * area) / (40 + 40 * area)
    assert f"About {ratio:.2f}".rstrip("0") in said(settings, page)["cost"]


def test_gaps_are_told_apart():
    gaps = said({"weak_prompt": "a dog"})["gaps"]
    assert {name for name, gap in gaps.items() if gap["active"]} == {"guidance", "prompt"}
    assert not gaps["distilled"]["offered"] and said(page=FLUX)["gaps"]["distilled"]["offered"]
    assert said()["hidden"] == [
        "hires_lambda_steps",
        "comparison_with",
        "reward_threshold",
        "reward_decoder",
        "weak_weight",
        "weak_model_modules",
        "weak_refiner_checkpoint",
    ]
    asked = {"hires": "own", "comparison": True, "reward": "r", "weak_without": ["ControlNet"], "weak_model": "m"}
    asked["weak_checkpoint"] = "c"
    assert said(asked)["hidden"] == []


@given(st.fixed_dictionaries({}, optional={n: VALID[n] | INVALID[n] for n in NAMES if n != "enabled"}))
def test_controls_are_taken_one_by_one(values):
    """What is half typed makes a sentence, and leaves the other settings as they are."""
    settings, refusals = read(values)
    for name in values:
        alone, refusal = read({name: values[name]})
        assert getattr(settings, name) == getattr(alone, name)
        assert all(sentence in refusals for sentence in refusal)
    assert len(refusals) == sum(bool(read({name: value})[1]) for name, value in values.items())


@pytest.mark.parametrize("page", [{}, dict.fromkeys(PAGE), {"steps": "", "batch_count": ""}])
def test_a_page_without_the_fields(page):
    assert "of 20 steps" in forecast(FACTS, {"settings": {}, "page": page})["cost"]
    assert forecast(FACTS, {})["warnings"] == []


# ---------------------------------------------------------------------- the WebUI agrees

PICTURE = {"steps": 6, "cfg_scale": 7.0, "prompt": "a cat", "sampler_name": "Euler"}


def picture_of(host, settings):
    return host.txt2img({"lambda_steps": 3, **settings} if settings is not None else None, **PICTURE)


SAME_PICTURE = [
    # settings whose warning says that they change nothing, and those that the picture is then the same as
    ({"lambda_steps": 0}, None),
    ({"strength": 0}, None),
    ({"weak_cfg": 7}, None),
    ({"weak_cfg": 1, "strong_cfg": 1}, None),
    ({"weak_prompt": "a dog"}, {}),
    ({"weak_negative_prompt": "a dog", "weak_cfg": 1}, {"weak_cfg": 1}),
    ({"lambda_steps": 6}, {"lambda_steps": 5}),
]


@pytest.mark.parametrize(("settings", "as_if"), SAME_PICTURE)
def test_what_is_said_to_change_nothing_changes_nothing(host, settings, as_if):
    warnings = said({"lambda_steps": 3, **settings}, {"steps": 6})["warnings"]
    assert any(word in w for w in warnings for word in ("no effect", "plain picture", "Nothing differs", "allow 5"))
    assert same_pictures(picture_of(host, settings), picture_of(host, as_if))


@pytest.mark.parametrize("settings", [{"weak_lora_offset": -2.3}, {"weak_checkpoint_loras": True}])
def test_loras_that_are_not_there_change_nothing(a1111, settings):
    assert any("no effect" in warning for warning in said(settings)["warnings"])
    assert same_pictures(picture_of(a1111, settings), picture_of(a1111, {}))


def test_what_is_said_to_be_refused_is_refused(host):
    for settings in ({"weak_distilled_cfg": 1}, {"weak_prompt": "a (dog"}, {"lambda_steps": 151}):
        (warning,) = said(settings)["warnings"]
        with pytest.raises(host.hooks.refusal.JobRefused) as refusal:
            picture_of(host, settings)
        assert "will be refused" in warning or warning in str(refusal.value)


def test_what_is_not_warned_of_is_drawn_and_is_another_picture(host):
    plain = picture_of(host, None)
    for settings in ({}, {"weak_negative_prompt": "a dog"}, {"weak_cfg": 1, "strong_cfg": 1, "weak_prompt": "a dog"}):
        assert said(settings)["warnings"] == []
        assert not same_pictures(picture_of(host, settings), plain)


def test_every_setting_is_estimated_as_the_page_sends_it():
    """Dropdowns say None, empty numbers are empty text."""
    shown = {**as_dict(Settings()), "weak_checkpoint": "None", "strong_cfg": "", "weak_distilled_cfg": ""}
    assert read(shown) == (Settings(enabled=True), [])


def test_an_option_that_the_estimate_does_not_know_is_said():
    on = replace(FACTS, unguided=lambda: {"early": 0.0, "early_after": 0, "minimum_sigma": 4.0})
    settings = as_dict(reflected())
    said = [set(forecast(facts, {"settings": settings, "page": {}})["warnings"]) for facts in (FACTS, on)]
    assert [text[:48] for text in said[1] - said[0]] == ['The option "Negative Guidance minimum sigma" is ']


def test_early_steps_without_guidance_are_in_the_line():
    early = replace(FACTS, unguided=lambda: {"early": 0.5, "early_after": 0, "minimum_sigma": 0.0})
    line = forecast(early, {"settings": as_dict(reflected()), "page": {"steps": 10, "cfg": 7.0}})["rows"]
    assert "instead of 14." in line  # six calls of ten with the prompt alone


# ---------------------------------------------------------------------- presets, the settings, the page

GENTLE = "Follow the prompt a little more"


def told_of(settings=(), page=(), **request) -> dict:
    """Of settings beside the defaults, as they are on the page at the start."""
    return forecast(FACTS, {"settings": dict(settings), "page": {**PAGE, **dict(page)}, **request})


def test_the_settings_at_the_start_have_a_name():
    assert told_of()["preset"]["name"] == GENTLE
    assert "more than there are" not in str(told_of()["warnings"]) and told_of()["warnings"] == []


@pytest.mark.parametrize("name", [name for name in presets.BUILT_IN if name != "Same time as before"])
def test_a_preset_is_named_while_the_settings_are_its_own(name):
    fields = presets.BUILT_IN[name].fields
    for box, was in ((name, ""), ("", name)):
        assert told_of(fields, preset=box, was=was)["preset"]["name"] == name
        other = told_of({**fields, "strength": 0.15}, preset=box, was=was)["preset"]
        assert other == {"name": "", "keep": False, "said": f"Changed from {name!r}."}


def test_a_picture_pasted_under_another_presets_name():
    z = "Follow the prompt more (Z-Sampling)"
    told = told_of(presets.BUILT_IN[z].fields, preset="More of my LoRA", was="More of my LoRA")
    assert told["preset"]["name"] == z


def test_a_name_that_is_being_written_is_left_alone():
    assert told_of({"strength": 0.15}, preset="mine", was=GENTLE)["preset"]["keep"]


def test_half_the_steps_are_a_preset_only_while_they_are_the_half():
    fields = {**presets.SAME_TIME.fields, "lambda_steps": 5}
    name = presets.SAME_TIME.name
    assert told_of(fields, {"steps": 10}, preset=name, had_steps=20)["preset"]["name"] == name
    for page, had in (({"steps": 10}, None), ({"steps": 12}, 20)):
        assert told_of(fields, page, preset=name, had_steps=had)["preset"]["name"] == ""


@pytest.mark.parametrize(
    ("name", "fits", "does_not", "said"),
    [
        ("Few steps: follow the prompt more", {"cfg": 1, "steps": 8}, {"cfg": 7, "steps": 20}, "for CFG 1 and 4 to 9"),
        ("Few steps: follow the prompt more", {"cfg": 1, "steps": 4}, {"cfg": 1, "steps": 20}, "and 20 steps"),
        (NEGATIVE, {"cfg": 1, "negative_prompt": "blurry"}, {"cfg": 7}, "At CFG 7 a negative prompt counts as it is"),
        ("Follow the prompt more (Z-Sampling)", {"cfg": 5.5}, {"cfg": 1}, "At CFG 1 there is no guidance"),
        ("Follow the prompt more (Z-Sampling)", {"cfg": 7}, {"cfg": 20}, "CFG scales of about 5 to 7; yours is 20"),
        (GENTLE, {"cfg": 4}, {"cfg": 1}, "At CFG 1 there is no guidance"),
        ("Closer to my ControlNet", {"controlnet": True}, {"controlnet": False}, "No ControlNet unit is on"),
        ("Closer to my IP-Adapter", {"controlnet": True}, {"controlnet": False}, "No ControlNet unit is on"),
    ],
)
def test_a_preset_is_held_against_the_page(name, fits, does_not, said):
    fields = presets.BUILT_IN[name].fields
    assert told_of(fields, fits, preset=name)["warnings"] == []
    assert any(said in warning for warning in told_of(fields, does_not, preset=name)["warnings"])


def test_a_weak_checkpoint_of_another_architecture_is_said():
    misfit = replace(FACTS, misfit=lambda settings, loaded: f"{settings.weak_checkpoint} against {loaded}")
    request = {"settings": {"weak_checkpoint": "sdxl"}, "page": PAGE}
    assert f"sdxl against {PAGE['checkpoint']}" in forecast(misfit, request)["warnings"]


def test_a_switch_that_is_on_with_nothing_chosen_is_said():
    """At the start less guidance differs, so that something does."""
    for name in ("prompt", "checkpoint", "architecture"):
        (warning,) = told_of(opened=[name])["warnings"]
        assert "nothing is chosen below yet" in warning
    assert told_of({"weak_prompt": "a dog", "weak_cfg": 2}, opened=["prompt"])["warnings"] == []


@pytest.mark.parametrize(
    ("page", "first"),
    [
        ({"cfg": 7, "controlnet": True}, "Closer to my ControlNet"),
        ({"cfg": 1, "controlnet": True}, "Closer to my ControlNet"),
        ({"cfg": 1}, "Few steps: follow the prompt more"),
    ],
)
def test_what_to_try_first_follows_the_picture(page, first):
    start = told_of(page=page)["start"]
    assert start.startswith("Start here (") and first in start
    fields = presets.BUILT_IN[first].fields
    assert "Generate as it is" in told_of(fields, page, preset=first)["start"]
    assert "Generate as it is" in told_of(page={"cfg": 7})["start"]


@pytest.mark.parametrize("inversion", ["previous-gap", "matched"])
@pytest.mark.parametrize(("asked", "made"), [(10, 6), (20, 20), (6, 6)])
def test_one_number_of_steps_is_told(inversion, asked, made):
    """By the warning as by the line in bold."""
    told = told_of({"lambda_steps": asked, "inversion": inversion}, {"steps": made})
    (warning,) = told["warnings"]
    improved = int(re.search(r"steps allow (\d+)", warning)[1])
    assert f"{improved} of {made} steps improved" in told["cost"]


def test_no_preset_promises_a_time():
    """The line in bold tells what it is: at CFG 1 what is free at 7 takes half as long again."""
    for preset in presets.BUILT_IN.values():
        assert not re.search(r"takes no|as long|free\b|no time", preset.about), preset.name


def test_switched_off_nothing_is_warned_of():
    told = told_of({"lambda_steps": 150}, on=False)
    assert told["warnings"] == [] and told["cost"].startswith("W2SD is off")
    assert told_of({"lambda_steps": 150}, on=True)["warnings"] != []
