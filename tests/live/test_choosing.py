"""Algorithm 2 in the running WebUI, with the reward w2sd-clip in its models/rewards (python -m tests.small_clip).

Its weights are random: which side it likes is chance, but always the same.
"""

import pytest

from .conftest import PLAIN, Picture, distance, png
from .families import FAMILIES, lora_of, pair_of
from .test_checkpoint import asking, pair  # noqa: F401 (fixture)
from .test_engine import same
from .test_families import asking as asking_family
from .test_samplers import PASSES, samplers

REWARD = "w2sd-clip"
GUIDANCE = {"lambda_steps": 3, "weak_cfg": 0.0}
MOST = {"reward": REWARD, "reward_threshold": 100.0}  # no score differs by as much: the weak version always leads


@pytest.fixture(scope="module", autouse=True)
def there(webui):
    if webui.request({**GUIDANCE, "reward": REWARD}, steps=4).status_code == 422:
        pytest.skip(f"no {REWARD} in models/rewards")


def led(run) -> list:
    return [second for r in run["reflections"] for second in r["second_is_strong"]]


def test_the_better_one_leads(webui):
    seen = set()
    for seed in range(6):
        webui.picture({**GUIDANCE, "lambda_steps": -1, "reward": REWARD}, seed=seed)
        (run,) = webui.trace()
        assert len(run["reflections"]) == run["steps"] - 1
        for r in run["reflections"]:
            ((first, second),), (led_by_the_second,) = r["rewards"], r["second_is_strong"]
            assert led_by_the_second == (first <= second)
            seen.add(led_by_the_second)
    assert seen == {True, False}, "the reward has no favourite"


def test_every_sampler_where_the_weak_one_always_leads(webui, record, shared_out):
    """Lines 14 and 15 with the sides the other way round: as a picture whose own prompt is the weak one's."""
    wrong, one = {}, {"weak_cfg": 1, "strong_cfg": 1, "lambda_steps": -1}
    for sampler in shared_out(samplers(webui), 1, 3):
        ask = {"sampler_name": sampler, "steps": 5, "cfg_scale": 1}
        answer = webui.request(None, **ask)
        if answer.status_code != 200 or Picture(answer.json()).pixels.std() == 0:
            record(f"choosing, {webui.name}", sampler, "weak leads", "n.a. without W2SD too")
            continue
        sizes = []
        for prompt, weak, more in (("a cat", "a dog", MOST), ("a dog", "a cat", {})):
            webui.picture({**one, **more, "weak_prompt": weak}, prompt=prompt, **ask)
            sizes.append([r["gap_norm"] for r in webui.trace()[0]["reflections"]])
        if sampler == "DPM adaptive":  # how many steps it makes is decided by the last, which is never improved
            sizes = [of[: min(map(len, sizes)) - 1] for of in sizes]
        fits = sizes[0] == pytest.approx(sizes[1], rel=0.02)
        record(f"choosing, {webui.name}", sampler, "weak leads", "ok" if fits else f"{sizes}")
        wrong.update({} if fits else {sampler: sizes})
    assert not wrong


@pytest.mark.parametrize("name", PASSES)
def test_every_pass(webui, init_image, name):
    kind, fields, runs = PASSES[name]
    ask = {**fields, "sampler_name": "DPM++ 2M", **({"init_images": [png(init_image)]} if kind == "img2img" else {})}
    plain = webui.picture(None, kind, **ask)
    moved = webui.picture({**GUIDANCE, **MOST}, kind, **ask)
    made = webui.trace()
    assert [run["pass"] for run in made] == runs and all(all(led(run)) for run in made if run["reflections"])
    assert distance(moved.pixels, plain.pixels) > 3


@pytest.mark.parametrize("decoder", ["preview", "vae"])
@pytest.mark.parametrize("gap", ["guidance", "prompt", "lora", "checkpoint"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_gap_of_every_family(webui, family, gap, decoder):
    strong, weak = pair_of(webui, family)
    ask, one = asking_family(family, strong), {"weak_cfg": 1, "strong_cfg": 1}
    settings = {
        "guidance": {"weak_cfg": 0.0},
        "prompt": {**one, "weak_prompt": "a dog"},
        "lora": {**one, "weak_lora_offset": -2.3},
        "checkpoint": {**one, "weak_checkpoint": weak},
    }[gap]
    if gap == "lora":
        ask["prompt"] = f"a photo of a cat <lora:{lora_of(webui, family)}:0.8>"
    plain = webui.picture(**ask)
    chosen = {"lambda_steps": 2, "reward": REWARD, "reward_decoder": decoder, **settings}
    first, again = (webui.picture(chosen, **ask) for _ in range(2))
    (run,) = webui.trace()
    assert len(led(run)) == 2 and same(first, again)
    assert same(webui.picture(**ask), plain), "what comes after is as it was"


def test_every_picture_of_a_batch_has_its_own_choice(webui):
    settings = {**GUIDANCE, "reward": REWARD, "lambda_steps": -1}
    together = webui.picture(settings, batch_size=4)
    chosen = [r["second_is_strong"] for r in webui.trace()[0]["reflections"]]
    assert max(len(set(of_a_step)) for of_a_step in chosen) == 2, "a step at which they differ"
    for k in range(4):
        alone = webui.picture(settings, seed=PLAIN["seed"] + k)
        if [r["second_is_strong"] for r in webui.trace()[0]["reflections"]] == [[one[k]] for one in chosen]:
            assert distance(together.images[-4 + k], alone.pixels) <= 1


def test_what_cannot_be_is_refused(webui, pair):  # noqa: F811
    plain = webui.picture(**asking(pair[0]))
    assert REWARD in webui.refused({**GUIDANCE, "reward": "w2sd"}, **asking(pair[0]))
    assert "which takes paper, matched, fixed-point" in webui.refused(
        {**GUIDANCE, "reward": REWARD, "inversion": "auto-guidance"}, **asking(pair[0])
    )
    refiner = {"refiner_checkpoint": pair[1], "refiner_switch_at": 0.5}
    assert "with a refiner" in webui.refused({**GUIDANCE, "reward": REWARD}, **asking(pair[0]), **refiner)
    assert same(webui.picture(**asking(pair[0])), plain)
