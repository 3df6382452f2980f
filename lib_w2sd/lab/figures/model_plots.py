"""Figures of the emoji model."""

import torch

from .plots import COLOURS, figure, save

OF_WAY = {"paper": COLOURS["W2SD"], "matched": COLOURS["W2SD, matched"]}
OF_GAP = {"checkpoint": "#2166ac", "guidance": "#1b7837", "prompt": "#c62828", "LoRA": "#9970ab"}


def _curve(ax, points, colour, label: str, style: str = "-") -> None:
    """[(at, difference, half)] with its interval as a band."""
    at, by, half = zip(*sorted(points))
    ax.plot(at, by, style, color=colour, lw=1.8, marker="o", ms=3, label=label)
    low, high = [b - h for b, h in zip(by, half)], [b + h for b, h in zip(by, half)]
    ax.fill_between(at, low, high, color=colour, alpha=0.12, lw=0)


def _zero(ax) -> None:
    ax.axhline(0, color=COLOURS["strong"], lw=1.2, ls="--", label="plain")


def gap_size(panels: list, path) -> None:
    """Figure 12. panels: [(Axis, {way: [(weak value, difference to plain, half)]})]."""
    fig, axes = figure(1, len(panels), 5.0, 3.4)
    for ax, (axis, curves) in zip(axes[0], panels):
        for way, points in curves.items():
            _curve(ax, points, OF_WAY[way], way)
        _zero(ax)
        ax.axvline(axis.same, color=COLOURS["truth"], lw=1.0, ls=":")
        ax.set(xlabel=axis.title, ylabel=f"{axis.label}, minus plain's", title="no gap at the dotted line")
    axes[0, 0].legend()
    save(fig, path)


def equal_time(panels: list, path) -> None:
    """Figure 14. panels: [(gap, {way: [(T, difference to plain at T, half)]})]."""
    fig, axes = figure(1, len(panels), 4.4, 3.2, sharey=True)
    for ax, (gap, curves) in zip(axes[0], panels):
        for way, points in curves.items():
            _curve(ax, points, OF_WAY[way], f"W2SD, {way}, T/2 steps")
        _zero(ax)
        ax.set(xlabel="plain steps T", title=f"{gap} gap", xticks=[point[0] for point in points])
    axes[0, 0].set_ylabel("reward minus plain's")
    axes[0, 0].legend()
    save(fig, path)


def share(curves: dict, path) -> None:
    """Figures 19 and 20. curves: {(T, way): [(lambda / T, difference to plain, half)]}."""
    fig, axes = figure(1, 1, 5.0, 3.4)
    ax = axes[0, 0]
    for (T, way), points in curves.items():
        _curve(ax, points, OF_WAY[way], f"T = {T}, {way}", "-" if T > 10 else "--")
    ax.set(xlabel="lambda / T", ylabel="reward minus plain's")
    ax.legend()
    save(fig, path)


def directions(sigmas: list, panels: dict, path) -> None:
    """Figure 26. panels: {kind of pictures: {gap: [Interval of the best strength at each sigma]}}."""
    fig, axes = figure(1, len(panels), 5.0, 3.6, sharey=True)
    for ax, (kind, curves) in zip(axes[0], panels.items()):
        for gap, values in curves.items():
            _curve(ax, [(s, one.mean, one.half) for s, one in zip(sigmas, values)], OF_GAP[gap], f"{gap} gap")
        ax.axhline(0, color="black", lw=0.8)
        ax.set(xscale="log", xlabel=r"$\sigma$ (sampling runs from right to left)", title=kind, ylim=(-0.6, 0.3))
    axes[0, 0].set_ylabel("best w: strong + w (strong - weak)")
    axes[0, 0].legend()
    save(fig, path)


def balance(found: dict, path, shown: int = 40, mapped: int = 120) -> None:
    """Figures 7 and 18: pictures of each way to sample, and the map of their features.

    found: {way: (pictures [N, 3, 64, 64], features [N, F], which are of the rare kind [N], Interval of its share)}
    """
    from sklearn.manifold import TSNE

    fig, axes = figure(2, len(found), 3.6, 2.3, height_ratios=[1, 1.7])
    every = torch.cat([features[:mapped] for _, features, _, _ in found.values()])
    places = TSNE(perplexity=min(30, len(every) // 4), random_state=0, init="pca").fit_transform(every.numpy())
    first = 0
    for (top, bottom), (way, (pictures, features, rare, share)) in zip(axes.T, found.items()):
        top.imshow(sheet(pictures[:shown], 10))
        top.set_title(f"{way}: {share.mean:.0%} ± {share.half:.0%} rare", color=COLOURS.get(way, "#555555"))
        top.axis("off")
        of = slice(first, first + len(features[:mapped]))
        bottom.scatter(*places.T, s=4, color="#e6e6e6")
        for kind, colour, which in (("rare", "#e08214", rare[:mapped] == 1), ("common", "#2d6a9f", rare[:mapped] == 0)):
            bottom.scatter(*places[of][which.numpy()].T, s=9, color=colour, label=kind)
        bottom.set(xticks=[], yticks=[])
        first = of.stop
    axes[1, 0].legend(markerscale=2)
    save(fig, path)


def sheet(x: torch.Tensor, columns: int):
    """Pictures [N, 3, H, W] from 0 to 1 side by side, `columns` in a row, white where none is left: [H', W', 3]."""
    x = torch.cat([x, torch.ones(-len(x) % columns, *x.shape[1:])])
    return x.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)


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
