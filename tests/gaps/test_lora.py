"""LoRA tags, scales of a side, and layers that change for a while: host-free."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from lib_w2sd.errors import SettingError
from lib_w2sd.gaps import lora_scales as lora
from lib_w2sd.gaps.lora import weak_lora_tags
from lib_w2sd.gaps.prompt import has_prompt_gap
from lib_w2sd.hosts.models import lora_files
from lib_w2sd.page.settings import NAMES, Settings, check, parse
from lib_w2sd.weights import layers

# ---------------------------------------------------------------------- the prompt's syntax


@pytest.mark.parametrize(
    "text,tag",
    [
        ("<lora:a:-1.5>", ("a", -1.5, -1.5, None)),
        ("<lora:a>", ("a", 1.0, 1.0, None)),
        ("<lora:a b:0.2:0.7>", ("a b", 0.2, 0.7, None)),
        ("<lora:a:0.2:0.7:8>", ("a", 0.2, 0.7, 8)),
        ("<lora:a:unet=-1.5>", ("a", 1.0, -1.5, None)),
        ("<lora:a:te=0:unet=-1.5:dyn=4>", ("a", 0.0, -1.5, 4)),
        ("<lora:a:0.5:te=0>", ("a", 0.0, 0.0, None)),
    ],
)
def test_tags_are_read_as_the_hosts_read_them(text, tag):
    assert lora.tags(f"x {text}, y") == [tag]


@pytest.mark.parametrize(
    "text", ["<lora:>", "<lora:a:much>", "<lora:a:1:1:2.5>", "<lora:a:1:1:1:1>", "<lora:a:lr=1>", "<lora:a:nan>"]
)
def test_a_tag_that_no_host_can_read_is_refused_by_its_text(text):
    with pytest.raises(SettingError, match="weak_loras.*" + text):
        check("weak_loras", text)


def test_weak_loras_are_tags_and_nothing_else():
    assert check("weak_loras", " <lora:a:1>, <lora:b:2>\n<lora:c:3> ").startswith("<lora:a:1>")
    with pytest.raises(SettingError, match="weak_loras"):
        check("weak_loras", "<lora:a:1> and more")
    with pytest.raises(SettingError, match="weak_loras"):
        check("weak_loras", "<hypernet:a:1>")


def test_only_the_weak_prompt_may_name_loras():
    assert check("weak_prompt", "a (dog) <lora:my (old) one):-1>")
    with pytest.raises(SettingError, match="extra network"):
        check("weak_prompt", "<hypernet:a:1>")
    assert check("weak_negative_prompt", "<lora:a:1>") == "<lora:a:1>", "words, as in every host's negative prompt"


def test_tags_in_the_weak_prompt_are_no_prompt_gap():
    assert has_prompt_gap(Settings(weak_prompt="{prompt} <lora:a:1>")) == (False, False)
    assert has_prompt_gap(Settings(weak_prompt="{prompt}, grey <lora:a:1>")) == (True, False)


def test_the_field_has_the_last_word():
    settings = Settings(weak_prompt="{prompt} <lora:a:1>", weak_loras="<lora:a:-2>")
    assert [tag.unet for tag in weak_lora_tags(settings)] == [1, -2]


def test_positional_arguments_of_before_still_mean_the_same():
    assert NAMES[10:14] == ("weak_lora_offset", "strong_lora_offset", "weak_loras", "weak_lora_text_encoder")
    assert parse([True, 3]).lambda_steps == 3


# ---------------------------------------------------------------------- scales of a side

A, B = lora.Use("a.st", 0.5, 0.8, handle="A"), lora.Use("b.st", 1.0, 1.0, 4, handle="B")


def test_the_offset_counts_for_every_lora_of_the_request():
    assert lora.scaled((A, B), -2.0) == (lora.Use("a.st", -1.5, -1.2, None, "A"), lora.Use("b.st", -1.0, -1.0, 4, "B"))


def test_an_override_is_the_scale_itself():
    a, b = lora.scaled((A, B), -2.0, {"b.st": (lora.Tag("b", 0.1, 0.2, None),)})
    assert (a.unet, b.te, b.unet, b.dyn, b.handle) == (pytest.approx(-1.2), 0.1, 0.2, 4, "B")


def test_an_override_of_an_unused_lora_adds_it():
    assert lora.scaled((A,), 0.0, {"c.st": (lora.Tag("c", 0.1, 0.2, 3),)}) == (A, lora.Use("c.st", 0.1, 0.2, 3))


def test_same_unet_looks_at_what_counts():
    silent = lora.Use("c.st", 1.0, 0.0)
    assert lora.same_unet((A, silent), (A,)) and not lora.same_text_encoder((A, silent), (A,))
    assert lora.same_unet(lora.scaled((A,), 0.0), (A,)) and not lora.same_unet((A, B), (B, A))


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt"])
def test_a_file_that_is_none_is_told_and_left_as_it_is(tmp_path, suffix):
    good = tmp_path / f"good{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"foo.lora_A.weight": torch.zeros(4, 8)}, good)
    assert lora_files.unreadable(str(good)) is None
    bad = {
        "it is empty": b"",
        "truncated or corrupt": good.read_bytes()[:-40],
        "a web page's text": b"<!DOCTYPE html><html>not found</html>",
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    }
    for words, data in bad.items():
        file = tmp_path / f"bad{suffix}"
        file.write_bytes(data)
        assert words in lora_files.unreadable(str(file))
        assert file.read_bytes() == data and len(list(tmp_path.iterdir())) == 2


# ---------------------------------------------------------------------- layers


def linear():
    return nn.Linear(12, 8), torch.randn(5, 3, 12)


def conv():
    return nn.Conv2d(6, 8, 3, stride=2, padding=1), torch.randn(5, 6, 9, 9)


def pointwise():
    return nn.Conv2d(6, 8, 1, bias=False), torch.randn(5, 6, 4, 4)


def low_rank_of(module, rank=3):
    if isinstance(module, nn.Linear):
        return torch.randn(rank, module.in_features), torch.randn(module.out_features, rank)
    return torch.randn(rank, module.in_channels, *module.kernel_size), torch.randn(module.out_channels, rank, 1, 1)


def merged(module, down, up):
    delta = (up.flatten(1).double() @ down.flatten(1).double()).reshape(module.weight.shape)
    weight = module.weight.double() + delta
    bias = None if module.bias is None else module.bias.double()
    if isinstance(module, nn.Linear):
        return lambda x: F.linear(x.double(), weight, bias)
    return lambda x: F.conv2d(x.double(), weight, bias, module.stride, module.padding)


def close(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item() < 1e-5


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("make", [linear, conv, pointwise])
def test_low_rank_beside_equals_the_merged_layer(make):
    module, x = make()
    pair = low_rank_of(module)
    before, truth = module(x), merged(module, *pair)(x)
    overlay = layers.Overlay(lambda _: {module: layers.Change(low_rank=pair)})
    with overlay.installed(None):
        assert torch.equal(module(x), before), "installed is not on"
        with overlay.on():
            assert close(module(x), truth)
        assert torch.equal(module(x), before)
    assert "forward" not in vars(module) and torch.equal(module(x), before)


@pytest.mark.parametrize("make", [linear, conv, pointwise])
def test_rows_of_one_batch_apart(make):
    module, x = make()
    strong, weak = low_rank_of(module, 2), low_rank_of(module, 4)
    before = module(x)
    overlays = [layers.Overlay(lambda _, pair=pair: {module: layers.Change(low_rank=pair)}) for pair in (strong, weak)]
    with (
        overlays[0].installed(None),
        overlays[1].installed(None),
        overlays[0].on(slice(0, 2), 5),
        overlays[1].on(slice(2, 4), 5),
    ):
        out = module(x)
    assert close(out[:2], merged(module, *strong)(x[:2]))
    assert close(out[2:4], merged(module, *weak)(x[2:4]))
    assert torch.equal(out[4:], before[4:])


def norm_change(module):
    return layers.Change(
        parameters={name: nn.Parameter(torch.randn_like(p)) for name, p in module.named_parameters(recurse=False)}
    )


@pytest.mark.parametrize("module,shape", [(nn.LayerNorm(6), (4, 3, 6)), (nn.GroupNorm(2, 6), (4, 6, 5, 5))])
def test_other_parameters_in_their_place(module, shape):
    x, change = torch.randn(shape), norm_change(module)
    own = dict(module.named_parameters())
    before = module(x)
    other = type(module)(*((6,) if isinstance(module, nn.LayerNorm) else (2, 6)))
    other.load_state_dict(change.parameters)
    overlay = layers.Overlay(lambda _: {module: change})
    with overlay.installed(None):
        with overlay.on():
            assert torch.equal(module(x), other(x))
            assert all(module._parameters[n] is p for n, p in own.items()), "only inside the layer's own forward"
        with overlay.on(slice(1, 3), 4):
            out = module(x)
            assert torch.equal(out[1:3], other(x[1:3])) and torch.equal(out[:1], before[:1]) and len(out) == 4
    assert torch.equal(module(x), before)


def test_both_at_once_and_another_overlay_on_the_same_layer():
    module, x = linear()
    pair, bias = low_rank_of(module), nn.Parameter(torch.randn(8))
    one = layers.Overlay(lambda _: {module: layers.Change(low_rank=pair, parameters={"bias": bias})})
    two = layers.Overlay(lambda _: {module: layers.Change(low_rank=low_rank_of(module))})
    with one.installed(None), two.installed(None), one.on():
        out = module(x)
    own = merged(module, *pair)(x)
    assert close(out, own - module.bias + bias)


def test_attributes_for_a_while():
    module, x = linear()
    module.gain = 1.0
    module.forward = lambda x: F.linear(x, module.weight) * module.gain + getattr(module, "shift", 0.0)
    own = module.forward
    before = module(x)
    overlay = layers.Overlay(lambda _: {module: layers.Change(attributes={"gain": 2.0, "shift": 1.0})})
    with overlay.installed(None), overlay.on():
        assert torch.equal(module(x), before * 2 + 1)
        assert module.gain == 1.0 and not hasattr(module, "shift")
    assert module.forward is own


@pytest.mark.parametrize("fails", ["changes", "inside", "layer"])
def test_whatever_fails_the_layer_is_as_before(fails):
    module, x = linear()
    before, own = module(x), module.weight

    def changes(_):
        yield_first = {module: layers.Change(parameters={"weight": nn.Parameter(torch.zeros(1, 1, 1))})}
        if fails == "changes":
            raise MemoryError
        return yield_first

    overlay = layers.Overlay(changes)
    with pytest.raises((MemoryError, RuntimeError)), overlay.installed(None), overlay.on():
        if fails == "inside":
            raise RuntimeError
        module(x)
    assert module.weight is own and torch.equal(module(x), before) and "forward" not in vars(module)
    assert overlay.rows is None


def test_middle_part_is_folded_into_the_first():
    down, mid, up = torch.randn(4, 6, 1, 1), torch.randn(5, 4, 3, 3), torch.randn(8, 5, 1, 1)
    x = torch.randn(2, 6, 9, 9)
    truth = F.conv2d(F.conv2d(F.conv2d(x, down), mid, padding=1), up)
    assert close(F.conv2d(F.conv2d(x, layers.with_mid(down, mid), padding=1), up), truth)


def test_terms_add_up():
    module, x = linear()
    a, b = low_rank_of(module, 2), low_rank_of(module, 3)
    down, up = layers.concatenated([(0.5, *a), (-2.0, *b)])
    assert down.shape == (5, 12) and up.shape == (8, 5)
    truth = 0.5 * F.linear(F.linear(x, a[0]), a[1]) - 2 * F.linear(F.linear(x, b[0]), b[1])
    assert close(F.linear(F.linear(x, down), up), truth)


def test_low_rank_only_where_it_is_smaller_by_half():
    assert layers.worth_it((torch.empty(4, 64), torch.empty(64, 4)), 64 * 64)
    assert not layers.worth_it((torch.empty(32, 64), torch.empty(64, 32)), 64 * 64)


def test_half_precision_and_its_rounding():
    module, x = linear()
    pair = low_rank_of(module)
    truth = merged(module, *pair)(x)
    module, x = module.bfloat16(), x.bfloat16()
    overlay = layers.Overlay(lambda _: {module: layers.Change(low_rank=pair)})
    with overlay.installed(None), overlay.on():
        out = module(x)
    assert out.dtype == torch.bfloat16
    assert (out.double() - truth).norm() / truth.norm() < 0.02
