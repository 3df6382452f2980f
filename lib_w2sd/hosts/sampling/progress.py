"""The host's progress bar and its ETA, while steps take differently long.

Both hosts (A1111 1.10.1 and Forge dfdcbab6: progress.py and api.py) count `1 / job_count * sampling_step /
sampling_steps`, as if all steps took the same time; a reflected one takes more than twice another. The counter itself
has to stay what it is: live previews and other extensions' callbacks go by it.
"""

import functools

from modules.shared import state

from .swapped import swapped


class WeighedStep(float):
    """A step's number, in all respects but one: `number * step`, the host's progress, takes `weighed` for it."""

    def __new__(cls, step, weighed: float):
        self = super().__new__(cls, step)
        self.weighed = weighed
        return self

    def __rmul__(self, number):
        return number * self.weighed


def share_done(run, step: int) -> float:
    """How much of a sampling run is done, in UNet rows, once its step `step` (from 0) has been evaluated.

    run  its trace.Pass: what the steps so far took tells what those to come will take
    """
    made, reflected = step + 1, len(run.reflections)
    own = sum(e["rows"] for e in run.evaluations if e["kind"] == "step")
    more = sum(e["rows"] for e in run.evaluations if e["kind"] != "step")
    left = (run.steps - made) * own / made + (run.reflected - reflected) * (more / reflected if reflected else 0)
    return (own + more) / (own + more + left) if own + more + left else 1.0


class Counter:
    """In the place of the host's `state.sampling_step`: the number set to it is read as weigh(number), from the first.

    On the class of the host's state: between the host's setting it and anything done afterwards, the page could read
    it as it was set, and its bar would jump back.
    """

    def __init__(self, weigh):
        self.weigh = weigh

    def __get__(self, of, owner=None):
        return self if of is None else vars(of)["sampling_step"]

    def __set__(self, of, step):
        vars(of)["sampling_step"] = self.weigh(step)


def weighed(sample, passes: list):
    """The sampling function `sample`; after each of its steps the host's counter says what share of the run is done.

    passes  the request's trace, whose last entry is this run's once it has begun
    """

    @functools.wraps(sample)
    def weighing(*args, **kwargs):
        before = len(passes)

        def weigh(step):
            if len(passes) == before or not passes[-1].reflections:
                return step
            return WeighedStep(step, share_done(passes[-1], step) * state.sampling_steps)

        def as_dict(of=state.dict):
            # For the API, whose encoder knows no kinds of numbers but Python's own.
            return {k: int(v) if isinstance(v, WeighedStep) else v for k, v in of().items()}

        state.sampling_step = state.sampling_step  # of its own, should it still be the class's
        try:
            with swapped(state, "dict", as_dict), swapped(type(state), "sampling_step", Counter(weigh)):
                return sample(*args, **kwargs)
        finally:
            # While the picture is decoded the bar stays where it is.
            if isinstance(state.sampling_step, WeighedStep):
                state.sampling_step = round(state.sampling_step.weighed)

    return weighing
