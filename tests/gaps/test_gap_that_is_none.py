"""A gap that is none is refused where that can be known, and said where it shows only in the run."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lib_w2sd.errors import CheckpointError, SettingError
from lib_w2sd.gaps import asked_for, sides_of
from lib_w2sd.gaps.gap import Picture
from lib_w2sd.gaps.lora_scales import Use
from lib_w2sd.gaps.prompt import fill_in
from lib_w2sd.page.settings import Settings

from ..webui.host import same_pictures

# In how many layers of UNet and text encoder the host finds a place for a LoRA's file.
FILES = {"a": (9, 3), "b": (4, 0), "nothing": (0, 0), "words": (0, 5), "broken": (0, 0), "odd": (1, 0)}


class Loras:
    """A host's LoRAs; the request has those of `tags`: (name, scale) each."""

    def __init__(self, *tags, adds=True):
        self.tags, self.adds = tags, adds

    def used(self):
        return tuple(Use(f"/loras/{name}.st", scale, scale, handle=name) for name, scale in self.tags)

    def find(self, name):
        return f"/loras/{name}.st" if name in FILES else None

    def names(self):
        return sorted(FILES)

    def unreadable(self, file):
        return "which cannot be read; the file is truncated or corrupt (it is empty)." if "broken" in file else None

    def summed(self, tags):
        return tags if self.adds else [tags[-1]] * len(tags)

    def opened(self, use):
        if "odd" in use.file:
            raise AssertionError("Could not find a module type")
        return use if use.handle else replace(use, handle=use.file[7:-3])

    def understood(self, use):
        return FILES[use.handle]

    def overlay(self, uses):
        return uses

    def text_encoder(self, uses):
        return nullcontext(uses)


UNET = SimpleNamespace(called="another UNet")


class Host:
    acts, begun, p = True, False, None

    def __init__(self, loras=None, loaded=False):
        self.loras, self.loaded, self.comments, self.opened = loras or Loras(), loaded, [], []

    def has(self, ability):
        return True

    def able(self, ability):
        return {"lora": self.loras, "checkpoint": self.checkpoint}[ability]

    def checkpoint(self, p, settings, loras):
        self.opened.append(loras)
        return SimpleNamespace(is_the_loaded_one=lambda: self.loaded, opened=lambda: UNET)

    def read(self, text, negative):
        return fill_in(text, ["a cat"], [""])

    def read_by_others(self, prompts, negative_prompts, other, anew):
        return prompts, negative_prompts, ()

    def encode(self, texts, negative):
        return texts

    def comment(self, text):
        self.comments.append(text)


def overlays(host, **settings):
    return tuple(side.overlays for side in sides_of(Settings(**settings), host))


def scales(uses):
    return [(use.file[7:-3], use.te, use.unet) for use in uses]


# ------------------------------------------------------------------------------------------ LoRAs


@pytest.mark.parametrize("name", ["nothing", "words"])
@pytest.mark.parametrize("setting", ["weak_loras", "weak_prompt"])
@pytest.mark.parametrize("more", [{}, {"weak_lora_offset": -1.0}, {"weak_checkpoint": "x"}])
def test_a_weak_lora_of_which_nothing_counts_is_refused(name, setting, more):
    given = {setting: f"<lora:{name}:-1.5>", **more}
    with pytest.raises(SettingError, match=f"{setting} .* was given <lora:{name}>, .*{name}.st .*no gap"):
        sides_of(Settings(**given), Host(Loras(("a", 0.5))))


def test_text_encoder_alone_is_a_gap_where_it_counts():
    host = Host(Loras(("words", 0.8)))
    for given in ({"weak_loras": "<lora:words:-1.5>"}, {"weak_lora_offset": -2.3}):
        with pytest.raises(SettingError, match="only for the text encoder.*turn weak_lora_text_encoder on"):
            sides_of(Settings(**given), host)
        _, weak = sides_of(Settings(**given, weak_lora_text_encoder=True), host)
        assert [use.te for use in weak.encoding.enter_result] == [pytest.approx(-1.5)]


@pytest.mark.parametrize("setting", ["weak_lora_offset", "strong_lora_offset"])
def test_an_offset_of_loras_that_count_for_nothing(setting):
    for loras in (Loras(("nothing", 0.8)), Loras(("nothing", 0.8), ("words", 1.0))):
        with pytest.raises(SettingError, match=f"{setting} .* was given -2.3, for the picture's LoRAs"):
            sides_of(Settings(**{setting: -2.3}), Host(loras))
    # The host goes on without it, and so does the gap: there is another.
    assert overlays(Host(Loras(("nothing", 0.8), ("a", 1.0))), weak_lora_offset=-2.3)[1]
    # It does not move what has a scale of its own.
    with pytest.raises(SettingError, match="weak_lora_offset"):
        sides_of(Settings(weak_lora_offset=-2.3, weak_loras="<lora:a:0>"), Host(Loras(("nothing", 0.8), ("a", 1.0))))


def test_a_lora_file_that_cannot_be_read():
    with pytest.raises(SettingError) as refusal:
        sides_of(Settings(weak_loras="<lora:broken:-1.5>"), Host())
    for word in ("weak_loras (Weak LoRAs)", "<lora:broken>", "it is empty", "broken.st is left as it is"):
        assert word in str(refusal.value)
    with pytest.raises(SettingError, match="<lora:odd>.*odd.st .AssertionError: Could not find a module type"):
        sides_of(Settings(weak_loras="<lora:odd:-1.5>"), Host())
    with pytest.raises(SettingError, match="no LoRA 'nothin'; it has: nothing"):
        sides_of(Settings(weak_prompt="<lora:nothin:-1.5>"), Host())


def test_where_the_pass_is_the_plain_one_nothing_is_refused():
    host = Host(Loras(("nothing", 0.8)))
    host.acts = False
    sides_of(Settings(weak_lora_offset=-2.3), host)


@pytest.mark.parametrize("adds", [True, False])
def test_a_lora_that_stands_twice(adds):
    """In the picture's prompt: a scale of the weak side's own stands for both. In the weak LoRAs: the host's sum."""
    twice = Host(Loras(("a", 0.4), ("b", 1.0), ("a", 0.5), adds=adds))
    strong, weak = overlays(twice, weak_loras="<lora:a:-1.5>")
    assert strong == () and scales(weak[0]) == [("a", -1.5, -1.5), ("b", 1.0, 1.0)]
    _, weak = overlays(twice, weak_lora_offset=-1)
    assert scales(weak[0]) == [("a", -0.6, -0.6), ("b", 0.0, 0.0), ("a", -0.5, -0.5)]
    two = [-1.0, -0.5] if adds else [-0.5, -0.5]
    for loras, rest in ((Loras(("b", 1.0), adds=adds), [("b", 1.0, 1.0)]), (Loras(("a", 0.8), adds=adds), [])):
        _, weak = overlays(Host(loras), weak_loras="<lora:a:-1><lora:a:-0.5>")
        assert scales(weak[0]) == [*rest, *(("a", scale, scale) for scale in two)]
    # The field has the last word over the weak prompt, and does not add to it.
    _, weak = overlays(Host(Loras(("a", 0.8))), weak_prompt="{prompt}<lora:a:3>", weak_loras="<lora:a:-0.5>")
    assert scales(weak[0]) == [("a", -0.5, -0.5)]


# ------------------------------------------------------------------------------------------ checkpoints


def test_the_loaded_checkpoint_against_itself():
    for settings in (
        {},
        {"weak_cfg": 1.0, "strong_cfg": 1.0},
        {"weak_checkpoint_loras": True},
        {"weak_loras": "<lora:a:0.8>"},
    ):
        used = [("a", 0.8)] if "weak_loras" in settings or "weak_checkpoint_loras" in settings else []
        host = Host(Loras(*used), loaded=True)
        with pytest.raises(CheckpointError, match="weak_checkpoint .* 'x', which is the loaded checkpoint itself"):
            sides_of(Settings(weak_checkpoint="x", **settings), host)
        assert overlays(Host(Loras(*used)), weak_checkpoint="x", **settings)[1] == (UNET,)


def test_the_same_checkpoint_with_other_loras_is_a_gap():
    for used, settings in (
        ([("a", 0.8)], {}),
        ([("a", 0.8)], {"weak_checkpoint_loras": True, "weak_lora_offset": -2.3}),
        ([("a", 0.8)], {"weak_checkpoint_loras": True, "strong_lora_offset": 0.5}),
        ([], {"weak_loras": "<lora:a:-1>"}),
    ):
        host = Host(Loras(*used), loaded=True)
        assert overlays(host, weak_checkpoint="x", **settings)[1] == (UNET,)
    sides_of(Settings(weak_checkpoint="x", weak_alone=True), Host(loaded=True))


def test_half_way_it_is_said_rather_than_refused():
    """The refiner, or the hires pass, has the weak checkpoint for its own."""
    host = Host(Loras(("a", 0.8)), loaded=True)
    host.begun = True
    settings = {"weak_checkpoint": "x", "weak_loras": "<lora:a:1>", "strong_lora_offset": 0.2}
    strong, weak = overlays(host, **settings)
    assert strong == weak and len(strong) == 1
    assert host.comments == ["W2SD: the weak checkpoint is the one loaded there: from there on it makes no gap."]


def test_the_file_decides_and_not_its_name(host):
    checkpoints, loaded = host.hooks.checkpoints, host.shared.sd_model.sd_checkpoint_info
    known = host.sd_models.checkpoints_list

    def is_loaded(name):
        return checkpoints.WeakCheckpoint(None, Settings(weak_checkpoint=name)).is_the_loaded_one()

    assert is_loaded("base") and not is_loaded("refiner")
    loaded.calculate_shorthash()
    known["refiner"].sha256 = loaded.sha256  # a copy of the file under another name
    assert is_loaded("refiner")


# ------------------------------------------------------------------------------------------ in the run

PLAIN_WORDS = "strong and weak side were the same at every reflected step"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weak_prompt": "a cat"}, True),
        ({"weak_prompt": "a cat", "weak_negative_prompt": "blurry"}, True),
        ({}, False),
        ({"weak_prompt": "a dog"}, False),
        ({"weak_prompt": "a cat", "weak_cfg": 5.5}, False),
        ({"weak_prompt": "a cat", "lambda_steps": 0}, False),
        ({"weak_prompt": "a cat", "weak_alone": True}, False),
    ],
)
@pytest.mark.parametrize("sampler", ["Euler", "UniPC"])
def test_the_job_says_that_the_gap_was_none(host, settings, told, sampler):
    """Asked for is a gap to a prompt that is the picture's own. Equal CFG scales ask for none, and the plain picture is
    then what was asked for."""
    asked = {"weak_cfg": 6.0, "lambda_steps": 3, "inversion": "matched", **settings}
    p = host.request("Txt2Img", asked, sampler_name=sampler)
    made = host.process(p)
    said = [text for text in p.comments if PLAIN_WORDS in text]
    assert len(said) == told and all("another prompt" in text and "guidance" not in text for text in said)
    if told:
        assert same_pictures(made, host.txt2img(sampler_name=sampler))


def test_each_pass_speaks_for_itself(host):
    """At another CFG scale the hires pass has a gap (Forge), or has none though the first pass has."""
    fields = {"enable_hr": True, "hr_cfg": 4.0}
    p = host.request("Txt2Img", {"weak_prompt": "a cat", "weak_cfg": 6.0, "lambda_steps": 2}, **fields)
    host.process(p)
    said = [text for text in p.comments if PLAIN_WORDS in text]
    assert len(said) == (1 if host.forge else 2)
    assert ["hires pass" in text for text in said] == ([False] if host.forge else [False, True])


def test_which_gaps_are_asked_for():
    picture = Picture(cfg=6.0)
    assert asked_for(Settings(weak_cfg=6.0), picture) == []
    assert len(asked_for(Settings(), picture)) == 1
    assert len(asked_for(Settings(weak_cfg=1.0, weak_prompt="x", weak_loras="<lora:a:1>"), picture)) == 3
