"""Texts to conds: a pass's own prompts and the weak side's, encoded as the host encodes them."""

from modules import extra_networks, prompt_parser, shared

from ..compatibility.signatures import takes
from .conds import of_one_length


class Prompts:
    """Of one sampling pass. `webui`: its webui.WebUI."""

    def __init__(self, webui):
        self.webui = webui
        self._uncond = None

    def own(self) -> "tuple[list, list]":
        """The pass's prompts and negative prompts, one a picture, extra networks already taken out."""
        p, hr = self.webui.p, "hr_" if self.webui.hires_pass else ""
        return list(getattr(p, f"{hr}prompts")), list(getattr(p, f"{hr}negative_prompts"))

    def steps(self) -> tuple:
        """The steps that prompt editing counts in: of the first pass, and of the hires pass or None."""
        p = self.webui.p
        if not self.webui.hires_pass:
            return p.firstpass_steps, None
        return p.firstpass_steps, self.webui.sampler.config.total_steps(p.hr_second_pass_steps or p.steps)

    def encode(self, texts: list, negative: bool, model=None):
        """The host's cond object of texts, one a picture. `model`: another than the loaded one."""
        build = prompt_parser.get_learned_conditioning if negative else prompt_parser.get_multicond_learned_conditioning
        old = [shared.opts.use_old_scheduling] if takes(build, "use_old_scheduling") else []
        texts, _ = extra_networks.parse_prompts(texts)

        def built(conditioning):
            conds = build(model or shared.sd_model, conditioning, *self.steps(), *old)
            return of_one_length(conds) if negative else conds

        return self.webui.encode(built, texts, negative)

    def uncond(self):
        """The pass's own uncond where the host made none, because its own CFG scale is 1."""
        if self._uncond is None:
            self._uncond = self.encode(self.own()[1], True)
        return self._uncond

    def forget(self) -> None:
        """Another model has taken over: what was encoded is not its."""
        self._uncond = None
