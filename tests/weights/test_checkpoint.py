"""The host-free part of the checkpoint gap, on real files and a real UNet."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from lib_w2sd.errors import CheckpointError, CheckpointMemoryError, UnfitCheckpoint
from lib_w2sd.weights import exchange as checkpoint
from lib_w2sd.weights import fit
from lib_w2sd.weights.exchange import Cache, CheckpointOverlay, layout_of, like, load, size_of, slots_of
from lib_w2sd.weights.file import UNET, open_weights
from lib_w2sd.weights.fit import architecture, check_fit, prediction_of, unfit


def tiny_unet(seed: int, **config) -> torch.nn.Module:
    torch.manual_seed(seed)
    small = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
    }
    unet = UNet2DConditionModel(**{**small, **config}).eval().requires_grad_(False)
    unet.register_buffer("position", torch.randn(3))  # SD3 has one such
    unet.register_buffer("scratch", torch.randn(2), persistent=False)
    return unet


def output(unet, dtype=torch.float32):
    torch.manual_seed(0)
    x, context = torch.randn(2, 4, 8, 8, dtype=dtype), torch.randn(2, 5, 12, dtype=dtype)
    with torch.no_grad():
        return unet(x, torch.tensor([500, 20]), context).sample


def snapshot(unet):
    return {name: (id(slot.tensor), slot.tensor.clone()) for name, slot in slots_of(unet).items()}


def unchanged(unet, before):
    after = slots_of(unet)
    return after.keys() == before.keys() and all(
        id(after[name].tensor) == identity and torch.equal(after[name].tensor, value)
        for name, (identity, value) in before.items()
    )


@pytest.fixture(scope="module")
def strong():
    return tiny_unet(1)


@pytest.fixture(scope="module")
def weak():
    return tiny_unet(2)


@pytest.fixture
def file(tmp_path, weak):
    """write(tensors=, prefix=, extra=, metadata=, suffix=) -> path of a checkpoint file."""

    def write(tensors=None, prefix=UNET, extra=None, metadata=None, name="weak.safetensors"):
        tensors = weak.state_dict() if tensors is None else tensors
        whole = {f"{prefix}{key}": value.contiguous() for key, value in tensors.items()}
        path = tmp_path / name
        whole = {**whole, **({"cond_stage_model.weight": torch.zeros(1000)} if prefix else {}), **(extra or {})}
        if path.suffix == ".safetensors":
            save_file(whole, path, metadata)
        else:
            torch.save({"state_dict": whole, "global_step": 7}, path)
        return path

    return write


def overlay(path, unet, place=like) -> CheckpointOverlay:
    return CheckpointOverlay(load(open_weights("given", path), "weak", slots_of(unet), place), slots_of)


def shapes(unet):
    return {name: tuple(slot.tensor.shape) for name, slot in slots_of(unet).items()}


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
@pytest.mark.parametrize("prefix", [UNET, ""])
def test_only_the_unet_is_read(file, weak, strong, name, prefix):
    opened = open_weights("given", file(name=name, prefix=prefix))
    assert opened.shapes == shapes(strong)
    assert "scratch" not in opened.shapes, "no checkpoint has it"
    weights = load(opened, "weak", slots_of(strong))
    assert weights.tensors.keys() == slots_of(strong).keys()
    assert all(torch.equal(weights.tensors[name], slot.tensor) for name, slot in slots_of(weak).items())


def test_memory_while_loading(file, strong):
    """The weak UNet's own bytes, and at most 5 % more at any time. Counted tensor by tensor as they come and go."""
    path, alive, peak = file(), [0], [0]

    def counted(tensor):
        alive[0] += size_of(tensor)
        peak[0] = max(peak[0], alive[0])
        return tensor

    opened = open_weights("given", path)
    read, held = opened.read, [0]

    def reading(name):
        alive[0] -= held[0]  # the one before is given back
        tensor = counted(read(name))
        held[0] = size_of(tensor)
        return tensor

    opened.read = reading
    weights = load(opened, "weak", slots_of(strong), lambda tensor, strong: counted(like(tensor, strong)))
    own = sum(size_of(slot.tensor) for slot in slots_of(strong).values())
    largest = max(size_of(slot.tensor) for slot in slots_of(strong).values())
    assert weights.bytes == own
    assert weights.peak_bytes <= peak[0] <= own + largest
    # In a real UNet the largest tensor is 1 to 2 % of all of it; in this one it is more.


def test_it_does_not_hold_on_to_the_file(file, strong):
    path = file()
    weights = load(open_weights("given", path), "weak", slots_of(strong))
    before = {name: tensor.clone() for name, tensor in weights.tensors.items()}
    data = bytearray(path.read_bytes())
    data[-5000:] = b"\xff" * 5000
    path.write_bytes(data)
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_the_strong_tensors_decide_dtype_and_memory_format(file, weak, dtype):
    unet = tiny_unet(1).to(dtype).to(memory_format=torch.channels_last)
    weights = load(open_weights("given", file()), "weak", slots_of(unet))
    truth = tiny_unet(2).to(dtype)
    for name, slot in slots_of(unet).items():
        tensor, expected = weights.tensors[name], slots_of(truth)[name].tensor
        assert tensor.dtype == slot.tensor.dtype and tensor.stride() == slot.tensor.stride()
        assert type(tensor) is type(slot.tensor) and not tensor.requires_grad
        assert torch.equal(
            tensor.view(torch.uint8 if dtype.itemsize == 1 else torch.int16),
            expected.contiguous(
                memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            ).view(torch.uint8 if dtype.itemsize == 1 else torch.int16),
        )


def test_rounding_by_way_of_half():
    """A1111 halves a file before it stores it as fp8: two roundings, which are not always one."""
    wide = torch.linspace(1, 2, 4001) + 1e-4
    eight = torch.empty(4001, dtype=torch.float8_e4m3fn)
    twice = like(wide, eight, via=torch.float16)
    assert torch.equal(twice.float(), wide.half().to(torch.float8_e4m3fn).float())


# ------------------------------------------------------------------------------------------ the exchange


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weak_unets_output_and_back(file, dtype):
    strong, weak = tiny_unet(1).to(dtype), tiny_unet(2).to(dtype)
    before, plain = snapshot(strong), output(strong, dtype)
    over = overlay(file(), strong)
    with over.installed(strong):
        for _ in range(3):
            with over.on():
                assert torch.equal(output(strong, dtype), output(weak, dtype))
            assert torch.equal(output(strong, dtype), plain)
    assert unchanged(strong, before)
    assert over.weights.tensors.keys() == before.keys(), "the weak tensors are back in the cache"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_back_after_an_exception(file, strong, error):
    before, over = snapshot(strong), overlay(file(), strong)
    with pytest.raises(error):
        with over.installed(strong), over.on():
            raise error
    assert unchanged(strong, before)
    assert over.weights.tensors.keys() == before.keys()


def test_what_the_host_replaces_meanwhile_stays_replaced(file, weak):
    """Hosts put new Parameter objects into modules, also in the middle of a run; each set keeps its own."""
    strong = tiny_unet(1)
    over, new = overlay(file(), strong), {}
    with over.installed(strong):
        with over.on():
            new["weak"] = strong.conv_in.bias = torch.nn.Parameter(torch.ones(8))
        new["strong"] = strong.conv_in.bias = torch.nn.Parameter(torch.zeros(8))
        with over.on():
            assert strong.conv_in.bias is new["weak"]
        assert strong.conv_in.bias is new["strong"]
    assert over.weights.tensors["conv_in.bias"] is new["weak"]


def test_a_tensor_that_only_one_side_has(file, weak):
    strong = tiny_unet(1)
    tensors = {name: value for name, value in weak.state_dict().items() if name != "conv_in.bias"}
    slots = {name: slot for name, slot in slots_of(strong).items() if name != "conv_in.bias"}
    over = CheckpointOverlay(load(open_weights("given", file(tensors)), "weak", slots), slots_of)
    with over.installed(strong):
        with over.on():
            assert strong.conv_in.bias is None
        assert strong.conv_in.bias is not None
    assert "conv_in.bias" not in over.weights.tensors


def test_what_others_put_in_its_place_is_the_runs_alone(file, strong, weak):
    """As CD Tuner does as a call begins, once: the weak side keeps it to the end of the run, and no longer."""
    path, before = file(), snapshot(strong)
    over = replace(overlay(path, strong), takes_back=True)
    loaded = dict(over.weights.tensors)
    for _ in range(2):
        with over.installed(strong):
            with over.on():
                assert torch.equal(output(strong), output(weak))
                strong.conv_in.weight = torch.nn.Parameter(strong.conv_in.weight * 2, requires_grad=False)
                theirs = output(strong)
            assert unchanged(strong, before)
            with over.on():
                assert torch.equal(output(strong), theirs) and not torch.equal(theirs, output(weak))
        assert all(over.weights.tensors[name] is tensor for name, tensor in loaded.items())


def test_freed_in_the_middle_of_a_run(file, strong, weak):
    """By the button in the page: the run ends as it began, and the memory goes with it."""
    cache, path, before = Cache(), file(), snapshot(strong)
    kept = cache.get(path, layout_of(slots_of(strong)), None, lambda: overlay(path, strong).weights)
    over = CheckpointOverlay(kept, slots_of)
    with over.installed(strong):
        cache.free()
        with over.on():
            assert torch.equal(output(strong), output(weak))
    assert cache.weights is None and unchanged(strong, before)


def test_around_and_also(file, strong):
    seen, owner = [], {"loras": "strong's"}

    class Around:
        def __enter__(self):
            seen.append("in")

        def __exit__(self, *error):
            seen.append("out")

    over = overlay(file(), strong)
    over.around, over.settle = Around, lambda: seen.append("settle")
    over.also, over.done = lambda: [[owner, "loras", "none"]], lambda weights: seen.append("done")
    with over.installed(strong), over.on():
        assert owner["loras"] == "none"
    assert owner["loras"] == "strong's"
    assert seen == ["in", "settle", "settle", "out", "done"]


# ------------------------------------------------------------------------------------------ the cache


def test_cache_keeps_one(file, strong, weak):
    cache, path, loads = Cache(), file(), []
    layout = layout_of(slots_of(strong))

    def get(path=path, layout=layout, extra=None):
        return cache.get(path, layout, extra, lambda: loads.append(1) or overlay(path, strong).weights)

    first = get()
    assert get() is first and len(loads) == 1
    second = get(extra="other LoRAs")
    assert second is not first and not first.tensors, "the first one's memory is given back"
    get(layout=layout_of(slots_of(tiny_unet(1).half())), extra="other LoRAs")
    os.utime(path, ns=(1, 1))
    get()
    get(file(name="other.safetensors"))
    assert len(loads) == 5
    cache.free_unless(layout)
    assert cache.weights is not None
    cache.free_unless(layout_of(slots_of(tiny_unet(1).half())))
    assert cache.weights is None


# ------------------------------------------------------------------------------------------ refused


def test_broken_files(file, tmp_path, strong):
    whole = file().read_bytes()
    for name, data in {
        "truncated": whole[: len(whole) // 2],
        "header": whole[:100],
        "corrupt": whole[:8] + b"\0" * 50 + whole[58:],
        "empty": b"",
        "words": b"this is not a checkpoint, it only is called one",
    }.items():
        for suffix in (".safetensors", ".ckpt"):
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(data)
            with pytest.raises(CheckpointError, match=r"checkpoint was given 'given', .*truncated or corrupt"):
                open_weights("given", path)
    with pytest.raises(CheckpointError, match="not there any more"):
        open_weights("given", tmp_path / "gone.safetensors")
    with pytest.raises(CheckpointError, match=r"\.bin file; allowed are"):
        open_weights("given", file(name="a.bin"))


class Dangerous:
    ran = False

    def __reduce__(self):
        return setattr, (Dangerous, "ran", True)


def test_a_pickle_that_could_run_a_program_is_not_loaded(tmp_path, weak):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": weak.state_dict(), "callbacks": Dangerous()}, path)
    with pytest.raises(CheckpointError, match="pickle"):
        open_weights("given", path)
    assert not Dangerous.ran


def test_no_file_is_moved_away(tmp_path, weak, monkeypatch):
    """Forge's torch.load takes a file that it cannot read for a broken download, and renames it."""
    load = torch.load

    def forges(*args, **kwargs):
        try:
            return load(*args, **kwargs)
        except Exception as error:
            for value in (*args, *kwargs.values()):
                if isinstance(value, str) and Path(value).exists():
                    Path(value).rename(f"{value}.corrupted")
            raise ValueError(str(error)) from error

    monkeypatch.setattr(torch, "load", forges)
    old, unsafe, cut = (tmp_path / f"{name}.ckpt" for name in ("old", "unsafe", "cut"))
    torch.save({"state_dict": weak.state_dict()}, old, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": weak.state_dict(), "callbacks": Dangerous()}, unsafe)
    cut.write_bytes(old.read_bytes()[:1000])
    assert open_weights("given", str(old)).shapes
    for path in (unsafe, cut):
        with pytest.raises(CheckpointError):
            open_weights("given", str(path))
    assert sorted(tmp_path.iterdir()) == sorted((old, unsafe, cut)) and not Dangerous.ran


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory(file, strong, error):
    before, count = snapshot(strong), [0]

    def place(tensor, strong):
        count[0] += 1
        if count[0] == 20:
            raise error
        return like(tensor, strong)

    with pytest.raises(CheckpointMemoryError, match="not enough memory"):
        load(open_weights("given", file()), "weak", slots_of(strong), place)
    assert unchanged(strong, before)
    with pytest.raises(RuntimeError, match="something else"):
        with checkpoint.reporting_memory("given"):
            raise RuntimeError("something else")


def test_what_does_not_fit():
    sd15 = {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "out.2.weight": (4, 320, 3, 3),
    }
    sdxl = {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        "label_emb.0.0.weight": (1280, 2816),
    }
    assert unfit(sd15, dict(reversed(sd15.items()))) is None
    assert "(SDXL, the loaded one SD1.5)" in unfit(sdxl, sd15)
    inpainting = {**sd15, "input_blocks.0.0.weight": (320, 9, 3, 3)}
    assert "takes 9 input channels (inpainting), the loaded checkpoint's 4 input channels" in unfit(inpainting, sd15)
    smaller = {**sd15, "out.2.weight": (4, 160, 3, 3)}
    assert "out.2.weight: [4, 160, 3, 3], not [4, 320, 3, 3]" in unfit(smaller, sd15)
    assert "1 tensors are missing, such as out.2.weight" in unfit({k: sd15[k] for k in list(sd15)[:2]}, sd15)
    assert "1 are too many, such as more" in unfit({**sd15, "more": (1,)}, sd15)
    assert "is stored quantised (comfy_quant)" in unfit({**sd15, "out.2.comfy_quant": (27,)}, sd15)
    assert (
        architecture({"double_blocks.0.x": (1,)}) == "Flux"
        and architecture({"cap_embedder.1.weight": (1,)}) == "Lumina 2 or Z-Image"
    )
    assert architecture({"a": (1,)}) == "an unknown architecture"


SD2_BIAS = "output_blocks.11.1.transformer_blocks.0.norm1.bias"


def sd2(spread):
    return {
        "input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 1024),
        SD2_BIAS: torch.linspace(-1, 1, 32) * spread,
    }


@pytest.mark.parametrize(
    "given,kind",
    [
        ({}, "eps"),
        ({"extra": {"v_pred": torch.zeros(1)}}, "v"),
        ({"extra": {"edm_mean": torch.zeros(1), "edm_std": torch.zeros(1)}}, "edm"),
        ({"metadata": {"modelspec.prediction_type": "v"}}, "v"),
        ({"metadata": {"modelspec.prediction_type": "epsilon", "ss_v_parameterization": "False"}}, "eps"),
        ({"metadata": {"ss_v_parameterization": "True"}}, "v"),
        ({"tensors": sd2(0.5)}, "v"),
        ({"tensors": sd2(0.01)}, "eps"),
        ({"tensors": {"double_blocks.0.weight": torch.zeros(2)}}, "flow"),
    ],
)
def test_prediction(file, given, kind):
    path = file(**given)
    assert prediction_of(open_weights("given", path), path) == kind


V_YAML = {
    "v": "model:\n  params:\n    parameterization: v\n",
    "eps": "model:\n  params:\n    parameterization: eps\n",
    "VScaling": "model:\n  params:\n    denoiser_config:\n      params:\n        scaling_config:\n"
    "          target: sgm.modules.diffusionmodules.denoiser_scaling.VScaling\n",
    "silent": "model:\n  params:\n    linear_start: 0.1\n",
    "broken": "model: [",
}


@pytest.mark.parametrize("text,kind", [("v", "v"), ("eps", "eps"), ("VScaling", "v"), ("silent", "v"), ("broken", "v")])
def test_the_yaml_beside_the_file_comes_first(file, text, kind):
    path = file(extra={"v_pred": torch.zeros(1)})
    path.with_suffix(".yaml").write_text(V_YAML[text])
    assert prediction_of(open_weights("given", path), path) == kind


def test_check_fit(file, strong):
    path = file()
    opened = open_weights("given", path)
    check_fit(opened, path, shapes(strong), "eps")
    check_fit(opened, path, shapes(strong), None)
    with pytest.raises(UnfitCheckpoint, match="predicts eps, the loaded checkpoint v"):
        check_fit(opened, path, shapes(strong), "v")
    with pytest.raises(UnfitCheckpoint, match="another architecture"):
        check_fit(opened, path, shapes(tiny_unet(1, block_out_channels=(4, 8))), "eps")
    assert fit.unfit(opened.shapes, shapes(strong)) is None


@pytest.mark.parametrize("prefix", ["", "unet.", UNET])
def test_a_diffusers_unet_is_called_so(file, weak, prefix):
    """Its names are those that the tests' own UNet has: here it is the file that has them, and not the loaded one."""
    path = file(prefix=prefix)
    loaded = {"input_blocks.0.0.weight": (8, 4, 3, 3), "middle_block.1.norm.weight": (8,)}
    with pytest.raises(UnfitCheckpoint) as refusal:
        check_fit(open_weights("given", path), path, loaded, "eps")
    for words in ("'given', a UNet alone, with the diffusers library's names", "Take the single file", "convert"):
        assert words in str(refusal.value)


@pytest.mark.parametrize("name", ["single_transformer_blocks.0.attn.to_q.weight", "transformer_blocks.0.ff.net.2.bias"])
def test_so_is_a_transformer(tmp_path, name):
    save_file({name: torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    opened = open_weights("given", tmp_path / "a.safetensors")
    with pytest.raises(UnfitCheckpoint, match="diffusers library's names"):
        check_fit(opened, tmp_path / "a.safetensors", {"double_blocks.0.img_attn.qkv.weight": (6, 2)}, "flow")
    with pytest.raises(UnfitCheckpoint, match="another architecture"):
        check_fit(opened, tmp_path / "a.safetensors", {"transformer_blocks.1.x": (6, 2)}, "flow")


def test_scaled_fp8_is_called_so_where_it_cannot_be_read(file, strong, weak):
    """A host that reads it compares without the scales, and then finds no difference."""
    scales = {f"{UNET}conv_in.scale_weight": torch.ones(1), f"{UNET}scaled_fp8": torch.zeros(2)}
    path = file(extra=scales)
    opened = open_weights("given", path)
    with pytest.raises(UnfitCheckpoint, match="scaled fp8, which this WebUI does not read"):
        check_fit(opened, path, shapes(strong), "eps")
    opened.shapes = fit.unscaled(opened.shapes)
    check_fit(opened, path, shapes(strong), "eps")
    assert "conv_in.scale_weight" in opened.names and torch.equal(opened.read("conv_in.scale_weight"), torch.ones(1))


def test_another_dtype_than_the_loaded_tensors():
    own = torch.zeros(4, 3, 2, 2, dtype=torch.float16).to(memory_format=torch.channels_last)
    given = torch.randn(4, 3, 2, 2)
    placed = like(given, own, dtype=torch.float32)
    assert torch.equal(placed, given) and placed.stride() == own.stride()


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_what_most_of_a_file_is_stored_in(file, name):
    def opened(*dtypes):
        return open_weights("given", file({str(i): torch.zeros(2, dtype=d) for i, d in enumerate(dtypes)}, name=name))

    eight, half = torch.float8_e4m3fn, torch.float16
    assert opened(eight, eight, half).eight_bit() == eight
    assert opened(eight, half, half).eight_bit() is None
