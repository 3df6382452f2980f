"""Figures of the Gaussian mixtures."""

import torch
from matplotlib.ticker import MaxNLocator

from .plots import COLOURS, figure, save

SHOWN = ("weak", "strong", "W2SD")


def overview(outcomes: dict, path) -> None:
    """Densities and trajectories in 1-D at two numbers of steps, contours and trajectories in 2-D."""
    fig, axes = figure(3, 4, 4.2, 3.4)
    for line, (name, steps) in zip(axes, (("1-D", 5), ("1-D", 20), ("2-D", 20))):
        of = {method: outcomes[name, steps, method] for method in (*SHOWN, "W2SD, matched")}
        if name == "1-D":
            _densities(line[0], of, f"1-D, {steps} steps: what is drawn")
            for ax, method in zip(line[1:], SHOWN):
                _paths_1d(ax, of[method], method)
        else:
            _contours(line[0], of["strong"].case)
            for ax, method in zip(line[1:], SHOWN):
                _paths_2d(ax, of[method], method)
    save(fig, path)


def _densities(ax, of: dict, title: str):
    case = of["strong"].case
    grid = torch.linspace(-7, 7, 701)
    truth = case.truth.log_density(grid[:, None]).exp()
    ax.fill_between(grid, truth, color=COLOURS["truth"], alpha=0.35, lw=0, label="truth")
    for method, outcome in of.items():
        x = outcome.x.flatten()
        heights = torch.histc(x, bins=140, min=-7, max=7) / (len(x) * 0.1)
        ax.plot(torch.linspace(-6.95, 6.95, 140), heights, color=COLOURS[method], lw=1.8, label=method,
                ls="--" if "matched" in method else "-")  # fmt: skip
    ax.set(title=title, xlabel="x", ylabel="density", xlim=(-7, 7), ylim=(0, None))
    ax.legend(loc="upper center", handlelength=1.2, bbox_to_anchor=(0.5, 1.02))


def _paths_1d(ax, outcome, method: str, shown: int = 60):
    """Latents scaled as the network sees them, x / sqrt(1 + sigma^2), so that all steps fit one axis."""
    x = outcome.trajectory[:, :shown, 0]
    x = x / (1 + outcome.sigmas[:, None] ** 2).sqrt()
    rare = outcome.case.truth.nearest(outcome.trajectory[-1, :shown]) == outcome.case.rare
    steps = torch.arange(len(x))
    ax.plot(steps, x[:, ~rare], color="#b5b5b5", lw=0.8, alpha=0.8)
    ax.plot(steps, x[:, rare], color=COLOURS[method], lw=1.0, alpha=0.9)
    mass = (outcome.case.truth.nearest(outcome.x.flatten(0, 1)) == outcome.case.rare).float().mean()
    ax.set(title=f"{method}: {mass:.0%} end at -4", xlabel="step", ylabel=r"$x_t\,/\,\sqrt{1+\sigma_t^2}$",
           ylim=(-6.5, 6.5), xlim=(0, len(x) - 1))  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.axhline(-4, color=COLOURS["truth"], lw=0.8, ls=":")
    ax.axhline(4, color=COLOURS["truth"], lw=0.8, ls=":")
    ax.title.set_color(COLOURS[method])


def _grid(limit=6.0, n=121):
    line = torch.linspace(-limit, limit, n)
    a, b = torch.meshgrid(line, line, indexing="xy")
    return line, torch.stack([a.flatten(), b.flatten()], dim=1), n


def _contours(ax, case):
    line, points, n = _grid()
    for mixture, name, style in ((case.truth, "truth", "-"), (case.strong, "strong", "-"), (case.weak, "weak", "-")):
        p = mixture.log_density(points).exp().reshape(n, n)
        if name == "truth":
            ax.contourf(line, line, p, levels=[0.004, 0.02, 0.05, 0.2], colors=["#ededed", "#d5d5d5", "#bdbdbd"])
        else:
            ax.contour(line, line, p, levels=[0.008], colors=[COLOURS[name]], linewidths=1.8, linestyles=style)
    for name in ("truth", "strong", "weak"):
        ax.plot([], [], color=COLOURS[name], lw=6 if name == "truth" else 1.8, label=name)
    _square(ax, "2-D, 20 steps: the models")
    ax.legend(loc="upper center", ncols=3, handlelength=1.2, bbox_to_anchor=(0.5, 1.01))


def _paths_2d(ax, outcome, method: str, shown: int = 70):
    case = outcome.case
    line, points, n = _grid()
    p = case.truth.log_density(points).exp().reshape(n, n)
    ax.contourf(line, line, p, levels=[0.004, 0.02, 0.05, 0.2], colors=["#f0f0f0", "#dedede", "#cccccc"])
    x = outcome.trajectory[:, :shown]
    x = x / (1 + outcome.sigmas[:, None, None] ** 2).sqrt()
    ends = outcome.trajectory[-1]
    rare = case.truth.nearest(x[-1]) == case.rare
    ax.plot(x[:, ~rare, 0], x[:, ~rare, 1], color="#a3a3a3", lw=0.6, alpha=0.7)
    ax.plot(x[:, rare, 0], x[:, rare, 1], color=COLOURS[method], lw=1.0, alpha=0.9)
    ax.plot(ends[:, 0], ends[:, 1], ".", color=COLOURS[method], ms=3, alpha=0.8)
    mass = (case.truth.nearest(outcome.x.flatten(0, 1)) == case.rare).float().mean()
    _square(ax, f"{method}: {mass:.0%} end bottom left")
    ax.title.set_color(COLOURS[method])


def _square(ax, title):
    ax.set(title=title, xlim=(-6, 6), ylim=(-6, 6), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")


def theory(steps, first: dict, second: list, third: list, plain: float, path) -> None:
    """Theorem 1's error over T; Theorems 2 and 3 over epsilon; W2SD over the bias ratio."""
    fig, axes = figure(1, 4, 4.1, 3.5)
    a, b, c, d = axes[0]
    names = {"paper": "W2SD", "matched": "W2SD, matched", "fixed-point": "W2SD, fixed-point"}
    for inversion in ("paper", "fixed-point"):
        a.loglog(steps, first[inversion], "o-", ms=4, color=COLOURS[names[inversion]], label=inversion)
    a.set(title="Theorem 1: deviation from eq. (5)", xlabel="steps T", ylabel="share of the move")
    a.plot([], [], " ", label=f"matched: {max(first['matched']):.0e}")
    a.legend()
    epsilon = [row["epsilon"] for row in second]
    b.plot(epsilon, [row["mean share"] for row in second], "o-", color=COLOURS["W2SD"], label="mean")
    b.plot(epsilon, [row["greatest share"] for row in second], "s-", color=COLOURS["strong"], label="greatest")
    b.plot(epsilon, epsilon, "--", color=COLOURS["truth"], label=r"$\epsilon$ (bound with C = 1)")
    b.set(title="Theorem 2: error of the gap", xlabel=r"$\epsilon$", ylabel=r"$|\Delta_1-\Delta_2|\,/\,|\Delta_2|$")
    b.legend()
    c.loglog(epsilon, [row["fisher"] for row in second], "o-", color=COLOURS["W2SD"], label="Fisher ratio")
    c.loglog(epsilon, [e**2 for e in epsilon], "--", color=COLOURS["truth"], label=r"$\epsilon^2$")
    c.loglog(epsilon, [row["greatest share"] ** 2 for row in second], ":", color=COLOURS["strong"],
             label="greatest error squared")  # fmt: skip
    c.set(title="Theorem 3: Fisher divergence", xlabel=r"$\epsilon$", ylabel=r"$J(w2sd)\,/\,J(strong)$")
    c.legend()
    ratio = [row["ratio"] for row in third]
    for inversion in ("paper", "matched"):
        value = [row[inversion][1] for row in third]
        d.errorbar(ratio, [v.mean for v in value], [v.half for v in value], color=COLOURS[names[inversion]],
                   marker="o", ms=4, label=inversion)  # fmt: skip
    d.axhline(plain, color=COLOURS["strong"], lw=1.2, ls="--", label="strong alone")
    d.axvspan(min(ratio), 0, color="#fde0dd", lw=0)
    d.axvspan(0.9, 1.1, color="#fff3cd", lw=0)
    d.text(min(ratio) / 2, 0.2, "conflict", ha="center", fontsize=9)
    d.text(1.0, 0.2, "same", ha="center", fontsize=9)
    d.set(title="Figures 3, 22, 23: the bias ratio", xlabel="bias of weak / bias of strong",
          ylabel="distance to the truth (W1)", xlim=(min(ratio), max(ratio)), ylim=(0, None))  # fmt: skip
    d.legend()
    save(fig, path)
