"""A weak side of another architecture: through pixel space (paper, Figure 31).

Two networks with different autoencoders have nothing in common but the picture. At a latent x = a z + b eps of the
strong side, where z = D_s(x) is its prediction of the clean latent and eps the noise that x then has,

    p  = V_s(z)                          the strong prediction as a picture (V decodes, E encodes)
    y  = a' E_w(p) + b' N(eps)           what the weak side would have there: the same picture, and as much noise for
                                         the signal (b' / a' = b / a), on the weak side's own schedule
    z' = D_w(y)                          what it makes of it
    D(x) = z + E_s(V_w(z')) - E_s(V_w(E_w(p)))

is the weak side's prediction in the strong side's latents. Decoding and encoding change a picture by themselves; both
terms of the difference have gone the same way, so that this error is in neither: a weak side that agrees with p
(z' = E_w(p)) leaves z as it is, to the bit, and there is no gap. Were E_s V_w linear, the difference would be exactly
the change that the weak side wants.

N carries white noise into latents of another shape as white noise: by orthonormal transforms of channels and blocks of
pixels, the coarsest parts first; where the weak latents have more numbers than the strong ones, the finest parts are
noise of their own.

Nothing here knows a schedule: whether a side predicts noise, velocity or flow is its own affair.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import W2SDError


@dataclass(frozen=True)
class Space:
    """Where a network's latents lie: decode(z [B, C, h, w]) -> pictures, and encode(pictures) -> z.

    The pictures of both sides' spaces are of one form.
    """

    decode: Callable
    encode: Callable


def predicted(z, noise, strong: Space, weak: Space, answer: Callable, own_noise: "Callable | None" = None):
    """The weak side's clean latent in the strong side's space: [B, C, h, w], D(x) above.

    z, noise   what the strong side takes for the clean latent and for the noise in its latents [B, C, h, w]
    answer     answer(picture, noise) -> z': the weak side's prediction at this clean latent with this noise on it, both
               and the answer in its own latents
    own_noise  own_noise(shape) -> normal noise, for what the strong side's does not reach; the same at every call of a
               picture
    Raises W2SDError where no whole number of one side's pixels makes one of the other's.
    """
    seen = weak.encode(strong.decode(z))
    there = answer(seen, carried(noise, seen.shape, own_noise))
    return z + (strong.encode(weak.decode(there)) - strong.encode(weak.decode(seen))).to(z.dtype)


def carried(noise: torch.Tensor, shape, own_noise: "Callable | None" = None) -> torch.Tensor:
    """White noise [B, C, h, w] as white noise of another `shape` [B, C', h', w']; of the same shape as it is."""
    if noise.shape == torch.Size(shape):
        return noise
    (h, w), (high, wide) = noise.shape[-2:], shape[-2:]
    fine, coarse = math.gcd(h, high), math.gcd(w, wide)
    down, up = h // fine, high // fine
    if (down, up) != (w // coarse, wide // coarse) or 1 not in (down, up):
        raise W2SDError(
            f"W2SD: the loaded checkpoint's latents are {h} by {w} and the weak one's {high} by {wide} at this size; "
            "allowed is a whole number of times each other."
        )
    blocks = _blocks(noise, down)
    parts = torch.einsum("oi,bihw->bohw", _basis(down * down, noise.shape[1]).to(blocks), blocks)
    wanted = shape[1] * up * up
    if (missing := wanted - parts.shape[1]) > 0:
        own = (own_noise or torch.randn)((len(parts), missing, *parts.shape[2:]))
        parts = torch.cat([parts, own.to(parts)], dim=1)
    basis = _basis(up * up, shape[1]).to(blocks)
    return _unblocked(torch.einsum("io,bihw->bohw", basis, parts[:, :wanted]), up)


def _blocks(x, k: int):
    """[B, C, h, w] -> [B, k k C, h / k, w / k], the pixels of a block before the channels."""
    b, c, h, w = x.shape
    return x.view(b, c, h // k, k, w // k, k).permute(0, 3, 5, 1, 2, 4).reshape(b, k * k * c, h // k, w // k)


def _unblocked(x, k: int):
    """The reverse."""
    b, c, h, w = x.shape
    return x.view(b, k, k, c // (k * k), h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // (k * k), h * k, w * k)


def _basis(pixels: int, channels: int) -> torch.Tensor:
    """Orthonormal [pixels channels, pixels channels]; its first `channels` rows are means over the pixels."""
    return torch.kron(_cosines(pixels), _cosines(channels))


def _cosines(n: int) -> torch.Tensor:
    """The discrete cosine transform (II), orthonormal: [n, n]."""
    k, i = torch.arange(n)[:, None], torch.arange(n)[None]
    found = torch.cos(math.pi * k * (2 * i + 1) / (2 * n)) * math.sqrt(2 / n)
    found[0] /= math.sqrt(2)
    return found
