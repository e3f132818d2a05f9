"""A sweep over H_base and alpha: what accuracy and sharpness cost in communication and in time."""
import numpy as np
from matplotlib.ticker import FuncFormatter

import intervals
import style
from loader import Unreadable
from style import plt

COSTS = [("bytes", "sent by each worker (MB)", 1e-6, "log"),
         ("seconds", "wall clock by the cost model (s)", 1.0, "linear")]
GAINS = [("test_accuracy", "test accuracy (%)", 100.0), ("trace", r"final $\mathrm{tr}\,\nabla^2 L$", 1.0)]


def draw(runs, observable=None):
    """One column for each cost, one row for each gain; a line for each value of the second key."""
    (run,) = runs
    if run.kind != "sweep":
        raise Unreadable(f"{run.path}: is no sweep")
    base = next((a for a in run.axes if "base" in a), None)
    if base is None:
        raise Unreadable(f"{run.path}: sweeps no key whose name holds 'base'")
    other = next((a for a in run.axes if a != base), None)
    costs = [c for c in COSTS if _known(run, c[0])]
    gains = [(observable, observable.replace("_", " "), 1.0)] if observable else [g for g in GAINS if _known(run, g[0])]
    if observable:
        run.require_observable(observable)
    if not costs or not gains:
        raise Unreadable(f"{run.path / 'result.nc'}: has no accuracy or no cost of communication")
    fig, axes = plt.subplots(len(gains), len(costs), squeeze=False, sharex="col", sharey="row",
                             figsize=(style.SINGLE if len(costs) == 1 else style.DOUBLE, 0.4 + 2.1 * len(gains)))
    lines = {}
    for point in run.points:
        for s in point.series:
            key = (s.name, point.coordinates[other] if other else None)
            lines.setdefault(key, []).append((float(point.coordinates[base]), point, s))
    several = len({name for name, _ in lines}) > 1
    handles = []
    for i, ((name, value), points) in enumerate(sorted(lines.items(), key=lambda item: (item[0][0], item[0][1] or 0))):
        points.sort(key=lambda p: p[0])
        look = dict(color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), ms=3.6, mfc="white",
                    mew=0.9, lw=0.9)
        label = ", ".join(([name] if several else []) + ([f"{_symbol(other)} = {value:g}"] if other else [])) or name
        handles.append(style.line_handle(label, **look))
        for row, (gain, _, unit) in enumerate(gains):
            for column, (cost, _, scale, _) in enumerate(costs):
                ends = [(_end(p, s, cost), _end(p, s, gain), H) for H, p, s in points]
                ends = [e for e in ends if np.isfinite(e[0][0]) and np.isfinite(e[1][0])]
                x, y = [e[0][0] * scale for e in ends], [e[1][0] * unit for e in ends]
                style.intervals(axes[row, column], x, y, np.array([e[1][1] for e in ends]) * unit, **look)
                if row + 1 == len(gains) and column == 0 and i == 0:
                    numbered = list(zip(x, y, [f"{e[2]:g}" for e in ends]))
    for column, (_, label, _, scale) in enumerate(costs):
        axes[-1, column].set_xlabel(label)
        axes[-1, column].set_xscale(scale)
        if scale == "log":
            axes[-1, column].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _number(axes[-1, 0], numbered, style.COLOURS[0])
    for row, (_, label, _) in enumerate(gains):
        axes[row, 0].set_ylabel(label)
    style.legends_above(fig, [(None, handles)])
    return fig, (f"{run.title or run.path.name}: at the end of training, against what it cost; means over the seeds with "
                 f"95 % intervals (Student's t), and numbers beside the first line's marks, in the lowest panel, are {base}, which "
                 "falls along each line from left to right: a line that stays level to the left loses nothing to fewer averages.")


def _number(ax, marks, colour):
    """Writes each mark's text beside it, except where that would be upon the one before."""
    fig, placed = ax.figure, []
    fig.draw_without_rendering()
    for x, y, text in marks:
        at = ax.transData.transform((x, y)) * 72 / fig.dpi  # points
        if all(abs(at[0] - u) > 12 or abs(at[1] - v) > 9 for u, v in placed):
            ax.annotate(text, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=6, color=colour)
            placed.append(at)


def _symbol(axis):
    return {"alpha": "α", "H_base": "$H_\\mathrm{base}$"}.get(axis, axis)


def _end(point, series, name):
    m = point.observables.index(name)
    return series.mean[-1, m], intervals.half_width(series, m)[-1]


def _known(run, name):
    return all(name in p.observables and all(np.isfinite(_end(p, s, name)[0]) for s in p.series) for p in run.points)
