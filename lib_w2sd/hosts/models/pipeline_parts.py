"""What the pipeline gap's overlays have in common on every host."""

from contextlib import ExitStack, contextmanager

from ...gaps.pipeline import UNITS, Pipeline
from ..sampling.isolation.swapped import swapped

PARTS, WEIGHT = Pipeline.settings


class LeftOut:
    """Overlay of a weak side that does without `parts` (gaps.pipeline.PARTS), or has only a share of their weight.

    A host's own says in installed() what is swapped for a weak call: [(owner, name, value)], and of what has a window
    of steps of its own, whether that acts at a reflected step of the trace: [acts(entry)].
    """

    def __init__(self, host, parts: "tuple[str, ...]", share: float = 0.0):
        self.host, self.parts, self.share, self.swaps, self.windows = host, parts, share, [], []

    def as_dict(self) -> dict:
        return {"kind": "pipeline", "without": list(self.parts), "weight": self.share}

    def check(self, found: set) -> None:
        """Raises SettingError where the picture has not all of the parts, unless some of it is made already."""
        absent = [part for part in self.parts if part not in found]
        if absent and not self.host.begun:
            PARTS.refuse(", ".join(self.parts), f", but there is no {' and no '.join(absent)} in this picture")

    def wanted(self, units: list) -> list:
        """Of ControlNet units in their order, those that the parts name."""
        if "ControlNet" in self.parts:
            return units
        return [unit for name, unit in zip(UNITS, units) if name in self.parts]

    def no_weight(self, what: str):
        """Raises SettingError: `what` has none that could be made smaller."""
        WEIGHT.refuse(self.share, f", but {what} has no weight of its own in this WebUI: it can only be left out whole")

    def told(self, reflections: list) -> str:
        """What is to be known after a run whose last reflected steps are not in the parts' own windows; "" mostly."""
        acting = [any(acts(entry) for acts in self.windows) for entry in reflections] if self.windows else []
        last = next((number for number, acts in enumerate(reversed(acting)) if acts), len(acting))
        if not last:
            return ""
        ends = f"acts in none of the {len(acting)} improved steps"
        if last < len(acting):
            ends = f"ends before the last {last} of the {len(acting)} improved steps"
        return (
            f"W2SD: {' and '.join(self.parts)} {ends}: by its own start and end it makes no gap there. A smaller "
            "lambda takes less time; a later end makes one."
        )

    @contextmanager
    def on(self):
        """Within, the host's calls are the weak side's."""
        with ExitStack() as stack:
            for swap in self.swaps:
                stack.enter_context(swapped(*swap))
            yield


def units_named(count: int) -> set:
    """The names of so many ControlNet units."""
    return {"ControlNet", *UNITS[:count]} if count else set()
