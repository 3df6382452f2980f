"""Your own eye: a page that shows pairs side by side without saying which is which, and counts."""

import json
from pathlib import Path

from .study import Study


def write(study: Study, pairs: list) -> Path:
    """blind.html, beside the pictures: it needs no server, and keeps the answers in the browser."""
    reference, *others = study.asked.ways
    told = next((way for way in others if way.w2sd is not None), others[0])
    shown = [
        {"prompt": pair.prompt, "pictures": [_beside(study, pair, way) for way in (reference, told)]}
        for pair in pairs
        if study.picture(pair, told).exists()
    ]
    facts = {"names": [reference.name, told.name], "pairs": shown}
    page = Path(__file__).with_name("blind.html").read_text(encoding="utf-8")
    path = study.folder / "blind.html"
    # "</" would end the script.
    path.write_text(page.replace("/*FACTS*/null", json.dumps(facts).replace("</", "<\\/")), encoding="utf-8")
    return path


def _beside(study: Study, pair, way) -> str:
    return study.picture(pair, way).relative_to(study.folder).as_posix()
