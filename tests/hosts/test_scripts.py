"""Scripts that sample in their own way, cells of the host's grid: a picture is W2SD's, or says that it is not."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib_w2sd.errors import SettingError
from lib_w2sd.page import plot

from ..webui.host import same_pictures

GAP = {"lambda_steps": 3, "inversion": "paper"}


def sampling(host, p):
    """A script's own way: a sampler of its own, and none of the hooks before it (img2img alternative test)."""

    def sample():
        sampler = host.modules["sd_samplers"].create_sampler(p.sampler_name, host.shared.sd_model)
        x = p.rng.next()
        return sampler.sample(p, x, p.c, p.uc, image_conditioning=p.image_conditioning(x))

    return sample


class OwnSample:
    def __init__(self, host):
        self.host = host

    def title(self):
        return "Its own way"

    def run(self, p):
        p.sample = sampling(self.host, p)
        return self.host.processing.process_images(p)


class Replacing:
    """An extension that comes after W2SD, and puts another sampler or sampling function in the place of ours."""

    args_from = args_to = 1
    filename = "replacing"

    def __init__(self, host, what, hires_pass=None, batch=None):
        self.host, self.what, self.hires_pass, self.batch = host, what, hires_pass, batch

    def title(self):
        return "Replacing"

    def __getattr__(self, hook):
        return lambda *args, **kwargs: None

    def process_before_every_sampling(self, p, *args, **kwargs):
        if self.hires_pass not in (None, p.is_hr_pass) or self.batch not in (None, p.iteration):
            return
        another = self.host.modules["sd_samplers"].create_sampler(p.sampler_name, self.host.shared.sd_model)
        if self.what == "sampler":
            p.sampler = another
        else:
            p.sampler.func = another.func


def with_script(host, script, settings, kind="Txt2Img", **fields):
    host.script_list = [script]
    p = host.request(kind, settings, script, **fields)
    return host.process(p), p


def replaced(host, settings, *how, **fields):
    p = host.request("Txt2Img", settings, **fields)
    p.scripts.alwayson_scripts.append(Replacing(host, *how))
    return host.process(p)


def told_of(host) -> dict:
    return host.hooks.Trace.last.as_dict()


def test_a_script_that_samples_in_its_own_way(host, capsys):
    host.txt2img(GAP)
    assert host.trace()
    plain, _ = with_script(host, OwnSample(host), [False])
    made, p = with_script(host, OwnSample(host), GAP, n_iter=2)
    assert same_pictures(SimpleNamespace(pictures=made.pictures[:1]), plain)
    assert not any("W2SD" in text for text in (*made.infotexts, *made.params))
    (told,) = made.comments
    assert "nothing was improved" in told and "the script Its own way" in told
    assert capsys.readouterr().out.count(told) == 1
    assert told_of(host) == {"passes": [], "said": told} and told in plot.html(told_of(host))
    # What is refused is refused there too.
    with pytest.raises(Exception, match="lambda_steps"):
        with_script(host, OwnSample(host), {"lambda_steps": 1000})
    assert "lambda_steps" in told_of(host)["said"] and not told_of(host)["passes"]
    # And nothing of it stays.
    again = host.txt2img(GAP)
    assert again.params["W2SD lambda"] == "3" and not again.comments and "said" not in told_of(host)


@pytest.mark.parametrize("what", ["sampler", "function"])
def test_a_sampler_replaced_after_us(host, what):
    made = replaced(host, GAP, what)
    assert same_pictures(made, host.txt2img()) and "W2SD lambda" not in made.params
    (told,) = made.comments
    assert "nothing was improved: another extension" in told and told_of(host) == {"passes": [], "said": told}


def test_a_pass_or_a_batch_that_was_not_ours(host):
    hires = replaced(host, GAP, "function", True, enable_hr=True)
    assert hires.params["W2SD lambda"] == "3" and "the hires pass was not improved" in hires.comments[0]
    first = replaced(host, GAP, "function", False, enable_hr=True)
    assert first.params["W2SD lambda"] == "3" and "the first pass was not improved" in first.comments[0]
    for batch in (0, 1):
        made = replaced(host, GAP, "function", None, batch, n_iter=2)
        assert ["W2SD lambda" in text for text in made.infotexts] == [batch != 0, batch != 1]
        assert len(told_of(host)["passes"]) == 1
    # Where nothing was asked for in a pass, nothing is missing.
    for settings in ({"lambda_steps": 0}, {"strength": 0}):
        assert not replaced(host, {**GAP, **settings}, "function").comments
    assert not replaced(host, {**GAP, "hires": "off"}, "function", True, enable_hr=True).comments


def test_nobody_is_told_of_an_interrupt(host):
    p = host.request("Txt2Img", GAP, enable_hr=True)

    class Interrupting(Replacing):
        def process_before_every_sampling(self, p, *args, **kwargs):
            self.host.shared.state.interrupted = True

    p.scripts.alwayson_scripts.append(Interrupting(host, ""))
    made = host.process(p)
    assert made.params["W2SD lambda"] == "3" and not made.comments


# ---------------------------------------------------------------- cells


def with_grid(host):
    grid = host.modules["xyz_grid"]
    script = SimpleNamespace(script_class=SimpleNamespace(__module__="xyz_grid.py"), module=grid)
    host.modules["scripts"].scripts_data.append(script)
    for _ in range(2):  # as when the page is reloaded
        host.modules["script_callbacks"].before_ui_callback()
    return grid, {option.label: option for option in grid.axis_options}


def says(cell, p, *words):
    """Whether the cell is a picture of the words, with no infotext of ours."""
    (drawn,) = cell.images
    colours = np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)
    assert drawn.size == (p.width, p.height) and 1 < len(colours) <= 256
    return all(word in cell.infotexts[0] for word in words) and "W2SD lambda:" not in cell.infotexts[0]


def test_a_cell_that_is_refused_says_why(host, monkeypatch):
    """Whatever finds it out: here the sides of a sampling pass, as for the weak checkpoint in its own cell."""
    grid, _ = with_grid(host)
    build = host.hooks.SamplingPass.build_sides

    def refusing(one_pass):
        if one_pass.p.sampler_name == "Heun":
            raise SettingError("W2SD: weak_checkpoint was given 'x', which is the loaded checkpoint itself.")
        build(one_pass)

    monkeypatch.setattr(host.hooks.SamplingPass, "build_sides", refusing)
    axis = grid.AxisOption("Sampler", str, lambda p, x, xs: setattr(p, "sampler_name", x))
    p = host.request("Txt2Img", GAP, width=256, height=256)
    first, refused, last = grid.grid(p, axis, ["Euler", "Heun", "Euler a"])
    assert says(refused, p, "which is the loaded checkpoint itself") and not host.modules["errors"].displayed
    assert same_pictures(first, host.txt2img(GAP, width=256, height=256)) and last.params["W2SD lambda"] == "3"


def test_an_axis_that_fits_one_cell_alone_spares_the_others(host):
    """Applied beside another axis, a word may not be there: the host would end the whole grid with it."""
    grid, axes = with_grid(host)
    axis = axes["[W2SD] Weak prompt S/R"]
    p = host.request("Txt2Img", {**GAP, "weak_cfg": 1, "weak_prompt": "{prompt}, dog"}, width=256, height=256)
    other = host.request("Txt2Img", {**GAP, "weak_cfg": 1, "weak_prompt": "{prompt}"}, width=256, height=256)
    good, bad = (
        grid.grid(p, SimpleNamespace(confirm=None, apply=axis.apply), ["dog"]),
        grid.grid(other, SimpleNamespace(confirm=None, apply=axis.apply), ["dog"]),
    )
    assert good[0].params["W2SD weak prompt"] == "{prompt}, dog"
    assert says(bad[0], other, "looks for 'dog'")


def test_what_is_not_ours_is_the_hosts_affair(host):
    grid, _ = with_grid(host)
    error = RuntimeError("the host's own")

    def broken(p, x, xs):
        p.init = lambda: (_ for _ in ()).throw(error)

    (cell,) = grid.grid(host.request("Txt2Img", GAP), grid.AxisOption("Broken", str, broken), [1])
    assert cell.images == [] and host.modules["errors"].displayed == [error]
