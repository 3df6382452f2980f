"""What others hold is found whole, whether it is looked for everywhere or only where it has changed since an earlier
look."""

import functools
import random
from types import MethodType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMED = {"calls": 0}


class Guide:
    """Somebody's script: `filename` says whose."""

    def __init__(self):
        self.number, self.listed, self.table = 0, [1, 2], {"inner": {"count": 0}}
        self.tensor, self.array, self.drawn = torch.zeros(3), np.zeros(3), random.Random(3)
        self.given, self.partial = ([], {1}), functools.partial(max, [0])
        self.method = MethodType(lambda one: one.number, self)

    def counts(self):
        inner = 0

        def counted():
            nonlocal inner
            inner += 1
            NAMED["calls"] += 1
            return inner

        return counted


def changes_of(one, counted):
    """{what: (what changes it, what it is)}; each is to be as it was once it has been put back."""

    def anew():
        one.table["inner"] = {"count": 1 + one.table["inner"]["count"]}

    return {
        "number": (lambda: setattr(one, "number", one.number + 1), lambda: one.number),
        "new name": (lambda: setattr(one, f"name {len(vars(one))}", 1), lambda: list(vars(one))),
        "list": (lambda: one.listed.append(3), lambda: list(one.listed)),
        "nested": (lambda: one.table["inner"].update(count=1 + one.table["inner"]["count"]), lambda: str(one.table)),
        "anew": (anew, lambda: str(one.table)),
        "tensor": (lambda: one.tensor.add_(1), lambda: one.tensor.tolist()),
        "tensor's data": (lambda: one.tensor.data.add_(1), lambda: one.tensor.tolist()),
        "array": (lambda: one.array.__iadd__(1), lambda: one.array.tolist()),
        "generator": (one.drawn.random, lambda: one.drawn.getstate()),
        "in a tuple": (lambda: one.given[0].append(1), lambda: str(one.given)),
        "set": (lambda: one.given[1].add(len(one.given[1]) + 1), lambda: str(one.given)),
        "partial": (lambda: one.partial.args[0].append(1), lambda: str(one.partial)),
        "closure": (counted, lambda: counted.__closure__[0].cell_contents),
        "module": (counted, lambda: NAMED["calls"]),
        "on a class": (lambda: setattr(Guide, "seen", getattr(Guide, "seen", 0) + 1), lambda: vars(Guide).get("seen")),
    }


@pytest.fixture
def look(a1111):
    from lib_w2sd.hosts.sampling.isolation.belongings import Belongings

    return Belongings


KINDS = list(changes_of(Guide(), Guide().counts()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_changed_is_found_beside_an_earlier_look(look, kind):
    """Changes since the earlier look are the present's own; those after it are taken back, and that is all."""
    one = Guide()
    counted = one.counts()
    change, of = changes_of(one, counted)[kind]
    latest = look([one, counted])
    for _ in range(3):
        change()
        since = of()
        latest = look([one, counted], earlier=latest)
        change()
        assert of() != since
        latest.put_back()
        assert of() == since


def test_other_attributes_are_looked_at(look):
    one = Guide()
    first = look([one])
    one.__dict__ = {**vars(one), "number": 5}
    second = look([one], earlier=first)
    one.number = 6
    second.put_back()
    assert one.number == 5


def test_what_is_new_is_found(look):
    """Also where it is come to by what was gone past."""
    one = Guide()
    one.beside = torch.nn.Linear(1, 1)  # a library's, of which nothing is kept
    first = look([one])
    one.beside, one.later = one.listed, {"deep": [Guide()]}
    second = look([one], earlier=first)
    one.later["deep"][0].number = 4
    one.listed.append(3)
    second.put_back()
    assert one.later["deep"][0].number == 0 and one.listed == [1, 2]


def test_a_database_is_known_by_its_entries_and_a_memory_by_all_that_is_in_it(look):
    """Thousands of lists of words that an extension looks things up in would take longer to look at than a step."""
    one = Guide()
    one.words = {str(number): [["a cat", number], "a dog"] for number in range(2000)}
    one.seen = {number: [torch.zeros(1)] for number in range(2000)}
    one.words["itself"] = [one.words["0"]]
    one.words["itself"].append(one.words["itself"])
    now = look([one])
    assert len(now._places) < 5000
    one.words["new"], one.words["7"] = ["a bird"], []
    one.seen[7][0].add_(1)
    one.seen[8].append(1)
    now.put_back()
    assert len(one.words) == 2001 and one.words["7"] == [["a cat", 7], "a dog"]
    assert float(one.seen[7][0]) == 0 and len(one.seen[8]) == 1


def test_a_variable_that_has_no_value_yet_has_none_afterwards(look):
    def outer():
        def read():
            return value

        def write():
            nonlocal value
            value = 1

        if one.number:
            value = 0
        return read, write

    one = Guide()
    read, write = outer()
    first = look([read])
    for earlier in (None, first):
        now = look([read], earlier=earlier)
        write()
        assert read() == 1 and now.changed()
        now.put_back()
        with pytest.raises(NameError):
            read()


def test_a_layer_that_is_wanted_later_is_looked_at_then(look):
    """Where others put their function in a layer's place, what they keep on it counts from then on."""
    layer = torch.nn.Linear(1, 1)
    one = Guide()
    one.layer = layer
    layer.seen = 0
    first = look([one])
    second = look([one], layers=[layer], earlier=first)
    layer.seen = 1
    second.put_back()
    assert layer.seen == 0


def test_what_stands_is_not_kept_twice(look):
    """The copies of what has not changed are the earlier look's."""
    one = Guide()
    first = look([one])
    one.table["inner"]["count"] = 1
    second = look([one], earlier=first)
    earlier, now = ({id(kept.owner): kept for kept in found._kept()} for found in (first, second))
    others = [type(kept.owner).__name__ for owner, kept in now.items() if earlier.get(owner) is not kept]
    assert sorted(others) == ["Random", "dict"]


def kept_of(found) -> dict:
    return {id(kept.owner): str(getattr(kept, "content", "")) for kept in found._kept()}


def put(one, where: str, other) -> None:
    """One thing led to by another, in each of the ways that there are."""
    {
        "attribute": lambda: setattr(one, "led", other),
        "list": lambda: one.listed.append(other),
        "emptied list": lambda: one.listed.__setitem__(slice(None), [other]),
        "table": lambda: one.table.update(led=other),
        "new table": lambda: setattr(one, "table", {"inner": {"count": 0}, "led": other}),
        "tensor": lambda: setattr(one, "tensor", torch.zeros(2)),
        "nothing": lambda: setattr(one, "led", None),
        "closure": lambda: setattr(one, "led", lambda: other),
    }[where]()


WAYS = ["attribute", "list", "emptied list", "table", "new table", "tensor", "nothing", "closure"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(WAYS), st.integers(0, 4)), max_size=12))
def test_what_is_followed_is_what_would_be_found_anew(look, moves):
    """Whatever leads to what, in rings too, and whatever falls out of reach: it is forgotten, or a tensor that somebody
    else has by now would be written to."""
    guides = [Guide() for _ in range(4)]
    latest = look(guides[:1])
    for i, where, j in moves:
        put(guides[i], where, guides[j] if j < 4 else Guide())
        latest = look(guides[:1], earlier=latest)
        assert kept_of(latest) == kept_of(look(guides[:1]))
        assert not latest.changed()


def test_what_has_fallen_is_put_back_and_nothing_else_is_asked(look):
    """Groups that are known to stand are not looked at again."""
    guides = [Guide() for _ in range(300)]
    first = look(guides)
    guides[7].number = 1
    second = look(guides, earlier=first)
    guides[9].number = 1
    assert second.changed() and not second.changed(second.as_just_seen())
    standing = second.standing()
    assert standing < second.as_just_seen()
    second.put_back(standing)
    assert guides[9].number == 0 and guides[7].number == 1
    first.put_back(second.as_just_seen())
    assert guides[7].number == 0
