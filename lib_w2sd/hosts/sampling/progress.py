"""The host's progress bar and its ETA, while steps take differently long.

All hosts (A1111 1.10.1 and Forge dfdcbab6: progress.py and api.py) count `1 / job_count * sampling_step /
sampling_steps`, as if all steps took the same time; a reflected one takes more than twice another. Nobody but the two
functions that compute this sees another number than the host's own: live previews, other extensions' callbacks and the
API's clients go by it.
"""

import functools
import sys

from modules.shared import state

# Those functions, by module and name.
BARS = {("modules.progress", "progressapi"), ("modules.api.api", "progressapi")}


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
    """In the place of the host's `state.sampling_step`, on the class of its state: a bar reads weigh(the number set),
    everybody else that number.

    It is weighed as it is set: between that and anything done afterwards the page could look, and its bar would jump
    back. Once a run is done (`over`) the bar stays where it is, while the picture is decoded, until the host sets
    another number.
    """

    NAME = "sampling_step"

    def __init__(self, cls, weigh):
        self.cls, self.weigh, self.over = cls, weigh, False
        self.had, self.default = self.NAME in vars(cls), vars(cls).get(self.NAME)
        self.weighed = None
        setattr(cls, self.NAME, self)

    def __get__(self, of, owner=None):
        if of is None:
            return self.default
        step = vars(of).get(self.NAME, self.default)
        asking = sys._getframe(1)
        is_bar = (asking.f_globals.get("__name__"), asking.f_code.co_name) in BARS
        return self.weighed if is_bar and self.weighed is not None else step

    def __set__(self, of, step):
        vars(of)[self.NAME] = step
        if self.over:
            self.gone()
        else:
            self.weighed = self.weigh(step)

    def gone(self):
        if vars(self.cls).get(self.NAME) is self:
            setattr(self.cls, self.NAME, self.default) if self.had else delattr(self.cls, self.NAME)


def weighed(sample, passes: list):
    """The sampling function `sample`; after each of its steps the host's bar says what share of the run is done.

    passes  the request's trace, whose last entry is this run's once it has begun
    """

    @functools.wraps(sample)
    def weighing(*args, **kwargs):
        before = len(passes)

        def weigh(step):
            if len(passes) == before or not passes[-1].reflections:
                return None
            return share_done(passes[-1], step) * state.sampling_steps

        counter = vars(type(state)).get(Counter.NAME)
        if isinstance(counter, Counter):  # of a run after which nothing has been set
            counter.gone()
        counter = Counter(type(state), weigh)
        try:
            return sample(*args, **kwargs)
        finally:
            counter.over = True
            if counter.weighed is None:
                counter.gone()

    return weighing
