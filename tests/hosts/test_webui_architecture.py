"""A weak model of another architecture, in the stand-ins of Forge and Neo: through pixels, in memory, and refused."""

import sys

import fastapi
import pytest
import torch

from lib_w2sd.method.bridge import Space
from lib_w2sd.page import cost
from lib_w2sd.page.settings import Settings, as_dict

from ..reflected import reflected
from ..webui import opened
from ..webui.host import same_pictures
from ..webui.network import CheckpointInfo
from .test_webui_faults import Broken
from .test_webui_jobs import refused

FIELDS = {"prompt": "a cat", "negative_prompt": "blurry", "cfg_scale": 6.0, "steps": 5}
GAP = {"weak_model": "wide", "lambda_steps": 3, "weak_cfg": 1.0}


@pytest.fixture(params=["forge", "neo"])
def host(request, tmp_path):
    """With files for checkpoints: `wide` and `flow-wide` of other architectures, `other` of the loaded one's."""
    with opened(request.param) as host:
        for name in ("base", "flow", "other", "wide", "flow-wide", "broken"):
            info = CheckpointInfo(name)
            info.filename = str(tmp_path / f"{name}.safetensors")
            (tmp_path / f"{name}.safetensors").write_bytes(b"x" * 1000)
            host.sd_models.checkpoints_list[name] = info
        load(host, "base")
        yield host
        second(host).kept.free()
        assert host.errors == []


def load(host, name):
    host.sd_models.SELECTED = name
    host.sd_models.load(name)
    host.shared.sd_model.sd_checkpoint_info = host.sd_models.checkpoints_list[name]


def second(host):
    return host.extension.HOST.able("architecture")


def engine(host):
    return second(host).kept.loaded.engine


def loads(host) -> list:
    return sys.modules["backend.loader"].loaded


def close(one, other) -> bool:
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.pictures, other.pictures))


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Heun", "DDIM", "UniPC"])
@pytest.mark.parametrize("inversion", ["matched", "paper", "fixed-point", "auto-guidance", "previous-gap"])
@pytest.mark.parametrize("loaded", ["base", "flow"])
def test_with_one_space_and_the_same_network_it_is_the_guidance_gap(host, monkeypatch, sampler, inversion, loaded):
    """Where neither autoencoder changes anything, the way through pixels leads to what the network says by itself."""
    if loaded == "flow" and sampler in ("DDIM", "UniPC"):
        pytest.skip("timestep samplers draw with no flow")
    load(host, loaded)
    monkeypatch.setattr(second(host), "space", lambda self, engine: Space(lambda z: z, lambda p: p))
    ask = {"lambda_steps": 3, "weak_cfg": 2.0, "inversion": inversion, "strength": 0.7}
    direct = host.txt2img(ask, sampler_name=sampler, **FIELDS)
    through = host.txt2img({**ask, "weak_model": loaded}, sampler_name=sampler, **FIELDS)
    assert close(direct, through) and not close(direct, host.txt2img(sampler_name=sampler, **FIELDS))


@pytest.mark.parametrize(("loaded", "weak"), [("base", "wide"), ("base", "flow-wide"), ("flow", "wide")])
@pytest.mark.parametrize("inversion", ["matched", "paper", "fixed-point", "auto-guidance", "previous-gap"])
def test_rows_of_both_networks_are_those_that_were_said(host, loaded, weak, inversion):
    load(host, loaded)
    settings = {**GAP, "weak_model": weak, "inversion": inversion}
    host.txt2img(settings, **FIELDS)
    theirs = engine(host).forge_objects.unet.model.diffusion_model
    theirs.calls.clear()
    drawn = host.txt2img(settings, **FIELDS)
    own, weak_rows = sum(host.calls), sum(theirs.calls)
    (run,) = host.trace()
    asked = as_dict(reflected(**settings))
    said = cost.estimate({"kind": "one", "steps": 5, "cfg": 6.0, "settings": asked, "skips_uncond": True})
    assert own + weak_rows == said["rows"] == run["rows"] and weak_rows == (2 if inversion == "previous-gap" else 3) * (
        3 if inversion == "fixed-point" else 1
    )
    assert min(r["gap_norm"] for r in run["reflections"]) > 0
    assert [of["model"] for of in run["overlays"]] == [weak]
    assert not same_pictures(drawn, host.txt2img(**FIELDS))


@pytest.mark.parametrize("kind", ["txt2img", "img2img", "hires", "batch", "inpainting"])
def test_repeats_and_leaves_nothing_behind(host, kind):
    nmask = torch.zeros(4, 8, 8)
    nmask[:, 2:6, 2:6] = 1
    fields = {
        "hires": {"enable_hr": True},
        "batch": {"batch_size": 2, "n_iter": 2},
        "inpainting": {"mask": 1 - nmask, "nmask": nmask},
    }.get(kind, {})
    request = getattr(host, "img2img" if kind in ("img2img", "inpainting") else "txt2img")

    def draw(*args, **fields):
        torch.manual_seed(0)  # of an inpainting's noise, which no picture's seed decides
        return request(*args, **fields)

    more = {**FIELDS, **fields}
    plain = draw(**more)
    one, two = draw(GAP, **more), draw(GAP, **more)
    assert same_pictures(one, two) and not same_pictures(one, plain) and same_pictures(draw(**more), plain)
    assert all("apply_model" not in vars(e.forge_objects.unet.model) for e in (host.shared.sd_model, engine(host)))
    if kind == "inpainting":
        (given,) = draw({**GAP, "strength": 2}, **more).pictures
        assert torch.equal(given * (1 - nmask), plain.pictures[0] * (1 - nmask))


def test_it_reads_the_weak_prompt_with_its_own_text_encoder(host):
    told = [host.txt2img({**GAP, "weak_prompt": text}, **FIELDS) for text in ("{prompt}", "a dog")]
    assert not same_pictures(*told)
    read = []
    weak = engine(host)
    weak.get_learned_conditioning, own = (lambda texts: read.extend(texts) or own(texts)), weak.get_learned_conditioning
    host.txt2img({**GAP, "weak_prompt": "a dog, {negative_prompt}", "weak_negative_prompt": "sharp"}, **FIELDS)
    assert read == ["a dog, blurry", "sharp"]


def test_it_stays_in_memory_until_another_is_asked_for(host, tmp_path):
    main_entry = sys.modules["modules_forge.main_entry"] if host.txt2img(GAP, **FIELDS) else None
    host.txt2img(GAP, **FIELDS)
    assert len(loads(host)) == 1
    for name in ("ae", "t5"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"x" * 500)
        main_entry.module_list[f"{name}.safetensors"] = str(tmp_path / f"{name}.safetensors")
    host.txt2img({**GAP, "weak_model_modules": "ae, t5.safetensors"}, **FIELDS)
    assert [path.rpartition("/")[2] for path in loads(host)[1]] == [
        "wide.safetensors",
        "ae.safetensors",
        "t5.safetensors",
    ]
    assert second(host).bytes_of(Settings(weak_model="wide", weak_model_modules="ae")) == 1500
    second(host).kept.free()
    host.txt2img(GAP, **FIELDS)
    assert len(loads(host)) == 3
    host.extension.free_memory()
    assert second(host).kept.loaded is None
    main_entry.module_list.clear()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weak_model": "wid"}, ["weak_model", "'wid'", "wide"]),
        (
            {"weak_model": "broken"},
            ["weak_model", "cannot load", "Failed to recognize model type!", "weak_model_modules"],
        ),
        ({**GAP, "weak_model_modules": "ae"}, ["weak_model_modules", "'ae'", "there is none"]),
        ({**GAP, "weak_checkpoint": "other"}, ["weak_checkpoint was given 'other'", "one of the two"]),
        ({**GAP, "weak_alone": True}, ["weak_alone was given True", "one of the two"]),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_the_next_picture_is_drawn(host, settings, words):
    plain = host.txt2img(**FIELDS)
    message = refused(host, settings, **FIELDS)
    assert all(word in message for word in words), message
    assert same_pictures(host.txt2img(**FIELDS), plain)
    assert not same_pictures(host.txt2img(GAP, **FIELDS), plain)


def test_an_error_in_the_weak_network_ends_the_job_and_the_next_one_works(host):
    plain, pushed = host.txt2img(**FIELDS), host.txt2img(GAP, **FIELDS)
    network = engine(host).forge_objects.unet.model.diffusion_model

    def before(error):
        def raising(calls):
            raise error

        return raising

    for error, kind in ((Broken(), Broken), (torch.cuda.OutOfMemoryError("2 GiB"), fastapi.HTTPException)):
        network.before_call = before(error)
        with pytest.raises(kind) as raised:
            host.txt2img(GAP, **FIELDS)
        if kind is not Broken:
            assert raised.value.status_code == 507 and "the weak side" in raised.value.detail
        network.before_call = None
        assert "apply_model" not in vars(engine(host).forge_objects.unet.model)
        assert same_pictures(host.txt2img(**FIELDS), plain) and same_pictures(host.txt2img(GAP, **FIELDS), pushed)


def test_the_user_is_told_where_a_weak_checkpoint_would_do(host):
    p = host.request("Txt2Img", {**GAP, "weak_model": "other"}, **FIELDS)
    host.process(p)
    assert any("As weak checkpoint it does the same" in comment for comment in p.comments)
    p = host.request("Txt2Img", {**GAP, "weak_model": "base"}, **FIELDS)
    host.process(p)
    assert any("the loaded checkpoint itself" in comment for comment in p.comments)


def test_neo_keeps_its_own_arguments_while_another_model_is_loaded():
    with opened("neo") as host:
        from backend.args import dynamic_args

        latent, told = [torch.zeros(1)], {"TI": "mine"}
        dynamic_args.ref_latents, dynamic_args.last_extra_generation_params = latent, told
        apart, arguments = second(host).apart, {}
        with apart(None, arguments):
            dynamic_args.reset()
            dynamic_args.klein = True
            dynamic_args.last_extra_generation_params["TI"] = "theirs"
        assert dynamic_args.ref_latents is latent and len(latent) == 1 and told == {"TI": "mine"}
        assert dynamic_args.klein is False and arguments["klein"] is True
        with apart(None, arguments):
            assert dynamic_args.klein is True and dynamic_args.ref_latents == []
        assert dynamic_args.klein is False


def test_a1111_says_that_it_cannot(a1111):
    message = refused(a1111, {"weak_model": "refiner"})
    assert "a1111" in message and "architecture" in message
