"""The host's refiner takes over in the middle of a pass: the sides go on as its."""

from dataclasses import replace

from ....errors import UnfitCheckpoint
from .. import isolation


class Refiner:
    """Of one sampling pass (sampling_pass.SamplingPass), whose sides it builds anew."""

    def __init__(self, one_pass):
        self.one_pass = one_pass

    def follow(self, x, t, kwargs: dict) -> bool:
        """Let the refiner take over here rather than in the call, if that is where it would: in the middle of a side it
        would meet that side's overlays. Then, as after one in the sampler's own call, the sides are built anew, and
        `kwargs` get the refiner's conds. Whether that was so."""
        one, webui = self.one_pass, self.one_pass.webui
        webui.apply_refiner(x, t)
        if webui.checkpoint() is one.built_for:
            return False
        extra_args = webui.sampler.sampler_extra_args
        kwargs["cond"], kwargs["uncond"] = extra_args["cond"], extra_args["uncond"]
        one.begun, settings = True, one.settings
        if settings.weak_checkpoint and settings.weak_refiner_checkpoint:
            one.settings = replace(settings, weak_checkpoint=settings.weak_refiner_checkpoint)
        with isolation.draws_kept():
            try:
                one.build_sides()
            except UnfitCheckpoint:
                # Which refiner takes over is the user's choice, and the picture half made: from here on the sides
                # differ in everything but the checkpoint.
                one.comment("W2SD: the weak checkpoint does not fit the refiner; from there on it was left out.")
                one.settings = replace(one.settings, weak_checkpoint="")
                one.build_sides()
        return True
