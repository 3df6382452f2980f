"""AnimateDiff's motion module among a UNet's own layers, on A1111: what the checkpoint gap finds, and whose prompts are
the frames'. tests/live/test_video.py has the extension itself."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from lib_w2sd.weights.exchange import slots_of


class VanillaTemporalModule(nn.Linear):
    """By its name and place the extension's."""


class Own(nn.Linear):
    """A layer of the UNet's own."""


@pytest.fixture
def motion(a1111, monkeypatch):
    extension = ModuleType("motion_module")
    extension.VanillaTemporalModule = VanillaTemporalModule
    monkeypatch.setitem(sys.modules, "motion_module", extension)
    return importlib.import_module("lib_w2sd.hosts.a1111.motion")


def unet() -> nn.Module:
    def block(*layers):
        return nn.Sequential(*layers)

    whole = nn.Module()
    whole.input_blocks = nn.ModuleList([block(Own(2, 2)), block(Own(2, 3), nn.SiLU(), Own(3, 2))])
    whole.middle_block = block(Own(2, 2), Own(2, 2))
    return whole


def with_motion(whole: nn.Module) -> nn.Module:
    """As the extension does it: behind a block's layers, or before its last."""
    whole.input_blocks[0].append(VanillaTemporalModule(2, 2))
    whole.input_blocks[1].insert(-1, VanillaTemporalModule(3, 3))
    whole.middle_block.insert(-1, VanillaTemporalModule(2, 2))
    return whole


def test_the_unets_own_tensors_by_their_own_names(motion):
    whole = unet()
    own = {name: slot.tensor for name, slot in slots_of(whole).items()}
    with_motion(whole)
    inserted = {name: slot.tensor for name, slot in slots_of(whole).items()}
    assert len(motion.layers(whole)) == 3 and own.keys() != inserted.keys()
    with motion.left_out(whole):
        found = slots_of(whole)
        assert found.keys() == own.keys() and all(found[name].tensor is own[name] for name in own)
    after = {name: slot.tensor for name, slot in slots_of(whole).items()}
    assert after.keys() == inserted.keys() and all(after[name] is inserted[name] for name in after)


def test_slots_found_without_it_are_those_that_it_runs_with(motion):
    """They are exchanged while the motion module is there."""
    whole = with_motion(unet())
    with motion.left_out(whole):
        slot = slots_of(whole)["input_blocks.1.2.weight"]
    other = nn.Parameter(torch.zeros_like(slot.tensor))
    slot.store[slot.key] = other
    assert whole.input_blocks[1][-1].weight is other


def test_a_fault_within_puts_it_back(motion):
    whole = with_motion(unet())
    before = list(slots_of(whole))
    with pytest.raises(RuntimeError), motion.left_out(whole):
        raise RuntimeError
    assert list(slots_of(whole)) == before


def test_without_the_extension_nothing_is_moved(a1111):
    motion = importlib.import_module("lib_w2sd.hosts.a1111.motion")
    whole = unet()
    before = [module._modules for module in whole.modules()]
    with motion.left_out(whole):
        assert all(module._modules is own for module, own in zip(whole.modules(), before))
    assert motion.layers(whole) == []
    with motion.prompted(object(), object()):
        pass


@pytest.mark.parametrize("cond", [None, "a dog"])
def test_frames_have_the_prompts_of_the_side(motion, a1111, monkeypatch, cond):
    build = a1111.modules["prompt_parser"]
    model = a1111.shared.sd_model

    def encoded(text):
        return build.get_multicond_learned_conditioning(model, build.SdConditioning([text] * 2), 4)

    blended = []

    def multi_cond(tensor, closed):
        blended.append(closed)
        return 2 * tensor

    params = SimpleNamespace(
        video_length=4,
        batch_size=2,
        closed_loop="R+P",
        prompt_scheduler=SimpleNamespace(multi_cond=multi_cond),
        text_cond="the first call's",
    )
    at_work = SimpleNamespace(mm_animatediff=SimpleNamespace(mm_injected=True, ad_params=params))
    monkeypatch.setitem(sys.modules, "scripts.animatediff_mm", at_work)

    def of(text):
        return 2 * build.reconstruct_multicond_batch(encoded(text), 0)[1]

    own = encoded("a cat")
    with motion.prompted(encoded(cond) if cond else own, own):
        if cond is None:
            assert params.text_cond == "the first call's" and not blended
        else:
            assert torch.equal(params.text_cond, of(cond)) and blended == [True]
    if cond:
        assert torch.equal(params.text_cond, of("a cat"))


def test_free_init_is_refused(a1111):
    """It puts a function of its own in the place of the host's, which asks no script."""
    p = a1111.request("Txt2Img", {"weak_cfg": 1})
    p.num_freeinit_iters = 3
    p.sample = lambda *args, **kwargs: pytest.fail("a plain picture")
    with pytest.raises(Exception, match="enabled was given True, with AnimateDiff's FreeInit; allowed is one"):
        a1111.process(p)


@pytest.mark.parametrize(("injected", "rows"), [(False, 10), (True, 12)])
def test_its_callback_costs_nothing_in_a_request_that_is_no_video(a1111, monkeypatch, injected, rows):
    """Told which rows are the prompt's, it gets both of them; it is told in every request."""

    def on_cfg_denoiser(params):
        pass

    on_cfg_denoiser.__module__ = "scripts.animatediff_infv2v"
    record = ModuleType("scripts.animatediff_mm")
    record.mm_animatediff = SimpleNamespace(mm_injected=injected, ad_params=None)
    monkeypatch.setitem(sys.modules, "scripts.animatediff_mm", record)
    a1111.modules["script_callbacks"].on_cfg_denoiser(on_cfg_denoiser)
    if injected:  # something of its own is in the network then
        forward = a1111.unet.forward
        monkeypatch.setattr(a1111.unet, "forward", lambda *args, **kwargs: forward(*args, **kwargs))
    a1111.txt2img({"lambda_steps": 1, "weak_cfg": 1, "strong_cfg": 1, "inversion": "paper"}, steps=4, cfg_scale=6)
    assert sum(a1111.calls) == rows
