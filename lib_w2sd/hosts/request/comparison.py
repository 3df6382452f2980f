"""The comparison picture: plain, W2SD, and where they differ, of one seed and from one click.

The plain picture is a second run of the same request on a copy taken before the host has touched it, with W2SD
switched off as an axis of an XYZ grid would. Beside it may stand what the user could do instead: plain at the CFG scale
of the same push, or with the steps of the same time.

Not with a script of the list: it makes the pictures, and reads what came of each run. What stands beside a picture it
would take for one of its own, a tile or a cell, and who has written it nobody knows.
"""

import weakref
from copy import copy
from statistics import median

from modules import images, processing, shared
from PIL import Image, ImageChops

from ...page.settings import BY_NAME, COMPARISON
from ..sampling.isolation.swapped import swapped
from ..sampling.sampling_pass import TRACE
from . import arguments

# An attribute of the host's processing object: a comparison was asked for, and is (True) still to be begun.
ASKED = "w2sd_comparison"


def as_it_is(plain, trace: list) -> str:
    return "plain"


def same_push(plain, trace: list) -> "str | None":
    """Turn the plain request's CFG scale up until it pushes as far (push.Found)."""
    scales = {}
    for run in trace:
        known = [r["effective_cfg"] for r in run["reflections"] if r.get("effective_cfg") is not None]
        if known:
            scales.setdefault(run["pass"] == "hires", median(known))
    if False not in scales:
        return None
    plain.cfg_scale = round(scales[False], 2)
    if True in scales and hasattr(plain, "hr_cfg"):
        plain.hr_cfg = round(scales[True], 2)
    return f"plain, CFG {plain.cfg_scale:g}"


def same_time(plain, trace: list) -> "str | None":
    """Give the plain request as many steps as take as long: time goes by the rows."""
    times = {}
    for run in trace:
        own = sum(e["rows"] for e in run["evaluations"] if e["kind"] == "step")
        if own:
            times.setdefault(run["pass"] == "hires", run["rows"] / own)
    if getattr(plain, "enable_hr", False):
        # 0 are as many as the first pass has, and those are about to be others.
        plain.hr_second_pass_steps = round((plain.hr_second_pass_steps or plain.steps) * times.get(True, 1.0))
    plain.steps = round(plain.steps * times.get(False, 1.0))
    return f"plain, {plain.steps} steps"


# Beside the plain picture, by the setting: a function that changes the request for it, and says what it is called; None
# where the run does not tell how.
BESIDE = {"plain": (), "same push": (same_push,), "same time": (same_time,)}


class Comparison:
    """The runs of a request, and the finished pictures of each; with W2SD's, what they are saved under."""

    def __init__(self, p):
        self.of = weakref.ref(p)
        self.after = []
        beside = BESIDE.get(arguments.given(p).get("comparison_with"), ())
        self.runs = [Plain(p, how) for how in (as_it_is, *beside)]


class Plain:
    """One run without W2SD: its request, what it is called, and its finished pictures."""

    def __init__(self, p, how):
        self.how, self.called, self.pictures = how, "", []
        self.request = plain = copy(p)
        plain.extra_generation_params, plain.comments = dict(p.extra_generation_params), {}
        # In force already, and put back after the request itself.
        plain.override_settings = {}
        plain.do_not_save_samples = plain.do_not_save_grid = True
        arguments.put(plain, {"enabled": False})

    def make(self, p, trace: list) -> None:
        """Run it, with what the first run has found out: its prompts, its seeds, how many pictures it made."""
        plain = self.request
        self.called = self.how(plain, trace)
        if self.called is None:
            p.comment("W2SD: which CFG scale pushes as far is not known here, so there is no plain picture at it.")
            return
        plain.styles = []  # the prompts have them already
        plain.prompt, plain.negative_prompt = one_or_all(p.all_prompts), one_or_all(p.all_negative_prompts)
        plain.seed, plain.subseed = first_or_all(p.seed, p.all_seeds), first_or_all(p.subseed, p.all_subseeds)
        plain.batch_size = p.batch_size
        if getattr(p, "all_hr_prompts", None):
            plain.hr_prompt = one_or_all(p.all_hr_prompts)
            plain.hr_negative_prompt = one_or_all(p.all_hr_negative_prompts)
        # The host keeps the last request's infotext for the paste button: that is not this one's.
        with swapped(shared.cmd_opts, "no_prompt_history", True):
            processing.process_images(plain)


# That of the request at work: the host makes one after the other, though one may be made within another (ADetailer's).
# Not kept in p: Distributed sends a deep copy of all that is there to other WebUIs, and ADetailer shows scripts copies.
AT_WORK: "Comparison | None" = None


def one_or_all(texts: list):
    """One text where all are alike: a list of prompts is not what other WebUIs' API takes."""
    return texts[0] if len(set(texts)) == 1 else list(texts)


def first_or_all(given, seeds: list):
    """One seed where the host has counted the others from it."""
    return list(seeds) if isinstance(given, list) else seeds[0]


def ask(p) -> None:
    """Before any script's first hook. No longer in the arguments, which other extensions hand on: a pass of theirs, or
    another WebUI's share of the pictures, is not compared."""
    given, script = arguments.given(p), arguments.chosen_script(p)
    if given.get("comparison") is not True:
        return
    if not script:
        setattr(p, ASKED, True)
        arguments.put(p, {"comparison": False})
        return
    arguments.put(p, {name: BY_NAME[name].default for name in COMPARISON})
    if given.get("enabled") is True:
        told = f"W2SD: no comparison picture is made with a script of the list ({script})."
        p.comment(told)
        print(told)  # the API's answer has no comments


def is_due(p) -> bool:
    return getattr(p, ASKED, False)


def prepare(p) -> None:
    """Once a request, before the host touches it."""
    global AT_WORK
    AT_WORK = Comparison(p)
    setattr(p, ASKED, False)  # of the copies of p that are shown to scripts from now on


def of(p) -> "Comparison | None":
    return AT_WORK if AT_WORK is not None and AT_WORK.of() is p else None


def expect_both(p) -> None:
    """Before the host counts its jobs: there will be more. Not where somebody else has counted them."""
    if of(p) and shared.state.job_count == -1:
        shared.state.job_count = (1 + len(AT_WORK.runs)) * p.n_iter


def note(p, picture) -> None:
    """A picture of either run is finished."""
    if of(p):
        about = {"seed": p.seeds[p.batch_index], "prompt": p.prompts[p.batch_index]}
        AT_WORK.after.append((picture, about))
    elif AT_WORK is not None:
        for run in AT_WORK.runs:
            if run.request is p:
                run.pictures.append(picture)


def add(p, processed) -> None:
    """After the request: make it plain, and put the comparisons behind its pictures. None after an interrupt.

    The trace stays that of the request itself.
    """
    global AT_WORK
    both = of(p)
    if both is None:
        return
    try:
        found = getattr(p, TRACE, None)
        trace = found.as_dict()["passes"] if found else []
        for run in both.runs:
            if shared.state.interrupted or shared.state.stopping_generation:
                return
            run.make(p, trace)
        put_behind(p, processed, both)
    finally:
        AT_WORK = None
        setattr(p, ASKED, True)  # img2img's batch takes one p for all of its pictures


def put_behind(p, processed, both: Comparison) -> None:
    made = [run for run in both.runs if run.called]
    for i, (*before, (after, about)) in enumerate(zip(*(run.pictures for run in made), both.after)):
        text = processed.infotexts[processed.index_of_first_image + i]
        row = [(run.called, picture.convert("RGB")) for run, picture in zip(made, before)]
        compared = drawn([*row, ("W2SD", after.convert("RGB"))])
        if shared.opts.enable_pnginfo:
            compared.info["parameters"] = text
        # With inpainting's masks among them there are more pictures than infotexts.
        processed.infotexts += [text] * (len(processed.images) + 1 - len(processed.infotexts))
        processed.images.append(compared)
        if shared.opts.grid_save and not p.do_not_save_grid:
            where = {"extension": shared.opts.grid_format, "short_filename": not shared.opts.grid_extended_filename}
            images.save_image(compared, p.outpath_grids, "w2sd", **about, info=text, p=p, grid=True, **where)


def drawn(pictures: "list[tuple[str, Image.Image]]") -> Image.Image:
    """The pictures and the last two's difference, brightened until its largest value is white, in a row with labels."""
    (_, before), (_, after) = pictures[-2:]
    difference = ImageChops.difference(before, after)
    largest = max(high for _, high in difference.getextrema())
    factor = 255 / largest if largest else 1.0
    difference = difference.point(lambda value: round(value * factor))
    row = images.image_grid([*(picture for _, picture in pictures), difference], rows=1)
    texts = [*(text for text, _ in pictures), f"difference × {factor:.3g}"]
    labels = [[images.GridAnnotation(text)] for text in texts]
    return images.draw_grid_annotations(row, before.width, before.height, labels, [[images.GridAnnotation()]])
