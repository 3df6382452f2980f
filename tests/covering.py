"""Fewer tests of the same worth: of a test over several parameters not all combinations, but all that matter."""

import itertools


def covering(combinations: list, at_once: int = 1) -> list:
    """As many of the combinations ({parameter: value} each) as it takes; their places.

    at_once  1: every value of each parameter is there; 2: every two values of two parameters are, together
    """
    at_once = min(at_once, len(combinations[0]))
    met = [
        set(itertools.combinations(sorted((name, str(value)) for name, value in one.items()), at_once))
        for one in combinations
    ]
    left, chosen = set().union(*met), []
    while left:
        new = [len(left & these) for these in met]
        chosen.append(new.index(max(new)))
        left -= met[chosen[-1]]
    return sorted(chosen)


def left_out(items: list) -> set:
    """The tests of a collection that can be left out: in the live suite, where one takes seconds, all but each value of
    each parameter on each host; elsewhere all but every two values together."""
    tests, out = {}, set()
    for item in items:
        params = dict(getattr(getattr(item, "callspec", None), "params", {}))
        live = "live" in item.path.parts
        host = params.pop("webui", None)
        tests.setdefault((item.nodeid.partition("[")[0], str(host), live), []).append((item, params))
    for (_, _, live), cases in tests.items():
        if len(cases[0][1]) > 1:
            kept = covering([params for _, params in cases], 1 if live else 2)
            out |= {item for i, (item, _) in enumerate(cases) if i not in kept}
    return out
