"""The figures that README.md and the guide tell are those that were measured (docs/paper)."""

import json
import re
from pathlib import Path

import pytest

from lib_w2sd.lab.experiments.results import difference, mean
from lib_w2sd.lab.experiments.statistics import interval
from lib_w2sd.page.presets import BUILT_IN

ROOT = Path(__file__).parents[2]
PAPER, GUIDE = ROOT / "docs" / "paper", ROOT / "docs" / "guide"
PAGES = (ROOT / "README.md", *sorted(GUIDE.glob("*.md")))
EDGES, REFERENCE, ALL, BALANCE, NEGATIVES = (
    json.loads((PAPER / f"{name}.json").read_text(encoding="utf8"))
    for name in ("pipeline-edges", "pipeline-reference", "results", "balance", "negatives")
)
DPM, BIASED = "DPM++ 2M", "strong+mostly-shaded@1, DPM++ 2M"
FIGURE = re.compile(r"([+-]?\d+\.\d+)(?:\*{1,2})? ± (\d+\.\d+)")


def by(kept: dict, way: str, other: str, measure: str = "reward", digits: int = 3, bold=True, sign="+") -> str:
    """The difference of two ways with its interval, bold where that leaves zero out."""
    if kept is BALANCE:  # of few repetitions
        found = interval(a - b for a, b in zip(kept[way][measure], kept[other][measure]))
    else:
        found = difference(kept[way], kept[other], measure)
    mark = "**" if bold and abs(found[0]) > found[1] else ""
    return f"{mark}{found[0]:{sign}.{digits}f}{mark} ± {found[1]:.{digits}f}"


def rows(kept: dict, way: str) -> str:
    return f"{kept[way]['rows']:.0f}"


def times(kept: dict, way: str, plain: str) -> str:
    """How much longer it takes, by network rows."""
    return f"× {kept[way]['rows'] / kept[plain]['rows']:.3g}"


def readme() -> list:
    unit, none = "{0}/auto-guidance/auto-guidance/1/19", "{0}/plain/1/20/2"
    close = []
    for kept, name in ((EDGES, "edges"), (REFERENCE, "reference")):
        way, plain = unit.format(name), none.format(name)
        told = by(kept, way, plain, "like", 2, bold=False), f"{mean(kept[plain], 'like'):.2f}"
        close.append((*told, times(kept, way, plain)))
    (edges, of_edges, both), (like, of_like, like_time) = close
    assert both == like_time, "one time for both"
    habit, plain = f"{BIASED}/balance/1/previous-gap/0.5/19", f"{BIASED}/plain/1/20"
    rare = by(BALANCE, habit, plain, "share", 2, bold=False, sign="")
    at_1, few = f"{DPM}/plain/1/4", pushed(FEW, 4)
    negative, of_plain = f"negatives/{pushed(NEGATIVE, 4)}", f"negatives/{at_1}"
    gone = difference(NEGATIVES[negative], NEGATIVES[of_plain], "named")
    there, time = mean(NEGATIVES[of_plain], "named"), times(NEGATIVES, negative, of_plain)
    at_20 = [f"{mean(ALL[f'{DPM}/plain/{cfg}/20'], 'reward'):.2f} at CFG {cfg}" for cfg in (1, 2)]
    style, of_style = f"{DPM}/plain/2/20/strong+ink@1.2", f"{DPM}/plain/2/20/strong+ink@0.8"
    nearer = difference(ALL[style], ALL[of_style], "ink")
    return [
        f"edges agree {edges} more, of {of_edges}; pictures {like} closer, of {of_like}, which no weight does | {both}",
        f"{rare} more often, of {mean(BALANCE[plain], 'share'):.2f}; half is right | {times(BALANCE, habit, plain)} |",
        f"which takes {times(ALL, f'{DPM}/plain/1.25/4', at_1)} |",
        f"reward {by(ALL, few, at_1, bold=False)} | {times(ALL, few, at_1)} |",
        f"{-gone[0]:.2f} ± {gone[1]:.2f} fewer of the pictures, of {there:.2f} | {time} |",
        f"have {' and '.join(at_20)}",
        f"reward {by(ALL, f'{DPM}/guidance/2/previous-gap/0.5/10', f'{DPM}/plain/3/20', bold=False)} |",
        f"{-nearer[0]:.1f} ± {nearer[1]:.1f} nearer, of {mean(ALL[of_style], 'ink'):.1f} |",
    ]


def units() -> list:
    """The ControlNet and the IP-Adapter beside what else one could do."""
    told = {
        "plain/2/20/2": "weight 2",
        "plain/3/20/2": "weight 3",
        "auto-guidance/auto-guidance/1/19": "the preset (*auto-guidance*, lambda -1)",
        "auto-guidance/auto-guidance/2/19": "the same at strength 2",
        "matched/matched/1/19": "reflection, *matched*, lambda -1",
    }
    lines = []
    for way, label in told.items():
        cells = [label, rows(EDGES, f"edges/{way}")]
        for kept, name in ((EDGES, "edges"), (REFERENCE, "reference")):
            one, plain = f"{name}/{way}", f"{name}/plain/1/20/2"
            cells += [by(kept, one, plain, "like", 2), by(kept, one, plain)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


FEW, NEGATIVE = (
    BUILT_IN[name].fields for name in ("Few steps: follow the prompt more", "At CFG 1: let the negative prompt count")
)


def gap_at_1(way: str, strength: float, lam: int, steps: int) -> str:
    return f"{DPM}/guidance/1/{way}/{strength:g}/{min(lam, steps - 1)}/{steps}"


def pushed(fields: dict, steps: int) -> str:
    return gap_at_1(fields["inversion"], fields["strength"], fields["lambda_steps"], steps)


def told_of(fields: dict) -> str:
    return f"the preset (*{fields['inversion']}*, lambda {fields['lambda_steps']}, strength {fields['strength']:g})"


def few_steps() -> list:
    """At CFG 1 with 4 and 8 steps: the preset beside what one could do instead."""
    told = {
        told_of(FEW): lambda steps: pushed(FEW, steps),
        "CFG 1.25": lambda steps: f"{DPM}/plain/1.25/{steps}",
        "CFG 1.5": lambda steps: f"{DPM}/plain/1.5/{steps}",
        "CFG 1.5 in the first half of the steps": lambda steps: gap_at_1("auto-guidance", 0.5, steps // 2, steps),
    }
    lines = []
    for label, key in told.items():
        cells = [label]
        for steps in (4, 8):
            cells += [rows(ALL, key(steps)), by(ALL, key(steps), f"{DPM}/plain/1/{steps}")]
        lines.append("| " + " | ".join(cells) + " |")
    half = gap_at_1(FEW["inversion"], FEW["strength"], 4, 8)
    return [*lines, f"{by(ALL, half, f'{DPM}/plain/1/8', bold=False)} for {rows(ALL, half)} rows"]


def negative_prompts() -> list:
    told = {
        "plain, CFG 1": lambda steps: f"{DPM}/plain/1/{steps}",
        told_of(NEGATIVE): lambda steps: pushed(NEGATIVE, steps),
        "the same without a negative prompt": lambda steps: f"{pushed(NEGATIVE, steps)}/no negative prompt",
        "CFG 1.5": lambda steps: f"{DPM}/plain/1.5/{steps}",
        "CFG 2": lambda steps: f"{DPM}/plain/2/{steps}",
    }
    lines = []
    for label, key in told.items():
        cells = [label]
        for steps in (4, 8):
            one, plain = (f"negatives/{way}" for way in (key(steps), f"{DPM}/plain/1/{steps}"))
            same = one == plain
            share = f"{mean(NEGATIVES[one], 'named'):.2f}" if same else by(NEGATIVES, one, plain, "named", 2)
            cells += [rows(NEGATIVES, one), share, "" if same else by(NEGATIVES, one, plain)]
        lines.append(" ".join(("| " + " | ".join(cells) + " |").split()))
    return lines


def inversions() -> list:
    lines = []
    plain = f"{DPM}/plain/1/20"
    for way in ("paper", "matched", "fixed-point"):
        one = f"{DPM}/checkpoint/1/{way}/1/19"
        itself = f"{DPM}/itself/1/{way}/1/19"
        alone = by(ALL, itself, plain) if itself in ALL else "0, to the bit"
        cells = (f"*{way}*", by(ALL, one, plain), alone, rows(ALL, one), by(ALL, one, plain, "variety", bold=False))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def choosing() -> list:
    """Algorithm 2: the second model alone, W2SD with fixed roles, and the better one chosen by a score."""
    told = {
        "the second one alone": "choosing/{0}",
        "W2SD, the better one strong": "choosing/strong/{0}",
        "W2SD, the worse one strong": "choosing/{0}/strong",
        "chosen at every step by another score": "choosing/{0}/clip",
        "chosen by the very score that judges": "choosing/{0}/judge",
    }
    plain, lines = f"{DPM}/plain/1/20", []
    for label, key in told.items():
        cells = (by(ALL, key.format(second), plain) for second in ("weak", "blur", "faint"))
        lines.append("| " + " | ".join((label, *cells)) + " |")
    return lines


def evidence() -> list:
    """Of the table of the paper's tables, and of the text what is in no report."""
    plain_1, plain_2 = f"{DPM}/plain/1/20", f"{DPM}/plain/2/20"

    def at(cfg: int, gap: str, way: str = "matched") -> str:
        return by(ALL, f"{DPM}/{gap}/{cfg}/{way}/1/{19 if cfg == 1 else 10}", (plain_1, plain_2)[cfg - 1])

    style, resampled = f"{DPM}/style/2/matched/1/10", "{0}/guidance/2/{1}re-sampling/1/10"
    noise = [by(ALL, resampled.format(s, "advanced-"), resampled.format(s, "")) for s in (DPM, "Euler a")]
    extrapolated = [
        by(ALL, f"{DPM}/checkpoint/1/auto-guidance/{s}/19", f"{DPM}/checkpoint/1/matched/{s}/19") for s in (1, 2)
    ]
    free = f"{DPM}/guidance/2/previous-gap/0.5/10"

    matched, tuned_3 = f"{DPM}/guidance/2/matched/0.5/10", f"{DPM}/plain/3/20"
    return [
        f"30 steps: reward {by(ALL, f'{DPM}/plain/2/30', plain_2, digits=4, bold=False)}",
        f"to plain at CFG 3 {by(ALL, free, tuned_3, 'distance', 2)}, reward {by(ALL, free, tuned_3)}",
        f"distance {by(ALL, free, matched, 'distance', 2, bold=False)}, reward {by(ALL, free, matched, digits=4)}",
        f"reward {at(1, 'checkpoint')} at CFG 1, {at(2, 'checkpoint')} at the tuned CFG",
        f"nearer with Euler a, {by(ALL, style, f'{DPM}/plain/2/20/strong+ink@0.8', 'ink')} with DPM++ 2M",
        f"{at(1, 'guidance')} at CFG 1, which is the picture of CFG 2; {at(2, 'guidance')} at CFG 2",
        f"{at(1, 'prompt')} at CFG 1, {at(2, 'prompt')} at CFG 2",
        f"{at(1, 'both')} at CFG 1 with both",
        f"{at(1, 'LoRA')} at CFG 1, {at(2, 'LoRA')} at CFG 2",
        f"chosen noise {noise[0]} (DPM++ 2M), {noise[1]} (Euler a)",
        f"auto-guidance minus *matched* {extrapolated[0]} at strength 1, {extrapolated[1]} at 2",
    ]


def test_every_table_and_figure_of_the_paper_is_named():
    """In the first cells of the guide's table, once each."""
    text = (GUIDE / "evidence.md").read_text(encoding="utf8").partition("## Table by table")[2].partition("\n## ")[0]
    named = []
    for line in text.splitlines():
        for kind, numbers in re.findall(r"(Table|Figure)s? (\d+(?:, \d+)*)", line.split("|")[1] if "|" in line else ""):
            named += [f"{kind} {number}" for number in numbers.split(", ")]
    every = [*(f"Table {i}" for i in range(1, 19)), *(f"Figure {i}" for i in range(1, 33))]
    assert sorted(named) == sorted(every)


TOLD = {
    "evidence.md": evidence,
    "README.md": readme,
    "gaps.md": lambda: [*units(), *few_steps(), *negative_prompts()],
    "ways.md": lambda: [*inversions(), *choosing()],
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_tell_what_was_measured(page):
    """Every figure of a table is built here from the JSON files, or the text above the table names its command."""
    text = page.read_text(encoding="utf8")
    built = TOLD.get(page.name, list)()
    for row in built:
        assert row in " ".join(text.split()), f"{page.name} should say\n{row}"
    above = ""
    for line in text.splitlines():
        if not line.startswith("|"):
            above = line if line.strip() else above
            continue
        for row in built:
            line = line.replace(row, "")
        assert "±" not in line or "`python -m " in above, f"{page.name}: where is this from?\n{line}"


def measured() -> set:
    """(difference, half of the interval) of every figure in the reports."""
    return {found for report in PAPER.glob("*.md") for found in FIGURE.findall(report.read_text(encoding="utf8"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_in_the_text_stand_in_a_report(page):
    """Rounded as they are told."""
    known = measured()
    prose = [line for line in page.read_text(encoding="utf8").splitlines() if not line.startswith("|")]
    text = " ".join(" ".join(prose).split())
    for built in TOLD.get(page.name, list)():
        text = text.replace(built, "")
    for told, half in FIGURE.findall(text):
        digits = len(half.partition(".")[2])
        near = 0.5000001 * 10**-digits
        assert any(
            abs(abs(float(a)) - abs(float(told))) <= near and abs(float(b) - float(half)) <= near for a, b in known
        ), f"{page.name}: {told} ± {half} stands in no report"
