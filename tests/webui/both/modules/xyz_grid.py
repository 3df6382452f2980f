"""What extensions reach of the host's XYZ grid."""

from copy import copy

from modules import errors
from modules.processing import Processed, process_images


class AxisOption:
    def __init__(self, label, type, apply, format_value=None, confirm=None, cost=0.0, choices=None, prepare=None):
        self.label, self.type, self.apply, self.confirm, self.choices = label, type, apply, confirm, choices


axis_options = [AxisOption("Nothing", str, None)]


def grid(p, axis, xs) -> list:
    """What became of each cell, as the host's script draws one axis."""
    if axis.confirm:
        axis.confirm(p, xs)
    made = []
    for x in xs:
        pc = copy(p)
        axis.apply(pc, x, xs)
        try:
            made.append(process_images(pc))
        except Exception as error:
            errors.display(error, "generating image for xyz plot")
            made.append(Processed(p, [], p.seed, ""))
    return made
