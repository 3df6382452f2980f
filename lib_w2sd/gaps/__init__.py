"""The gaps: what may differ between the strong and the weak side, alone or together. One file, one gap, one class.

To add one: its file, its class in GAPS, and in the folder of each host that can do it what that host has to do.
"""

from .architecture import Architecture
from .checkpoint import Checkpoint
from .distilled import Distilled
from .gap import Gap, Picture, Side
from .guidance import Guidance
from .lora import Lora
from .pipeline import Pipeline
from .prompt import Prompt

# In the order shown, which is the order in which they are put between the sides: LoRAs decide how prompts are encoded
# and what is merged into another checkpoint.
GAPS: "list[Gap]" = [Guidance(), Lora(), Prompt(), Checkpoint(), Distilled(), Pipeline(), Architecture()]


def sides_of(settings, host) -> "tuple[Side, Side]":
    """The strong and the weak side that the settings ask for, on a host (gap.Host)."""
    for gap in GAPS:
        gap.check(settings)
    strong, weak = Side(), Side()
    for gap in GAPS:
        strong, weak = gap.sides(settings, host, strong, weak)
    return strong, weak


def asked_for(settings, picture: Picture) -> list:
    """The gaps that the settings ask for, in words."""
    return [gap.switch for gap in GAPS if gap.differs(settings, picture)]


def without_effect(settings) -> list:
    """What the user asked for that cannot count, in sentences."""
    return [note for gap in GAPS for note in gap.without_effect(settings)]
