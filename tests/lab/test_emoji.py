"""The emoji model's parts that need no trained weights."""

import random

import pytest
import torch
from diffusers.loaders import single_file_utils
from k_diffusion.external import DiscreteSchedule

from lib_w2sd.lab.emoji import autoencoder, captions, checkpoint, lora, models, optimiser, text, unet, weights
from lib_w2sd.lab.emoji.captions import Caption
from lib_w2sd.lab.emoji.resumable import Run


@pytest.fixture(scope="module")
def tokens():
    return text.Tokens.of(["", "a red apple, flat style"])


@pytest.fixture(scope="module")
def random_model(tokens):
    torch.manual_seed(0)
    net, encoder = (module.eval().requires_grad_(False) for module in (unet.new(), text.new(tokens)))
    return models.Model(net, encoder, tokens, {"steps": 0})


def test_captions_read_as_a_person_would_type_them():
    person = Caption("firefighter", "people", who="woman", tone="dark", style="flat")
    assert person.text() == "a woman firefighter with dark skin, flat style"
    assert person.plain().text() == "a firefighter"
    assert Caption("heart", "shape", color="orange").text() == "an orange heart"
    assert Caption("french fries", "food", style="shaded").text() == "french fries, shaded style"
    assert Caption("ufo", "object").text() == "a ufo"


def test_some_combinations_are_held_out_and_every_part_of_them_is_trained():
    every = list(captions.every())
    trained, held_out = [c for c in every if not c.held_out], [c for c in every if c.held_out]
    assert len(set(every)) == len(every) and len(held_out) > 50
    for caption in held_out:
        assert any(c.name == caption.name and c.style == caption.style for c in trained)
        assert any(c.tone == caption.tone and c.color == caption.color for c in trained)


def test_a_caption_with_parts_unsaid_never_says_another():
    caption, rng = Caption("heart", "shape", color="red", style="flat"), random.Random(0)
    texts = {captions.dropped(caption, rng).text() for _ in range(200)}
    assert texts == {"a red heart, flat style", "a red heart", "a heart, flat style", "a heart"}


def test_tokens_are_clips():
    assert text.token_ids("A red apple")[:5] == (49406, 320, 736, 3055, 49407)
    assert len(text.token_ids("word " * 200)) == 77 and text.token_ids("word " * 200)[-1] == 49407
    assert len(text.vocabulary()[0]) == 49408


def test_unknown_words_share_one_row_in_the_lab_and_in_the_full_vocabulary(tokens):
    ids = tokens.ids(["a red bicycle"])[0]
    assert ids[:5].tolist()[3] == 0 and 0 not in ids[:3].tolist() and ids[0] == len(tokens) - 2
    rows = torch.randn(len(tokens), 4)
    full = tokens.full(rows)
    assert full.shape == (49408, 4)
    for place, token in zip(ids, text.token_ids("a red bicycle")):
        assert torch.equal(full[token], rows[place])


def test_sigmas_and_timesteps_are_k_diffusions():
    sigmas = unet.sigmas()
    assert sigmas[0].item() == pytest.approx(0.0292, abs=1e-4) and sigmas[-1].item() == pytest.approx(14.6146, abs=1e-3)
    theirs = DiscreteSchedule(sigmas, quantize=False)
    asked = torch.tensor([0.02, 0.0292, 0.5, 1.0, 7.3, 14.6146, 30.0])
    inside = asked.clamp(sigmas[0], sigmas[-1])
    torch.testing.assert_close(unet.timestep(asked), theirs.sigma_to_t(inside), atol=2e-3, rtol=1e-5)


def test_denoising_is_exact_where_v_is():
    latents, noise, sigma = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8), torch.tensor([0.05, 1.0, 14.0])
    s = sigma[:, None, None, None]
    v = (noise - s * latents) / (1 + s * s).sqrt()
    found = unet.denoise(lambda *args, **kwargs: (v,), latents + s * noise, sigma, None)
    torch.testing.assert_close(found, latents, atol=2e-4, rtol=1e-4)


def test_orthogonal_has_singular_values_near_one():
    for shape in ((32, 288), (96, 32)):
        values = torch.linalg.svdvals(
            optimiser.orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        )
        assert 0.6 < values.min() and values.max() < 1.3


def test_a_byte_a_weight_keeps_each_row_to_half_a_step(tmp_path):
    generator = torch.Generator().manual_seed(0)
    kept = {"a": torch.randn(64, 32, generator=generator) * 10, "b": torch.randn(7, generator=generator)}
    path = weights.save(tmp_path / "x.safetensors", {**kept, "n": torch.tensor([1, 2])}, {"steps": 3})
    found, about = weights.read(path)
    step = kept["a"].abs().amax(dim=1, keepdim=True) / 127
    assert ((found["a"] - kept["a"]).abs() <= 0.51 * step).all()
    torch.testing.assert_close(found["b"], kept["b"], atol=1e-3, rtol=1e-3)
    assert found["n"].tolist() == [1, 2] and about == {"steps": 3}


def test_settled_latents_have_unit_variance_and_decode_to_the_same_picture():
    torch.manual_seed(0)
    model = autoencoder.new().eval()
    pictures = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    x = pictures.float() / 127.5 - 1
    with torch.no_grad():
        before = autoencoder.decode(model, autoencoder.mean(model, x))
        autoencoder.settle(model, pictures)
        z = autoencoder.mean(model, x)
        torch.testing.assert_close(autoencoder.decode(model, z), before, atol=1e-4, rtol=1e-4)
    flat = (z * autoencoder.SCALING).permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(flat.cov(), torch.eye(4), atol=1e-3, rtol=0)
    assert flat.mean(1).abs().max() < 1e-4


def run_of(folder, steps):
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 8)
    return Run("line", model, optimiser.muon(model, 1e-2), folder, steps)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    def loss_of(model, generator):
        return (model(torch.randn(4, 8, generator=generator)) - torch.randn(4, 8)).square().mean(), {}

    def stop(run):
        run.save()
        raise KeyboardInterrupt

    whole = run_of(tmp_path / "a", 20).go(loss_of)
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "b", 20).go(loss_of, {7: stop})
    again = run_of(tmp_path / "b", 20)
    assert again.step == 7
    again.go(loss_of)
    assert torch.equal(again.module.weight, whole.module.weight)
    assert torch.equal(again.averaged.weight, whole.averaged.weight)


def test_the_checkpoint_converts_back_to_the_same_networks(random_model):
    vae = autoencoder.new()
    found = checkpoint.tensors(random_model, vae)
    config = {**random_model.unet.config, "use_linear_projection": False}
    back = single_file_utils.convert_ldm_unet_checkpoint(dict(found), config)
    own = random_model.unet.state_dict()
    assert back.keys() == own.keys() and all(torch.equal(back[key], own[key]) for key in own)
    back = single_file_utils.convert_ldm_vae_checkpoint(dict(found), vae.config)
    own = vae.state_dict()
    assert back.keys() == own.keys() and all(torch.equal(back[key].view_as(own[key]), own[key]) for key in own)
    assert found["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"].shape == (
        49408,
        text.WIDTH,
    )


def test_a_lora_touches_layers_of_the_checkpoint_and_leaves_the_network_as_it_was(random_model, tmp_path):
    torch.manual_seed(0)
    adapter = lora.new(random_model.unet)
    for value in adapter.values():
        value.data.normal_(0, 0.1)
    x, sigma, cond = torch.randn(1, 4, 8, 8), torch.ones(1), random_model.encode(["a red apple"])
    with torch.no_grad():
        plain = random_model(x, sigma, cond)
        with lora.on(random_model.unet, adapter, 0.5):
            changed = random_model(x, sigma, cond)
        assert torch.equal(random_model(x, sigma, cond), plain) and (changed - plain).abs().max() > 1e-3
        lora.save(tmp_path / "emoji-x.safetensors", adapter, {})
        with lora.on(random_model.unet, lora.load("x", tmp_path), 0.5):
            torch.testing.assert_close(random_model(x, sigma, cond), changed, atol=2e-2, rtol=2e-2)
    layers = {
        key.removeprefix("model.diffusion_model.").removesuffix(".weight").replace(".", "_")
        for key in checkpoint.tensors(random_model, autoencoder.new())
    }
    touched = {key.partition("/")[0].removeprefix("lora_unet_") for key in adapter}
    assert touched <= layers and len(touched) > 40
