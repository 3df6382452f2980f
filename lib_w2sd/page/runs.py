"""What the page's last jobs have done, each under the id that the page itself has given it: a panel tells of its own
tab's job, and of no other tab's, nor of the API's."""

from collections import OrderedDict
from dataclasses import dataclass

from ..method.trace import Trace
from . import plot

KEPT = 16  # jobs, so as many tabs may be at work


@dataclass
class Job:
    """runs: the requests with W2SD that it has made, of a grid or a batch of files one each."""

    runs: int = 0
    trace: "Trace | None" = None


class Runs:
    def __init__(self):
        self.jobs: OrderedDict[str, Job] = OrderedDict()

    def begin(self, job: "str | None", trace: "Trace | None") -> None:
        """A job makes a request; `trace` is None where W2SD is off in it."""
        if job and trace:
            found = self.jobs.setdefault(job, Job())
            found.runs, found.trace = found.runs + 1, trace
            self.jobs.move_to_end(job)
            while len(self.jobs) > KEPT:
                self.jobs.popitem(last=False)

    def html(self, job: "str | None") -> str:
        """Nothing of a job without W2SD, of one that was refused, and of one that is not known any more."""
        found = self.jobs.get(job or "")
        return plot.html(found.trace.as_dict(), found.runs) if found else ""


LAST = Runs()
