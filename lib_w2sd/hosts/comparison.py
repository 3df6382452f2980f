"""The comparison picture: plain, W2SD, and where they differ, of one seed and from one click.

The plain picture is a second run of the same request on a copy taken before the host has touched it, with W2SD
switched off as an axis of an XYZ grid would.
"""

from copy import copy

from modules import images, processing, shared
from PIL import Image, ImageChops

from .. import xyz
from .swapped import swapped

PLAIN, PICTURES = "w2sd_plain", "w2sd_pictures"


def prepare(p) -> None:
    """Once a request, before the host touches it: a copy to make plain, and room for the pictures."""
    plain = copy(p)
    plain.extra_generation_params, plain.comments = dict(p.extra_generation_params), {}
    # In force already, and put back after the request itself.
    plain.override_settings = {}
    plain.do_not_save_samples = plain.do_not_save_grid = True
    setattr(plain, xyz.CELL, {"enabled": False})
    setattr(plain, PICTURES, [])
    setattr(p, PLAIN, plain)
    setattr(p, PICTURES, [])


def expect_both(p) -> None:
    """Before the host counts its jobs: there will be twice as many. Not where somebody else has counted them."""
    if hasattr(p, PLAIN) and shared.state.job_count == -1:
        shared.state.job_count = 2 * p.n_iter


def note(p, picture) -> None:
    """A picture of either run is finished."""
    if hasattr(p, PICTURES):
        getattr(p, PICTURES).append(picture)


def add(p, processed) -> None:
    """After the request: make it plain, and put the comparisons behind its pictures. None after an interrupt."""
    plain = vars(p).pop(PLAIN, None)
    if plain is None or shared.state.interrupted or shared.state.stopping_generation:
        return
    plain.prompt, plain.negative_prompt, plain.styles = list(p.all_prompts), list(p.all_negative_prompts), []
    plain.seed, plain.subseed = list(p.all_seeds), list(p.all_subseeds)
    if getattr(p, "all_hr_prompts", None):
        plain.hr_prompt, plain.hr_negative_prompt = list(p.all_hr_prompts), list(p.all_hr_negative_prompts)
    # The host keeps the last request's infotext for the paste button: that is not this one's.
    with swapped(shared.cmd_opts, "no_prompt_history", True):
        processing.process_images(plain)
    for i, (before, after) in enumerate(zip(getattr(plain, PICTURES), getattr(p, PICTURES))):
        text = processed.infotexts[processed.index_of_first_image + i]
        compared = drawn(before.convert("RGB"), after.convert("RGB"))
        if shared.opts.enable_pnginfo:
            compared.info["parameters"] = text
        # With inpainting's masks among them there are more pictures than infotexts.
        processed.infotexts += [text] * (len(processed.images) + 1 - len(processed.infotexts))
        processed.images.append(compared)
        if shared.opts.grid_save and not p.do_not_save_grid:
            where = {"extension": shared.opts.grid_format, "short_filename": not shared.opts.grid_extended_filename}
            seed, prompt = p.all_seeds[i], p.all_prompts[i]
            images.save_image(compared, p.outpath_grids, "w2sd", seed, prompt, info=text, p=p, grid=True, **where)


def drawn(before: Image.Image, after: Image.Image) -> Image.Image:
    """The two pictures and their difference, brightened until its largest value is white, in one row with labels."""
    difference = ImageChops.difference(before, after)
    largest = max(high for _, high in difference.getextrema())
    factor = 255 / largest if largest else 1.0
    difference = difference.point(lambda value: round(value * factor))
    row = images.image_grid([before, after, difference], rows=1)
    labels = [[images.GridAnnotation(text)] for text in ("plain", "W2SD", f"difference × {factor:.3g}")]
    return images.draw_grid_annotations(row, before.width, before.height, labels, [[images.GridAnnotation()]])
