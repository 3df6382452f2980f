"""XYZ axes for every setting."""

from ..errors import SettingError
from ..gaps.lora_scales import without_networks
from ..gaps.prompt import NEGATIVE_PROMPT, PROMPT
from ..setting import NONE
from .settings import COMPARISON, SETTINGS

# The title of the host's script, in the list of scripts.
SCRIPT = "X/Y/Z plot"
# An attribute of the host's processing object: an axis has said whether W2SD is on in this cell.
SWITCHED = "w2sd_switched"
_TYPES = {"integer": int, "number": float}
_ANSWERS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def label(f) -> str:
    """An axis' name in the host's list, as other extensions name theirs: [W2SD] Weak CFG."""
    words = "enabled" if f.name == "enabled" else f.infotext.removeprefix("W2SD ")
    # A text is searched and replaced in, as the host's own axis "Prompt S/R" does.
    return f"[W2SD] {words[0].upper()}{words[1:]}{' S/R' if f.searched else ''}"


def _with(p, f, value) -> dict:
    """What an axis changes in a cell. An axis turns W2SD on, unless one says otherwise."""
    if f.name == "enabled":
        setattr(p, SWITCHED, True)
    return {f.name: value} if getattr(p, SWITCHED, False) else {"enabled": True, f.name: value}


def _value(f, x):
    if f.kind != "boolean":
        return f.check(x)
    answer = _ANSWERS.get(str(x).strip().lower())
    return f.refuse(x) if answer is None else answer


def _plain_axis(f, put, known=lambda value: None):
    def apply(p, x, xs):
        put(p, _with(p, f, _value(f, x)))

    def confirm(p, xs):  # before the first picture, so that a grid does not fail at its last cell
        for x in xs:
            value = _value(f, x)
            if value:
                with f.named():
                    known(value)

    return apply, confirm


def _search_and_replace_axis(f, given, put):
    """As the host's Prompt S/R: the axis' first value is looked for, and each value put in its place.

    Looked for in the setting's own text; if it is not there, in the picture's prompts that the text stands for.
    """

    def text_with(p, search):
        text = given(p).get(f.name) or f.default
        if search not in text:
            own = {PROMPT: p.prompt, NEGATIVE_PROMPT: p.negative_prompt}
            for placeholder, prompt in own.items():
                text = text.replace(placeholder, without_networks(prompt))
        if search not in text:
            raise SettingError(f"W2SD: the axis {label(f)} looks for {search!r}, which is not in {text!r}.")
        return text

    def apply(p, x, xs):
        put(p, _with(p, f, f.check(text_with(p, xs[0]).replace(xs[0], x))))

    def confirm(p, xs):
        for x in xs:
            f.check(text_with(p, xs[0]).replace(xs[0], x))

    return apply, confirm


def options(axis_option, given, put, lists: "dict | None" = None) -> list:
    """The axes, as objects of the host's class `axis_option`.

    given  given(p) -> the settings in the request, by name
    put    put(p, values) changes settings of one cell's request
    lists  controls.Listed of the settings that are names on a list
    """
    axes = []
    # What a grid is made of most often comes first; a comparison picture of its own is no part of a grid's cell.
    for f in sorted((f for f in SETTINGS if f.name not in COMPARISON), key=lambda f: f.grid is None):
        if f.listed:
            of = lists[f.name] if lists else None
            apply, confirm = _plain_axis(f, put, of.known if of else lambda name: None)
            # What the host asks for its own axis of checkpoints: as few changes from cell to cell as can be.
            listed = {"cost": 1.0, "choices": lambda of=of: [NONE, *(of.names() if of else ())]}
            axes.append(axis_option(label(f), str, apply, confirm=confirm, **listed))
            continue
        if f.searched:
            apply, confirm = _search_and_replace_axis(f, given, put)
            axes.append(axis_option(label(f), str, apply, confirm=confirm))
            continue
        apply, confirm = _plain_axis(f, put)
        several = lists[f.name].names() if f.several and lists else f.several
        choices = f.choices or several or (("True", "False") if f.kind == "boolean" else None)
        listed = {"choices": lambda choices=choices: list(choices)} if choices else {}
        axes.append(axis_option(label(f), _TYPES.get(f.kind, str), apply, confirm=confirm, **listed))
    return axes
