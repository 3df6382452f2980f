"""Muon (Jordan et al. 2024, github.com/KellerJordan/Muon): momentum whose matrices are made orthogonal.

It needs about half of Adam's steps on networks as small as these. Scaled as in arXiv 2502.16982, so that one learning
rate serves both; vectors, embeddings and the first and last layers take Adam.
"""

import torch


def orthogonal(m: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The orthogonal matrix nearest to m [a, b], by Newton and Schulz's iteration (about: singular values 0.7 to 1.2).

    All of it happens in the smaller of the two spaces, since every factor is a polynomial in m m^T: a fifth of the work.
    """
    turned = m.shape[0] > m.shape[1]
    x = m.T if turned else m
    x = x / (x.norm() + 1e-7)
    gram, factor = x @ x.T, None
    for _ in range(rounds):
        once = -4.7750 * gram + 2.0315 * gram @ gram
        once.diagonal().add_(3.4445)
        factor = once if factor is None else once @ factor
        gram = once @ gram @ once
    x = factor @ x
    return x.T if turned else x


class Muon(torch.optim.Optimizer):
    """Muon for the tensors of two and more dimensions in `matrices`, Adam for `others`."""

    def __init__(self, matrices, others, lr: float, decay: float = 0.0):
        groups = [{"params": list(matrices), "muon": True}, {"params": list(others), "muon": False}]
        super().__init__(groups, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if group["muon"]:
                    m = state.setdefault("m", torch.zeros_like(p))
                    m.lerp_(p.grad, 0.05)
                    flat = p.grad.lerp(m, 0.95).flatten(1)
                    update = orthogonal(flat) * 0.2 * max(flat.shape) ** 0.5
                    p.mul_(1 - group["lr"] * group["decay"]).add_(update.view_as(p), alpha=-group["lr"])
                else:
                    t = state["t"] = state.get("t", 0) + 1
                    m, v = state.setdefault("m", torch.zeros_like(p)), state.setdefault("v", torch.zeros_like(p))
                    m.lerp_(p.grad, 0.1)
                    v.lerp_(p.grad.square(), 0.01)
                    p.addcdiv_(m / (1 - 0.9**t), (v / (1 - 0.99**t)).sqrt() + 1e-8, value=-group["lr"])


def muon(module: torch.nn.Module, lr: float, adam: tuple = (), decay: float = 0.0) -> Muon:
    """For a module; parameters whose name holds one of `adam` are left to Adam."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    by_muon = [p.ndim >= 2 and not any(part in name for part in adam) for name, p in named]
    return Muon(
        [p for (_, p), yes in zip(named, by_muon) if yes],
        [p for (_, p), yes in zip(named, by_muon) if not yes],
        lr,
        decay,
    )
