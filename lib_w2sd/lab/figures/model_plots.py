"""Figures of the trained models."""

import torch
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from ..models.network import SIZE
from ..models.scores import LABELS
from .plots import COLOURS, figure, save

OF_INVERSION = {"paper": "W2SD", "matched": "W2SD, matched", "fixed-point": "W2SD, fixed-point"}


def sheet(x, columns: int):
    """Pictures [N, 1, H, W] side by side in rows of `columns`, from 0 to 1, with a dark line between."""
    x = torch.nn.functional.pad((x.clamp(-1, 1) + 1) / 2, (0, 1, 0, 1), value=0.25)[:, 0]
    rows, size = len(x) // columns, SIZE + 1
    return x.view(rows, columns, size, size).permute(0, 2, 1, 3).reshape(rows * size, columns * size)


def inversion(found: dict, plan: dict, purpose: dict, path) -> None:
    """For each gap of `plan` (gap: numbers of steps): distance (top) and the gap's purpose (bottom) over T."""
    fig, axes = figure(2, len(plan), 3.9, 3.1)
    for column, (gap, steps) in enumerate(plan.items()):
        for ax, name in zip(axes[:, column], ("distance", purpose[gap])):
            _line(ax, steps, [found[gap, T, None, None] for T in steps], name, COLOURS["strong"], "strong alone", "-")
            for told, style in (("T/2", "-"), ("T-1", "--")):
                for kind, colour in OF_INVERSION.items():
                    scores = [found[gap, T, told, kind] for T in steps]
                    _line(ax, steps, scores, name, COLOURS[colour], f"{kind}, lambda = {told}", style)
            ax.set_xscale("log")
            ax.set(xticks=steps, ylabel=LABELS[name], xlabel="steps T")
            ax.xaxis.set_major_formatter(ScalarFormatter())
            ax.xaxis.set_minor_locator(NullLocator())
            if name == "distance":
                ax.set_title(f"{gap} gap")
                _log_distance(ax)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=7)
    save(fig, path)


def _log_distance(ax):
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 50, 100, 200, 500, 1000]))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_locator(NullLocator())


def _line(ax, at, scores, name: str, colour, label: str, style: str = "-"):
    """A score with its interval as a band."""
    values = [s.interval(name) for s in scores]
    ax.plot(at, [v.mean for v in values], style, color=colour, lw=1.8, marker="o", ms=3, label=label)
    low, high = [v.mean - v.half for v in values], [v.mean + v.half for v in values]
    ax.fill_between(at, low, high, color=colour, alpha=0.12, lw=0)


def gap_size(found: dict, plain: dict, path) -> None:
    """Figure 12: distance and purpose over the weak side's CFG scale and LoRA scale."""
    axes_names = list(dict.fromkeys(axis for axis, _ in found))
    fig, axes = figure(1, 2 * len(axes_names), 4.0, 3.2)
    for column, axis in enumerate(axes_names):
        lora = "LoRA" in axis
        base, same = plain["LoRA" if lora else "guidance"], 0.8 if lora else 1.0
        for ax, name in zip(axes[0, 2 * column : 2 * column + 2], ("distance", "stripes" if lora else "accuracy")):
            for inversion in ("paper", "matched"):
                points = found[axis, inversion]
                colour = COLOURS[OF_INVERSION[inversion]]
                _line(ax, [value for value, _ in points], [one for _, one in points], name, colour, inversion)
            ax.axhline(base.interval(name).mean, color=COLOURS["strong"], lw=1.2, ls="--", label="strong alone")
            ax.axvline(same, color=COLOURS["truth"], lw=1.0, ls=":")
            ax.set(xlabel=axis, ylabel=LABELS[name], title="no gap at the dotted line" if name == "distance" else "")
            if name == "distance":
                _log_distance(ax)
                ax.legend()
    save(fig, path)


def strength(dosed, plain, path) -> None:
    """Distance and accuracy over strength, one line a lambda."""
    fig, axes = figure(1, 2, 4.4, 3.3)
    shades = {5: "#a1d99b", 10: "#41ab5d", 19: "#00682a"}
    for ax, name in zip(axes[0], ("distance", "accuracy")):
        for count, colour in shades.items():
            points = [(value, one) for n, value, one in dosed if n == count]
            _line(ax, [0.0, *(v for v, _ in points)], [plain, *(one for _, one in points)], name, colour,
                  f"lambda = {count}")  # fmt: skip
        ax.set(xlabel="strength", ylabel=LABELS[name])
    axes[0, 0].legend()
    save(fig, path)


def equal_time(timed, path) -> None:
    """Figure 14: distance and accuracy over the plain run's T."""
    gaps = list(dict.fromkeys(row[0] for row in timed))
    fig, axes = figure(1, 2 * len(gaps), 3.8, 3.2)
    for i, gap in enumerate(gaps):
        rows = [row for row in timed if row[0] == gap]
        at = [row[1] for row in rows]
        for ax, name in zip(axes[0, 2 * i : 2 * i + 2], ("distance", "accuracy")):
            _line(ax, at, [row[2] for row in rows], name, COLOURS["strong"], "strong, T steps")
            for inversion in ("paper", "matched"):
                colour = COLOURS[OF_INVERSION[inversion]]
                _line(ax, at, [row[3][inversion] for row in rows], name, colour, f"W2SD, {inversion}, T/2 steps")
            ax.set(xlabel="T", ylabel=LABELS[name], title=f"{gap} gap", xticks=at)
    axes[0, 0].legend()
    save(fig, path)


def share(shared, path) -> None:
    """Figures 19 and 20: distance and stripe contrast over lambda / T."""
    fig, axes = figure(1, 2, 4.4, 3.3)
    for ax, name in zip(axes[0], ("distance", "stripes")):
        for (T, inversion), points in shared.items():
            colour = COLOURS[OF_INVERSION[inversion]]
            _line(ax, [at for at, _ in points], [one for _, one in points], name, colour, f"T = {T}, {inversion}",
                  "-" if T == 20 else "--")  # fmt: skip
        ax.set(xlabel="lambda / T", ylabel=LABELS[name])
    axes[0, 0].legend()
    save(fig, path)


def balance(found: dict, path, shown: int = 40, mapped: int = 150) -> None:
    """Figures 7 and 18: pictures of each way to sample, and the map of their features."""
    from sklearn.manifold import TSNE

    from ..models import scores
    from ..models.data import CLASSES

    ways = [way for way in ("weak", "strong", "W2SD", "S2WD") if way in found]
    fig, axes = figure(2, len(ways), 3.6, 2.3, height_ratios=[1, 1.7])
    features, kinds, _ = scores.judge(torch.cat([found[way][0].flatten(0, 1)[:mapped] for way in ways]))
    places = TSNE(perplexity=30, random_state=0, init="pca").fit_transform(features.numpy())
    colours = {"bag": "#e08214", "sneaker": "#2d6a9f"}
    for i, way in enumerate(ways):
        x, share = found[way][:2]
        top, bottom = axes[:, i]
        top.imshow(sheet(x.flatten(0, 1)[:shown], 10), cmap="gray", vmin=0, vmax=1)
        top.set_title(f"{way}: {share.mean:.0%} ± {share.half:.0%} bags", color=COLOURS.get(way, "#555555"))
        top.axis("off")
        rows = slice(i * mapped, (i + 1) * mapped)
        bottom.scatter(*places.T, s=4, color="#e6e6e6")
        for kind, colour in colours.items():
            at = places[rows][(kinds[rows] == CLASSES.index(kind)).numpy()]
            bottom.scatter(*at.T, s=9, color=colour, label=kind)
        bottom.set(xticks=[], yticks=[])
        if i == 0:
            bottom.legend(markerscale=2)
    save(fig, path)


def cosines(curves: dict, path) -> None:
    """Figure 26: cosine of the two gaps along sigma. `curves`: {label: (sigmas, [Interval])}."""
    fig, axes = figure(1, 1, 5.5, 3.4)
    ax = axes[0, 0]
    for (label, (sigmas, values)), colour in zip(curves.items(), (COLOURS["strong"], COLOURS["truth"])):
        ax.plot(sigmas, [v.mean for v in values], "o-", ms=4, color=colour, label=label)
        ax.fill_between(sigmas, [v.mean - v.half for v in values], [v.mean + v.half for v in values], color=colour,
                        alpha=0.15, lw=0)  # fmt: skip
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xscale="log", xlabel=r"$\sigma_t$ (sampling runs from right to left)", ylabel=r"$\cos(\Delta_1, \Delta_2)$",
           title="weak-to-strong against strong-to-ideal gap")  # fmt: skip
    ax.legend()
    save(fig, path)


def lambda_by_scale(found: dict, columns: int, path) -> None:
    """{(lambda, weak CFG): pictures}: lambda to the right, weak CFG downwards; `columns` pictures a line of a cell."""
    lambdas, scales = (list(dict.fromkeys(key[axis] for key in found)) for axis in (0, 1))
    fig, axes = figure(len(scales), len(lambdas), 2.2, 1.25)
    for i, scale in enumerate(scales):
        for j, steps in enumerate(lambdas):
            ax = axes[i, j]
            ax.imshow(sheet(found[steps, scale], columns), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title=f"lambda {steps}" if i == 0 else "")
            ax.set_ylabel(f"weak CFG {scale:g}" if j == 0 else "")
            ax.grid(False)
    save(fig, path)


def trace(traces: dict, path) -> None:
    """Norm of the gap and its cosine to the step before, for each reflected run."""
    fig, axes = figure(1, 2, 5.6, 3.2)
    for (name, one), colour in zip(traces.items(), ("#1b7837", "#66bd63", "#b35806", "#fdb863")):
        steps = [r["step"] + 1 for r in one["reflections"]]
        axes[0, 0].plot(steps, [r["gap_norm"] for r in one["reflections"]], "o-", ms=4, color=colour, label=name)
        cosines = [(s, r["cosine"]) for s, r in zip(steps, one["reflections"]) if r["cosine"] is not None]
        axes[0, 1].plot(*zip(*cosines), "o-", ms=4, color=colour, label=name)
    axes[0, 0].set(
        xlabel="step", ylabel=r"$|d_{strong} - d_{weak}|$ a picture", title="norm of the gap", ylim=(0, None)
    )
    axes[0, 1].set(xlabel="step", ylabel="cosine", title="cosine to the step before")
    axes[0, 1].set_ylim(min(0.0, axes[0, 1].get_ylim()[0]), 1.02)
    axes[0, 0].legend()
    save(fig, path)
