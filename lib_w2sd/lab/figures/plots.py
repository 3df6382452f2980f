"""What all of the lab's figures share: colours and style."""

import matplotlib
from matplotlib.figure import Figure

COLOURS = {
    "weak": "#2166ac",
    "strong": "#c62828",
    "W2SD": "#1b7837",
    "W2SD, matched": "#66bd63",
    "W2SD, fixed-point": "#9970ab",
    "truth": "#8c8c8c",
    "ideal": "#6a51a3",
}
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
}


matplotlib.rcParams.update(STYLE)


def figure(rows: int, columns: int, width: float = 4.0, height: float = 3.2, **kwargs):
    """(figure, axes [rows, columns]); no window, no global figure."""
    fig = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


def save(fig, path) -> None:
    """Write a PNG to a path or an open file."""
    if hasattr(path, "parent"):
        path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, format="png")
