"""Texts of the weak side, read as the host reads a picture's own, with the same extensions on.

The weak side drawing alone has to make the host's own picture of the text. Tests of an extension are skipped where the
WebUI has it not.
"""

import pytest

from .conftest import distance
from .layouts import asking

OWN = {"prompt": "a red dog", "negative_prompt": "ugly"}


@pytest.fixture(scope="module")
def ask(webui):
    return {**asking(webui, "sd15"), **OWN, "cfg_scale": 5}


@pytest.fixture(scope="module")
def scripts(webui):
    return {info["name"] for info in webui.get("/sdapi/v1/script-info")}


def off(webui, weak, weak_negative=None, own=None, **ask) -> int:
    """How far the weak side alone is from the host's own picture of its texts, in levels."""
    ask = {**ask, **(own or {})}
    texts = {"weak_prompt": weak, "weak_negative_prompt": weak_negative}
    given = {name: text for name, text in texts.items() if text is not None}
    ours = webui.picture({"weak_alone": True, "weak_cfg": 5, **given}, **ask)

    def filled(text, own):
        text = own if text is None else text
        placeholders = ("{prompt}", ask["prompt"]), ("{negative_prompt}", ask["negative_prompt"])
        for placeholder, stands_for in placeholders:
            text = text.replace(placeholder, stands_for)
        return text

    texts = {"prompt": filled(weak, ask["prompt"]), "negative_prompt": filled(weak_negative, ask["negative_prompt"])}
    hosts = webui.picture(**{**ask, **texts})
    return max(distance(one, other) for one, other in zip(ours.images, hosts.images))


@pytest.mark.parametrize(
    "text",
    [
        "a blue house # red",
        "# red\na blue house",
        "a /* green */ blue house // red",
        "a blue house # :(",
        "a blue house # <lora:tiny_sd15:-2>",
    ],
)
def test_comments(webui, ask, text):
    assert off(webui, text, **ask) == 0
    assert off(webui, None, text, **ask) == 0


def test_comments_that_are_none(webui, ask):
    options = {**ask["override_settings"], "enable_prompt_comments": False}
    assert off(webui, "a blue house # red", **{**ask, "override_settings": options}) == 0


@pytest.mark.parametrize("text", ["fog <lora:tiny_sd15:1>", "{negative_prompt}, fog"])
def test_extra_networks_in_a_negative_prompt_are_words(webui, ask, text):
    assert off(webui, None, text, own={"negative_prompt": "ugly <lora:tiny_sd15:1>"}, **ask) == 0


@pytest.mark.parametrize("own", ["a red dog", "a red dog, (tree:-1.2)"])
@pytest.mark.parametrize("text", ["a cat, (dog:-1.5)", "a cat", "{prompt}, (sea:-1)"])
def test_negpip(webui, ask, scripts, own, text):
    if "negpip" not in scripts:
        pytest.skip("no NegPiP")
    more = {"alwayson_scripts": {"NegPiP": {"args": [True]}}}
    assert off(webui, text, own={"prompt": own}, **ask, **more) == 0
    assert off(webui, None, text, own={"prompt": own}, **ask, **more) == 0


def test_dynamic_prompts(webui, ask, scripts):
    name = next((name for name in scripts if name.startswith("dynamic prompts")), None)
    if name is None:
        pytest.skip("no Dynamic Prompts")
    args = [True, False, 1, False, False, False, 1.1, 1.5, 100, 0.7, False, False, True, False, False, 0, None, ""]
    more = {"alwayson_scripts": {name: {"args": args}}, "batch_size": 2, "n_iter": 2}
    assert off(webui, "a {blue|green|white} house", **ask, **more) == 0
    assert off(webui, "{prompt}, {fog|mist|rain}", "{grey|dark}", **ask, **more) == 0


def test_forge_couple(webui, ask, scripts):
    if "forge couple" not in scripts:
        pytest.skip("no Forge Couple")
    args = [True, False, "Basic", "", "Horizontal", "None", 0.5, None, "off", False, False, False]
    more = {"alwayson_scripts": {"forge couple": {"args": args}}}
    own = {"prompt": "a red dog\na cat"}
    assert "Forge Couple" in webui.refused({"weak_prompt": "a house\na tree"}, **{**ask, **own}, **more)
    assert off(webui, None, "fog", own=own, **ask, **more) == 0


def test_regional_prompter(webui, ask, scripts):
    if "regional prompter" not in scripts or webui.forge:
        pytest.skip("no Regional Prompter")
    columns = [True, False, "Matrix", "Columns", "Mask", "Prompt", "1,1", "0.2", False, False, False]
    args = [*columns, "Attention", [False], "0", "0", "0.4", None, "0", "0", False]
    more = {"alwayson_scripts": {"Regional Prompter": {"args": args}}}
    own = {"prompt": "a cat BREAK a dog"}
    for text in ("weak_prompt", "weak_negative_prompt"):
        assert "Regional Prompter" in webui.refused({text: "a house BREAK a tree"}, **{**ask, **own}, **more)
