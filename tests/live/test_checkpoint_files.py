"""Weak checkpoints that are none, of another kind, or not as they were: refused by name, or read again."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from .test_checkpoint import alone, asking, file_beside, in_file, names, own, pair, pairs  # noqa: F401 (fixtures)
from .test_engine import same


def truncated(path, tensors, metadata):
    save_file(tensors, path, metadata)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def corrupt(path, tensors, metadata):
    save_file(tensors, path, metadata)
    data = bytearray(path.read_bytes())
    data[8:40] = b"\x00" * 32
    path.write_bytes(data)


def empty(path, tensors, metadata):
    path.write_bytes(b"")


def inpainting(path, tensors, metadata):
    entry = "model.diffusion_model.input_blocks.0.0.weight"
    tensors[entry] = torch.cat([tensors[entry], tensors[entry], tensors[entry][:, :1]], dim=1)
    save_file(tensors, path, metadata)


def v_prediction(path, tensors, metadata):
    save_file({**tensors, "v_pred": torch.zeros(1)}, path, metadata)


def v_prediction_by_yaml(path, tensors, metadata):
    save_file(tensors, path, metadata)
    path.with_suffix(".yaml").write_text("model:\n  params:\n    parameterization: v\n")


def one_missing(path, tensors, metadata):
    name = max(key for key in tensors if key.startswith("model.diffusion_model."))
    del tensors[name]
    save_file(tensors, path, metadata)


def no_unet(path, tensors, metadata):
    kept = {k: v for k, v in tensors.items() if not k.startswith("model.diffusion_model.")}
    save_file(kept, path, metadata)


class Dangerous:
    def __reduce__(self):
        return print, ("a pickle ran a program",)


def unsafe_pickle(path, tensors, metadata):
    torch.save({"state_dict": tensors, "extra": Dangerous()}, path)


BAD_FILES = [
    ("w2sd-truncated.safetensors", truncated, "truncated or corrupt"),
    ("w2sd-corrupt.safetensors", corrupt, "truncated or corrupt"),
    ("w2sd-empty.safetensors", empty, "truncated or corrupt"),
    ("w2sd-inpainting.safetensors", inpainting, "9 input channels (inpainting), the loaded checkpoint's 4"),
    ("w2sd-vpred.safetensors", v_prediction, "predicts v, the loaded checkpoint eps"),
    ("w2sd-vpred-yaml.safetensors", v_prediction_by_yaml, "predicts v, the loaded checkpoint eps"),
    ("w2sd-missing.safetensors", one_missing, "1 tensors are missing"),
    ("w2sd-no-unet.safetensors", no_unet, "another architecture"),
    ("w2sd-unsafe.ckpt", unsafe_pickle, ""),
]


def test_unknown_name(webui, pair, own):
    message = webui.refused({"weak_checkpoint": "no such file 123"}, **asking(pair[0]))
    assert "weak_checkpoint" in message and "'no such file 123'" in message and "none of the WebUI's" in message
    assert same(webui.picture(**asking(pair[0])), own[0])


def test_another_architecture(webui, pair, own):
    others = [strong for strong, _ in pairs(webui)[1:]]
    if not others:
        pytest.skip("no pair of another architecture")
    for other in others:
        message = webui.refused({"weak_checkpoint": other}, **asking(pair[0]))
        assert "weak_checkpoint" in message and other in message and "another architecture" in message
    assert same(webui.picture(**asking(pair[0])), own[0])


@pytest.mark.parametrize("name,make,why", BAD_FILES, ids=[make.__name__ for _, make, _ in BAD_FILES])
def test_refused_files(webui, pair, own, file_beside, name, make, why):
    given = file_beside(name, make)
    assert given in names(webui), "the host lists it"
    message = webui.refused({"weak_checkpoint": given}, **asking(pair[0]))
    assert message.startswith("W2SD: weak_checkpoint") and given in message and why in message
    assert webui.trace() == [], "refused before any sampling"
    assert in_file(webui, pair[1]).with_name(name).exists(), "Forge moves away what its torch.load cannot read"
    assert same(webui.picture(**asking(pair[0])), own[0])
    assert same(webui.picture(alone(pair[1]), **asking(pair[0])), own[1])


def test_a_pickle_of_tensors_alone_is_read(webui, pair, own, file_beside):
    def old_format(path, tensors, metadata):
        # A1111's check does not know what newer versions of torch write.
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)

    given = file_beside("w2sd-tensors.ckpt", old_format)
    assert same(webui.picture(alone(given), **asking(pair[0])), own[1])


def test_a_file_that_changes_is_read_again(webui, pair, own, file_beside):
    strong, weak = (in_file(webui, name) for name in pair)
    given = file_beside("w2sd-changing.safetensors", lambda path, *_: shutil.copyfile(weak, path))
    assert same(webui.picture(alone(given), **asking(pair[0])), own[1])
    shutil.copyfile(strong, weak.with_name("w2sd-changing.safetensors"))
    assert same(webui.picture(alone(given), **asking(pair[0])), own[0])
    weak.with_name("w2sd-changing.safetensors").unlink()
    message = webui.refused({"weak_checkpoint": given}, **asking(pair[0]))
    assert "not there any more" in message


# ------------------------------------------------------------------------------------------ surfaces
