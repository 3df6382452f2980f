"""Everything a user can choose: the method's own settings and each gap's, put together."""

from dataclasses import asdict, field, make_dataclass, replace

from ..errors import SettingError
from ..gaps import GAPS
from ..method import ways
from ..method.schedule import Plan
from ..setting import REWARDS, Setting

HIRES = ("same", "off", "own")

# Of the method: how many steps, how far, by which inversion, in which pass.
METHOD = (
    Setting(
        "enabled",
        False,
        "W2SD",
        "Pushes the first steps from a weak version of your model towards the good one (Weak-to-Strong Diffusion).",
        "W2SD",
        kept=False,
    ),
    Setting(
        "lambda_steps",
        10,
        "Steps to improve",
        "How many of the first steps are improved; they decide what is where. More: a stronger effect, and more time. "
        "-1: all but the last. Lambda in the paper.",
        "W2SD lambda",
        line="Of the first ones. -1: all but the last.",
        minimum=-1,
        maximum=150,
        step=1,
        always=True,
        grid=lambda steps: [max(steps, 4) * part // 4 for part in range(4)],
    ),
    Setting(
        "strength",
        0.5,
        "Strength",
        "How far each of them is pushed: 0 is the plain picture, 1 the paper's. Too much: lower this first.",
        "W2SD strength",
        line="0: not at all. Too much: lower this first.",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
        always=True,
    ),
    Setting(
        "inversion",
        ways.PREVIOUS_GAP,
        "Way (inversion)",
        "How the weak version is used.",
        "W2SD inversion",
        line="How the weak version is used.",
        choices=ways.WAYS,
        of_each={
            ways.PREVIOUS_GAP: "what the step before has shown. Less guidance takes no time.",
            ways.AUTO_GUIDANCE: "changes the answer, not the noise. Less guidance takes no time.",
            "matched": "a step back, the fewest side effects. 2 × the time.",
            "paper": "the paper's step back: pushes harder. 2 to 3 × the time.",
            "fixed-point": "the exact step back. 3 to 5 × the time.",
            ways.RE_SAMPLING: "new noise, no weak version. 2 × the time.",
            ways.ADVANCED_RE_SAMPLING: "new noise that the weak version agrees to. 2 to 3 × the time.",
        },
        always=True,
    ),
    Setting(
        "hires",
        "same",
        "In the hires pass",
        "same: improved as the first pass. off: left as it is. own: as many steps as chosen below.",
        "W2SD hires",
        line="same: as the first pass. off: left as it is. own: as many as below.",
        choices=HIRES,
    ),
    Setting(
        "hires_lambda_steps",
        5,
        "Steps to improve in the hires pass",
        "Used when the hires pass has its own. -1: all but the last.",
        "W2SD hires lambda",
        line="-1: all but the last.",
        only_with=("hires", "own"),
        minimum=-1,
        maximum=150,
        step=1,
    ),
    Setting(
        "rounds",
        1,
        "Rounds a step (T_max)",
        "How often a step is improved before it is taken, as in Z-Sampling. More: stronger, and slower. Not with "
        "previous-gap and auto-guidance.",
        "W2SD rounds",
        line="More: stronger, and slower.",
        minimum=1,
        maximum=5,
        step=1,
    ),
    Setting(
        "first_step",
        1,
        "First step to improve",
        "Steps before it are left as they are. The first ones decide what is where, later ones how it looks.",
        "W2SD first step",
        line="Steps before it stay as they are.",
        minimum=1,
        maximum=150,
        step=1,
    ),
    Setting(
        "every",
        1,
        "Every n-th step",
        "2: every other step from there on is improved, as many as chosen above.",
        "W2SD every",
        line="2: every other step from there on.",
        minimum=1,
        maximum=50,
        step=1,
    ),
    Setting(
        "measure",
        False,
        "Measure the push",
        "Says after the run which CFG scale pushes as far, and how much of it goes elsewhere (effective guidance). "
        "Where the prompt's or the negative prompt's rows are not asked for anyway, it asks for them.",
        "W2SD measure",
        line="Says after the run which CFG scale pushes as far.",
        kept=False,
    ),
    Setting(
        "reward",
        "",
        "Choose the good version by score (reward)",
        "At each improved step both versions are scored, and the better one leads, the other is pushed away from: for "
        "two that are each better at something. Rewards are files in models/rewards; the way has to be matched, paper "
        "or fixed-point.",
        "W2SD reward",
        line="The better one leads. Files in models/rewards.",
        listed=REWARDS,
        in_memory="the reward",
        allows="the name of a file or folder in models/rewards, or nothing",
    ),
    Setting(
        "reward_threshold",
        0.0,
        "By how much your model has to be better (epsilon_r)",
        "In the reward's own numbers. Where it is not better by more than this, the weak version leads.",
        "W2SD reward threshold",
        line="In the score's own numbers.",
        only_with="reward",
        minimum=0.0,
        maximum=100.0,
        step=0.01,
    ),
    Setting(
        "reward_decoder",
        "preview",
        "What is scored",
        "preview: what the live preview would show, fast. vae: the picture as it would be saved, slower.",
        "W2SD reward decoder",
        line="preview: fast. vae: the picture as it would be saved, slower.",
        only_with="reward",
        choices=("preview", "vae"),
    ),
    Setting(
        "weak_alone",
        False,
        "Draw with the weak version alone",
        "To see what the picture is pushed away from: nothing is improved.",
        "W2SD weak alone",
        line="To see what the picture is pushed away from.",
    ),
    Setting(
        "comparison",
        False,
        "Comparison picture",
        "Beside each picture: the plain one of the same seed, and where they differ; in the gallery and among the "
        "saved grids. Takes the time of a plain picture more.",
        "W2SD comparison",
        line="The plain picture of the same seed and the difference beside it.",
        kept=False,
    ),
    Setting(
        "comparison_with",
        "plain",
        "Compare with",
        "plain: the plain picture. same push: also the plain one at the CFG scale that pushes as far. same time: also "
        "the plain one with as many steps as take as long. Each takes its own time more.",
        "W2SD comparison with",
        line="Also a plain one with the same push, or one that takes the same time.",
        only_with="comparison",
        choices=("plain", "same push", "same time"),
        kept=False,
    ),
)
# What is shown beside a picture: no part of the picture, nor of a grid's cell.
COMPARISON = "comparison", "comparison_with"
# The API's positional arguments, as they have always been. Whatever is not among them comes after, in order.
POSITIONS = (
    "enabled lambda_steps strength inversion weak_cfg strong_cfg weak_prompt weak_negative_prompt hires "
    "hires_lambda_steps weak_lora_offset strong_lora_offset weak_loras weak_lora_text_encoder weak_checkpoint "
    "weak_checkpoint_loras weak_alone strong_distilled_cfg weak_distilled_cfg comparison rounds first_step every "
    "measure comparison_with reward reward_threshold reward_decoder weak_without weak_weight "
    "weak_model weak_model_modules weak_refiner_checkpoint"
).split()


def _put_together() -> tuple:
    by_name = {s.name: s for s in (*METHOD, *(s for gap in GAPS for s in gap.settings))}
    return tuple(by_name[name] for name in dict.fromkeys((*POSITIONS, *by_name)))


SETTINGS = _put_together()
NAMES = tuple(s.name for s in SETTINGS)
BY_NAME = {s.name: s for s in SETTINGS}


class Passes:
    """Which sampling passes of a request are reflected."""

    def lambda_of(self, hires_pass: bool) -> int:
        """The lambda of this sampling pass."""
        if not hires_pass or self.hires == "same":
            return self.lambda_steps
        return self.hires_lambda_steps if self.hires == "own" else 0

    def plan_of(self, hires_pass: bool) -> Plan:
        """Which steps of this sampling pass are reflected."""
        lambda_steps = 0 if self.weak_alone else self.lambda_of(hires_pass)
        return Plan(lambda_steps, self.first_step, self.every, later=self.inversion == ways.PREVIOUS_GAP)

    def acts_in(self, hires_pass: bool) -> bool:
        """Whether this sampling pass is any other than the plain one."""
        return self.lambda_of(hires_pass) != 0 and (self.strength != 0 or self.weak_alone)

    def with_measure(self) -> "Settings":
        """These, measuring the push where a comparison picture needs to know it."""
        compared = self.comparison and self.comparison_with == "same push"
        return replace(self, measure=self.measure or compared)


Settings = make_dataclass(
    "Settings", [(s.name, object, field(default=s.default)) for s in SETTINGS], bases=(Passes,), frozen=True
)
Settings.ALWAYS = frozenset(s.name for s in SETTINGS if s.always)
Settings.__doc__ = "One request's settings: an attribute each of SETTINGS, in its type."


def check(name: str, value):
    """`value` in the setting's own type, or SettingError."""
    return BY_NAME[name].check(value)


def by_name(args) -> dict:
    """A request's arguments under their names, as they were given.

    args  what the host hands the script: one value a setting in the order of SETTINGS, or a JSON object in first place
          (the rest is then the host's padding), which is on if it names any setting and does not say otherwise
    """
    if args and isinstance(args[0], dict):
        return {"enabled": bool(args[0]), **args[0]}
    return dict(zip(NAMES, args))


def parse(args) -> Settings:
    """The settings of a request; missing ones take defaults.

    args  as of by_name
    Raises SettingError. Whatever a switched-off W2SD was given, as long as its keys are known, is not looked at.
    """
    given = by_name(args)
    for key in given:
        if key not in BY_NAME:
            raise SettingError(f"W2SD: unknown setting {str(key)[:200]!r}; allowed are {', '.join(NAMES)}.")
    an_object = bool(args) and isinstance(args[0], dict)
    if not an_object and any(more not in ("", None) for more in args[len(SETTINGS) :]):  # see controls.behind
        raise SettingError(
            f"W2SD was given {len(args)} arguments; allowed are at most {len(SETTINGS)}: {', '.join(NAMES)}."
        )
    if not check("enabled", given.get("enabled", False)):
        return Settings()
    return Settings(**{name: check(name, value) for name, value in given.items()})


def schema() -> dict:
    """JSON schema (draft 2020-12) of the object that the API takes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "W2SD",
        "type": "object",
        "description": "W2SD is on if any setting is named, unless enabled is false.",
        "properties": {s.name: s.schema() for s in SETTINGS},
        "additionalProperties": False,
    }


def as_dict(settings: Settings) -> dict:
    return asdict(settings)
