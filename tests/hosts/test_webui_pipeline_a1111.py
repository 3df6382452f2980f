"""The pipeline gap on A1111: the weak side's calls find fewer of sd-webui-controlnet's units, or fainter ones."""

import sys
from types import SimpleNamespace

import pytest

from .test_webui_faults import Before, Broken, raising_at
from .test_webui_pipeline import GAP, WITHOUT, same


def unit(kind, **more):
    window = {"start_guidance_percent": 0.0, "stop_guidance_percent": 1.0}
    return SimpleNamespace(control_model_type=SimpleNamespace(name=kind), **{**window, **more})


all_hacks = {}  # as sd-webui-controlnet's module of IP-Adapters has it: the forward that each layer had before


class Adapter:
    """An IP-Adapter's network; hook() puts it in a layer."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def hook(self, layer):
        if not layer.ipadapter_hacks:
            all_hacks[layer] = layer.forward
            layer.forward = layer.attn_forward_hacked
        layer.ipadapter_hacks.append(lambda: 0.2 * self.weight)


class Layer:
    """A layer of the UNet, and what others have put into it."""

    def __init__(self):
        self.ipadapter_hacks, self.lllite_list = [], []

    def forward(self, output):
        return output

    def attn_forward_hacked(self, output):
        """Not the layer's own, which a thousandth tells."""
        return output * (1.001 + sum(hack() for hack in self.ipadapter_hacks))


@pytest.fixture
def controlnet(a1111):
    """sd-webui-controlnet as far as the gap looks at it: what its units' forward adds, and which units there are."""
    adapter, layer = Adapter(), Layer()
    adapter.hook(layer)
    hook = SimpleNamespace(model=SimpleNamespace(modules=lambda: [object(), layer]), control_params=[])
    hook.control_params.append(unit("ControlNet", control_model=None, gain=0.9, weight=1.0))
    hook.control_params.append(unit("IPAdapter", control_model=adapter, gain=1.0))

    class ControlNet(a1111.modules["scripts"].Script):
        latest_network = hook

        def title(self):
            return "ControlNet"

    def forward(x, t, **kwargs):
        output = layer.forward(network(x, t, **kwargs))
        for weight, _, _, module in layer.lllite_list:
            output = output * (1 + module.gain * weight)
        for one in hook.control_params:
            output = output * (1 + (one.gain - 1) * getattr(one, "weight", 1.0))
        return output

    model = a1111.shared.sd_model
    network, model.apply_model = model.apply_model, forward
    a1111.others.append(ControlNet())
    yield hook, adapter
    model.apply_model = network
    all_hacks.clear()


def only_layer(hook) -> Layer:
    return hook.model.modules()[-1]


def test_on_a1111_the_weak_sides_calls_find_fewer_units(a1111, controlnet):
    hook, adapter = controlnet
    layer, both, units = only_layer(hook), a1111.txt2img(), list(hook.control_params)
    hacks, hacked = list(layer.ipadapter_hacks), layer.forward
    for part, kept in (("ControlNet", units[1:]), ("IP-Adapter", units[:1]), ("everything", [])):
        hook.control_params = kept
        if part != "ControlNet":
            layer.ipadapter_hacks, layer.forward = [], all_hacks[layer]
        off = a1111.txt2img()
        hook.control_params, layer.ipadapter_hacks, layer.forward = list(units), list(hacks), hacked
        assert not same(off, both)
        assert same(a1111.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part}), off), part
        assert not same(a1111.txt2img({**GAP, "weak_without": part}), both)
        assert a1111.trace()[0]["overlays"] == [{"kind": "pipeline", "without": [part], "weight": 0.0}]
        assert hook.control_params == units and layer.ipadapter_hacks == hacks and layer.forward is hacked
        assert same(a1111.txt2img(), both)
    with pytest.raises(Exception, match="there is no FreeU in this picture"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet, FreeU"})


def test_on_a1111_an_ip_adapters_layers_keep_what_is_others(a1111, controlnet):
    """Two IP-Adapters go and stay together; a forward that a third extension has put over theirs stays."""
    hook, adapter = controlnet
    layer, without = only_layer(hook), {"weak_alone": True, "weak_cfg": 6.0, "weak_without": "IP-Adapter"}
    second = Adapter(0.5)
    second.hook(layer)
    hook.control_params.append(unit("IPAdapter", control_model=second, gain=1.0))
    both, hacked = a1111.txt2img(), layer.forward
    assert not same(a1111.txt2img(without), both) and same(a1111.txt2img(), both)

    def over(output):
        return hacked(output) * 1.1

    layer.forward = over
    adapter.weight = second.weight = 0.0
    off = a1111.txt2img()
    adapter.weight, second.weight = 1.0, 0.5
    assert same(a1111.txt2img(without), off) and layer.forward is over


def test_on_a1111_control_lllite_stands_in_the_layers(a1111, controlnet):
    hook, _ = controlnet
    layer, off = only_layer(hook), a1111.txt2img()
    module, another = SimpleNamespace(gain=0.1), SimpleNamespace(gain=-0.05)
    entries = layer.lllite_list = [(1.0, 0.0, 1.0, module), (0.6, 0.0, 1.0, another)]
    for one, weight in ((module, 1.0), (another, 0.6)):
        network = SimpleNamespace(modules={"to_q": one})
        hook.control_params.append(unit("Controlllite", control_model=network, gain=1.0, weight=weight))
    whole = a1111.txt2img()

    def without(part, share=0.0):
        return a1111.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part, "weak_weight": share})

    assert not same(whole, off) and same(without("2nd ControlNet+3rd ControlNet"), off)
    for part, share, kept in (
        ("2nd ControlNet", 0.0, entries[1:]),
        ("3rd ControlNet", 0.0, entries[:1]),
        ("3rd ControlNet", 0.5, [entries[0], (0.3, *entries[1][1:])]),
    ):
        layer.lllite_list = kept
        fewer = a1111.txt2img()
        layer.lllite_list = entries
        assert same(without(part, share), fewer) and not same(fewer, whole), (part, share)
        assert layer.lllite_list is entries
    assert same(a1111.txt2img(), whole)


def test_on_a1111_single_units_and_a_share_of_the_weight(a1111, controlnet):
    hook, adapter = controlnet
    first, reference = hook.control_params
    second = unit("ControlNet", control_model=None, gain=1.2, weight=0.8)
    hook.control_params[:] = units = [first, second, reference]
    everything = a1111.txt2img()

    def without(part, share=0.0):
        return a1111.txt2img({"weak_alone": True, "weak_cfg": 6.0, "weak_without": part, "weak_weight": share})

    hook.control_params = [first, reference]
    fewer = a1111.txt2img()
    hook.control_params = list(units)
    assert same(without("2nd ControlNet"), fewer)
    for part, owner, whole in (("2nd ControlNet", second, 0.8), ("IP-Adapter", adapter, 1.0)):
        owner.weight = whole * 0.5
        fainter = a1111.txt2img()
        owner.weight = whole
        assert same(without(part, 0.5), fainter) and not same(fainter, everything)
    assert same(a1111.txt2img(), everything)
    adapter.weight = {0: 1.0}  # one for each layer
    from lib_w2sd.hosts.a1111.pipeline import WithoutUnits

    assert WithoutUnits(None, (), 0.5)._less(adapter.weight) == {0: 0.5}
    adapter.weight = 1.0
    with pytest.raises(Exception, match="there is no 3rd ControlNet"):
        without("3rd ControlNet")
    second.advanced_weighting = [0.5] * 13
    with pytest.raises(Exception, match="a ControlNet with weights for its layers has no weight of its own"):
        without("2nd ControlNet", 0.5)


@pytest.mark.parametrize("more", [*WITHOUT[1:], {"weak_without": "IP-Adapter"}, {"weak_without": "everything"}])
def test_on_a1111_an_error_at_any_call_leaves_the_units_as_they_were(a1111, controlnet, more):
    hook, adapter = controlnet
    before, units, layer = Before(a1111, {**GAP, **more}), list(hook.control_params), only_layer(hook)
    for number in range(before.calls):
        raising_at(a1111, number, Broken())
        with pytest.raises(Broken):
            a1111.txt2img(before.settings, **before.fields)
        assert hook.control_params == units and (units[0].weight, adapter.weight) == (1.0, 1.0)
        assert len(layer.ipadapter_hacks) == 1 and layer.forward == layer.attn_forward_hacked
    a1111.unet.before_call = None
    assert same(a1111.txt2img(**before.fields), before.plain)
    assert same(a1111.txt2img(before.settings, **before.fields), before.reflected)


def test_on_a1111_a_unit_that_ends_before_lambda_is_told_of(a1111, controlnet):
    """As the extension reckons: by the step before, of six."""
    hook, _ = controlnet
    gap = {**GAP, "lambda_steps": 4, "weak_without": "ControlNet"}
    assert not any("improved steps" in comment for comment in a1111.txt2img(gap, steps=6).comments)
    hook.control_params[0].stop_guidance_percent = 0.3
    (comment,) = [comment for comment in a1111.txt2img(gap, steps=6).comments if "improved steps" in comment]
    assert "ControlNet ends before the last 1 of the 4 improved steps" in comment
    everything = {**gap, "weak_without": "everything"}  # the IP-Adapter acts on
    assert not any("improved steps" in comment for comment in a1111.txt2img(everything, steps=6).comments)


def test_on_a1111_without_the_extension_there_is_none(a1111, monkeypatch):
    with pytest.raises(Exception, match="there is no ControlNet in this picture"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})
    monkeypatch.setattr(a1111.modules["extensions"], "active", list)
    monkeypatch.delitem(sys.modules, "lib_w2sd.hosts.a1111.pipeline")
    assert not a1111.extension.HOST.has("pipeline")
    with pytest.raises(Exception, match="lacks .*the extension sd-webui-controlnet"):
        a1111.txt2img({**GAP, "weak_without": "ControlNet"})
