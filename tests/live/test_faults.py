"""What goes wrong in the middle of a request, as far as that can be brought about over HTTP: interrupts, skips, NaN.

After each, the next plain request and the next W2SD request give what they gave before. An exception at every single
call, and running out of memory, are tested in the stand-in: tests/test_webui_faults.py.
"""

import random
import threading
import time

import pytest
import torch
from safetensors.torch import save_file

from .conftest import PLAIN
from .test_checkpoint import asking, file_beside, pair  # noqa: F401 (fixtures)
from .test_engine import same

# Asked at different places the two sides share no call: each evaluation takes its own time.
SETTINGS = {"lambda_steps": -1, "inversion": "paper", "weak_prompt": "a dog", "weak_cfg": 3, "strong_cfg": 5}
SHORT = {**SETTINGS, "lambda_steps": 3}
LONG = {"steps": 8, "n_iter": 2}
WHOLE = 3 * (LONG["steps"] - 1) + 1  # evaluations of a run that ends by itself
TRIES = 30


class Before:
    """The pictures of the host before anything goes wrong."""

    def __init__(self, webui, settings=SHORT, **ask):
        self.webui, self.settings, self.ask = webui, settings, ask
        self.plain, self.reflected = webui.picture(**ask), webui.picture(settings, **ask)
        evaluations = webui.trace()[0]["evaluations"]
        self.seconds_a_step = sum(e["ms"] for e in evaluations if e["step"] == 1) / 1000

    def hold(self):
        assert same(self.webui.picture(**self.ask), self.plain)
        assert same(self.webui.picture(self.settings, **self.ask), self.reflected)
        assert same(self.webui.picture(**self.ask), self.plain)


@pytest.fixture(scope="module")
def before(webui):
    return Before(webui)


def ended(webui, path: str, delay: float):
    """The answer of a long request that is told to stop, `delay` seconds after its sampling has begun."""
    answers = []
    request = threading.Thread(target=lambda: answers.append(webui.request(SETTINGS, **LONG)))
    request.start()
    give_up = time.monotonic() + 60
    while request.is_alive() and time.monotonic() < give_up:
        state = webui.get("/sdapi/v1/progress?skip_current_image=true")["state"]
        if state["sampling_steps"] and state["sampling_step"] >= 1:
            break
        time.sleep(0.02)
    time.sleep(delay)
    assert request.is_alive(), "it had ended by itself"
    webui.post(path, {})
    request.join(timeout=300)
    (answer,) = answers
    return answer


def test_interrupt_in_a_reflection(webui, before, record):
    """The flag is set while an evaluation runs, and seen by the next: so the last one that the trace has is the one in
    which it was set. Where that is, is chance; it is tried until both sides have had it."""
    seen, chance = [], random.Random(5)
    for _ in range(TRIES):
        answer = ended(webui, "/sdapi/v1/interrupt", chance.uniform(0, 3 * before.seconds_a_step))
        assert answer.status_code == 200 and answer.json()["images"], "the picture so far is the answer"
        (run,) = webui.trace()
        assert len(run["evaluations"]) < WHOLE, "it was not interrupted"
        seen.append(run["evaluations"][-1]["kind"])
        if seen[-1] not in seen[:-1]:
            before.hold()
        if {"strong", "weak"} <= set(seen):
            break
    record(f"faults, {webui.name}", "interrupt", "result", f"ok, in {', '.join(sorted(set(seen)))}")
    assert {"strong", "weak"} <= set(seen)


def test_skip_in_a_reflection(webui, before, record):
    """Skip ends the first of two pictures; the second is its seed's, as alone."""
    undisturbed = webui.picture(SETTINGS, steps=LONG["steps"], seed=PLAIN["seed"] + 1)
    seen, chance = [], random.Random(6)
    for _ in range(TRIES):
        answer = ended(webui, "/sdapi/v1/skip", chance.uniform(0, 3 * before.seconds_a_step))
        assert answer.status_code == 200
        first, second = webui.trace()
        assert len(first["evaluations"]) < WHOLE == len(second["evaluations"])
        assert same(type(undisturbed)({**answer.json(), "images": answer.json()["images"][-1:]}), undisturbed)
        seen.append(first["evaluations"][-1]["kind"])
        if seen[-1] in ("strong", "weak"):
            break
    before.hold()
    record(f"faults, {webui.name}", "skip", "result", f"ok, in {', '.join(sorted(set(seen)))}")
    assert set(seen) & {"strong", "weak"}


def without_numbers(path, tensors, metadata):
    name = min(key for key in tensors if key.startswith("model.diffusion_model.output_blocks."))
    save_file({**tensors, name: torch.full_like(tensors[name], float("nan"))}, path, metadata)


@pytest.mark.parametrize(
    "settings",
    [
        {"lambda_steps": 1, "strong_cfg": 1},
        {"lambda_steps": -1, "inversion": "matched"},
        {"lambda_steps": 2, "inversion": "fixed-point", "strong_cfg": 1},
        {"weak_alone": True},
    ],
    ids=["paper", "matched", "fixed-point", "alone"],
)
def test_nan_out_of_the_weak_checkpoint(webui, pair, file_beside, record, settings):  # noqa: F811
    """It would be a black picture, on A1111 one with advice about the loaded checkpoint."""
    given = file_beside("w2sd-nan.safetensors", without_numbers)
    asked = Before(webui, {"lambda_steps": 2, "weak_checkpoint": pair[1], "weak_cfg": 1}, **asking(pair[0]))
    message = webui.refused({"weak_checkpoint": given, "weak_cfg": 1, **settings}, **asking(pair[0]))
    assert message.startswith("W2SD: the weak side gave NaN or infinity at step 1, with ")
    assert "weak_cfg 1.0" in message and f"weak_checkpoint {given!r}" in message
    asked.hold()
    record(f"faults, {webui.name}", f"NaN, {settings}", "result", "refused: NaN of the weak checkpoint")
