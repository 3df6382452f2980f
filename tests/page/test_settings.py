"""What requests are taken, and what the others are told."""

import json

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_w2sd.errors import SettingError
from lib_w2sd.gaps.pipeline import PARTS
from lib_w2sd.method.ways import WAYS
from lib_w2sd.page import settings
from lib_w2sd.page.settings import NAMES, SETTINGS, Settings, as_dict, parse, schema

from ..settings_strategies import INVALID, valid_requests

VALIDATOR = jsonschema.Draft202012Validator(schema())


def normal(request):
    """A right request as the settings hold it."""
    kinds = {"lambda_steps": int, "hires_lambda_steps": int, "strength": float, "weak_cfg": float}
    for name in ("strong_cfg", "strong_distilled_cfg", "weak_distilled_cfg"):
        kinds[name] = lambda v: v if v is None else float(v)
    kinds["weak_without"] = lambda v: ", ".join(n for n in PARTS if n in (v.split(", ") if isinstance(v, str) else v))
    kinds["weak_prompt"] = kinds["weak_negative_prompt"] = str.strip
    return {name: kinds.get(name, lambda v: v)(value) for name, value in request.items()}


@given(valid_requests)
def test_every_right_request_is_taken_as_it_is(request):
    parsed = parse([request])
    assert as_dict(parsed) == {**as_dict(Settings()), **normal(request)}
    assert {type(v) for v in as_dict(parsed).values()} <= {bool, int, float, str, type(None)}


@given(valid_requests)
def test_settings_round_trip_through_json_and_as_positional_arguments(request):
    parsed = parse([request])
    assert parse([json.loads(json.dumps(as_dict(parsed)))]) == parsed
    assert parse(list(as_dict(parsed).values())) == parsed
    assert parse(tuple(as_dict(parsed).values())[: len(SETTINGS)]) == parsed


@given(valid_requests, st.integers(0, len(SETTINGS)))
def test_positional_arguments_may_stop_early(request, given_ones):
    values = list(as_dict(parse([request])).values())[:given_ones]
    expected = {**as_dict(Settings()), **dict(zip(NAMES, values))} if values else as_dict(Settings())
    assert as_dict(parse(values)) == expected


def test_no_arguments_and_an_empty_object_leave_it_off():
    assert parse([]) == parse([{}]) == Settings()
    assert not Settings().enabled


@given(valid_requests)
def test_an_object_that_names_a_setting_is_on_unless_it_says_otherwise(request):
    named = {name: value for name, value in request.items() if name != "enabled"}
    assert parse([named]) == (parse([{**named, "enabled": True}]) if named else Settings())


@given(valid_requests)
def test_what_follows_the_object_is_the_hosts_padding(request):
    assert parse([request, 99, "paper", None]) == parse([request])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_wrong_value_is_refused_by_name_value_and_what_is_allowed(name, data):
    value = data.draw(INVALID[name])
    request = {"enabled": True, **data.draw(valid_requests), name: value}
    with pytest.raises(SettingError) as refusal:
        parse([request])
    message = str(refusal.value)
    field = settings.BY_NAME[name]
    assert name in message and field.label in message
    assert repr(value)[:200] in message
    assert f"allowed is {field.allowed}" in message
    assert len(message) < 600
    assert refusal.value.status_code == 422


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("enabled", "true or false"),
        ("lambda_steps", "a whole number from -1 to 150"),
        ("strength", "a number from 0 to 2"),
        ("inversion", f"one of {', '.join(WAYS)}"),
        ("weak_cfg", "a number from -30 to 30"),
        ("strong_cfg", "a number from -30 to 30, or nothing"),
        ("weak_prompt", "a text with balanced brackets"),
        ("hires", "one of same, off, own"),
    ],
)
def test_what_is_allowed_is_said_in_words(name, words):
    with pytest.raises(SettingError, match=f"allowed is {words}[.]$"):
        parse([{"enabled": True, name: []}])


@given(st.text(min_size=1).filter(lambda key: key not in NAMES))
@example("lambda")
@example("Enabled")
@example("x" * 500)
def test_an_unknown_key_is_refused_even_when_off(key):
    for enabled in (True, False):
        with pytest.raises(SettingError, match="unknown setting .*allowed are enabled, lambda_steps, strength"):
            parse([{"enabled": enabled, key: 1}])


def test_too_many_positional_arguments_are_refused():
    values = list(as_dict(Settings()).values())
    with pytest.raises(SettingError, match=f"given {len(NAMES) + 1} arguments; allowed are at most {len(NAMES)}"):
        parse([*values, 1])


@given(st.dictionaries(st.sampled_from([n for n in NAMES if n != "enabled"]), st.just(object())))
def test_off_is_off_whatever_else_is_given(request):
    assert parse([{**request, "enabled": False}]) == Settings()


# JSON as clients send it; prompts without brackets, which no schema can count.
plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="()[]<>\\"), max_size=9)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_text
    | st.sampled_from(["paper", "own", 1, 0.5, 151, -31]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(plain_text, inner, max_size=2),
    max_leaves=3,
)


def as_documented(request):
    """The control of a setting that may be left empty is a text box: the API takes its text, too."""

    def number(name, value):
        if not (isinstance(value, str) and name in settings.BY_NAME and settings.BY_NAME[name].optional):
            return value
        try:
            found = float(value) if value.strip() else None
        except ValueError:
            return value
        return value if found != found else found  # NaN is in no range, but JSON schema does not say so

    return {name: number(name, value) for name, value in request.items()}


@given(
    st.dictionaries(st.sampled_from(NAMES) | plain_text, json_values, max_size=4)
    | st.sampled_from(NAMES).flatmap(lambda name: st.builds(lambda v: {name: v}, INVALID_JSON[name]))
)
@example({"lambda_steps": 3.0})
@example({"lambda_steps": True})
@example({"strong_cfg": None})
@example({"weak_cfg": 10**400})
@example({"strong_distilled_cfg": ""})
@example({"strong_cfg": "nan"})
def test_what_the_schema_takes_the_parser_takes_and_nothing_else(request):
    request = {**request, "enabled": True}
    expected = VALIDATOR.is_valid(as_documented(request))
    try:
        parse([request])
        accepted = True
    except SettingError:
        accepted = False
    assert accepted == expected


def is_json(value):
    return not (isinstance(value, float) and (value != value or abs(value) == float("inf")))


def is_plain(value):
    return not (isinstance(value, str) and set(value) & set("()[]<>\\"))


INVALID_JSON = {name: values.filter(is_json).filter(is_plain) for name, values in INVALID.items()}


@given(valid_requests)
def test_the_schema_takes_every_right_request(request):
    VALIDATOR.validate(request)


def test_the_schema_is_one_and_documents_everything():
    jsonschema.Draft202012Validator.check_schema(schema())
    json.dumps(schema(), allow_nan=False)
    assert list(schema()["properties"]) == list(NAMES)
    for f in SETTINGS:
        entry = schema()["properties"][f.name]
        assert entry["title"] and entry["description"].endswith(".")
        assert entry["default"] == f.default
        VALIDATOR.validate({f.name: entry["default"]})


@pytest.mark.parametrize(("text", "value"), [("", None), ("  ", None), ("5.5", 5.5), (" -3 ", -3.0), ("0", 0.0)])
def test_strong_cfg_may_be_the_text_of_its_box(text, value):
    assert parse([{"enabled": True, "strong_cfg": text}]).strong_cfg == value


@pytest.mark.parametrize("text", ["(a:1.2), [b:c:5]", "\\(literal\\)", "\\[", "a \\\\ (b)", "a <b> c", "x < 3 > 2"])
def test_prompts_with_balanced_brackets_are_taken(text):
    assert parse([{"enabled": True, "weak_prompt": text}]).weak_prompt == text


def test_messages_about_brackets_say_which():
    for text, words in (
        ("(a", r"a \( is never closed"),
        ("a]", r"a \] closes nothing"),
        ("(a]", r"a \] closes nothing"),
    ):
        with pytest.raises(SettingError, match=words):
            parse([{"enabled": True, "weak_prompt": text}])
    with pytest.raises(SettingError, match="extra network"):
        parse([{"enabled": True, "weak_prompt": "<hypernet:x:1>"}])
    # There every host leaves it standing as words.
    assert parse([{"enabled": True, "weak_negative_prompt": "<lora:x:1>"}]).weak_negative_prompt == "<lora:x:1>"


@pytest.mark.parametrize(("hires", "expected"), [("same", 7), ("off", 0), ("own", 3)])
def test_lambda_of_each_pass(hires, expected):
    chosen = Settings(enabled=True, lambda_steps=7, hires=hires, hires_lambda_steps=3)
    assert chosen.lambda_of(hires_pass=False) == 7
    assert chosen.lambda_of(hires_pass=True) == expected
