"""The paper's tables by number, run on your own checkpoint: its settings (appendix C.1) beside what it left out.

Its prompts are named, not shipped. Every table has the two plain pictures that a user could draw instead (ways.beside).
"""

from dataclasses import dataclass

from ..errors import SettingError
from ..gaps.guidance import weak_at
from ..page import presets
from ..page.settings import BY_NAME
from .ways import Way, beside

# C.1: T = 50, guidance scale 5.5, DDIM; lambda = T - 1. The presets' own way is another (docs/paper/buys.md, the rule).
PAPERS_WAY = {"inversion": "paper", "strength": 1.0, "lambda_steps": -1}
REQUEST = {"steps": 50, "cfg_scale": 5.5, "sampler_name": "DDIM"}
PICK_A_PIC = "the first 100 prompts of Pick-a-Pic (huggingface.co/datasets/yuvalkirstain/pickapic_v1)"
DRAWBENCH = "DrawBench, about 200 prompts (Saharia et al., 2022)"
GENEVAL = "GenEval's prompts (github.com/djghosh89/geneval), each behind a tab after a richer one: RICH<tab>SHORT"

GUIDANCE = "Follow the prompt more (Z-Sampling)"
LORA = "More of my LoRA"
PROMPT = "More of my prompt's detail"
CHECKPOINT = "More of my checkpoint"
BOTH = presets.CUMULATIVE


@dataclass(frozen=True)
class Table:
    """gaps: the ways with W2SD by name, each the name of a preset; weak: what its row of the weak side alone is called,
    drawn at the picture's own CFG scale as the paper's is."""

    told: str
    gaps: "dict[str, str]"
    prompts: str
    weak: str = ""

    @property
    def needs(self) -> "set[str]":
        found = presets.built_in()
        return {found[preset].needs for preset in self.gaps.values()} & set(BY_NAME)

    @property
    def needs_of_a_prompt(self) -> "set[str]":
        """Those that the list of prompts gives."""
        return {name for name in self.needs if BY_NAME[name].of_a_prompt}

    def ways(self, w2sd: dict, cfg: float) -> "tuple[Way, ...]":
        """w2sd: what is another than in the paper, or what a preset needs. Raises SettingError if that is missing."""
        for name in sorted(self.needs - self.needs_of_a_prompt):
            if not w2sd.get(name):
                label = BY_NAME[name].label.lower()
                raise SettingError(f'--table: this one needs a {label}, --w2sd \'{{"{name}": "NAME"}}\'.')
        built_in = presets.built_in()
        found = []
        for name, preset in ((name, built_in[preset]) for name, preset in self.gaps.items()):
            # What only one gap needs is not given to another.
            own = {setting: value for setting, value in w2sd.items() if setting not in self.needs - {preset.needs}}
            found.append(Way(name, {**preset.fields, **PAPERS_WAY, **own}))
        last = found[-1]
        if self.weak:
            found.append(Way(self.weak, {**last.w2sd, "weak_alone": True, **weak_at(cfg)}))
        return (Way("plain"), *found, *beside(last.name))


_CHECKPOINT = Table("a checkpoint against a plainer one", {"W2SD": CHECKPOINT}, PICK_A_PIC, "weak checkpoint alone")
_GUIDANCE = Table("a CFG scale against none", {"W2SD": GUIDANCE}, PICK_A_PIC)
_LORA = Table("a LoRA in every prompt, <lora:name:0.8>, against the same at -1.5", {"W2SD": LORA}, PICK_A_PIC)
TABLES = {
    2: _CHECKPOINT,
    3: _LORA,
    5: _GUIDANCE,
    6: Table("a rich prompt against a short one", {"W2SD": PROMPT}, GENEVAL, "short prompt"),
    7: Table(
        "gaps that add up",
        {"W2SD, guidance": GUIDANCE, "W2SD, checkpoint": CHECKPOINT, "W2SD, both": BOTH},
        PICK_A_PIC,
    ),
    8: Table(_CHECKPOINT.told, _CHECKPOINT.gaps, DRAWBENCH, _CHECKPOINT.weak),
    9: Table(_GUIDANCE.told, _GUIDANCE.gaps, DRAWBENCH),
    10: _LORA,
    11: Table(_LORA.told, _LORA.gaps, DRAWBENCH),
}
