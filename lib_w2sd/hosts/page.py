"""What the accordion's page is told of the host: its samplers, its way at CFG 1, and where presets are kept."""

from pathlib import Path

from modules import sd_samplers_kdiffusion, sd_samplers_timesteps
from modules.paths_internal import data_path

from ..method.trace import Trace
from ..page import accordion as ui
from ..page import cost, presets
from ..page import plot as gap_plot

PRESETS = "w2sd_presets.json"  # beside the host's own styles.csv


def samplers() -> dict:
    """The name of each sampler's function, and whether the host marks it as one of two calls a step, by its label."""
    known = {}
    for label, function, _, options in (
        *sd_samplers_kdiffusion.samplers_k_diffusion,
        *sd_samplers_timesteps.samplers_timesteps,
    ):
        known[label] = (getattr(function, "__name__", function), bool(options.get("second_order")))
    return known


def page(host: type) -> ui.Page:
    known = samplers()
    footnotes = {label: cost.footnote_of(function) for label, (function, _) in known.items()}
    return ui.Page(
        presets=presets.Store(Path(data_path) / PRESETS),
        last_run=lambda: gap_plot.html(Trace.last.as_dict()) if Trace.last else "",
        kinds={label: cost.kind_of(*function) for label, function in known.items()},
        footnotes={label: note for label, note in footnotes.items() if note},
        skips_uncond=host.skips_uncond,
    )
