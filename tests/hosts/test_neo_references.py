"""Edit models on Forge Neo: the picture that is edited is the network's and the prompts' own, of ours too."""

import sys
from types import SimpleNamespace

import pytest
import torch

from ..webui import opened
from ..webui.network import encode

PICTURE = torch.ones(1, 4, 8, 8)


@pytest.fixture
def edited():
    """A Neo whose engine takes the picture of an img2img with the first prompt that is encoded, as Kontext's does."""
    with opened("neo") as host:
        arguments = sys.modules["backend.args"].dynamic_args
        seen = SimpleNamespace(host=host, texts=[], references=[])

        def processing_with_a_picture(init):
            def begun(p):
                init(p)
                host.shared.sd_model.ini_latent = PICTURE

            return begun

        def encoded(texts):
            engine = host.shared.sd_model
            if not texts.is_negative_prompt:
                arguments.ref_latents = [one for one in (engine.ini_latent,) if one is not None]
                engine.ini_latent = None
                seen.texts += [(text, len(arguments.ref_latents)) for text in texts]
            return [encode(text) for text in texts]

        img2img = host.processing.StableDiffusionProcessingImg2Img
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(img2img, "init", processing_with_a_picture(img2img.init))
            patch.setattr(host.shared.sd_model, "get_learned_conditioning", encoded, raising=False)
            patch.setattr(host.shared.sd_model, "ini_latent", None, raising=False)
            patch.setattr(arguments, "ref_latents", [])
            host.unet.before_call = lambda *_: seen.references.append(list(arguments.ref_latents))
            yield seen
            host.unet.before_call = None


def test_a_weak_prompt_is_given_the_picture_and_leaves_it_to_the_network(edited):
    settings = {"lambda_steps": 2, "weak_cfg": 5, "weak_prompt": "a dog"}
    for _ in range(2):  # the next request, too
        edited.texts.clear(), edited.references.clear()
        edited.host.img2img(settings, prompt="a cat", cfg_scale=5, steps=4)
        assert edited.texts == [("a cat", 1), ("a dog", 1)]
        assert len(edited.references) > 4 and all(one == [PICTURE] for one in edited.references)


def test_without_a_picture_there_is_none(edited):
    edited.host.txt2img({"lambda_steps": 2, "weak_cfg": 5, "weak_prompt": "a dog"}, prompt="a cat", steps=4)
    assert edited.texts == [("a cat", 0), ("a dog", 0)] and not any(edited.references)
