"""The distilled guidance gap: Flux on Forge. Everywhere else it is refused."""

import pytest

from .grids import Axes, cells
from .layouts import asking, gap_norm, no_gap
from .test_engine import HIRES, same


@pytest.fixture(scope="module")
def flux(webui):
    return asking(webui, "flux")


@pytest.mark.parametrize("layout", ["sd15", "sdxl"])
@pytest.mark.parametrize("name", ["strong_distilled_cfg", "weak_distilled_cfg"])
def test_refused_without_distilled_guidance(webui, layout, name):
    message = webui.refused({"lambda_steps": 3, name: 2}, **asking(webui, layout))
    assert f"{name} (" in message and "was given 2, but the loaded checkpoint has no distilled guidance" in message


@pytest.mark.parametrize("cfg_scale", [1, 3])
def test_equal_scales_are_the_plain_picture(webui, flux, cfg_scale):
    ask = {**flux, "cfg_scale": cfg_scale}
    plain = webui.picture(**ask)
    own = {"weak_distilled_cfg": ask["distilled_cfg_scale"]}
    for settings in ({}, own, {"strong_distilled_cfg": 2, "weak_distilled_cfg": 2}):
        assert same(webui.picture(no_gap(ask, **settings), **ask), plain), settings


@pytest.mark.parametrize("cfg_scale", [1, 3])
def test_weak_side_alone_is_the_hosts_picture_at_its_scale(webui, flux, cfg_scale):
    ask = {**flux, "cfg_scale": cfg_scale}
    own, host = webui.picture(**ask), webui.picture(**{**ask, "distilled_cfg_scale": 1})
    weak = webui.picture({"weak_alone": True, "weak_cfg": cfg_scale, "weak_distilled_cfg": 1}, **ask)
    assert same(weak, host) and not same(weak, own)


def test_gap_against_the_hosts_own_scale(webui, flux):
    def gap(host, **settings):
        return gap_norm(webui, settings, **{**flux, "distilled_cfg_scale": host})

    between = gap(2, weak_distilled_cfg=1)
    assert between > 0
    assert gap(1, weak_distilled_cfg=2) == pytest.approx(between, rel=1e-4)
    for host in (1, 3.5):
        assert gap(host, strong_distilled_cfg=2, weak_distilled_cfg=1) == pytest.approx(between, rel=1e-4)


def test_no_guidance_at_all_is_a_scale(webui, flux):
    """Forge's own slider at 0 means 3.5."""
    gaps = {scale: gap_norm(webui, {"weak_distilled_cfg": scale}, **flux) for scale in (0, 1, 3.5)}
    assert gaps[3.5] == 0 < min(gaps[0], gaps[1])
    # Which of the two is further away is up to the network's random weights.
    assert gaps[0] != pytest.approx(gaps[1], rel=1e-3)


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
def test_papers_flux_recipe(webui, flux, inversion):
    recipe = {"strong_distilled_cfg": 2, "weak_distilled_cfg": 1, "weak_cfg": 1, "lambda_steps": 10}
    ask = {**flux, "steps": 28}
    made = webui.picture({**recipe, "inversion": inversion}, **ask)
    (run,) = webui.trace()
    assert run["reflected"] == 10
    spent = sum(e["rows"] for e in run["evaluations"] if e["kind"] != "step")
    assert spent == 10 * {"paper": 2, "matched": 2, "fixed-point": 4}[inversion], "at CFG 1 no row is an uncond"
    assert not same(made, webui.picture(**ask))
    for text in ("W2SD strong distilled CFG: 2", "W2SD weak distilled CFG: 1"):
        assert text in made.infotext


def test_hires_pass_has_its_own_scale(webui, flux):
    ask = {**flux, **HIRES, "hr_distilled_cfg": 2.0}
    plain = webui.picture(**ask)
    assert same(webui.picture(no_gap(ask), **ask), plain)
    first_only = webui.picture(no_gap(ask, weak_distilled_cfg=3.5), **ask)
    assert not same(first_only, plain), "in the hires pass 3.5 is another scale than its own"
    assert max(r["gap_norm"] for r in webui.trace()[0]["reflections"]) == 0


def test_axis(webui, flux):
    settings = {"lambda_steps": 2, "weak_cfg": 1}
    answer = Axes(webui).grid(("[W2SD] Weak distilled CFG", "1,2"), w2sd=settings, **flux)
    images, infotexts = cells(answer, 2)
    for k, scale in enumerate((1, 2)):
        alone = webui.picture({**settings, "weak_distilled_cfg": scale}, **flux)
        assert (images[k] == alone.pixels).all()
        assert f"W2SD weak distilled CFG: {scale}" in infotexts[k]
