"""What a WebUI and its extensions make of a text before it is encoded, for texts that are not the picture's own.

Once a request the host takes comments out, and always-on scripts put other words in the place of wildcards and
variants. Those of which nothing else is known to come read W2SD's texts too, in a request that stands in for the real
one and is never made.
"""

import copy
import random
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from modules import errors, scripts, shared

from ....gaps.prompt import NEGATIVE_PROMPT, PROMPT

# Files of the scripts whose `process` reads prompts and does nothing else: the hosts' own for comments, Simple
# wildcards, Dynamic Prompts.
READERS = ("comments.py", "wildcards.py", "dynamic_prompting.py")
# In the placeholders' place while others read: {prompt} is one of Dynamic Prompts' variants.
SHIELDS = {PROMPT: "W2SDPROMPT", NEGATIVE_PROMPT: "W2SDNEGATIVEPROMPT"}


def without_comments(text: str) -> str:
    """A text without what this host takes for comments, before any request."""
    own = [data.module for data in scripts.scripts_data if Path(getattr(data, "path", "")).name == READERS[0]]
    host = next(iter(own), sys.modules.get("modules.processing_scripts.comments"))  # Forge's is no script
    asked = host is not None and getattr(shared.opts, "enable_prompt_comments", True)
    return host.strip_comments(text) if asked else text


def loaded() -> set:
    """The files of the scripts that this WebUI has loaded."""
    return {Path(data.path).name for data in scripts.scripts_data if hasattr(data, "path")}


def read(p, text: str, negative: bool) -> list:
    """`text` as it would be read if it were the request's own prompt, one for each of its pictures; the placeholders
    stand as they are."""
    stand_in = stand_in_of(p)
    for placeholder, shield in SHIELDS.items():
        text = text.replace(placeholder, shield)
    styles = shared.prompt_styles
    # Of no style: but this is where Forge takes comments out.
    text = (styles.apply_negative_styles_to_prompt if negative else styles.apply_styles_to_prompt)(text, [])
    count, name = len(p.all_prompts), "negative_prompt" if negative else "prompt"
    # Beside it the picture's own other one, which is read already.
    setattr(stand_in, name, text)
    setattr(stand_in, f"main_{name}", text)
    setattr(stand_in, f"all_{name}s", [text] * count)
    ask_readers(stand_in)
    found = getattr(stand_in, f"all_{name}s")
    for placeholder, shield in SHIELDS.items():
        found = [one.replace(shield, placeholder) for one in found]
    return [found[i % len(found)] for i in range(count)]  # Dynamic Prompts' combinations may be fewer


def changed_by_others(p) -> bool:
    """Whether the picture's own prompts are others than what READERS make of those that were given: there is somebody
    else, of whom nothing is known and who has not read W2SD's texts."""
    given = p.prompt if isinstance(p.prompt, list) else [p.prompt] * len(p.all_prompts)
    for styles in (p.styles, []):  # Dynamic Prompts leaves a prompt that has them already
        stand_in = stand_in_of(p)
        stand_in.all_prompts = [shared.prompt_styles.apply_styles_to_prompt(text, styles) for text in given]
        ask_readers(stand_in)
        if stand_in.all_prompts == p.all_prompts:
            return False
    return True


def of_the_pass(p, texts: list, count: int) -> list:
    """Those of a request's texts that the `count` pictures at work have."""
    first = p.iteration * p.batch_size
    return [texts[(first + i) % len(texts)] for i in range(count)]


def stand_in_of(p):
    """A copy of the request in which prompts can be put, with lists of its own and without a hires pass."""
    stand_in = copy.copy(p)
    for name, value in vars(p).items():
        if type(value) in (list, dict):
            setattr(stand_in, name, copy.copy(value))
    stand_in.styles, stand_in.enable_hr = [], False
    stand_in.all_hr_prompts = stand_in.all_hr_negative_prompts = None
    return stand_in


def ask_readers(stand_in) -> None:
    for script in scripts_of(stand_in):
        if file_of(script) in READERS:
            try:
                with as_it_was(script):
                    script.process(stand_in, *arguments_of(script, stand_in))
            except Exception:  # the host goes on without it too: an empty prompt is too little for Dynamic Prompts
                errors.report(f"Error running process: {script.filename}", exc_info=True)


def scripts_of(p) -> list:
    """The always-on scripts, in the order in which they read prompts."""
    ordered = getattr(p.scripts, "ordered_scripts", None)
    return ordered("process") if ordered else p.scripts.alwayson_scripts


def file_of(script) -> str:
    return Path(getattr(script, "filename", None) or "").name


def arguments_of(script, p) -> tuple:
    return tuple(p.script_args[script.args_from : script.args_to])


@contextmanager
def as_it_was(script):
    """What a script keeps, in itself and one floor below (Dynamic Prompts' writer of files), and Python's generator."""
    held = [value for value in vars(script).values() if hasattr(value, "__dict__")]
    before = [(vars(of), dict(vars(of))) for of in (script, *held) if not isinstance(of, (type, ModuleType))]
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
        for now, then in before:
            now.clear()
            now.update(then)
