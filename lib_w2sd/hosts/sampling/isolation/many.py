"""Whether any of many places is another now, told at once."""

from itertools import chain
from operator import attrgetter, is_, methodcaller

from .kept import Cell, Collection, Table

SIZE = 256
KINDS = (Table, Collection, Cell)


def fits(place) -> bool:
    """Whether all that is kept of it can be looked at here."""
    return all(type(one) in KINDS and not (type(one) is Cell and one.is_empty) for one in place.kept)


class Many:
    """Asked one by one, the thousands of places that a few extensions have take longer than a step on a fast GPU; so
    they are looked at in loops that are not Python's.

    places  places.Place, all of which fit
    """

    def __init__(self, places: list):
        self.places, self.ids = places, {id(place.one) for place in places}
        found = {kind: [one for place in places for one in place.kept if type(one) is kind] for kind in KINDS}
        objects = [place for place in places if place.attributes is not None]
        tables, collections, cells = found[Table], found[Collection], found[Cell]
        self._objects = [place.one for place in objects], [place.attributes for place in objects]
        self._cells = [one.owner for one in cells], [one.content for one in cells]
        self._sized = [*(one.now for one in tables), *(one.owner for one in collections)]
        self._sizes = [*(len(one.values) for one in tables), *(len(one.content) for one in collections)]
        full = [one for one in tables if one.values]  # most functions have no attributes
        self._tables = [one.now for one in full], [value for one in full for value in one.values]
        named = [one for one in full if one.names]
        names = [name for one in named for name in one.names]
        self._lists = [*(one.now for one in named), *(one.owner for one in collections)], names
        names.extend(item for one in collections for item in one.content)

    def stand(self) -> bool:
        """Whether all is as it was."""
        try:
            return list(map(len, self._sized)) == self._sizes and all(
                all(map(is_, now, before))
                for now, before in (
                    (map(vars, self._objects[0]), self._objects[1]),
                    (map(attrgetter("cell_contents"), self._cells[0]), self._cells[1]),
                    (chain.from_iterable(map(methodcaller("values"), self._tables[0])), self._tables[1]),
                    (chain.from_iterable(self._lists[0]), self._lists[1]),
                )
            )
        except (ValueError, RuntimeError):  # a variable that has no value any more; another thread is at it
            return False


def grouped(places) -> "list[Many]":
    places = list(places)
    return [Many(places[start : start + SIZE]) for start in range(0, len(places), SIZE)]
