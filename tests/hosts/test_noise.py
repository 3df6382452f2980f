"""Re-Sampling's noise: a picture is known by its seed and by its variation seed."""

from types import SimpleNamespace

import pytest
import torch

RE_SAMPLED = {"lambda_steps": 3, "inversion": "re-sampling", "strength": 1.0}


@pytest.fixture
def drawn(a1111):
    from lib_w2sd.hosts.sampling.isolation.noise import Noises

    def drawn(seeds, subseeds=(), strength=0, shape=None):
        p = SimpleNamespace(seeds=seeds, subseeds=subseeds, subseed_strength=strength)
        return Noises(p, "test").drawn(shape or (len(seeds), 4, 8, 8))

    return drawn


def test_without_a_variation_it_is_the_seeds(drawn):
    """Whatever the host keeps as variation seeds, which then mean nothing."""
    assert torch.equal(drawn([7, 8]), drawn([7, 8], [1, 2]))
    assert not torch.equal(*drawn([7, 8]))


def test_several_variation_seeds_of_one_seed_are_several_noises(drawn):
    one, other = drawn([7, 7], [1, 2], 0.3)
    assert not torch.equal(one, other)
    assert torch.equal(one, drawn([7], [1], 0.3)[0])


def test_the_variations_strength_goes_from_the_seeds_noise_to_the_variations(drawn):
    ends = drawn([7])[0], drawn([1])[0]
    near, far = drawn([7], [1], 0.05)[0], drawn([7], [1], 1.0)[0]
    assert torch.allclose(far, ends[1], atol=1e-6)
    assert (near - ends[0]).norm() < 0.15 * ends[0].norm()


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_at_every_strength_it_is_normal(drawn, strength):
    noise = drawn([7], [1], strength, (1, 4, 200, 200))
    # Of 160,000 numbers the mean's error is 0.0025, the deviation's 0.0018.
    assert abs(noise.mean()) < 0.0125 and abs(noise.std() - 1) < 0.009


def test_a_variation_that_is_the_seed_is_none(drawn):
    assert torch.equal(drawn([7], [7], 0.5), drawn([7]))


def test_every_picture_and_every_iteration_has_its_own(host):
    """One seed, several variation seeds: strength next to 0 leaves the start alike, and the noise drawn later not."""
    ask = {"batch_size": 2, "n_iter": 2, "seed": 5, "subseed": 11}
    plain = host.txt2img(None, **ask, subseed_strength=1e-7).pictures
    assert all(torch.allclose(plain[0], picture, atol=1e-3) for picture in plain[1:])
    made = host.txt2img(RE_SAMPLED, **ask, subseed_strength=0.5).pictures
    again = host.txt2img(RE_SAMPLED, **{**ask, "subseed": 12}, subseed_strength=0.5).pictures
    assert not any(torch.equal(one, other) for i, one in enumerate(made) for other in made[:i])
    # The same variation seeds, one later: the same pictures, wherever they stand.
    assert torch.allclose(made[1], again[0], atol=1e-4) and torch.allclose(made[3], again[2], atol=1e-4)
