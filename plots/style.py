"""How every figure looks: colours, markers, lines, sizes, legends, and how it is saved.

The first three colours follow Paul Tol's high-contrast scheme: distinct to colour-blind readers and, by their
lightness, in grey; markers and line styles differ as well.
"""
import io

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.ticker  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of the backend)

COLOURS = ["#004488", "#BB5566", "#CC9922", "#000000", "#6699CC", "#997700", "#EE99AA"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3))]
SINGLE, DOUBLE = 3.5, 7.2  # inches: one and two columns of a paper
BAND = "#D8D8D8"
SLOW_TIME = r"slow time $t=\sum\eta^2$ (dimensionless)"
SLOW_TIME_SHORT = r"slow time $t=\sum\eta^2$ (1)"

# What a theory is called in legends, and its line.
THEORIES = {
    "papers": ("slow SDE of the papers", ":"),
    "finite-step": ("finite-step", "--"),
    "sampling": ("finite-step with sampling", "-"),
    "heavy-ball": ("heavy ball", "-."),
    "quasi-static": ("quasi-static process", "-."),
    "conventional-sde": ("conventional SDE", (0, (5, 1, 1, 1, 1, 1))),
}

_SETTINGS = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7, "legend.title_fontsize": 7,
    "mathtext.fontset": "dejavusans", "axes.linewidth": 0.6, "lines.linewidth": 1.2, "lines.markersize": 4,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "ytick.minor.width": 0.4,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.handlelength": 2.6,
    "errorbar.capsize": 1.6, "figure.constrained_layout.use": True, "figure.dpi": 200,
    "svg.hashsalt": "slowsde", "svg.fonttype": "path", "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,
}

# Observables whose names have a formula.
_LABELS = {
    "trace": r"$\mathrm{tr}\,\nabla^2 L$ at $\Phi(\bar\theta)$",
    "lambda_max": r"$\lambda_{\max}(\nabla^2 L)$ at $\Phi(\bar\theta)$",
    "loss": r"loss $L$ at $\Phi(\bar\theta)$", "norm": r"$\Vert\Phi(\bar\theta)\Vert$",
    "angle": r"angle $\varphi$ of $\Phi(\bar\theta)$ (rad)",
}

# The same in the words of a caption.
PLAIN = {"trace": "tr ∇²L of the projected mean parameters", "lambda_max": "the largest eigenvalue of ∇²L"}


def context():
    return matplotlib.rc_context(_SETTINGS)


def observable_label(name, run):
    projected = run.config.get("run", {}).get("project", True)
    if name in _LABELS:
        return _LABELS[name] if projected else _LABELS[name].replace(r"\Phi(\bar\theta)", r"\bar\theta")
    if name[:1] == "x" and name[1:].isdigit():
        return f"$x_{{{name[1:]}}}$ of " + (r"$\Phi(\bar\theta)$" if projected else r"$\bar\theta$")
    return name.replace("_", " ")


def across(panels):
    """Number of panels side by side: at most three, two for four."""
    return 2 if panels == 4 else min(panels, 3)


def algorithm_label(series):
    H = series.settings["local_steps"]
    if H > 1 and "H" not in series.name.replace("SGD", ""):
        return f"{series.name}, $H={H:.0f}$"
    return series.name


def cycle(values, i):
    return values[i % len(values)]


def intervals(ax, x, y, half, elinewidth=0.8, **look):
    """Marks with error bars where the half-width is known."""
    return ax.errorbar(x, y, half if np.isfinite(half).any() else None, elinewidth=elinewidth, **look)


def plain_log_ticks(axis):
    """Ticks at 1, 2, 5 of each decade with plain numbers, for axes that span hardly more than one."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def line_handle(label, **style):
    return matplotlib.lines.Line2D([], [], label=label, **style)


def band_handle(label, colour=BAND):
    return matplotlib.patches.Patch(facecolor=colour, edgecolor="none", label=label)


def legends_above(fig, groups):
    """Puts one legend for each (title, handles) above the axes, for which the figure grows: side by side with as
    few lines as the width allows, or below each other where it does not suffice for columns."""
    renderer = fig.canvas.get_renderer()
    width, height = fig.bbox.width, fig.bbox.height
    gap = 0.05 * fig.dpi
    lines = max(len(handles) for _, handles in groups)
    for rows in range(1, lines + 1):
        boxes = []
        for title, handles in groups:
            legend = fig.legend(handles=handles, title=title, ncol=-(-len(handles) // rows), loc="upper left",
                                borderaxespad=0, bbox_to_anchor=(0, 1), alignment="left", columnspacing=1.2)
            box = legend.get_window_extent(renderer)
            boxes.append((legend, box.width, box.height))
        if rows == lines or sum(b[1] for b in boxes) + gap * (len(boxes) + 1) <= width:
            break
        fig.legends.clear()
    rows = [[]]
    for box in boxes:
        if rows[-1] and sum(b[1] for b in rows[-1]) + box[1] + gap * (len(rows[-1]) + 2) > width:
            rows.append([])
        rows[-1].append(box)
    old, height = height, height + sum(max(b[2] for b in row) for row in rows) + gap
    fig.set_size_inches(width / fig.dpi, height / fig.dpi)
    top = height - gap
    for row in rows:
        space = (width - sum(b[1] for b in row)) / (len(row) + 1)
        left = space
        for legend, w, _ in row:
            legend.set_bbox_to_anchor((left / width, top / height))
            left += w + space
        top -= max(b[2] for b in row)
    fig.get_layout_engine().set(rect=(0, 0, 1, old / height))
    fig.align_ylabels()


def settle(fig):
    """Computes the layout once: each file would compute it anew."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")


def save(fig, folder, name, caption):
    """Writes NAME.png, NAME.svg and NAME.txt; returns their paths. Equal results give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg", "txt")]
    settle(fig)
    fig.savefig(paths[0], metadata={"Software": None})
    paths[1].write_text(svg(fig), encoding="utf-8")
    paths[2].write_text(" ".join(caption.split()) + "\n", encoding="utf-8")
    plt.close(fig)
    return paths


def svg(fig):
    """The text of an SVG file of a settled figure."""
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
