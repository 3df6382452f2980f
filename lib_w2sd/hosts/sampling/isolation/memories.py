"""What guides and caches remember of a side's evaluations, each side's apart.

A guide that keeps a running mean, a cache that hands out an earlier answer of the network: drawn alone, a side would
meet what they remember of its own calls. So each evaluation leaves nothing behind (isolation), and what it has changed
of what others remember is there again for the next evaluation of the same side. Only that: what changes between calls,
a step's number say, is the sampler's for all.
"""

from contextlib import contextmanager


class Memories:
    """Of one run. A side is asked once a step; asked again at the same (fixed-point, several rounds), it starts from
    what was remembered before that step."""

    def __init__(self):
        self._of = {}  # side -> (number of the sampler's call, changes before, changes after)
        self._latest, self.missed = None, False

    def forget(self) -> None:
        """Another network has taken over."""
        self._of.clear()

    @property
    def any(self) -> bool:
        """Whether anybody remembers a side's evaluation."""
        return any(after for _, _, after in self._of.values())

    @contextmanager
    def of(self, side: str, call: int, start, present):
        """Around an evaluation of `side` at the sampler's call number `call`. `start`: isolation's Moment that it is
        now; `present()`: the one that it will be."""
        at, before, after = self._of.get(side, (None, [], []))
        begin = before if at == call else after
        for change in begin:
            change()
        yield
        self._of[side] = call, begin, start.changes(present)

    def shared(self, side: str, call: int, start, present) -> bool:
        """The sampler's own call number `call`, before which things were as in `start` and after which they are as in
        `present`, has been the side's too: it remembers what that has left. Not where the sampler has made others
        meanwhile that the sides were not asked about (samplers of two calls a step): from then on the side has to be
        asked by itself."""
        self.missed = self.missed or (self._latest is not None and call != self._latest + 1)
        self._latest = call
        if self.missed and self.any:
            return False
        _, _, before = self._of.get(side, (None, [], []))
        self._of[side] = call, before, start.changes_until(present)
        return True
