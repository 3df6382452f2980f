"""What scripts, callbacks and guidance functions hold, found by following them, and put back as it was.

An extension counts calls, remembers what it has seen and draws numbers in places of its own: attributes of its script,
a list, a function's closure, its module. All that can be reached from those of its functions that take part in a call
of the denoiser is its to keep, and the sampler's own calls alone may change it.
"""

from collections import Counter, deque
from itertools import chain

from .many import Many, fits, grouped
from .places import Place, Places

# So many that are asked one by one, though they stand, are worth a look at once.
SETTLED = 64


class Belongings:
    """All that can be reached from `roots` as it is now. put_back() makes it so again, as often as wanted.

    roots    functions, objects, classes, modules of others; lists and tables
    objects  [(object of the host, names that are not its)], whose attributes are kept too
    layers   of the host's network, on which others keep what they remember, and on their classes
    earlier  Belongings of much the same: what stands since then is not looked at anew
    """

    def __init__(self, roots, objects=(), layers=(), earlier: "Belongings | None" = None):
        self._how = Places(objects, layers)
        self._roots = [*(one for one, _ in objects), *self._how.layers.values(), *roots]
        self._left_out = [leaving for _, leaving in objects]
        self._passing = {id(vars(one)) for one, _ in objects if hasattr(one, "__dict__")}
        fallen = earlier._fallen() if earlier else {}
        if not (earlier and self._is_asked_as(earlier) and self._follow(earlier, fallen)):
            self._look_everywhere(earlier, fallen)

    def _is_asked_as(self, earlier: "Belongings") -> bool:
        mine, others = ([*map(id, one._roots)] for one in (self, earlier))
        return mine == others and self._left_out == earlier._left_out

    def standing(self) -> "frozenset[int]":
        """Those of its groups in which all is as it was: by their ids, as changed() and put_back() take them."""
        return frozenset(id(many) for many in self._many if many.stand())

    def as_just_seen(self) -> "frozenset[int]":
        """standing(), where nobody has run since."""
        return frozenset(map(id, self._many))

    def _suspects(self, standing: "frozenset | None" = None):
        """The places that may have changed. `standing`: groups in which nothing has, of these Belongings or others."""
        standing = self.standing() if standing is None else standing
        return chain(self._few.values(), *(many.places for many in self._many if id(many) not in standing))

    def _fallen(self) -> "dict[int, Place]":
        """The places that would not be come by as they were."""
        return {id(place.one): place for place in self._suspects() if not place.stands()}

    def _look_everywhere(self, earlier: "Belongings | None", fallen: dict) -> None:
        # By id: a place holds what it is of, and an id is one object's as long as that lives.
        places, new, known = {}, [], earlier._places if earlier else {}
        queue = deque(self._roots)
        while queue:
            one = queue.popleft()
            if id(one) in places:
                continue
            place = known.get(id(one))
            if place is None or id(one) in fallen or place.wanted != self._how.wanted(one):
                place = self._how.of(one)
                new.append(place)
            places[id(one)] = place
            queue.extend(place.leads)
        self._places = places
        self._trim(new)
        self._led = Counter(map(id, chain(self._roots, *(place.leads for place in places.values()))))
        found = [place for place in places.values() if place.kept]
        settled = [place for place in found if fits(place) and not any(place.wanted) and id(place.one) not in fallen]
        self._many, settled = grouped(settled), {id(place.one) for place in settled}
        self._few = {id(place.one): place for place in found if id(place.one) not in settled}

    def _trim(self, new: "list[Place]") -> None:
        """Most of what is come by is a library's or the host's: that way nobody needs to go again."""
        for place in reversed(new):
            leads = {id(one): one for one in place.leads}
            there = {key for key in leads if key in self._places and self._places[key].is_something()}
            place.leads = [one for key, one in leads.items() if key in there]
            place.passed = [one for key, one in leads.items() if key not in there]

    def _follow(self, earlier: "Belongings", fallen: "dict[int, Place]") -> bool:
        """Looks where something has changed alone. Whether that is enough: not where something may have become out of
        reach, as a ring may that holds itself."""
        self._places, self._led = dict(earlier._places), Counter(earlier._led)
        new, queue = {}, deque(place.one for place in fallen.values())
        while queue:
            one = queue.popleft()
            if id(one) in new:
                continue
            self._places[id(one)] = new[id(one)] = place = self._how.of(one)
            passed = {id(lead) for lead in fallen[id(one)].passed} if id(one) in fallen else ()
            queue.extend(lead for lead in place.leads if id(lead) not in self._places and id(lead) not in passed)
        self._trim([*new.values()])
        for key, place in new.items():
            if not place.is_something():
                del self._places[key]  # it lives as long as what leads to it
        self._led.update(id(lead) for place in new.values() for lead in place.leads)
        gone = self._gone(earlier, [*fallen.values()])
        if gone is None:
            return False
        off = fallen.keys() | gone
        self._few = {key: place for key, place in earlier._few.items() if key not in off}
        self._many = []
        for many in earlier._many:
            left = many if off.isdisjoint(many.ids) else [place for place in many.places if id(place.one) not in off]
            self._many += [left] if isinstance(left, Many) else grouped(left)
        calm = [place for place in self._few.values() if fits(place) and not any(place.wanted)]
        if len(calm) > SETTLED:
            self._many += grouped(calm)
            self._few = {key: place for key, place in self._few.items() if place not in calm}
        self._few |= {key: place for key, place in new.items() if place.kept and key not in gone}
        return True

    def _gone(self, earlier: "Belongings", left: "list[Place]") -> "set | None":
        """What nothing leads to any more, now that the places in `left` have been looked at anew; None: that cannot be
        told."""
        gone, fewer = set(), set()
        while left:
            leads = [id(lead) for lead in left.pop().leads]
            self._led.subtract(leads)
            fewer.update(leads)
            for key in leads:
                if self._led[key] <= 0 and key in self._places:
                    gone.add(key)
                    left.append(self._places.pop(key))
        may_be_a_ring = (key for key in fewer - gone if self._led[key] < earlier._led[key])
        return None if any(self._places[key].leads for key in may_be_a_ring) else gone

    def put_back(self, standing: "frozenset | None" = None) -> None:
        for one in _kept(self._suspects(standing)):
            one.put_back()

    def changed(self, standing: "frozenset | None" = None) -> bool:
        """Whether others remember something else than here."""
        return any(one.changed() for one in self._lasting(_kept(self._suspects(standing))))

    def since(self, before: "Belongings") -> list:
        """What makes the changes once more that came between `before` and now, but for those of the host's objects and
        of random generators: what others remember."""
        then = {id(one.owner): one for one in before._kept(self._many)}
        kept = self._lasting(self._kept(before._many))
        changes = (one.since(then.get(id(one.owner))) for one in kept if then.get(id(one.owner)) is not one)
        return [change for change in changes if change is not None]

    def _kept(self, but: "list[Many]" = ()):
        """What is kept, but for what these hold."""
        but = set(map(id, but))
        return _kept(chain(self._few.values(), *(many.places for many in self._many if id(many) not in but)))

    def _lasting(self, kept):
        return (one for one in kept if id(one.owner) not in self._passing)


def _kept(places):
    return (one for place in places for one in place.kept)
