"""The comparison picture: plain, W2SD, and where they differ, of one seed and from one click.

The plain picture is a second run of the same request on a copy taken before the host has touched it, with W2SD
switched off as an axis of an XYZ grid would.
"""

import weakref
from copy import copy

from modules import images, processing, shared
from PIL import Image, ImageChops

from . import arguments
from .swapped import swapped

# An attribute of the host's processing object: a comparison was asked for, and is (True) still to be begun.
ASKED = "w2sd_comparison"


class Comparison:
    """The two runs of a request, and the finished pictures of each; with W2SD's, what they are saved under."""

    def __init__(self, p):
        self.of = weakref.ref(p)
        self.before, self.after = [], []
        self.plain = plain = copy(p)
        plain.extra_generation_params, plain.comments = dict(p.extra_generation_params), {}
        # In force already, and put back after the request itself.
        plain.override_settings = {}
        plain.do_not_save_samples = plain.do_not_save_grid = True
        arguments.put(plain, {"enabled": False})

    def make_plain(self, p) -> None:
        """The second run, with what the first has found out: its prompts, its seeds, how many pictures it made."""
        plain = self.plain
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
    if arguments.given(p).get("comparison") is True:
        setattr(p, ASKED, True)
        arguments.put(p, {"comparison": False})


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
    """Before the host counts its jobs: there will be twice as many. Not where somebody else has counted them."""
    if of(p) and shared.state.job_count == -1:
        shared.state.job_count = 2 * p.n_iter


def note(p, picture) -> None:
    """A picture of either run is finished."""
    if of(p):
        about = {"seed": p.seeds[p.batch_index], "prompt": p.prompts[p.batch_index]}
        AT_WORK.after.append((picture, about))
    elif AT_WORK is not None and AT_WORK.plain is p:
        AT_WORK.before.append(picture)


def add(p, processed) -> None:
    """After the request: make it plain, and put the comparisons behind its pictures. None after an interrupt."""
    global AT_WORK
    both = of(p)
    if both is None:
        return
    try:
        if not (shared.state.interrupted or shared.state.stopping_generation):
            both.make_plain(p)
            put_behind(p, processed, both)
    finally:
        AT_WORK = None
        setattr(p, ASKED, True)  # img2img's batch takes one p for all of its pictures


def put_behind(p, processed, both: Comparison) -> None:
    for i, (before, (after, about)) in enumerate(zip(both.before, both.after)):
        text = processed.infotexts[processed.index_of_first_image + i]
        compared = drawn(before.convert("RGB"), after.convert("RGB"))
        if shared.opts.enable_pnginfo:
            compared.info["parameters"] = text
        # With inpainting's masks among them there are more pictures than infotexts.
        processed.infotexts += [text] * (len(processed.images) + 1 - len(processed.infotexts))
        processed.images.append(compared)
        if shared.opts.grid_save and not p.do_not_save_grid:
            where = {"extension": shared.opts.grid_format, "short_filename": not shared.opts.grid_extended_filename}
            images.save_image(compared, p.outpath_grids, "w2sd", **about, info=text, p=p, grid=True, **where)


def drawn(before: Image.Image, after: Image.Image) -> Image.Image:
    """The two pictures and their difference, brightened until its largest value is white, in one row with labels."""
    difference = ImageChops.difference(before, after)
    largest = max(high for _, high in difference.getextrema())
    factor = 255 / largest if largest else 1.0
    difference = difference.point(lambda value: round(value * factor))
    row = images.image_grid([before, after, difference], rows=1)
    labels = [[images.GridAnnotation(text)] for text in ("plain", "W2SD", f"difference × {factor:.3g}")]
    return images.draw_grid_annotations(row, before.width, before.height, labels, [[images.GridAnnotation()]])
