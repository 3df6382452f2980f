"""Tables 2, 3, 5, 6 and 7 at our scale: what each gap brings, with guidance and without, beside what needs no W2SD."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..emoji.draw import STEPS
from .results import MEASURES, Results, marked
from .statistics import table
from .ways import EACH, INKED, SAMPLERS, Ground, Way, asked, itself, plain, reflected, tuned, wanted

# Gap, table of the paper, what the paper reports.
CLAIMS = {
    "checkpoint": ("Table 2", "HPS v2 31.64 to 32.10 (Juggernaut-XL against SDXL)"),
    "style": ("Table 3", "CLIP-T 25.99 to 27.66, DINO 48.03 to 51.58"),
    "guidance": ("Table 5", "HPS v2 29.87 to 31.20 (SDXL)"),
    "prompt": ("Table 6", "HPS v2 28.57 to 29.40"),
    "both": ("Table 7", "HPS v2 31.64 with neither, 32.82 guidance, 32.10 checkpoint, 32.96 both"),
}
HIGHER = (1.2, 1.6)  # of the style's LoRA: the user's own remedy
INK = "away from ink ↓"
TRIED = ("paper", "matched")
HEAD = """## Tables 2, 3, 5, 6 and 7: what each gap brings

`python -m lib_w2sd.lab tables`. {prompts} prompts, {each} pictures of each, {steps} steps; at CFG 1 with lambda {all}, at the CFG at
which plain pictures have the highest reward with lambda {half}. Strength 1. Two controls stand in every table: the plain picture with
its CFG tuned (for the style: with a higher scale of its LoRA), and `paper` of strong against *itself*, whose gain is no gap's.
Differences are to the plain picture, with 95 % intervals, paired by prompt; **bold** where the interval leaves zero out. Measures as
in [What it buys](buys.md); *{ink}* is the mean distance of a picture's colours to the same picture in ink, times 100.

Held: reward (style: ink) better and the Fréchet distance (style: the reward) not worse, or the other way round; in part: one better
and one worse. *Beyond the control* is the difference in reward (style: in ink, where less is better) to the tuned CFG (style: the LoRA at {higher:g});
where the CFG is tuned already, to strong against itself. Table 4 (a mixture of experts) has no place here: this model has none, and the one that we trained had a weak side
so broken that nothing could be learned from it.

"""


@dataclass(frozen=True)
class Block:
    """Sampler and the picture's CFG: a part of each table."""

    ground: Ground
    cfg: float
    best: float  # the CFG at which plain pictures have the highest reward

    @property
    def told(self) -> str:
        return f"{self.ground.told}, CFG {self.cfg:g}" + (" (tuned)" if self.cfg == self.best else "")

    @property
    def lam(self) -> int:
        """Without guidance nothing else pushes: all steps but the last, as in the paper. With it, half of them."""
        return STEPS - 1 if self.cfg == 1.0 else STEPS // 2


def named(gap: str) -> str:
    return {"style": "LoRA gap (a style)", "both": "checkpoint and guidance gap"}.get(gap, f"{gap} gap")


def blocks(results: Results) -> list:
    found = []
    for ground in map(Ground, SAMPLERS):
        best = tuned(results, ground)
        found += [Block(ground, cfg, best) for cfg in dict.fromkeys((1.0, best))]
    return found


def reference(block: Block, gap: str) -> Way:
    return plain(block.ground, block.cfg, model=INKED if gap == "style" else "")


def w2sd(block: Block, gap: str, way: str) -> Way:
    return reflected(block.ground, block.cfg, gap, asked(gap, block.cfg, way, lam=block.lam))


def ways(block: Block, gap: str) -> list:
    """The first is what the others are set against; then the weak side alone, the controls, and W2SD."""
    ground, cfg = block.ground, block.cfg
    alone = {
        "checkpoint": plain(Ground(ground.sampler, "weak"), cfg),
        "style": plain(ground, cfg),
        "prompt": named_alone(ground, cfg),
    }
    found = [reference(block, gap)]
    if gap in alone:
        found.append(replace(alone[gap], told=f"the weak side alone, CFG {cfg:g}"))
    if gap == "style":
        found += [plain(ground, cfg, model=f"strong+ink@{scale:g}") for scale in HIGHER]
        found.append(itself(ground, cfg, block.lam, model=INKED))
    else:
        found += [plain(ground, block.best)] * (cfg != block.best)
        found.append(itself(ground, cfg, block.lam))
    return found + [w2sd(block, gap, way) for way in TRIED]


def named_alone(ground: Ground, cfg: float) -> Way:
    """The weak side of the prompt gap: scored against the whole prompt all the same."""
    asks = {**ground.asks(cfg), "text": lambda caption: caption.plain().text()}
    return Way(f"{ground.key}/named/{cfg:g}", "plain", f"plain, CFG {cfg:g}, the name alone", asks)


def measures(gap: str) -> dict:
    return {"ink": INK, **MEASURES} if gap == "style" else MEASURES


def held(results: Results, block: Block, gap: str, way: str) -> str:
    """Of W2SD against plain: yes (what the gap is for is better, nothing else worse), in part, no."""
    one, base = w2sd(block, gap, way), reference(block, gap)
    signs = {}
    # A style of one's own is far from the real pictures, as it should be.
    for name in ("ink", "reward") if gap == "style" else ("reward", "distance"):
        by, half = results.gain(one, base, name)
        better = by > 0 if name == "reward" else by < 0
        signs[name] = 0 if abs(by) <= half else 1 if better else -1
    if 1 not in signs.values():
        return "no" if -1 in signs.values() else "undecided"
    return "in part" if -1 in signs.values() else "yes"


def beyond(results: Results, block: Block, gap: str, way: str) -> str:
    """What is left of it against the control: the tuned CFG, or where the CFG is tuned, strong against itself."""
    control = plain(block.ground, block.best) if block.cfg != block.best else itself(block.ground, block.cfg, block.lam)
    name = "reward"
    if gap == "style":
        control, name = plain(block.ground, block.cfg, model=f"strong+ink@{HIGHER[0]:g}"), "ink"
    return marked(*results.gain(w2sd(block, gap, way), control, name))


def summary(results: Results, every: list) -> str:
    lines = []
    for gap, (where, claim) in CLAIMS.items():
        for block in every:
            shown = [held(results, block, gap, way) for way in TRIED]
            left = [beyond(results, block, gap, way) for way in TRIED]
            told = [where, named(gap), claim] if block is every[0] else [""] * 3
            lines.append([*told, block.told, *shown, *left])
    head = ["paper", "gap", "paper's figures", "here", *(f"held, `{way}`" for way in TRIED)]
    return table([*head, *(f"beyond the control, `{way}`" for way in TRIED)], lines)


def single(results: Results, gap: str, every: list) -> str:
    lines = []
    for block in every:
        base = results.of(reference(block, gap))
        for way in ways(block, gap):
            lines.append([block.told, *results.line(way.told, results.of(way), base, measures(gap))])
    return table(["", "", "rows", *measures(gap).values()], lines)


def section(out: Path, results: Results) -> str:
    every = blocks(results)
    text = [f"### {where}: {named(gap)}\n\n{single(results, gap, every)}" for gap, (where, _) in CLAIMS.items()]
    head = HEAD.format(
        prompts=len(wanted()), each=EACH, steps=STEPS, all=STEPS - 1, half=STEPS // 2, ink=INK, higher=HIGHER[0]
    )
    return head + "\n".join([summary(results, every), *text])
