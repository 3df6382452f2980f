"""The host's progress over HTTP while a picture is made: the share of the UNet rows, not of the steps."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import httpx

STEPS, LAMBDA = 12, 6
A_STEP, A_REFLECTION = 2, 3  # rows: CFG 6.5, and weak CFG 0 under the paper's inversion


def share(step: int) -> float:
    """Of a run, once step `step` (from 0) is made."""
    made = step + 1
    total = STEPS * A_STEP + LAMBDA * A_REFLECTION
    return (made * A_STEP + min(made, LAMBDA) * A_REFLECTION) / total


def polled(webui, w2sd) -> list:
    """(step, progress) as the API told them while the picture was made."""
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=webui.url, timeout=60) as client:
        job = pool.submit(webui.picture, w2sd, steps=STEPS, width=192, height=192)
        seen = []
        while not job.done():
            answer = client.get("/sdapi/v1/progress", params={"skip_current_image": True}).json()
            state = answer["state"]
            if state["sampling_steps"] == STEPS and state["sampling_step"] > 0:
                seen.append((state["sampling_step"], answer["progress"]))
            sleep(0.02)
        job.result()
    return seen


def test_progress_is_the_share_of_the_rows(webui):
    seen = polled(webui, {"lambda_steps": LAMBDA, "inversion": "paper"})
    assert len({step for step, _ in seen}) >= 3, "too few looks at the progress to tell"
    for step, progress in seen:
        assert step == int(step)
        # The API adds 0.01, and may read the step a moment after the progress.
        told = [min(0.01 + share(int(step) - late), 1) for late in (0, 1)]
        assert min(abs(progress - one) for one in told) < 1e-6, (step, progress, told)


def test_off_it_is_the_share_of_the_steps(webui):
    for step, progress in polled(webui, {"enabled": False}):
        told = [0.01 + (step - late) / STEPS for late in (0, 1)]
        assert min(abs(progress - one) for one in told) < 1e-6, (step, progress, told)
