"""Hypothesis strategies: requests that are right, and values that are wrong."""

from hypothesis import strategies as st

from lib_w2sd.gaps.pipeline import PARTS
from lib_w2sd.method import ways

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="()[]<>\\#/"), max_size=12)
awkward = st.sampled_from(
    ['"', '"cat"', "a, b", "a: b", "two\nlines", "512x768", "{prompt}", "{negative_prompt}", "猫", "\\(", "\\]", "\\\\"]
)
# Texts whose brackets pair up.
prompts = st.recursive(
    letters | awkward,
    lambda inner: (
        st.builds("({})".format, inner) | st.builds("[{}:9]".format, inner) | st.builds("{}{}".format, inner, inner)
    ),
    max_leaves=6,
)
lambdas = st.integers(-1, 150)
scales = st.floats(-30, 30) | st.integers(-30, 30)
distilled_scales = st.none() | st.floats(0, 30) | st.integers(0, 30)
offsets = st.floats(-5, 5) | st.integers(-5, 5)

VALID = {
    "enabled": st.just(True),
    "lambda_steps": lambdas | lambdas.map(float),
    "strength": st.floats(0, 2) | st.integers(0, 2),
    "inversion": st.sampled_from(ways.WAYS),
    "weak_cfg": scales,
    "strong_cfg": st.none() | scales,
    "weak_prompt": prompts,
    "weak_negative_prompt": prompts,
    "hires": st.sampled_from(["same", "off", "own"]),
    "hires_lambda_steps": lambdas,
    "weak_lora_offset": offsets,
    "strong_lora_offset": offsets,
    "weak_loras": st.deferred(lambda: lora_tags),
    "weak_lora_text_encoder": st.booleans(),
    "weak_checkpoint": letters.map(str.strip),
    "weak_checkpoint_loras": st.booleans(),
    "weak_alone": st.booleans(),
    "strong_distilled_cfg": distilled_scales,
    "weak_distilled_cfg": distilled_scales,
    "comparison": st.booleans(),
    "rounds": st.integers(1, 5),
    "first_step": st.integers(1, 150),
    "every": st.integers(1, 50),
    "measure": st.booleans(),
    "comparison_with": st.sampled_from(["plain", "same push", "same time"]),
    "reward": letters.map(str.strip),
    "weak_without": st.lists(st.sampled_from(PARTS)) | st.lists(st.sampled_from(PARTS)).map(", ".join),
    "weak_weight": st.floats(0, 1) | st.integers(0, 1),
    "weak_refiner_checkpoint": letters.map(str.strip),
    "weak_model": letters.map(str.strip),
    "weak_model_modules": letters.map(str.strip),
    "reward_threshold": st.floats(0, 100) | st.integers(0, 100),
    "reward_decoder": st.sampled_from(["preview", "vae"]),
}
valid_requests = st.fixed_dictionaries(
    {"enabled": VALID["enabled"]}, optional={k: v for k, v in VALID.items() if k != "enabled"}
)

no_number = st.sampled_from(
    [None, "", "ten", "1,5", [], [3], {}, True, False, float("nan"), float("inf"), -float("inf")]
)
no_optional_number = st.sampled_from(["ten", "nan", "inf", "31", [], {}, True, float("nan")])
no_text = st.sampled_from([None, 3, 0.5, True, [], {"prompt": "cat"}])
outside_lambda = st.integers(max_value=-2) | st.integers(min_value=151) | st.just(10**400)
fraction = st.floats(-1, 150).filter(lambda x: x != int(x))
outside_scale = st.floats(30.01, 1e300) | st.floats(-1e300, -30.01) | st.just(-(10**400))
unbalanced = st.sampled_from(["(", ")", "a)", "[a", "(a]", "a [b:c", "((a)", "\\((", "[a]]"])
extra_networks = st.sampled_from(["cat <lora:style:0.8>", "<lora:x:1:2>", "<hypernet:y:1>"])
no_prompt = no_text | unbalanced  # in a negative prompt every host leaves what looks like an extra network as words
no_boolean = st.sampled_from([None, 0, 1, "true", "yes", [], 1.0])
no_tag = st.sampled_from(["<lora:>", "<lora:x:much>", "<lora:x:1:1:1.5>", "<lora:x:inf>", "<lora:x:lr=1>"])
outside_offset = st.floats(5.001, 1e300) | st.floats(-1e300, -5.001) | st.just(10**400)
lora_tags = st.lists(st.sampled_from(["<lora:x:-1.5>", "<lora:y>", "<lora:a b:te=0:unet=-1>", " ", ", "])).map(
    lambda parts: "".join(parts).strip()
)
no_choice = no_text | st.sampled_from(["", "Paper", "ddim", "fixed point"])

INVALID = {
    "enabled": no_boolean,
    "lambda_steps": no_number | outside_lambda | fraction,
    "strength": no_number | st.floats(2.001, 1e9) | st.floats(-1e9, -0.001),
    "inversion": no_choice,
    "weak_cfg": no_number | outside_scale,
    "strong_cfg": no_optional_number | outside_scale,
    "weak_prompt": no_text | unbalanced | no_tag | st.just("<hypernet:y:1>"),
    "weak_negative_prompt": no_prompt,
    "hires": no_choice,
    "hires_lambda_steps": no_number | outside_lambda | fraction,
    "weak_lora_offset": no_number | outside_offset,
    "strong_lora_offset": no_number | outside_offset,
    "weak_loras": no_text | no_tag | st.sampled_from(["cat", "<lora:x:1> cat", "<hypernet:y:1>"]),
    "weak_lora_text_encoder": no_boolean,
    "weak_checkpoint": no_text,
    "weak_checkpoint_loras": no_boolean,
    "weak_alone": no_boolean,
    "comparison": no_boolean,
    "rounds": no_number | st.integers(max_value=0) | st.integers(min_value=6),
    "first_step": no_number | st.integers(max_value=0) | st.integers(min_value=151),
    "every": no_number | st.integers(max_value=0) | st.integers(min_value=51),
    "measure": no_boolean,
    "comparison_with": no_choice,
    "reward": no_text,
    "weak_without": st.sampled_from([None, 3, 0.5, True, {"a": 1}, "T2I", ["ControlNet", 3], "ControlNet; SAG"]),
    "weak_weight": no_number | st.floats(1.001, 1e9) | st.floats(-1e9, -0.001),
    "weak_refiner_checkpoint": no_text,
    "weak_model": no_text,
    "weak_model_modules": no_text,
    "reward_threshold": no_number | st.floats(100.001, 1e300) | st.floats(-1e300, -0.001),
    "reward_decoder": no_choice,
    "strong_distilled_cfg": no_optional_number | outside_scale | st.floats(-30, -0.001),
    "weak_distilled_cfg": no_optional_number | outside_scale | st.floats(-30, -0.001),
}
