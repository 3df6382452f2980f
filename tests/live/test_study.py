"""The script "is it better on my checkpoint?" in the running WebUI, through its API."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from .pages import ACCORDION, ahead, browser, page  # noqa: F401  (fixtures)
from .test_engine import same

TITLE = "W2SD: is it better on my checkpoint?"
GAP = {"lambda_steps": 2, "weak_cfg": 0.0}
INSTEAD = ["plain, same push", "plain, same time"]


@pytest.fixture
def ask():
    return {"steps": 4, "prompt": "sharp", "seed": 5}


def study(webui, name, settings=GAP, prompts="a cat\na dog", pairs=2, rewards=(), presets=(), **ask):
    args = [prompts, pairs, False, list(rewards), list(presets), INSTEAD, name]
    return webui.request(settings, script_name=TITLE, script_args=args, **ask)


@pytest.fixture
def name(webui):
    return f"live {uuid.uuid4().hex[:8]}"


def told(answer) -> "tuple[str, Path]":
    assert answer.status_code == 200, answer.text[:1000]
    info = json.loads(answer.json()["info"])["infotexts"][0]
    text, _, where = info.rpartition("Everything is in ")
    return text, Path(where.rstrip("."))


def made_in(webui, where: Path) -> list:
    """The pairs, where the WebUI is on this machine."""
    if not where.is_dir():
        pytest.skip("the WebUI's folders are not on this machine")
    return [(path.parent, json.loads(path.read_text())) for path in sorted(where.glob("pairs/*/pair.json"))]


def test_its_pictures_are_the_webuis_own_and_are_drawn_once(webui, ask, name):
    plain = webui.picture(**ask)
    answer = study(webui, name, **ask)
    text, where = told(answer)
    assert "2 pairs of pictures" in text and len(answer.json()["images"]) == 1, "no reward: one sheet, for the eye"
    pairs = made_in(webui, where)
    assert [pair["seed"] for _, pair in pairs] == [5, 6]
    folder, first = pairs[0]
    assert {pair["prompt"] for _, pair in pairs} == {"a cat, sharp", "a dog, sharp"}, "each once before any comes twice"
    assert list(first["made"]) == ["plain", "W2SD", *INSTEAD]
    for i, settings in enumerate((None, {**GAP, "measure": True})):
        alone = webui.picture(settings, **{**ask, "prompt": first["prompt"]})
        assert np.array_equal(np.asarray(Image.open(folder / f"{i}.png")), alone.pixels)
    times = [path.stat().st_mtime_ns for path in sorted(where.glob("pairs/*/*.png"))]
    assert told(study(webui, name, **ask))[0] == text, "nothing new to draw: the same to the second"
    assert times == [path.stat().st_mtime_ns for path in sorted(where.glob("pairs/*/*.png"))]
    more, _ = told(study(webui, name, pairs=3, **ask))
    assert "3 pairs of pictures" in more
    assert same(webui.picture(**ask), plain), "the next plain picture is what it was"


def test_what_cannot_be_says_why(webui, ask, name):
    assert "W2SD is off" in study(webui, name, None, **ask).json()["detail"]
    assert "allowed are letters" in study(webui, "../x", **ask).json()["detail"]
    assert "models/rewards" in study(webui, name, rewards=["nowhere"], **ask).json()["detail"]
    assert (
        "weak checkpoint" in study(webui, name, {**GAP, "weak_checkpoint": "nowhere"}, **ask).json()["detail"].lower()
    )
    study(webui, name, **ask).raise_for_status()
    assert "choose another folder" in study(webui, name, {**GAP, "strength": 0.5}, **ask).json()["detail"]


def test_it_scores(webui, ask, name):
    answer = study(webui, name, rewards=["w2sd-clip"], **ask)
    if answer.status_code == 422 and "models/rewards" in answer.text:
        pytest.skip("no w2sd-clip in models/rewards: python -m tests.small_clip")
    text, where = told(answer)
    assert "Better than plain, by w2sd-clip" in text
    scores = [
        {way: made["scores"]["w2sd-clip"] for way, made in pair["made"].items()} for _, pair in made_in(webui, where)
    ]
    gains = [of["W2SD"] - of["plain"] for of in scores]
    sheets = any(gain > 0 for gain in gains) + any(gain < 0 for gain in gains)
    assert len(answer.json()["images"]) == (sheets or 1), "what it won, and what it lost"


def test_the_page_says_what_a_study_costs_and_why_a_name_is_none(page, ask, name):  # noqa: F811
    page.fill(**ask).open()
    page.number(f"{ACCORDION}_lambda_steps", 2)
    page.choose("#script_list", TITLE)
    where = "#w2sd_txt2img_study"
    cost, told = page.page.locator(f"{where}_cost").first, page.page.locator(f"{where}_told").first
    page.page.locator(f"{where}_beside input").first.wait_for()
    ways = 2 + page.page.locator(f"{where}_beside input:checked").count()
    for pairs in (1, 3):
        page.number(f"{where}_pairs", pairs)
        expect(cost).to_contain_text(f"At most {pairs} × {ways} = {pairs * ways} pictures")
    checked = page.page.locator(f"{where}_beside input:checked")
    while checked.count():
        checked.first.uncheck()
    expect(cost).to_contain_text("At most 3 × 2 = 6 pictures")
    page.number(f"{where}_pairs", 1)
    box = page.page.locator(f"{where}_name textarea, {where}_name input").first
    box.fill("../x")
    page.page.click(f"{where}_show")
    expect(told).to_contain_text("allowed are letters", timeout=60_000)
    _, log = page.generate()
    assert "allowed are letters" in log
    box.fill(name)
    page.page.click(f"{where}_show")
    expect(told).to_contain_text("There are no results", timeout=60_000)
    info, _ = page.generate(timeout=300_000)
    assert "1 pair of pictures" in info


def test_from_the_page_to_the_blind_test(page, webui, ask, name):  # noqa: F811
    page.fill(**ask).open()
    page.number(f"{ACCORDION}_lambda_steps", 2)
    page.choose("#script_list", TITLE)
    where = "#w2sd_txt2img_study"
    page.page.fill(f"{where}_prompts textarea", "a cat\na dog")
    page.number(f"{where}_pairs", 2)
    page.page.fill(f"{where}_name textarea, {where}_name input", name)
    info, _ = page.generate(timeout=300_000)
    assert "2 pairs of pictures" in info and len(page.gallery()) == 1
    page.page.click(f"{where}_show")
    told = page.page.locator(f"{where}_told").first
    told.locator("table").first.wait_for(timeout=60_000)
    assert "plain, same time" in told.inner_text()
    page.page.locator(f"{where}_sheets img").first.wait_for(timeout=60_000)
    page.page.wait_for_timeout(1000)
    assert "The first pairs" in page.page.locator(f"{where}_sheets").first.inner_text(), "what is shown there"
    page.shot("study")
    with page.page.context.expect_page() as opened:
        page.page.locator(f"{where}_blind a").first.click()
    blind = opened.value
    blind.wait_for_selector("#left img")
    for _ in range(2):
        assert blind.evaluate("[...document.images].every((image) => image.naturalWidth > 0)"), "its pictures are there"
        blind.locator("#left").click()
        blind.wait_for_timeout(300)
    blind.wait_for_timeout(500)
    assert "2" in blind.locator("#count").inner_text()
    blind.close()
