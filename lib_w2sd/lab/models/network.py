"""The lab's small diffusion networks for 16x16 grey pictures, preconditioned as in Karras et al. 2022 (EDM), table 1.

Both take x of shape [B, 1, 16, 16], a noise level and two labels: the class (0 to 9) and the attribute (0 dark,
1 bright); NO_CLASS and NO_ATTRIBUTE stand for a label left out, which is what classifier-free guidance needs.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

SIZE = 16
SIGMA_DATA = 0.5
NO_CLASS, NO_ATTRIBUTE = 10, 2


class Embedding(nn.Module):
    """Noise level and labels, in one vector of `width`."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 16)), persistent=False)
        self.noise = nn.Linear(32, width)
        self.kind = nn.Embedding(11, width)
        self.attribute = nn.Embedding(3, width)
        self.out = nn.Linear(width, width)

    def forward(self, c_noise, labels):
        angles = c_noise[:, None] * self.frequencies
        noise = self.noise(torch.cat([angles.cos(), angles.sin()], dim=1))
        return F.silu(self.out(F.silu(noise + self.kind(labels[:, 0]) + self.attribute(labels[:, 1]))))


class Block(nn.Module):
    """Two convolutions with a residual, scaled and shifted by the embedding."""

    def __init__(self, channels: int, out: int, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, out)
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.embed = nn.Linear(width, 2 * out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """One head of self-attention over all pixels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.to_qkv, self.to_out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, x):
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.to_qkv(tokens).chunk(3, dim=2)
        h = self.to_out(F.scaled_dot_product_attention(q, k, v))
        return x + h.transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """Three resolutions: 16, 8 and 4 pixels."""

    def __init__(self, channels=(32, 64, 96), width: int = 128):
        super().__init__()
        a, b, c = channels
        self.embedding = Embedding(width)
        self.conv_in = nn.Conv2d(1, a, 3, padding=1)
        self.down16 = Block(a, a, width)
        self.down8 = Block(a, b, width)
        self.down4 = Block(b, c, width)
        self.attention = Attention(c)
        self.middle = Block(c, c, width)
        self.up8 = Block(c + b, b, width)
        self.up16 = Block(b + a, a, width)
        self.norm_out = nn.GroupNorm(8, a)
        self.conv_out = nn.Conv2d(a, 1, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, x, c_noise, labels):
        e = self.embedding(c_noise, labels)
        h16 = self.down16(self.conv_in(x), e)
        h8 = self.down8(F.avg_pool2d(h16, 2), e)
        h = self.down4(F.avg_pool2d(h8, 2), e)
        h = self.middle(self.attention(h), e)
        h = self.up8(torch.cat([F.interpolate(h, scale_factor=2), h8], dim=1), e)
        h = self.up16(torch.cat([F.interpolate(h, scale_factor=2), h16], dim=1), e)
        return self.conv_out(F.silu(self.norm_out(h)))


class Experts(nn.Module):
    """A mixture of `count` small MLPs, two routed a token, beside one shared MLP (DiT-MoE, arXiv 2407.11633).

    `least`: route the two least likely experts instead, which is the paper's weak model (4.1, Table 4).
    """

    def __init__(self, width: int, hidden: int, shared: int, count: int = 8, routed: int = 2):
        super().__init__()
        self.count, self.routed = count, routed
        self.router = nn.Linear(width, count, bias=False)
        self.up = nn.Parameter(torch.randn(count, width, hidden) * width**-0.5)
        self.down = nn.Parameter(torch.randn(count, hidden, width) * hidden**-0.5 * 0.1)
        self.shared = nn.Sequential(nn.Linear(width, shared), nn.GELU(), nn.Linear(shared, width))

    def forward(self, tokens, least: bool = False):
        flat = tokens.flatten(0, 1)
        likelihood = self.router(flat).softmax(dim=1)
        chosen, which = likelihood.topk(self.routed, dim=1, largest=not least)
        weights = chosen / chosen.sum(dim=1, keepdim=True)
        routed = torch.zeros_like(flat)
        for i in range(self.count):
            row, place = (which == i).nonzero(as_tuple=True)
            h = F.gelu(flat[row] @ self.up[i]) @ self.down[i]
            routed = routed.index_add(0, row, h * weights[row, place, None])
        # Switch Transformer's balance loss: 1 when every expert gets its share.
        share = F.one_hot(which, self.count).float().mean(dim=(0, 1))
        self.imbalance = self.count * (share * likelihood.mean(dim=0)).sum()
        return (self.shared(flat) + routed).view_as(tokens)


class DiTBlock(nn.Module):
    """Attention and experts, both modulated by the embedding (adaLN)."""

    def __init__(self, width: int, heads: int, hidden: int, shared: int, embedding: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.experts = Experts(width, hidden, shared)
        self.modulation = nn.Linear(embedding, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x, embedding, least: bool):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(embedding)[:, None].chunk(6, dim=2)
        q, k, v = self.qkv(self.norm1(x) * (1 + scale1) + shift1).chunk(3, dim=2)
        split = lambda y: y.unflatten(2, (self.heads, -1)).transpose(1, 2)
        h = F.scaled_dot_product_attention(split(q), split(k), split(v))
        x = x + (1 + gate1) * self.proj(h.transpose(1, 2).flatten(2))
        return x + (1 + gate2) * self.experts(self.norm2(x) * (1 + scale2) + shift2, least)


class MoEDiT(nn.Module):
    """A diffusion transformer on patches of 2x2 pixels, with a mixture of experts in every block."""

    def __init__(self, width: int = 96, depth: int = 3, embedding: int = 96):
        super().__init__()
        self.least = False
        self.embedding = Embedding(embedding)
        self.patch = nn.Conv2d(1, width, 2, stride=2)
        self.place = nn.Parameter(torch.randn(1, (SIZE // 2) ** 2, width) * 0.02)
        self.blocks = nn.ModuleList([DiTBlock(width, 4, 96, 128, embedding) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 4)
        nn.init.zeros_(self.out.weight)

    def forward(self, x, c_noise, labels):
        e = self.embedding(c_noise, labels)
        tokens = self.patch(x).flatten(2).transpose(1, 2) + self.place
        for block in self.blocks:
            tokens = block(tokens, e, self.least)
        h = self.out(self.norm(tokens)).transpose(1, 2).unflatten(2, (SIZE // 2, SIZE // 2))
        return F.pixel_shuffle(h, 2)

    def imbalance(self):
        return sum(block.experts.imbalance for block in self.blocks) / len(self.blocks)


class Denoiser(nn.Module):
    """D(x; sigma): EDM's preconditioning around a network F, so that it returns the clean picture."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x, sigma, labels):
        sigma = sigma.to(x.dtype).expand(x.shape[0])
        s = sigma[:, None, None, None]
        total = (s**2 + SIGMA_DATA**2).sqrt()
        h = self.network(x / total, sigma.log() / 4, labels)
        return x * (SIGMA_DATA / total) ** 2 + h * s * SIGMA_DATA / total


class Classifier(nn.Module):
    """Class and attribute of a clean picture; `features` [B, 64] are what the Fréchet distance is taken in."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU(), nn.Flatten(),
            nn.Linear(96 * 16, 64),
        )  # fmt: skip
        self.kind, self.attribute = nn.Linear(64, 10), nn.Linear(64, 2)

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        h = F.relu(self.features(x))
        return self.kind(h), self.attribute(h)
