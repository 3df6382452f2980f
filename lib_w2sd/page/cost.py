"""What a request costs, before it is made: rows that go through the UNet (one picture once is one row).

The accordion shows it while the user types (forecast). Not counted: the parts of an AND, which take a row each, the
InstructPix2Pix checkpoints of A1111, which take every row at any CFG scale, and the host's option "Negative Guidance
minimum sigma", under which the picture's own calls take one row below a sigma.
"""

import math
from bisect import bisect_left
from dataclasses import replace
from typing import NamedTuple

from ..gaps import GAPS
from ..gaps.gap import Picture
from ..gaps.guidance import Guidance, scales
from ..method import ways
from ..method.reflection import FIXED_POINT_ROUNDS
from ..method.schedule import TWO_CALLS
from .settings import Settings, parse

ONE, TWO, THREE, FAST, TIMESTEPS, PLMS = "one", "two", "three", "fast", "timesteps", "plms"
HALF = "half"  # three calls in the first half of the steps, then one
CALLS = {TWO: 2, THREE: 3, FAST: 3, HALF: 3}  # of one of the first steps
_KINDS = {
    "sample_heunpp2": THREE,
    "sample_dpm_fast": FAST,
    "ddim": TIMESTEPS,
    "ddim_cfgpp": TIMESTEPS,
    "plms": PLMS,
    "sample_Kohaku_LoNyu_Yog": HALF,
    **dict.fromkeys(TWO_CALLS, TWO),
}
_PROMPT, _NEGATIVE = frozenset({"prompt"}), frozenset({"negative prompt"})  # kinds of rows
_BOTH = _PROMPT | _NEGATIVE
_FOOTNOTES = {
    "sample_dpm_fast": "its steps are blocks of three model calls, and lambda counts blocks",
    "ddim": "the WebUI makes one step less than the slider says, and lambda counts those made",
    "sample_dpm_adaptive": "it makes as many steps of three model calls as it needs, whatever the slider says, and "
    "lambda counts those it keeps; the estimate cannot know them",
    "restart_sampler": "from 20 steps on it repeats a stretch of low noise, and lambda counts the repeated steps too",
}
_FOOTNOTES |= dict.fromkeys(("ddim_cfgpp", "plms"), _FOOTNOTES["ddim"])


def footnote_of(sampler: str) -> "str | None":
    """What to know of a sampler before the click. `sampler`: its function's name."""
    return _FOOTNOTES.get(sampler)


def kind_of(sampler: str, two_calls: bool = False) -> str:
    """How a sampler spends its model calls. `sampler`: its function's name; `two_calls`: the host marks it so."""
    return TWO if two_calls else _KINDS.get(sampler, ONE)


def steps_made(kind: str, steps: int, denoising: "float | None" = None, exactly: bool = False) -> int:
    """The steps that a sampler makes where the slider says `steps`.

    denoising  img2img's denoising strength; None: txt2img
    exactly    img2img makes as many as the slider says (always in the hires pass; elsewhere an option of the host)
    """
    steps = max(steps, 1)
    made = steps if denoising is None or exactly else int(min(denoising, 0.999) * steps) + 1
    if kind in (TIMESTEPS, PLMS):
        # The host's schedule is every (1000 // steps)th timestep, and its timestep samplers do not make the first one;
        # img2img drops one more.
        return max((math.ceil(1000 / (1000 // min(steps, 1000))) if denoising is None else made - 1) - 1, 0)
    return made // 3 + 1 if kind == FAST else made


def calls_made(kind: str, steps: int, denoising: "float | None" = None, exactly: bool = False) -> int:
    """The model calls of these steps; the last one, to sigma 0, is always one call."""
    made = steps_made(kind, steps, denoising, exactly)
    if kind == FAST:  # counts calls, and makes a step of three
        return steps_made(ONE, steps, denoising, exactly)
    if kind == PLMS:
        return made + min(made, 1)
    return {TWO: 2 * made - 1, THREE: max(3 * made - 3, 1), HALF: made + 2 * min(made, made // 2 + 1)}.get(kind, made)


def kinds_asked(scale: float, pairs: frozenset = frozenset()) -> frozenset:
    """The kinds of rows that an evaluation of ours asks for: at CFG 0 the negative prompt's alone, at CFG 1 the
    prompt's, but at those scales of `pairs` (see Picture)."""
    return {0: _NEGATIVE, 1: _PROMPT}.get(None if scale in pairs else scale, _BOTH)


def _rows_of(calls: list) -> int:
    """Rows of calls one after the other, each (place, whose network and texts, kinds): one whose rows are among those
    of an earlier one takes none."""
    had = []
    for call in calls:
        if not any(call[:2] == earlier[:2] and call[2] <= earlier[2] for earlier in had):
            had.append(call)
    return sum(len(kinds) for _, _, kinds in had)


def reflection_rows(settings: Settings, picture: Picture, own: int) -> int:
    """Rows that one reflected step takes more; `own`: of the sampler's own call."""
    way, scale, pairs = settings.inversion, scales(settings, picture.cfg), picture.pairs
    strong, weak = (kinds_asked(of, pairs) for of in scale)
    others = [gap for gap in GAPS if not isinstance(gap, Guidance)]
    apart = any(gap.other_rows(settings, picture) for gap in others)
    only_guidance = not any(gap.differs(settings, picture) for gap in others)
    measured = [kinds_asked(of, pairs) for of in (1.0, 0.0)] if settings.measure else []
    if way in ways.ALONG:
        theirs = "strong" if any(gap.moves_strong(settings) for gap in others) else "own"
        calls = [("x", "own", _PROMPT if own == 1 else _BOTH), ("x", theirs, strong)]
        if not apart and picture.cfg in (0, 1):  # a side whose rows hold all the others' comes first
            calls = [("x", "own", kinds) for of, kinds in zip(scale, (strong, weak)) if of not in (0, 1)][:1] + calls
        calls += [("x", "weak" if apart else "own", weak)]
        calls += [("x", theirs, kinds) for kinds in measured] if apart else []
        return _rows_of(calls) - own
    if way == ways.RE_SAMPLING:
        return len(strong) * settings.rounds
    whose = "weak" if apart else "strong"
    # Where both sides are the same, x stays where it is, and all rounds are the first.
    moves = any(gap.differs(settings, picture) for gap in GAPS)
    elsewhere = {"paper": 1, "fixed-point": FIXED_POINT_ROUNDS - 1 if moves else 0}.get(way, 0)
    at_x = way != "paper" or settings.reward  # with a reward both sides are asked at the latent first
    calls = [("x", "strong", strong)]
    if at_x and not apart and scale[0] in (0, 1) and scale[1] not in (0, 1):
        calls = [("x", whose, weak), *calls]
    for place in (*(["x"] if at_x else ()), *range(elsewhere)):
        # Another architecture's weak side starts from what the strong one sees at its place.
        calls += [(place, "strong", strong)] if through_pixels(settings) else []
        calls += [(place, whose, weak)]
    if not settings.reward and not (way == "matched" and only_guidance):
        calls += [("x", "strong", kinds) for kinds in measured]
    return _rows_of(calls) * settings.rounds


def through_pixels(settings: Settings) -> str:
    """The weak side's own model, where it has one of another architecture."""
    return next(filter(None, (gap.through_pixels(settings) for gap in GAPS)), "")


def pictures_through_pixels(settings: Settings) -> int:
    """Pictures that one reflected step decodes, and as many that it encodes, where the weak side is of another
    architecture (method.bridge)."""
    if not through_pixels(settings) or settings.inversion == ways.RE_SAMPLING:
        return 0
    return 3 * settings.rounds * (FIXED_POINT_ROUNDS if settings.inversion == "fixed-point" else 1)


def estimate(request: dict) -> dict:
    """What a request costs, plain and with W2SD.

    request
        settings            the accordion's, by name, as parse() takes them
        kind, steps, cfg    of the sampler, the steps' slider, the CFG scale
        pictures            batch count times batch size
        denoising, exactly  see steps_made
        hires               None, or kind, steps (0: as the first pass), cfg, area (upscaled to first)
        loras               whether the prompt names LoRAs
        pairs               see Picture
        skips_uncond        the host leaves the uncond out at CFG 1 by itself (Forge)
        early               the host leaves it out in this share of the calls, from the first on
        early_after         but for so many of the first
    returns
        steps, reflected    lists, one entry a pass
        plain, rows         UNet rows of all passes and pictures, without W2SD and with it
        compared            those of these rows that a comparison picture takes
        ratio               of the time, taking a row's time to go with the picture's area
        pixels              pictures decoded, and as many encoded, on the way to a weak side of another architecture
    """
    settings, hires = parse([request["settings"]]).with_measure(), request.get("hires")
    skips, exactly = bool(request.get("skips_uncond")), bool(request.get("exactly"))
    pairs = frozenset(request.get("pairs", ()))
    early = (request.get("early") or 0.0, request.get("early_after") or 0)
    passes = [_Sampling(request["kind"], request["steps"], request["cfg"], 1.0, request.get("denoising"), exactly)]
    if hires:
        # Its steps are never fewer than asked for: the strength given here is only not None.
        steps = hires["steps"] or request["steps"]
        passes.append(_Sampling(hires["kind"], steps, hires["cfg"], hires["area"], 1.0, True, hires=True))
    passes = [one._replace(early=early) for one in passes]
    plain, totals, reflected, pixels = [one.rows(skips) for one in passes], [], [], 0
    for one, own in zip(passes, plain):
        acts = settings.enabled and settings.acts_in(one.hires)
        reflected.append(len(settings.plan_of(one.hires).steps(one.made)) if acts else 0)
        # Auto-guidance changes every call of a step.
        times = CALLS.get(one.kind, 1) if settings.inversion == ways.AUTO_GUIDANCE else 1
        if acts and settings.weak_alone:
            # Where the host may leave out what alone would count, both kinds are asked for.
            at_0 = {0.0} & (pairs | ({0.0} if early[0] > 0 else set()))
            totals.append(one.taking(len(kinds_asked(scales(settings, one.cfg)[1], at_0)) if skips else 2))
        else:
            picture = Picture(one.cfg, request.get("loras", False), pairs=pairs)
            guided, unguided = one.asked_beside(settings) if acts else (0, 0)
            more = guided * reflection_rows(settings, picture, one.of_call(skips)) if guided else 0
            totals.append(own + more + (unguided * _rows_unguided(settings, picture) if unguided else 0))
        pixels += reflected[-1] * times * pictures_through_pixels(settings)
    # The weak version alone leaves nothing to tell its time by.
    ratios = [total / own if own and not settings.weak_alone else 1.0 for total, own in zip(totals, plain)]
    beside = _beside(settings, passes, ratios, reflected, skips)

    def time(rows):
        return sum(of_pass * one.area for of_pass, one in zip(rows, passes))

    pictures, all_runs = request.get("pictures", 1), [totals, *beside]
    return {
        "steps": [one.made for one in passes],
        "reflected": reflected,
        "plain": sum(plain) * pictures,
        "rows": sum(map(sum, all_runs)) * pictures,
        "compared": sum(map(sum, beside)) * pictures,
        "pixels": pixels * pictures,
        "ratio": sum(map(time, all_runs)) / time(plain) if time(plain) else 1.0,
    }


def _rows_unguided(settings: Settings, picture: Picture) -> int:
    """Rows that the sides take beside a call without guidance: without it too, the prompts' rows at any scale."""
    settings = replace(settings, measure=False, **Guidance().off)
    return reflection_rows(settings, replace(picture, pairs=frozenset()), 1)


class _Sampling(NamedTuple):
    """One sampling pass; see estimate."""

    kind: str
    steps: int
    cfg: float
    area: float
    denoising: "float | None"
    exactly: bool
    hires: bool = False
    early: "tuple[float, int]" = (0.0, 0)

    @property
    def unguided(self) -> range:
        """The calls that the host leaves the guidance out of: from `after` on, while call / steps <= share."""
        share, after = self.early
        steps = steps_made(ONE, self.steps, self.denoising, self.exactly) * (2 if self.kind == TWO else 1)
        steps, end = max(steps, 1), after
        if share > 0:
            end = int(share * steps) + 1
            # The host divides, and rounds otherwise.
            end += end / steps <= share
            end -= (end - 1) / steps > share
        return range(after, max(after, end))

    def asked_beside(self, settings: Settings) -> "tuple[int, int]":
        """At how many calls the sides are asked: of those that the host guides, and of the others."""
        made, along = self.made, settings.inversion == ways.AUTO_GUIDANCE
        steps = settings.plan_of(self.hires).steps(made)
        if settings.inversion == ways.PREVIOUS_GAP:
            steps = range(steps.start - 1, steps.stop - 1, steps.step)
        each = CALLS.get(self.kind, 1) if along else 1  # auto-guidance changes every call of a step
        unguided, without = self.unguided, 0
        for k in range(each):
            # Later steps have later calls.
            begin, end = (bisect_left(steps, at - k, key=self.first_call) for at in (unguided.start, unguided.stop))
            without += end - begin
        return each * len(steps) - without, without

    def first_call(self, step: int) -> int:
        """Of a step, among all calls."""
        if self.kind == PLMS:
            return step + min(step, 1)
        if self.kind == HALF:
            return step + 2 * min(step, self.made // 2 + 1)
        return step * CALLS.get(self.kind, 1)

    @property
    def made(self) -> int:
        return steps_made(self.kind, self.steps, self.denoising, self.exactly)

    @property
    def calls(self) -> int:
        return calls_made(self.kind, self.steps, self.denoising, self.exactly)

    def of_call(self, skips_uncond: bool) -> int:
        return 1 if self.cfg == 1 and skips_uncond else 2

    def rows(self, skips_uncond: bool) -> int:
        """Without W2SD."""
        return self.taking(self.of_call(skips_uncond))

    def taking(self, of_call: int) -> int:
        """With so many rows a call, where the host guides."""
        unguided = self.unguided
        without = max(min(unguided.stop, self.calls) - unguided.start, 0)
        return of_call * self.calls - (of_call - 1) * without


def _beside(settings: Settings, passes: list, ratios: list, reflected: list, skips_uncond: bool) -> "list[list[int]]":
    """Rows of each plain run of a comparison picture (hosts.comparison), one number a pass."""
    if not (settings.enabled and settings.comparison):
        return []
    runs = [passes]
    if settings.comparison_with == "same push" and settings.inversion != ways.RE_SAMPLING and not settings.reward:
        # At the CFG scale that was found, where one was: never just 1.
        runs += [[one._replace(cfg=0) if of else one for one, of in zip(passes, reflected)]] if reflected[0] else []
    if settings.comparison_with == "same time":
        runs.append([one._replace(steps=round(one.steps * ratio)) for one, ratio in zip(passes, ratios)])
    return [[one.rows(skips_uncond) for one in run] for run in runs]
