"""Texts to conds: a pass's own prompts and the weak side's, read and encoded as the host does it."""

from contextlib import ExitStack, contextmanager

from modules import extra_networks, prompt_parser, shared

from ....gaps.prompt import NEGATIVE_PROMPT, PROMPT, fill_in
from ...compatibility.signatures import takes
from .. import isolation
from . import negpip, reading, regions
from .conds import of_one_length
from .written import Written

NOT_READ = (
    "W2SD: another extension has changed the picture's prompt. It has not read what was typed for the weak version, "
    "which is drawn as it stands; {prompt} is the changed one."
)


class Prompts:
    """Of one sampling pass. `webui`: its webui.WebUI."""

    def __init__(self, webui):
        self.webui = webui
        self._uncond = None
        self._read = {}
        self.latest = None  # moment that was looked at
        self._written: list = []  # [(what was encoded, what extensions have written down meanwhile)]

    def own(self) -> "tuple[list, list]":
        """The pass's prompts and negative prompts, one a picture, extra networks already taken out."""
        p, hr = self.webui.p, "hr_" if self.webui.hires_pass else ""
        return list(getattr(p, f"{hr}prompts")), list(getattr(p, f"{hr}negative_prompts"))

    def read(self, text: str, negative: bool) -> list:
        """A setting's text as the host and its extensions would read it as the picture's own, one a picture, with the
        placeholders filled in. Extra networks still stand in it, as words if it is a negative prompt: those that it
        names itself, not those of a negative prompt that has come into a prompt."""
        if (text, negative) not in self._read:
            p = self.webui.p
            full = negpip.script_on(p) is not None
            prompts, negatives = own = negpip.in_full(p, self.webui.hires_pass) if full else self.own()
            if text == (NEGATIVE_PROMPT if negative else PROMPT):
                return own[negative]
            if reading.changed_by_others(p):
                p.comment(NOT_READ)
            texts = reading.of_the_pass(p, reading.read(p, text, negative), len(prompts))
            if not negative:
                negatives, _ = extra_networks.parse_prompts(negatives)
            self._read[text, negative] = [fill_in(t, [a], [b])[0] for t, a, b in zip(texts, prompts, negatives)]
        return self._read[text, negative]

    def read_by_others(self, prompts: list, negative_prompts: list, other: "tuple[bool, bool]", anew: bool):
        """What is left of texts (see read) for the host to encode, and the overlays under which extensions that take
        prompts for themselves draw from these texts.

        other  which of the two are not the pass's own
        anew   they are to be encoded another way than the pass's own

        Raises SettingError for an extension that only draws from the picture's own.
        """
        regions.refuse_another(self.webui.p, other, anew)
        return negpip.read(self.webui, prompts, negative_prompts)

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
        if not negative:  # in a negative prompt they are words, to every host
            texts, _ = extra_networks.parse_prompts(texts)

        def built(conditioning):
            conds = build(model or shared.sd_model, conditioning, *self.steps(), *old)
            return of_one_length(conds) if negative else conds

        self.latest = isolation.Moment(self.webui, earlier=self.latest)
        noticed = isolation.unnoticed(self.latest), isolation.unnoted(self.webui.p)
        with noticed[0], noticed[1], Written(self.webui.p) as written:
            conds = self.webui.encode(built, texts, negative)
        self._written.append((conds, written))
        return conds

    @contextmanager
    def as_encoded(self, *conds):
        """Within, what extensions have written down as these were encoded is in its place."""
        with ExitStack() as stack:
            for encoded, written in self._written:
                if any(encoded is one for one in conds):
                    stack.enter_context(written.in_place())
            yield

    def uncond(self):
        """The pass's own uncond where the host made none, because its own CFG scale is 1."""
        if self._uncond is None:
            self._uncond = self.encode(self.own()[1], True)
        return self._uncond

    def forget(self) -> None:
        """Another model has taken over: what was encoded is not its."""
        self._uncond = None
