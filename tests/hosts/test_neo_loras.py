"""LoRAs and other patches where Forge Neo of August 2026 keeps them, and where the newest Neos do: merged and applied
at every call, each as the host's own network with those scales."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from lib_w2sd.weights.exchange import Weights

from .. import webui
from .test_requirements import taken_away

FILE, OTHER = "first", "second"


class Layer(torch.nn.Linear):
    weight_function = bias_function = ()
    parameters_manual_cast = False

    def forward(self, x):
        weight = self.weight.clone() if self.parameters_manual_cast else self.weight
        for function in self.weight_function:
            weight = function(weight)
        return torch.nn.functional.linear(x, weight)


def network(seed):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = torch.nn.Sequential(Layer(4, 4, bias=False), Layer(4, 4, bias=False)).requires_grad_(False)
    model = torch.nn.Module()
    model.diffusion_model = layers
    return model


WEIGHTS = [f"diffusion_model.{i}.weight" for i in range(2)]
X = torch.arange(8.0).reshape(2, 4) / 8


def difference(name: str):
    return ("diff", (torch.randn(4, 4, generator=torch.Generator().manual_seed(sum(map(ord, name)))),))


def patches_of(name: str):
    return {weight: difference(f"{name} {weight}") for weight in WEIGHTS}


class Networks(SimpleNamespace):
    """The host's LoRA extension."""

    def load_lora_state_dict(self, file):
        return {file: None}

    def load_lora_for_models(self, model, clip, state_dict, unet, te, filename=None, online_mode=False):
        new, (file,) = model.clone(), state_dict
        new.add_patches(patches_of(file), unet, filename=filename, online_mode=online_mode)
        return new, clip


@contextmanager
def neo(flavour, tmp_path, online, loras=((FILE, 0.8),), before=None, behind=None, seed=1):
    """A Neo with a small network, with these LoRAs in the prompt, others' patches before and behind them."""
    with webui.opened(flavour) as host, pytest.MonkeyPatch.context() as patch:
        base = host.modules["shared"] and sys.modules["backend.patcher.base"]
        for name in (FILE, OTHER):
            (tmp_path / name).touch()
        found = Networks(loaded_networks=[])
        found.loaded_networks += [
            SimpleNamespace(network_on_disk=SimpleNamespace(filename=str(tmp_path / name))) for name, _ in loras
        ]
        found.load_lora_state_dict = lambda file: {file.rpartition("/")[2]: None}
        patch.setitem(sys.modules, "networks", found)
        sys.modules["backend.args"].dynamic_args.online_lora = online
        cpu = torch.device("cpu")
        model = network(seed)
        original = base.ModelPatcher(model, cpu, cpu)
        if before:
            original.add_patches(before, 1.0)
        unet = original
        for name, scale in loras:
            unet, _ = found.load_lora_for_models(unet, None, {name: None}, scale, scale, online_mode=online)
        if behind:
            unet = unet.clone()
            unet.add_patches(behind, 1.0)
        clip = SimpleNamespace(
            patcher=base.ModelPatcher(torch.nn.Module(), cpu, cpu), cond_stage_model=torch.nn.Module()
        )
        host.shared.sd_model.forge_objects_original = SimpleNamespace(unet=original, clip=clip)
        host.shared.sd_model.forge_objects = SimpleNamespace(unet=unet, clip=clip)
        unet.load()
        yield SimpleNamespace(host=host, model=model, unet=unet, path=tmp_path, networks=found)
        unet.unload()


def answer(model):
    return model.diffusion_model(X)


WAYS = [(flavour, online) for flavour in ("neo", "neo_next") for online in (False, True)]
ways = pytest.mark.parametrize("flavour, online", WAYS)
OTHERS = {"before": patches_of("before"), "behind": patches_of("behind")}


@ways
@pytest.mark.parametrize("others", [{}, OTHERS])
def test_another_scale_is_the_hosts_own_at_that_scale(flavour, online, others, tmp_path):
    with neo(flavour, tmp_path, online, [(FILE, -1.5), (OTHER, 0.4)], **others) as there:
        truth = answer(there.model)
    with neo(flavour, tmp_path, online, [(FILE, 0.8), (OTHER, 0.4)], **others) as there:
        own = answer(there.model)
        lora = there.host.extension.HOST.able("lora")
        used = lora.used()
        assert [(use.file, use.unet) for use in used] == [(str(tmp_path / FILE), 0.8), (str(tmp_path / OTHER), 0.4)]
        assert all(lora.understood(use)[0] == len(WEIGHTS) for use in used)
        weak = (SimpleNamespace(**{**vars(used[0]), "unet": -1.5}), used[1])
        overlay = lora.overlay(weak)
        with overlay.installed(there.model):
            assert torch.equal(answer(there.model), own)
            with overlay.on():
                assert torch.allclose(answer(there.model), truth, atol=1e-5)
            assert torch.equal(answer(there.model), own)
        assert torch.equal(answer(there.model), own)
    assert not torch.allclose(own, truth, atol=0.1)


@ways
def test_one_that_only_the_weak_side_has(flavour, online, tmp_path):
    with neo(flavour, tmp_path, online, [(FILE, 0.8), (OTHER, 0.4)]) as there:
        truth = answer(there.model)
    with neo(flavour, tmp_path, online, [(FILE, 0.8)]) as there:
        lora = there.host.extension.HOST.able("lora")
        new = SimpleNamespace(file=str(tmp_path / OTHER), unet=0.4, te=0.4, dyn=None, handle=None)
        overlay = lora.overlay((*lora.used(), new))
        with overlay.installed(there.model), overlay.on():
            assert torch.allclose(answer(there.model), truth, atol=1e-5)


@ways
def test_what_is_no_lora_shapes_a_weak_checkpoint_too(flavour, online, tmp_path):
    """LayerDiffuse's way: patches that an extension adds before sampling."""
    for loras in ([], [(FILE, 0.3)]):
        with neo(flavour, tmp_path, online, loras, seed=2, **OTHERS) as there:
            truth = answer(there.model)
        with neo(flavour, tmp_path, online, [(FILE, 0.8)], **OTHERS) as there:
            own = answer(there.model)
            lora, kind = (there.host.extension.HOST.able(name) for name in ("lora", "checkpoint"))
            weak = tuple(SimpleNamespace(**{**vars(use), "unet": 0.3}) for use in lora.used()) if loras else ()
            one = kind(None, None, weak)
            tensors = dict(network(2).diffusion_model.named_parameters())
            weights = Weights("weak", tensors)
            if one.merged():
                one.merge_loras(None, weights)
            cached = dict(tensors)
            overlay = one.overlay(weights)
            for _ in range(2):  # what is the request's alone is not in the cache
                with overlay.installed(there.model), overlay.on():
                    assert torch.allclose(answer(there.model), truth, atol=1e-5)
                assert torch.equal(answer(there.model), own)
                assert all(weights.tensors[name] is tensor for name, tensor in cached.items())


@ways
def test_a_strength_that_follows_the_steps_is_followed(flavour, online, tmp_path):
    if not (online and flavour == "neo_next"):
        pytest.skip("there the host has no strength by steps")
    with neo(flavour, tmp_path, online, [(FILE, -1.8)]) as there:
        truth = answer(there.model)
    with neo(flavour, tmp_path, online, [(FILE, 0.8)]) as there:
        lora = there.host.extension.HOST.able("lora")
        overlay = lora.overlay(tuple(SimpleNamespace(**{**vars(use), "unet": -1.5}) for use in lora.used()))
        with overlay.installed(there.model), overlay.on():
            for wrappers in there.unet.weight_wrapper_patches.values():
                wrappers[0].patch[0][0] = 0.5
            assert torch.allclose(answer(there.model), truth, atol=1e-5)


@pytest.mark.parametrize("flavour", ["neo", "neo_next"])
def test_layers_that_do_not_fit_apply_theirs_at_every_call(flavour, tmp_path):
    """With little memory the host merges nothing there, and calls a LowVramPatch instead."""
    with neo(flavour, tmp_path, False, [(FILE, -1.5)]) as there:
        truth = answer(there.model)
    with neo(flavour, tmp_path, False, [(FILE, 0.8)]) as there:
        there.unet.unload()
        base = sys.modules["backend.patcher.base"]
        for i, weight in enumerate(WEIGHTS):
            layer = there.model.diffusion_model[i]
            layer.weight_function = [base.LowVramPatch(weight, there.unet.patches)]
            layer.parameters_manual_cast = True
        own = answer(there.model)
        lora = there.host.extension.HOST.able("lora")
        overlay = lora.overlay(tuple(SimpleNamespace(**{**vars(use), "unet": -1.5}) for use in lora.used()))
        with overlay.installed(there.model), overlay.on():
            assert torch.allclose(answer(there.model), truth, atol=1e-5)
        assert torch.equal(answer(there.model), own)


@pytest.mark.parametrize("flavour", ["neo", "neo_next"])
@pytest.mark.parametrize(
    "broken, told",
    [
        (lambda base: setattr(base.ModelPatcher, "added", lambda *_: None), "patches of a weight as they have to be"),
        (
            lambda base: setattr(
                base.ModelPatcher, "added", lambda self, w, one, *_: self.patches.update({w: [one[1:]]})
            ),
            "patches of five values, applied before sampling",
        ),
        (
            lambda base: setattr(base.ModelPatcher, "patch_weight_to_device", lambda self, key, **_: torch.ones(1, 1)),
            "patches at another scale, applied before sampling",
        ),
    ],
)
def test_patches_of_another_shape_take_away_the_gap(flavour, broken, told):
    with webui.opened(flavour) as host:
        kind = host.extension.HOST
        assert kind.lacks("lora") == kind.lacks("checkpoint") == []
        base = sys.modules["backend.patcher.base"]
        broken(base)
        for ability in ("lora", "checkpoint"):
            with pytest.raises(host.hooks.LacksError, match=f"cannot make a {ability} gap in this WebUI.*{told}"):
                kind.able(ability)
        assert kind.lacks("distilled") == []


def test_each_name_is_looked_for_in_the_newest_too():
    with webui.opened("neo_next") as host:
        assert host.extension.LACKS == []
        assert host.hooks.describe(host.extension.HOST)["missing_for_gaps"] == {}
        with taken_away("backend.patcher.base:LowVramPatch.__init__(key, patches)"):
            assert "backend.patcher.base:LowVramPatch" in host.extension.HOST.lacks("lora")
