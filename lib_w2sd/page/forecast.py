"""What the accordion says before the click: what the picture costs, and what is worth knowing about its settings.

The page sends its own fields whenever one changes (POST /w2sd/v1/estimate) and shows what comes back; it knows no gap
and no setting by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..errors import SettingError
from ..gaps import GAPS
from ..gaps.gap import Gap, Picture, Preset
from ..gaps.prompt import NEGATIVE_PROMPT
from ..method import ways
from ..method.reflection import INVERSIONS
from . import advice, cost
from .fields import estimate_of, picture_of, pictures_of, plain_of, script_of
from .settings import BY_NAME, SETTINGS, Settings


@dataclass(frozen=True)
class Facts:
    """What the WebUI is like.

    kinds         cost.kind_of each sampler, by its name on the page
    footnotes     what to know of a sampler before the click, by its name on the page
    skips_uncond  see cost.estimate
    unguided      unguided(): where the host leaves the guidance out by its options: early and early_after (see
                  cost.estimate), minimum_sigma ("Negative guidance minimum sigma")
    pairs         pairs(): because of extensions that listen whatever is asked, see Picture
    gaps          those that it can do
    presets       the built-in ones that need no other gap, by name
    find_preset   find_preset(name) -> the built-in one or the user's own, or None
    misfit        misfit(settings, loaded) -> why the weak checkpoint does not fit the loaded one, or ""
    reward_bytes  reward_bytes(name): what a reward takes of memory; 0 where there is none of the name
    model_bytes   model_bytes(settings): what a weak model of another architecture takes; 0 where it is not known
    uncommented   uncommented(text): a prompt without what the WebUI takes for comments
    company       company(settings): of the extensions that there are, in sentences
    """

    kinds: dict = field(default_factory=dict)
    footnotes: dict = field(default_factory=dict)
    skips_uncond: bool = False
    unguided: "Callable[[], dict]" = dict
    pairs: "Callable[[], frozenset]" = frozenset
    gaps: "tuple[Gap, ...]" = tuple(GAPS)
    presets: "dict[str, Preset]" = field(default_factory=dict)
    find_preset: "Callable[[str], Preset | None]" = lambda name: None
    misfit: "Callable[[Settings, str], str]" = lambda settings, loaded: ""
    reward_bytes: "Callable[[str], int]" = lambda name: 0
    model_bytes: "Callable[[Settings], int]" = lambda settings: 0
    uncommented: "Callable[[str], str]" = lambda text: text
    company: "Callable[[Settings], list]" = lambda settings: []


def forecast(facts: Facts, request: dict) -> dict:
    """What to show for a request.

    request
        settings   the accordion's controls by name, as they stand, right or wrong
        page       the page's own fields, None for what a tab or a WebUI has not (see fields.picture_of, estimate_of)
        on         whether W2SD is on; what is not said is on
        preset     what stands in the box of presets
        was        the preset that was named last
        had_steps  the steps before a preset halved them, or None
        opened     names of the gaps whose switch is on, whatever the settings say
    returns
        cost       one line; empty where nothing can be said
        rows       the same in the model's rows
        warnings   sentences; none while W2SD is off
        preset     see advice.named
        start      what to try first for a picture like this; empty where it is chosen
        gaps       {name: {"active", "offered"}}: whether the settings have the gap, and the page can
        hidden     names of settings that have nothing to say now
    """
    settings, refusals = read(request.get("settings") or {}, facts.uncommented)
    page, had_steps = request.get("page") or {}, request.get("had_steps")
    page = {**page, "prompt": facts.uncommented(page.get("prompt") or "")}
    picture, on = picture_of(page), request.get("on") is not False
    result = estimate_of(facts, settings, page)
    preset = advice.named(facts, settings, picture, request.get("preset") or "", request.get("was") or "", had_steps)
    told = (
        words(settings, result, plain_of(facts, settings, page, had_steps))
        + of_the_reward(facts, settings, page, result)
        + of_the_model(facts, settings, result)
    )
    said = refusals + warnings(facts, settings, page, result, preset["name"], request.get("opened") or ())
    return {
        "cost": told if on else f"W2SD is off: nothing below counts. Switched on: {told[0].lower()}{told[1:]}",
        "rows": of_rows(result),
        "warnings": said if on else [],
        "preset": preset,
        "start": advice.start(facts, picture, preset["name"]),
        "gaps": {
            gap.name: {"active": gap.touched(settings, picture), "offered": gap.offered(picture)} for gap in facts.gaps
        },
        "hidden": [s.name for s in SETTINGS if not s.counts(settings)],
    }


def read(values: dict, uncommented=lambda text: text) -> "tuple[Settings, list]":
    """The settings in the controls, switched on, and why some cannot be used: those are taken as their defaults.
    `uncommented`: see Facts."""
    taken, refusals = {}, []
    for s in SETTINGS:
        try:
            taken[s.name] = s.check(values.get(s.name, s.default))
            if s.prompt:
                taken[s.name] = uncommented(taken[s.name])
        except SettingError as error:
            refusals.append(str(error).removeprefix("W2SD: "))
    # Opened is not yet on; what it would cost is what the user wants to know.
    return Settings(**{**taken, "enabled": True}), refusals


def words(settings: Settings, result: dict, had: "dict | None" = None) -> str:
    """One line for the accordion, against the plain picture, or what was `had` before."""
    ratio, plain, of = result["ratio"], result["plain"], ""
    if had:
        # The same sampler at the same size: time goes by the rows.
        ratio = ratio * plain / had["plain"] if had["plain"] else ratio
        of = f" of your {had['had']} steps"
    times = f"{ratio:.2f}".rstrip("0").rstrip(".")
    reflected, steps = (" + ".join(map(str, result[name])) for name in ("reflected", "steps"))
    # Why there are not as many as the slider says.
    later = settings.plan_of(False).later and settings.first_step == 1 and any(result["reflected"])
    since = ", from step 2" if later else ""
    compared = " The comparison picture is counted." if result["compared"] else ""
    return f"About {times} × the time{of}: {reflected} of {steps} steps improved{since}.{compared}"


def of_rows(result: dict) -> str:
    """What the line's tooltip says, for people who count."""
    compared = f", {result['compared']} of them for the comparison picture" if result["compared"] else ""
    return f"{result['rows']} UNet rows instead of {result['plain']}{compared}."


def of_the_reward(facts: Facts, settings: Settings, page: dict, result: dict) -> str:
    """What choosing by a reward takes beside the UNet's rows: one more sentence of the line."""
    scored = 2 * sum(result["reflected"]) * settings.rounds * pictures_of(page)
    if not settings.reward or settings.weak_alone or not scored:
        return ""
    memory = _of_memory(facts.reward_bytes(settings.reward))
    return f" And {scored} pictures to be scored by {settings.reward}{memory}."


def of_the_model(facts: Facts, settings: Settings, result: dict) -> str:
    """What a weak side of another architecture takes beside rows: one more sentence of the line."""
    if not result["pixels"]:
        return ""
    return (
        f" The weak version is {cost.through_pixels(settings)}{_of_memory(facts.model_bytes(settings))}; and "
        f"{result['pixels']} pictures are decoded and as many encoded."
    )


def _of_memory(taken: int) -> str:
    gigabytes = taken / 2**30
    return f", which takes {gigabytes:.1f} GB of memory" if gigabytes >= 0.05 else ""


def warnings(facts: Facts, settings: Settings, page: dict, result: dict, preset: str = "", opened=()) -> list:
    """What a user should know before the click, in sentences.

    preset  the name of the one in force
    """
    picture, said = picture_of(page), []
    made, sampler = result["steps"][0], page.get("sampler")
    if sampler in facts.footnotes:
        said.append(f"{sampler}: {facts.footnotes[sampler]}.")
    plan = settings.plan_of(False)
    most = len(replace(plan, lambda_steps=-1, later=False).steps(made))
    if settings.lambda_steps > most and made > 1:
        improved, why = len(plan.steps(made)), "the last is never improved"
        if improved < most:
            why += ", and the first has no step before it"
        said.append(f"{settings.lambda_steps} steps to improve are asked for, {made} steps allow {improved}: {why}.")
    elif settings.lambda_steps and not plan.steps(made) and not settings.weak_alone:
        said.append(f"No step is improved: {settings.inversion} needs a step before, so at least 2 steps to improve.")
    if settings.lambda_steps == 0 or settings.strength == 0:
        zero = BY_NAME["lambda_steps" if settings.lambda_steps == 0 else "strength"].label
        said.append(f"{zero} is 0: this is the plain picture.")
    chosen = facts.find_preset(preset) if preset else None
    if chosen and (unsuited := chosen.unsuited(picture)):
        said.append(unsuited)
    ask, needs = missing(chosen, settings, picture), chosen.needs if chosen else ""
    for gap in facts.gaps:
        said += gap.without_effect(settings) + gap.cautions(settings, picture)
        idle = gap.name in opened and not gap.given and not gap.touched(settings, picture)
        if idle and not ask and needs not in gap.off:
            said.append(gap.idle(settings, picture))
    if misfit := facts.misfit(settings, picture.checkpoint):
        said.append(misfit)
    said += facts.company(settings)
    said += _of_the_way(settings)
    if ask:
        said.append(ask)
    elif settings.inversion != ways.RE_SAMPLING and not any(gap.differs(settings, picture) for gap in facts.gaps):
        choose = "" if any(gap.touched(settings, picture) for gap in facts.gaps) else " Choose one below, or a preset."
        said.append(f"Nothing differs between the good and the weak version: only the time will.{choose}")
    if facts.unguided().get("minimum_sigma"):
        said.append(
            'The option "Negative Guidance minimum sigma" is on: at low noise some rows of the picture are left out, '
            "which the estimate does not know."
        )
    if settings.weak_alone:
        said.append("The weak version draws alone: nothing is improved.")
    if settings.comparison and script_of(page):
        said.append(
            f"No comparison picture is made with a script of the list ({script_of(page)}), which would take it for one "
            "of its own pictures."
        )
    return said


def _of_the_way(settings: Settings) -> list:
    """What of the method's own settings does not count, in sentences."""
    said, way = [], settings.inversion
    if settings.rounds > 1 and way in ways.ALONG:
        said.append(f"Rounds have no effect with {way}.")
    if settings.reward and way not in INVERSIONS:
        said.append(f"A reward is refused with {way}: choose one of {', '.join(INVERSIONS)}.")
    if settings.reward and settings.measure:
        said.append("Measure has no effect with a score to choose by: the push changes its direction.")
    if settings.strength > 1 and way in ways.NOISY:
        said.append(f"A strength above 1 counts as 1 with {way}: all noise is new then.")
    if way == ways.RE_SAMPLING:
        said.append("re-sampling puts new noise in the weak version's place: what the weak version has does not count.")
    return said


def missing(preset: "Preset | None", settings: Settings, picture: Picture) -> str:
    """What the preset in force still needs from the user; nothing once it is there."""
    if preset is None or not preset.needs:
        return ""
    if preset.needs == "prompt":
        return "" if any(gap.differs(settings, picture) for gap in GAPS) else preset.ask
    default = next(s.default for s in SETTINGS if s.name == preset.needs)
    if default == NEGATIVE_PROMPT and picture.negative:
        return ""
    return preset.ask if getattr(settings, preset.needs) == default else ""
