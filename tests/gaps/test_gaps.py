"""Prompts of the weak side, and which of them differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_w2sd.gaps import Side, sides_of, without_effect
from lib_w2sd.gaps.prompt import fill_in, has_prompt_gap
from lib_w2sd.page.settings import Settings

texts = st.text(st.sampled_from("ab{}, "), max_size=8) | st.sampled_from(
    ["{prompt}", "{negative_prompt}", "a {prompt}"]
)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), texts, texts, texts)
def test_placeholders_stand_for_each_pictures_own_prompts(pictures, before, between, after):
    prompts, negatives = map(list, zip(*pictures))
    # What is between the placeholders is free of them, so that the expected text can be put together.
    before, between, after = (t.replace("{", "<").replace("}", ">") for t in (before, between, after))
    filled = fill_in(before + "{prompt}" + between + "{negative_prompt}" + after, prompts, negatives)
    assert filled == [before + prompt + between + negative + after for prompt, negative in pictures]


def test_placeholder_inside_a_pictures_own_prompt_stays_what_it_is():
    assert fill_in("{negative_prompt}, {prompt}", ["a {negative_prompt}"], ["b {prompt}"]) == [
        "b {prompt}, a {negative_prompt}"
    ]


@pytest.mark.parametrize(
    ("settings", "differs"),
    [
        ({}, (False, False)),
        ({"weak_prompt": "cat"}, (True, False)),
        ({"weak_negative_prompt": ""}, (False, True)),
        ({"weak_prompt": "{prompt}, cat", "weak_negative_prompt": "dog"}, (True, True)),
    ],
)
def test_which_prompts_differ(settings, differs):
    assert has_prompt_gap(Settings(**settings)) == differs


class Host:
    """gap.Host without a WebUI: a cond is the texts that it was made of."""

    acts, abilities = True, {"distilled": lambda: True}

    def has(self, ability):
        return ability in self.abilities

    def able(self, ability):
        return self.abilities[ability]

    def read(self, text, negative):
        return fill_in(text, ["a cat"], ["blurry"])

    def read_by_others(self, prompts, negative_prompts, other, anew):
        return prompts, negative_prompts, ()

    def encode(self, texts, negative):
        return negative, texts


def test_gaps_add_up():
    asked = Settings(strong_cfg=3.0, weak_cfg=-1.0, weak_prompt="{prompt}, dull", weak_negative_prompt="")
    strong, weak = sides_of(asked, Host())
    assert strong == Side(cfg_scale=3.0)
    assert weak == Side(cfg_scale=-1.0, cond=(False, ["a cat, dull"]), uncond=(True, [""]))
    assert sides_of(Settings(), Host()) == (Side(), Side(0.0))
    strong, weak = sides_of(Settings(strong_distilled_cfg=2.0, weak_distilled_cfg=1.0), Host())
    assert (strong.inputs, weak.inputs) == ({"guidance": 2.0}, {"guidance": 1.0})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weak_prompt": "cat", "weak_cfg": 0.0}, ["weak prompt has no effect"]),
        ({"weak_prompt": "cat", "weak_cfg": 1.0}, []),
        ({"weak_negative_prompt": "cat", "weak_cfg": 1.0}, ["weak negative prompt has no effect"]),
        ({"weak_negative_prompt": "cat", "weak_cfg": 0.0}, []),
        ({"weak_prompt": "cat", "weak_negative_prompt": "dog", "weak_cfg": -2.0}, []),
        ({"weak_cfg": 0.0}, []),
    ],
)
def test_user_is_told_of_prompts_that_cannot_count(settings, words):
    notes = without_effect(Settings(**settings))
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes))
