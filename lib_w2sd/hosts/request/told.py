"""What the user is told at the end of a run: what was asked for and had no effect."""

from ...gaps import Picture, asked_for
from ..models.pipeline_parts import LeftOut


def after_a_run(one_pass, overlays: tuple) -> None:
    """Below the gallery, and in the console: the API's answer has no comments. `overlays`: those installed."""
    run = one_pass.trace()
    for said in (of_no_gap(one_pass, run), *(of_windows(overlay, run) for overlay in overlays)):
        if said:
            one_pass.comment(said)
            print(said)


def of_no_gap(one_pass, run) -> str:
    """A gap that was none at any step is not to be sold as one."""
    webui = one_pass.webui
    asked = asked_for(one_pass.settings, Picture(webui.cfg_scale(), flux=webui.is_flow()))
    if not asked or not run.reflections or run.gap_norms().any():
        return ""
    where = " in the hires pass" if webui.hires_pass else ""
    return (
        f"W2SD: strong and weak side were the same at every reflected step{where}, so W2SD changed nothing; asked for "
        f"was: the weak side has {', '.join(asked)}."
    )


def of_windows(overlay, run) -> str:
    """What a weak side does without may have had no effect at the last reflected steps."""
    return overlay.told(run.reflections) if isinstance(overlay, LeftOut) else ""
