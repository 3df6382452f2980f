"""A sixth gap: one class in one file, and what finds it. Run by test_toy_gap in a Python of its own: the list of gaps
is read when the settings are put together."""

import html
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lib_w2sd import gaps
from lib_w2sd.errors import SettingError
from lib_w2sd.gaps.gap import Gap, Preset
from lib_w2sd.setting import CHECKPOINTS, Setting


class Halved:
    """gaps.gap.Overlay: the UNet's answer times a factor."""

    mixes_rows = False

    def __init__(self, factor):
        self.factor, self.is_on = factor, False

    def as_dict(self):
        return {"gap": "toy", "factor": self.factor}

    @contextmanager
    def installed(self, unet):
        network = unet.apply_model
        unet.apply_model = lambda *args, **kwargs: network(*args, **kwargs) * (self.factor if self.is_on else 1.0)
        try:
            yield
        finally:
            del unet.apply_model

    @contextmanager
    def on(self):
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


class Toy(Gap):
    name = "toy"
    switch = "a fainter network"
    settings = (
        Setting(
            "weak_factor",
            1.0,
            "Factor of the weak version",
            "How faint it is.",
            "W2SD weak factor",
            minimum=0.0,
            maximum=2.0,
            step=0.1,
        ),
        Setting(
            "weak_twin",
            "",
            "Its twin",
            "A checkpoint of no use.",
            "W2SD weak twin",
            listed=CHECKPOINTS,
            in_memory="the twin",
            only_with="weak_factor",
        ),
    )
    given = {"weak_factor": 0.5}

    def presets(self):
        return (Preset("Less faint", "Pushes away from a faint network.", self.given),)

    def differs(self, settings, picture):
        return settings.weak_factor != 1.0

    def without_effect(self, settings):
        return (
            ["The factor has no effect at strength 0."] if settings.strength == 0 and settings.weak_factor != 1 else []
        )

    def cautions(self, settings, picture):
        return [f"Factor {settings.weak_factor:g} is above 1."] if settings.weak_factor > 1 else []

    def sides(self, settings, host, strong, weak):
        overlay = () if settings.weak_factor == 1.0 else (Halved(settings.weak_factor),)
        return strong, replace(weak, overlays=(*weak.overlays, *overlay))


def everywhere_but_in_a_host():
    from lib_w2sd.page import infotext, presets
    from lib_w2sd.page.settings import NAMES, POSITIONS, SETTINGS, Settings, parse, schema

    # API and schema; the positions of the others have not moved.
    assert NAMES == (*POSITIONS, "weak_factor", "weak_twin") and schema()["properties"]["weak_factor"]["maximum"] == 2.0
    with pytest.raises(SettingError, match="weak_factor .Factor of the weak version. was given 3; allowed is a number"):
        parse([{"enabled": True, "weak_factor": 3}])
    assert parse([True, *[s.default for s in SETTINGS[1:-2]], 0.5]).weak_factor == 0.5

    # Infotext, both ways.
    params = {}
    infotext.write(Settings(enabled=True, weak_factor=0.5), params)
    assert params["W2SD weak factor"] == "0.5" and infotext.read("weak_factor", params) == 0.5

    # A checkpoint that it names has its hash beside it, and only counts with the factor.
    infotext.write(Settings(enabled=True, weak_factor=0.5, weak_twin="one"), params, {"weak_twin": "abc"})
    assert params["W2SD weak twin"] == "one" and infotext.read("weak_twin", params) == "one [abc]"
    infotext.write(Settings(enabled=True, weak_factor=0.0, weak_twin="one"), params, {"weak_twin": "abc"})
    assert "W2SD weak twin" not in params

    # Presets: its own fills it, the others put it back.
    preset = presets.BUILT_IN["Less faint"]
    assert preset.fields["weak_factor"] == 0.5 and preset.fields["weak_cfg"] == 1.0
    assert presets.BUILT_IN["More of my LoRA"].fields["weak_factor"] == 1.0


def in_a_host(flavour):
    import gradio as gr

    from lib_w2sd.page.forecast import forecast
    from tests import webui
    from tests.hosts.test_webui_jobs import with_xyz_grid
    from tests.reflected import REFLECTED
    from tests.webui.host import same_pictures

    with webui.opened(flavour) as host:
        # Axes of the host's grid; a name that is not on the host's list is refused in the setting's own words.
        axes, _ = with_xyz_grid(host)
        assert "[W2SD] Weak factor" in axes
        axes["[W2SD] Weak twin"].confirm(host.request("Txt2Img", {}), ["base"])
        with pytest.raises(Exception, match="weak_twin .Its twin. was given 'nowhere'"):
            axes["[W2SD] Weak twin"].confirm(host.request("Txt2Img", {}), ["nowhere"])
        # Accordion: control, switch, section, preset.
        with gr.Blocks() as page:
            controls = host.script.ui(is_img2img=False)
        assert [control.label for control in controls[-2:]] == ["Factor of the weak version", "Its twin"]
        blocks = {block.elem_id: block for block in page.blocks.values() if getattr(block, "elem_id", None)}
        assert "w2sd_txt2img_section_toy" in blocks and "a fainter network" in blocks["w2sd_txt2img_gaps"].value
        assert "Less faint" in html.unescape(blocks["w2sd_txt2img_panel"].value)

        # Its list is the host's, with a button that looks again, and one that frees it.
        assert ("base", "base") in controls[-1].choices
        assert {"w2sd_txt2img_refresh_weak_twin", "w2sd_txt2img_free_weak_twin"} <= set(blocks)

        # Cost and warnings: the same guidance on both sides, and rows of its own.
        def said(**settings):
            asked = {**REFLECTED, "lambda_steps": 3, "weak_cfg": 7, **settings}
            return forecast(host.extension.PAGE.facts, {"settings": asked, "page": {"steps": 6, "cfg": 7}})

        assert "18 UNet rows" in said()["rows"] and "24 UNet rows" in said(weak_factor=0.5)["rows"]
        assert said(weak_factor=2)["warnings"] == ["Factor 2 is above 1."]
        assert said(weak_factor=0.5, strength=0)["warnings"] == [
            "Strength is 0: this is the plain picture.",
            "The factor has no effect at strength 0.",
        ]
        assert said(weak_factor=0.5)["gaps"]["toy"] == {"active": True, "offered": True}
        # A picture: its own, with the trace's word and rows; the plain one without it, and again afterwards.
        asked = {"steps": 6, "cfg_scale": 7.0, "sampler_name": "Euler"}
        plain = host.txt2img(None, **asked)
        drawn = host.txt2img({"lambda_steps": 3, "weak_cfg": 7, "weak_factor": 0.5}, **asked)
        (run,) = host.trace()
        assert not same_pictures(drawn, plain) and {"gap": "toy", "factor": 0.5} in run["overlays"]
        assert run["rows"] == 24 == sum(host.calls)
        assert same_pictures(host.txt2img({"lambda_steps": 3, "weak_cfg": 7}, **asked), plain)
        assert host.errors == []


if __name__ == "__main__":
    gaps.GAPS.append(Toy())
    everywhere_but_in_a_host()
    for flavour in ("a1111", "forge"):
        in_a_host(flavour)
    print("found everywhere")
