"""Prompts of every kind.

Two oracles. A weak prompt that spells the picture's own out is encoded anew, and has to leave the plain picture and
no gap at all. And prompt against weak prompt has, at the first step, a gap of the same size as the other way round:
the host encodes the one, W2SD the other.
"""

from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import save_file

from .conftest import PLAIN, distance
from .layouts import LAYOUTS, asking, gap_norm, no_gap
from .test_engine import same

WORDS = "red green blue old new small large wooden stone paper glass metal warm cold dark bright soft hard".split()


def long_prompt(tokens: int) -> str:
    return "a photo, " + ", ".join(WORDS[i % len(WORDS)] for i in range(tokens // 2))  # a word and a comma


PROMPTS = {
    "plain": "a photo of a cat",
    "empty": "",
    "AND": "a cat AND a dog :0.7 AND a bird :-0.3",
    "AND of lengths": f"a cat AND {long_prompt(90)} :0.5",
    "edited by fraction": "a [cat:dog:0.5] photo",
    "edited by step": "a [cat:dog:2] [sky::3] [:sea:2]",
    "alternating": "a [cat|dog|bird] photo",
    "nested": "a [(cat:1.2):[dog|bird]:0.4] photo",
    "BREAK": "a cat BREAK a dog BREAK grey",
    "emphasis": "a (cat:1.4), ((sky)), [grey], \\(literal\\)",
    "over 75 tokens": long_prompt(100),
    "over 150 tokens": long_prompt(170),
}
NEGATIVES = {"empty": "", "short": "blurry", "over 75 tokens": long_prompt(100)}


@pytest.fixture(scope="module", params=LAYOUTS)
def ask(webui, request):
    return asking(webui, request.param)


def spelled_out(webui, settings=None, **ask):
    """The plain picture, and that of strong against the own prompts spelled out with the largest gap of its steps."""
    plain = webui.picture(**ask)
    spelled = {"weak_prompt": ask["prompt"], "weak_negative_prompt": ask["negative_prompt"], **(settings or {})}
    reflected = webui.picture(no_gap(ask, **spelled), **ask)
    (run,) = webui.trace()
    assert len(run["reflections"]) == run["steps"] - 1
    return plain, reflected, max(r["gap_norm"] for r in run["reflections"])


@pytest.mark.parametrize("kind", PROMPTS)
def test_own_prompt_spelled_out_is_no_gap(webui, ask, kind):
    plain, reflected, gap = spelled_out(webui, **ask, prompt=PROMPTS[kind], negative_prompt="blurry")
    assert gap == 0
    assert same(plain, reflected)


@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("prompt", ["empty", "plain", "over 150 tokens"])
def test_prompts_and_negative_prompts_of_different_lengths(webui, ask, prompt, negative):
    asked = {**ask, "prompt": PROMPTS[prompt], "negative_prompt": NEGATIVES[negative], "cfg_scale": 3}
    plain, reflected, gap = spelled_out(webui, **asked)
    assert gap == 0 and same(plain, reflected)


@pytest.mark.parametrize("other", [kind for kind in PROMPTS if kind != "plain"])
def test_a_weak_prompt_is_encoded_as_the_host_encodes_it(webui, ask, other):
    one, another = PROMPTS["plain"], PROMPTS[other]
    ours = gap_norm(webui, {"weak_prompt": another}, **ask, prompt=one)
    hosts = gap_norm(webui, {"weak_prompt": one}, **ask, prompt=another)
    assert ours > 0
    assert ours == pytest.approx(hosts, rel=1e-3)


@pytest.mark.parametrize("other", ["empty", "over 75 tokens"])
def test_a_weak_negative_prompt_is_encoded_as_the_host_encodes_it(webui, ask, other):
    asked = {**ask, "cfg_scale": 3}
    ours = gap_norm(webui, {"weak_negative_prompt": NEGATIVES[other]}, **asked, negative_prompt="blurry")
    hosts = gap_norm(webui, {"weak_negative_prompt": "blurry"}, **asked, negative_prompt=NEGATIVES[other])
    assert ours > 0
    assert ours == pytest.approx(hosts, rel=1e-3)


def test_clip_skip(webui):
    ask = asking(webui, "sd15")
    skipping, not_skipping = (
        {**ask, "override_settings": {**ask["override_settings"], "CLIP_stop_at_last_layers": n}} for n in (2, 1)
    )
    asked = {"prompt": PROMPTS["emphasis"], "negative_prompt": "blurry"}
    plain, reflected, gap = spelled_out(webui, **skipping, **asked)
    assert gap == 0 and same(plain, reflected)
    assert not same(plain, webui.picture(**not_skipping, **asked))


# ---------------------------------------------------------------- textual inversion


def embeddings_folder(webui) -> Path:
    # On Forge an exception, after which the connection is gone: one of its own.
    answer = httpx.get(f"{webui.url}/sdapi/v1/cmd-flags", timeout=60)
    if answer.status_code == 200:
        return Path(answer.json()["embeddings_dir"])
    return Path(webui.get("/sdapi/v1/sd-models")[0]["filename"]).parents[2] / "embeddings"


@pytest.fixture(scope="module")
def embedding(webui):
    """The name of an embedding that acts in the SD1.5 checkpoint, made for the test in the WebUI's own folder."""
    ask, folder = asking(webui, "sd15"), embeddings_folder(webui)
    if not folder.is_dir():
        pytest.skip("the WebUI's embeddings are not on this machine")
    strong = ask["override_settings"]["sd_model_checkpoint"]
    files = {width: folder / f"w2sdtest{width}.safetensors" for width in (64, 768)}

    def read_again():
        webui.post("/sdapi/v1/refresh-embeddings", {})
        # Forge reads them when it loads a checkpoint.
        webui.picture(**{**ask, "override_settings": {"sd_model_checkpoint": f"{strong}-weak"}})
        return {width: webui.picture(**ask, prompt=f"a photo of {file.stem}") for width, file in files.items()}

    before = read_again()
    generator = torch.Generator().manual_seed(3)
    for width, file in files.items():
        save_file({"emb_params": torch.randn(2, width, generator=generator) * 0.1}, file)
    try:
        after = read_again()
        acting = [width for width in files if not same(before[width], after[width])]
        assert acting, "the WebUI took none of the embeddings"
        yield files[acting[0]].stem
    finally:
        for file in files.values():
            file.unlink()
        read_again()


def test_textual_inversion(webui, embedding):
    ask = {**asking(webui, "sd15"), "negative_prompt": "blurry"}
    with_it = {**ask, "prompt": f"a photo of {embedding}"}
    plain, reflected, gap = spelled_out(webui, **with_it)
    assert gap == 0 and same(plain, reflected)
    ours = gap_norm(webui, {"weak_prompt": f"a photo of {embedding}"}, **ask)
    hosts = gap_norm(webui, {"weak_prompt": PLAIN["prompt"]}, **with_it)
    assert ours > 0
    assert ours == pytest.approx(hosts, rel=1e-3)


def test_an_embedding_of_the_weak_prompt_alone_is_in_no_infotext(webui, embedding):
    """Of the second picture it would be: the host hands on what was noted since the first."""
    ask = {**asking(webui, "sd15"), "n_iter": 3}
    plain = webui.picture(**ask)
    weak = {"weak_prompt": f"a (photo:1.2) of {embedding}", "weak_cfg": 2}
    infotexts = webui.picture(weak, **ask).info["infotexts"][-3:]
    for infotext, without in zip(infotexts, plain.info["infotexts"][-3:]):
        keys = [text.partition(":")[0] for text in infotext.splitlines()[-1].split(", ")]
        assert [key for key in keys if not key.startswith("W2SD")] == [
            text.partition(":")[0] for text in without.splitlines()[-1].split(", ")
        ]


# ---------------------------------------------------------------- prompts that the host puts together


def test_styles(webui):
    ask = asking(webui, "sd15")
    styles = [s for s in webui.get("/sdapi/v1/prompt-styles") if (s["prompt"] or "").count("{prompt}") == 1]
    if not styles:
        pytest.skip("the WebUI has no style with a {prompt}")
    style = styles[0]
    styled = style["prompt"].replace("{prompt}", PLAIN["prompt"])
    plain = webui.picture(**ask, styles=[style["name"]])
    assert not same(plain, webui.picture(**ask))
    for weak_prompt in (styled, "{prompt}", "{prompt} "):
        reflected = webui.picture(no_gap(ask, weak_prompt=weak_prompt), **ask, styles=[style["name"]])
        assert same(reflected, plain), weak_prompt


GREY = {"lambda_steps": 3, "weak_prompt": "{prompt}, grey", "weak_cfg": 2, "inversion": "matched"}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_different_prompts_in_one_batch(webui, batch_size):
    """The host's prompt matrix makes one request of four prompts; each picture is that of its prompt alone."""
    ask = {**asking(webui, "sd15"), "prompt": "a photo|cat|dog [sky:sea:0.5]"}
    matrix = {"script_name": "prompt matrix", "script_args": [False, False, "positive", "comma", 0]}
    made = webui.picture(GREY, **ask, **matrix, batch_size=batch_size)
    pictures, prompts = made.images[-4:], made.info["all_prompts"][-4:]
    assert len(set(prompts)) == 4
    for pixels, prompt in zip(pictures, prompts):
        assert distance(webui.picture(GREY, **{**ask, "prompt": prompt}).pixels, pixels) <= 2, prompt


def test_prompts_from_a_file(webui):
    ask = {**asking(webui, "sd15"), "negative_prompt": ""}  # the host puts the request's after each line's own
    lines = "a cat\n--prompt 'a dog' --steps 4 --negative_prompt 'dark'\na [cat:bird:0.5]"
    script = {
        "script_name": "prompts from file or textbox",
        "script_args": [False, False, "start", lines],
    }
    made = webui.picture(GREY, **{**ask, "prompt": "", **script})
    alone = [{"prompt": "a cat"}, {"prompt": "a dog", "steps": 4, "negative_prompt": "dark"}]
    alone += [{"prompt": "a [cat:bird:0.5]"}]
    assert len(made.images[-3:]) == 3
    for pixels, own in zip(made.images[-3:], alone):
        assert distance(webui.picture(GREY, **{**ask, **own}).pixels, pixels) <= 2, own
