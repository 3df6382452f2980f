"""Which rows of the two sides may be one another's, or travel in one call."""

from ....gaps import Side
from ....method.rows import RowMeter


class SharedRows:
    """Of one sampling pass. `webui`: its webui.WebUI."""

    def __init__(self, webui):
        self.webui = webui
        self.meter = RowMeter(self.may_join, webui.unread)

    def could_travel(self, strong: Side, weak: Side, scales: set) -> bool:
        """Whether the weak side's rows, asked at one place with the strong side's, could travel in the same call.

        To learn which they are, the host's denoiser is run once more without its network: not if another extension
        listens to it, which would be told of a picture that is none, or guides (self-attention guidance needs what the
        network itself has recorded).

        scales  the two sides' CFG scales
        """
        overlays = strong.overlays + weak.overlays
        if weak.model is not None:
            return False
        company = self.webui.company()
        if company.tells_rows_apart or company.listens:
            return False
        if not all(getattr(overlay, "mixes_rows", False) for overlay in overlays):
            return False
        other_conds = weak.cond is not None or weak.uncond is not None or strong.inputs != weak.inputs
        return bool(overlays) or other_conds or scales == {0.0, 1.0}

    def may_join(self, shape) -> bool:
        """Whether two calls may be made one: not beyond twice the pair of rows that the host itself makes one of."""
        return shape[0] <= 4 * len(self.webui.p.prompts) and self.webui.has_room(shape)
