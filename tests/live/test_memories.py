"""Guides and caches that remember what they are called with, by every way.

What tells: equal sides are the plain picture to the bit; so is next to no strength, nearly; the weak side alone is the
WebUI's own picture with the weak settings and the same memory; the next plain picture is what it was.

The probe's (tests/live/probe/scripts/w2sd_probe_memories.py) are there on every WebUI, the others where their extension
is: sam-extra guides Anima on Forge Neo, sd-forge-blockcache is Forge's.
"""

import pytest

from lib_w2sd.method import ways

from . import families
from .conftest import distance
from .layouts import asking
from .test_company import scripts as scripts  # a fixture
from .test_families import asking as asking_family

# Ways whose equal sides are the plain picture by their arithmetic, not only by their mathematics.
EXACT = [way for way in ways.WAYS if way not in (*ways.NOISY, "paper")]
OF_THE_PROBE = ("guide", "correction", "forecast", "cache")
SAM = "anima perturbation guidance"
# name -> (script of the API, arguments by their place, more of the request)
REAL = {
    "SMC": (SAM, {42: True}, {}),
    "CWM": (SAM, {43: True}, {}),
    "APG with momentum": (SAM, {12: True, 15: 0.5, 16: False}, {}),
    "SMC, APG, CWM": (SAM, {12: True, 15: 0.5, 42: True, 43: True}, {}),
    "DCW": (SAM, {28: True}, {}),
    "DAVE": (SAM, {31: True, 34: "0-1"}, {}),
    "CNS": (SAM, {35: True}, {"sampler_name": "Euler a"}),
    "Adaptive Guidance": (SAM, {17: True, 18: 0.3}, {}),
    "PAG": (SAM, {0: True, 4: "0-1"}, {}),
    "SEG": (SAM, {0: True, 1: "SEG", 4: "0-1"}, {}),
    "SLG": (SAM, {0: True, 1: "None", 5: True, 7: "0-1"}, {}),
    "Skimmed CFG": ("anima skimmed cfg", {0: True, 1: 2.0}, {}),
    "Detail Daemon": ("anima detail daemon", {0: True, 2: 0.5}, {}),
    "First Block Cache": ("first block cache", {0: True, 2: 0.9}, {}),
    "TeaCache": ("first block cache", {0: True, 1: "TeaCache", 2: 0.9}, {}),
}
CFG = 4


@pytest.fixture
def beside(webui, scripts, name) -> dict:
    """A request with that memory."""
    if name in OF_THE_PROBE:
        if "w2sd probe memories" not in scripts:
            pytest.skip("absent: tests/live/probe among the WebUI's extensions")
        if name != "cache" and not webui.forge:
            pytest.skip("A1111 has no place for it")
        return {**asking(webui, "sd15"), "alwayson_scripts": {"W2SD probe memories": {"args": [name]}}}
    script, own, more = REAL[name]
    found = [info for info in webui.get("/sdapi/v1/script-info") if info["name"].startswith(script)]
    if not found:
        pytest.skip(f"absent: {script}")
    args = [own.get(i, arg["value"]) for i, arg in enumerate(found[0]["args"])]
    ask = asking(webui, "sd15")
    if script.startswith("anima"):
        family = next(f for f in families.FAMILIES if f.name == "anima")
        ask = asking_family(family, families.pair_of(webui, family)[0])
    return {**ask, **more, "alwayson_scripts": {found[0]["name"]: {"args": args}}}


NAMES = [*OF_THE_PROBE, *REAL]


@pytest.mark.parametrize("name", NAMES)
def test_a_memory_beside_every_way(webui, record, beside, name, every):
    """Neo has most of them, and is asked for each by a third of the ways, for the next by the next third."""
    asked = slice(NAMES.index(name) % 3, None, 3) if webui.name == "neo" and not every else slice(None)
    ask = {**beside, "steps": 8, "cfg_scale": CFG}
    bare = webui.picture(**{**ask, "alwayson_scripts": {}})
    plain = webui.picture(**ask)
    table, wrong = f"memories, {webui.name}", {}

    def note(column: str, made, apart: int, allowed: int = 0):
        """A cell: how far from where it belongs, in levels of 255; or that W2SD refuses it."""
        said = "refused" if made is None else "yes" if apart <= allowed else f"{apart} levels"
        record(table, name, column, said)
        if said.endswith("levels"):
            wrong[column] = said

    def made(settings):
        answer = webui.request(settings, **ask)
        if answer.status_code == 422:
            record(table, name, "why", answer.json()["detail"][:100])
            return None
        return webui.answered(answer)

    def look(column: str, settings: dict, truth, allowed: int = 0):
        picture = made(settings)
        note(column, picture, 0 if picture is None else distance(picture.pixels, truth.pixels), allowed)

    assert distance(plain.pixels, bare.pixels), "it does nothing, and the rest would say nothing"
    for way in EXACT[asked]:
        look(way, {"lambda_steps": -1, "inversion": way, "weak_cfg": CFG}, plain)
    # A pixel at the edge between two levels can fall to either side.
    prompt = {"weak_cfg": CFG, "weak_prompt": "a dog"}
    for way in ways.WAYS[asked]:
        look(f"1e-9, {way}", {"lambda_steps": -1, "inversion": way, "strength": 1e-9, **prompt}, plain, allowed=1)
    look("weak alone", {"weak_alone": True, **prompt}, webui.picture(**{**ask, "prompt": "a dog"}), allowed=1)
    note("plain after", plain, distance(webui.picture(**ask).pixels, plain.pixels))
    assert not wrong
