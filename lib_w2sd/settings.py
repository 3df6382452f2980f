"""Everything a user can choose, once. The accordion, the API, the infotext and the XYZ axes all follow from it."""

import re
from dataclasses import asdict, dataclass, field, fields

from . import lora
from .errors import SettingError
from .reflection import INVERSIONS

PROMPT, NEGATIVE_PROMPT = "{prompt}", "{negative_prompt}"
HIRES = ("same", "off", "own")


def setting(default, label: str, help: str, infotext: str, **limits):
    """A field of Settings. `limits`: minimum, maximum, step, choices, optional (empty text stands for None), listed
    (a name that the host has a list of; empty text or "None" for none of them)."""
    return field(default=default, metadata={"label": label, "help": help, "infotext": infotext, **limits})


@dataclass(frozen=True)
class Settings:
    """One request's settings. The order of the fields is the order of the API's positional arguments."""

    enabled: bool = setting(False, "W2SD", "Weak-to-Strong Diffusion with Reflection.", "W2SD")
    lambda_steps: int = setting(
        10,
        "Reflected steps (lambda)",
        "How many of the first steps are reflected. -1: all but the last. More costs more time.",
        "W2SD lambda",
        minimum=-1,
        maximum=150,
        step=1,
    )
    strength: float = setting(
        1.0,
        "Strength",
        "How far each reflection moves the latent: 1 is the paper's, 0 the plain picture.",
        "W2SD strength",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
    )
    inversion: str = setting(
        # The verdict of docs/paper: at 8 to 50 steps the paper's own form pays for its gain with distribution.
        "matched",
        "Inversion",
        "Where the weak model is asked. matched: at the latent itself, cheapest, and without the paper's inversion "
        "error. paper: after the strong step; pushes harder. fixed-point: solved in three rounds, dearest.",
        "W2SD inversion",
        choices=INVERSIONS,
    )
    weak_cfg: float = setting(
        0.0,
        "Weak CFG scale",
        "CFG scale of the weak side. The gap to the strong one is what improves the picture; may be negative.",
        "W2SD weak CFG",
        minimum=-30.0,
        maximum=30.0,
        step=0.5,
    )
    strong_cfg: "float | None" = setting(
        None,
        "Strong CFG scale in reflection",
        "CFG scale of the strong side in reflection; empty: the picture's own. "
        "Set both sides to 1 to let only the prompts differ.",
        "W2SD strong CFG",
        minimum=-30.0,
        maximum=30.0,
        step=0.5,
        optional=True,
    )
    weak_prompt: str = setting(
        PROMPT,
        "Weak prompt",
        "Prompt of the weak side; has no effect at weak CFG 0. {prompt} stands for the picture's own prompt, "
        "{negative_prompt} for its negative. <lora:name:scale> sets the weak side's scale of that LoRA.",
        "W2SD weak prompt",
    )
    weak_negative_prompt: str = setting(
        NEGATIVE_PROMPT,
        "Weak negative prompt",
        "Negative prompt of the weak side; has no effect at weak CFG 1. The same placeholders.",
        "W2SD weak negative prompt",
    )
    hires: str = setting(
        "same",
        "Hires pass",
        "same: reflected with the same lambda. off: not reflected. own: with the lambda below.",
        "W2SD hires",
        choices=HIRES,
    )
    hires_lambda_steps: int = setting(
        5,
        "Reflected steps in the hires pass",
        "Used when the hires pass has its own lambda. -1: all but the last.",
        "W2SD hires lambda",
        minimum=-1,
        maximum=150,
        step=1,
    )
    weak_lora_offset: float = setting(
        0.0,
        "Weak LoRA offset",
        "Added to the scale of each LoRA of the picture on the weak side. The paper's LoRA gap is 0.8 against -1.5 "
        "(an offset of -2.3), with both CFG scales 1 in reflection.",
        "W2SD weak LoRA offset",
        minimum=-5.0,
        maximum=5.0,
        step=0.05,
    )
    strong_lora_offset: float = setting(
        0.0,
        "Strong LoRA offset in reflection",
        "Added to the scale of each LoRA of the picture on the strong side. The step itself keeps the picture's own.",
        "W2SD strong LoRA offset",
        minimum=-5.0,
        maximum=5.0,
        step=0.05,
    )
    weak_loras: str = setting(
        "",
        "Weak LoRAs",
        "Scales of single LoRAs on the weak side, as in a prompt: <lora:name:-1.5>; the offset does not count for "
        "them. One that the picture does not use acts on the weak side only.",
        "W2SD weak LoRAs",
        loras=True,
        pattern=r"^(\s|,|<lora:[^<>]*>)*$",
    )
    weak_lora_text_encoder: bool = setting(
        False,
        "Weak LoRA scales in the text encoder",
        "Encode the weak side's prompts at the weak scales too. Otherwise both sides' prompts are encoded at the "
        "picture's own, and the gap is the UNet's alone.",
        "W2SD weak LoRA text encoder",
    )

    weak_checkpoint: str = setting(
        "",
        "Weak checkpoint",
        "Another checkpoint whose UNet is the weak side's, of the same architecture as the loaded one; text encoder "
        "and VAE stay the loaded one's. Takes the memory of a second UNet. Set both CFG scales to 1 for the paper's "
        "checkpoint gap.",
        "W2SD weak checkpoint",
        listed=True,
    )
    weak_checkpoint_loras: bool = setting(
        False,
        "LoRAs on the weak checkpoint too",
        "Off: the weak checkpoint is as its file is, but for the weak LoRAs named above. On: the picture's LoRAs are "
        "on it as well, at their scale plus the weak LoRA offset.",
        "W2SD weak checkpoint LoRAs",
    )
    weak_alone: bool = setting(
        False,
        "Draw with the weak side alone",
        "No reflection: the picture that the weak side draws by itself, to see what the strong one is set against.",
        "W2SD weak alone",
    )
    strong_distilled_cfg: "float | None" = setting(
        None,
        "Strong distilled CFG in reflection",
        "Distilled CFG scale of the strong side in reflection, where the checkpoint has one (Flux on Forge); empty: "
        "the picture's own. The paper's Flux gap is 2 against 1, with both CFG scales 1 in reflection.",
        "W2SD strong distilled CFG",
        minimum=0.0,
        maximum=30.0,
        step=0.1,
        optional=True,
    )
    weak_distilled_cfg: "float | None" = setting(
        None,
        "Weak distilled CFG",
        "Distilled CFG scale of the weak side; empty: the picture's own.",
        "W2SD weak distilled CFG",
        minimum=0.0,
        maximum=30.0,
        step=0.1,
        optional=True,
    )

    comparison: bool = setting(
        False,
        "Comparison picture",
        "Beside each picture, in the gallery and among the saved grids: the plain one of the same seed, and where they "
        "differ. Takes the time of a plain picture more.",
        "W2SD comparison",
    )

    def lambda_of(self, hires_pass: bool) -> int:
        """The lambda of this sampling pass."""
        if not hires_pass or self.hires == "same":
            return self.lambda_steps
        return self.hires_lambda_steps if self.hires == "own" else 0

    def acts_in(self, hires_pass: bool) -> bool:
        """Whether this sampling pass is any other than the plain one."""
        return self.lambda_of(hires_pass) != 0 and (self.strength != 0 or self.weak_alone)


NONE = "None"  # a list's entry for no choice
FIELDS = fields(Settings)
NAMES = tuple(f.name for f in FIELDS)
BY_NAME = {f.name: f for f in FIELDS}
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def kind(f) -> str:
    """boolean, integer, number or string: a field's type in JSON schema's words."""
    return "number" if f.metadata.get("optional") else _KINDS[f.type]


def allowed(f) -> str:
    """What a field accepts, for messages and documents."""
    m = f.metadata
    if "choices" in m:
        return "one of " + ", ".join(m["choices"])
    if "minimum" in m:
        number = "a whole number" if kind(f) == "integer" else "a number"
        return f"{number} from {m['minimum']:g} to {m['maximum']:g}" + (", or nothing" if m.get("optional") else "")
    if m.get("loras"):
        return "nothing but <lora:name:scale>, also <lora:name:te=0:unet=-1.5>, one after the other"
    if m.get("listed"):
        return "a name or hash that the WebUI knows, or nothing"
    return "true or false" if kind(f) == "boolean" else "a text with balanced brackets"


def refuse(f, value, why: str = ""):
    shown = repr(value)
    shown = shown if len(shown) <= 200 else shown[:200] + "…"
    raise SettingError(f"W2SD: {f.name} ({f.metadata['label']}) was given {shown}{why}; allowed is {allowed(f)}.")


def check(name: str, value):
    """`value` in the field's own type, or SettingError."""
    f, m, given = BY_NAME[name], BY_NAME[name].metadata, value
    if m.get("optional"):
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, str):  # its control is a text box, and its infotext is text
            try:
                value = float(value)
            except ValueError:
                refuse(f, given)
    of = kind(f)
    if of == "boolean":
        return value if isinstance(value, bool) else refuse(f, value)
    if of == "string":
        if not isinstance(value, str) or value not in m.get("choices", (value,)):
            refuse(f, value)
        if m.get("listed"):
            return "" if value.strip() == NONE else value.strip()
        if "choices" in m:
            return value
        return check_loras(f, value.strip()) if m.get("loras") else check_prompt(f, value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(f, given)
    # NaN is in no range; an integer too large for a float still compares.
    if not m["minimum"] <= value <= m["maximum"] or (of == "integer" and value != int(value)):
        refuse(f, given)
    return int(value) if of == "integer" else float(value)


def check_prompt(f, text: str) -> str:
    r"""Refuse a prompt whose ( ) or [ ] do not pair up (\( and the like are literal), or that names an extra network;
    only the weak prompt may name LoRAs."""
    pairs, stack = {")": "(", "]": "["}, []
    rest = text
    if f.name == "weak_prompt":
        check_tags(f, text)
        rest = lora.without_tags(text)
    for c in re.sub(r"\\.", "", rest, flags=re.DOTALL):
        if c in pairs.values():
            stack.append(c)
        elif c in pairs and (not stack or stack.pop() != pairs[c]):
            refuse(f, text, f", in which a {c} closes nothing (write \\{c} for the character itself)")
    if stack:
        refuse(f, text, f", in which a {stack[-1]} is never closed (write \\{stack[-1]} for the character itself)")
    if re.search(r"<\w+:[^>]*>", rest):
        refuse(f, text, ", which names an extra network; the weak side always uses the picture's own")
    return text


def check_tags(f, text: str) -> list:
    try:
        return lora.tags(text)
    except ValueError as error:
        refuse(f, text, f", in which {error} is no LoRA with its scale")


def check_loras(f, text: str) -> str:
    """Refuse what is not LoRAs one after the other, with nothing but space and commas between."""
    check_tags(f, text)
    if lora.TAG.sub("", text).strip(" ,\n\t"):
        refuse(f, text)
    return text


def parse(args) -> Settings:
    """The settings of a request.

    args  what the host hands the script: one value a field in the order of Settings (missing ones take
          defaults), or a JSON object in first place, whose keys are field names (the rest is then the host's padding)
    Raises SettingError. Whatever a switched-off W2SD was given, as long as its keys are known, is not looked at.
    """
    if args and isinstance(args[0], dict):
        given = args[0]
        for key in given:
            if key not in BY_NAME:
                raise SettingError(f"W2SD: unknown setting {str(key)[:200]!r}; allowed are {', '.join(NAMES)}.")
    else:
        if len(args) > len(FIELDS):
            raise SettingError(
                f"W2SD was given {len(args)} arguments; allowed are at most {len(FIELDS)}: {', '.join(NAMES)}."
            )
        given = dict(zip(NAMES, args))
    if not check("enabled", given.get("enabled", False)):
        return Settings()
    return Settings(**{name: check(name, value) for name, value in given.items()})


def schema() -> dict:
    """JSON schema (draft 2020-12) of the object that the API takes."""
    properties = {}
    for f in FIELDS:
        m = f.metadata
        entry = {"title": m["label"], "description": m["help"], "type": kind(f), "default": f.default}
        if m.get("optional"):
            entry["type"] = [entry["type"], "null"]
        if "choices" in m:
            entry["enum"] = list(m["choices"])
        entry.update({k: m[k] for k in ("minimum", "maximum", "pattern") if k in m})
        properties[f.name] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "W2SD",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def as_dict(settings: Settings) -> dict:
    return asdict(settings)
