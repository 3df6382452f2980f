"""README.md is short, nothing is said twice, every link leads somewhere, and the settings' table is the code's."""

import re
from collections import Counter
from pathlib import Path

import pytest

from lib_w2sd.page import guide
from lib_w2sd.page.presets import BUILT_IN

ROOT = Path(__file__).parents[2]
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide"
READ = (README, *sorted(GUIDE.glob("*.md")))
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "lib_w2sd").rglob("README.md"))
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
LIMITS = {"lines": 180, "bytes": 14_000, "links": 60}
PAGES = "gaps settings ways samplers video hosts neo comfy extensions api evidence troubleshooting".split()


def text_of(path: Path) -> str:
    """Without code blocks, whose brackets are no links."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf8"), flags=re.M | re.S)


def anchors(path: Path) -> set:
    """As GitHub makes them of headings."""
    seen, found = Counter(), set()
    for heading in re.findall(r"^#+ +(.+?) *$", text_of(path), flags=re.M):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def sentences(path: Path) -> list:
    """Of a page: what ends with a full stop, a colon or a cell, in plain words; a preset's name is none."""
    found = []
    for block in re.split(r"\n\s*\n|\n(?=[|\-#]|\d\. )|\|", text_of(path)):
        words = LINK.sub(lambda m: m[0].partition("]")[0], " ".join(block.split()))
        found += [re.sub(r"[^\w ]", "", s).strip().lower() for s in re.split(r"(?<=[.:;?!])\s", words)]
    return [s for s in found if len(s.split()) >= 7 and s not in {name.lower() for name in BUILT_IN}]


def test_the_readme_is_short():
    text = README.read_text(encoding="utf8")
    is_now = {"lines": text.count("\n"), "bytes": len(text.encode()), "links": len(LINK.findall(text))}
    assert all(is_now[name] <= most for name, most in LIMITS.items()), (is_now, LIMITS)


def test_every_page_of_the_guide_is_one_click_away():
    linked = set(LINK.findall(text_of(README)))
    assert {path.stem for path in GUIDE.glob("*.md")} == set(PAGES)
    assert all(f"docs/guide/{name}.md" in linked for name in PAGES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in LINK.findall(text_of(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name}: {link}"
        assert target.is_relative_to(ROOT), f"{path.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{path.name}: {link} is none of {sorted(anchors(target))}"


def test_no_sentence_stands_twice():
    """In README and guide; the accordion's own sentences only in the settings' table."""
    every = Counter(s for path in READ if path.stem != "settings" for s in sentences(path))
    assert not [s for s, times in every.items() if times > 1]
    assert not set(sentences(GUIDE / "settings.md")) & set(every)


def test_links_and_sentences_are_found_at_all():
    """The tests above read what they mean to."""
    assert len(LINK.findall(text_of(README))) > 20
    assert "figure-31-two-architectures" in anchors(ROOT / "docs" / "paper" / "README.md")
    assert "if all you want is more of its style raise that number and stop here" in sentences(GUIDE / "gaps.md")
    assert sum(len(sentences(path)) for path in READ) > 300


def test_tables_of_settings_and_presets():
    now = guide.FILE.read_text(encoding="utf8")
    assert guide.settings() in now and guide.presets() in now, "python -m lib_w2sd.page.guide writes them"
    assert guide.filled(now) == now


def test_presets_are_called_by_their_names():
    text = " ".join(" ".join(path.read_text(encoding="utf8").split()) for path in READ)
    named = re.findall(r"(?:\b[Pp]reset |\*\*Preset\*\*: )\*([^*]+)\*", text)
    assert len(named) > 8 and set(named) <= set(BUILT_IN), set(named) - set(BUILT_IN)


def test_pictures_load_quickly():
    """The README's first one, and those of the page (python -m tests.live.pictures takes them)."""
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs").glob("*.png")}
    assert sizes.pop("w2sd.png") < 400_000
    assert sizes and max(sizes.values()) <= 150_000, sizes
