"""The weak side of another architecture, through pixel space: against linear autoencoders, where all is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_w2sd.errors import W2SDError
from lib_w2sd.method.bridge import Space, carried, predicted
from lib_w2sd.method.reflection import Sigma, reflect

PICTURE = 48


def linear(channels: int, seed: int, lossy: bool = False) -> Space:
    """Latents [B, channels, 4, 4] of pictures [B, PICTURE, 4, 4], an invertible (or lossy) map at each place."""
    generator = torch.Generator().manual_seed(seed)
    encoder = torch.linalg.qr(torch.randn(PICTURE, PICTURE, generator=generator, dtype=torch.float64))[0][:channels]
    decoder = encoder.T if not lossy else encoder.T + 0.05 * torch.randn(encoder.T.shape, generator=generator).double()
    return Space(
        lambda z: torch.einsum("oi,bihw->bohw", decoder, z), lambda p: torch.einsum("oi,bihw->bohw", encoder, p)
    )


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_a_weak_side_that_agrees_leaves_no_gap_to_the_bit():
    strong, weak = linear(4, 0, lossy=True), linear(16, 1, lossy=True)
    z, noise = random(2, 4, 4, 4) / 3, random(2, 4, 4, 4)
    assert torch.equal(predicted(z, noise, strong, weak, lambda picture, noise: picture, torch.randn), z)


def test_what_the_weak_side_wants_changed_is_changed():
    """Its latents hold the strong one's: adding a change to the picture adds it to the strong prediction."""
    strong, weak = linear(4, 0), linear(PICTURE, 1)
    noise, z, change = random(1, 4, 4, 4), random(1, 4, 4, 4) / 2, random(1, PICTURE, 4, 4)
    found = predicted(z, noise, strong, weak, lambda picture, noise: picture + weak.encode(change), torch.randn)
    torch.testing.assert_close(found, z + strong.encode(change))


def test_the_weak_side_is_asked_at_the_same_picture_and_noise():
    strong, weak, asked = linear(4, 0), linear(4, 1), {}
    z, noise = random(2, 4, 4, 4), torch.randn(2, 4, 4, 4, dtype=torch.float64)

    def answer(picture, noise):
        asked.update(picture=picture, noise=noise)
        return picture

    predicted(z, noise, strong, weak, answer)
    torch.testing.assert_close(asked["picture"], weak.encode(strong.decode(z)))
    assert torch.equal(asked["noise"], noise)


def test_in_one_space_it_is_the_weak_model_itself():
    """An exact autoencoder and the same latents: the reflection through pixels is the plain one."""
    space = Space(lambda z: z, lambda p: p)
    x, t, end = random(2, 4, 4, 4), torch.tensor(2.0), torch.tensor(1.5)

    def strong(x, t):
        return 0.5 * x

    def weak(x, t):
        return torch.tanh(x) / 3

    def through_pixels(x, t):
        z = strong(x, t)
        noise = Sigma().noise(x, z, t)
        return predicted(z, noise, space, space, lambda picture, noise: weak(picture + t * noise, t))

    direct = reflect(x, t, end, strong, weak, Sigma(), "matched").x
    bridged = reflect(x, t, end, strong, through_pixels, Sigma(), "matched").x
    torch.testing.assert_close(bridged, direct, rtol=1e-10, atol=1e-10)


SHAPES = [(4, 8, 8), (16, 8, 8), (4, 16, 16), (3, 4, 4), (16, 4, 4), (4, 32, 16)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHAPES), st.sampled_from(SHAPES), st.integers(0, 100))
def test_white_noise_stays_white(one, other, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(4000, *one, generator=generator)
    ratios = {one[1] / other[1], one[2] / other[2]}
    if len(ratios) > 1:
        with pytest.raises(W2SDError, match="a whole number of times"):
            carried(noise, (4000, *other))
        return
    found = carried(noise, (4000, *other), lambda shape: torch.randn(shape, generator=generator))
    assert found.shape == (4000, *other)
    flat = found.flatten(1)
    places = torch.randperm(flat.shape[1], generator=generator)[:24]
    assert (flat[:, places].T.cov() - torch.eye(len(places))).abs().max() < 0.12
    if one == other:
        assert torch.equal(found, noise)


def test_the_noise_of_a_place_stays_at_its_place():
    noise = torch.zeros(1, 4, 8, 8)
    noise[0, 0, 2, 5] = 1
    found = carried(noise, (1, 16, 4, 4), torch.zeros)
    assert found[0, :, 1, 2].norm() == pytest.approx(1.0) and found.norm() == pytest.approx(1.0)
    back = carried(found, (1, 4, 8, 8))
    torch.testing.assert_close(back, noise)


def test_the_same_noise_comes_at_every_call():
    noise = torch.randn(2, 4, 8, 8)
    own = torch.randn(2, 12, 8, 8)
    assert torch.equal(*(carried(noise, (2, 16, 8, 8), lambda shape: own) for _ in range(2)))
