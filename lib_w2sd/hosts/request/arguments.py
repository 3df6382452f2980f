"""W2SD's own arguments in a request.

What is to hold for one request only, a cell of a grid or the plain half of a comparison, is written here and not kept
beside: other extensions hand a request's arguments on, to a pass of their own (ADetailer) or to another WebUI
(Distributed), and nothing else that W2SD could leave in it.
"""

from ...page.settings import by_name

TITLE = "W2SD"


def _place(p) -> slice:
    """Where they are in p.script_args; nowhere, if an extension has left W2SD out of the request."""
    for script in p.scripts.alwayson_scripts:
        if script.title() == TITLE:
            return slice(script.args_from, script.args_to)
    return slice(0, 0)


def chosen_script(p) -> str:
    """The title of the script chosen in the tab's list of scripts; "" for none."""
    chosen = p.script_args[0]  # from 1; 0 or nothing: none
    return p.scripts.selectable_scripts[chosen - 1].title() if chosen else ""


def given(p) -> dict:
    """The settings in a request by name, as they were given."""
    return by_name(p.script_args[_place(p)])


def put(p, values: dict) -> None:
    """Change settings of a request. The host copies p for every cell of a grid, but not what p refers to: p gets
    arguments of its own."""
    place = _place(p)
    args = list(p.script_args)
    if args[place]:
        args[place.start] = {**given(p), **values}  # the rest of them is padding then
        p.script_args = type(p.script_args)(args)
