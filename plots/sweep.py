"""Any sweep: every observable at the last time against the swept key."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """One row for each observable, one column for each combination of the other keys."""
    (run,) = runs
    if run.kind != "sweep":
        raise Unreadable(f"{run.path}: is no sweep")
    if observable:
        run.require_observable(observable)
    axis = _main_axis(run)
    others = [a for a in run.axes if a != axis]
    columns = {}
    for p, ensemble in enumerate(run.points):
        key = ", ".join(f"{a} = {_text(ensemble.coordinates[a])}" for a in others)
        columns.setdefault(key, []).append((_place(ensemble, axis, p), ensemble))
    if len(columns) > 6:
        raise Unreadable(f"{run.path}: {len(columns)} combinations of {', '.join(others)} are too many for one figure")
    shown = [observable] if observable else run.points[0].observables
    n = len(columns)
    fig, axes = plt.subplots(len(shown), n, squeeze=False, sharex=True, sharey="row",
                             figsize=(style.SINGLE if n == 1 else style.DOUBLE, 0.4 + 1.9 * len(shown)))
    handles = {}
    for c, (title, points) in enumerate(columns.items()):
        points.sort(key=lambda p: p[0])
        x = np.array([p[0] for p in points])
        axes[0, c].set_title(title)
        for row, name in enumerate(shown):
            ax = axes[row, c]
            for series, look in _looks([p[1] for p in points]):
                y, half = np.full(len(x), np.nan), np.full(len(x), np.nan)
                for p, (_, ensemble) in enumerate(points):
                    s = next((s for s in ensemble.series if s.name == series), None)
                    if s is not None and len(s.t) and name in ensemble.observables:
                        m = ensemble.observables.index(name)
                        y[p], half[p] = s.mean[-1, m], intervals.half_width(s, m)[-1]
                if look["ls"] == "none":
                    style.intervals(ax, x, y, half, zorder=3, **look)
                else:
                    ax.plot(x, y, zorder=2, **look)
                handles.setdefault(series, style.line_handle(series, **look))
            if c == 0:
                ax.set_ylabel(style.observable_label(name, run) + "\nat the end")
    if axis and (x > 0).all() and x.max() >= 20 * x.min():
        axes[0, 0].set_xscale("log")
    for ax in axes[-1]:
        ax.set_xlabel(axis or "point")
    style.legends_above(fig, [(None, list(handles.values()))])
    return fig, (f"{run.title or run.path.name}: means at the last slow time against {axis or 'the point of the sweep'}, "
                 "iterates as marks with 95 % intervals (Student's t), models as lines: a model that is right goes through "
                 "the marks.")


def _main_axis(run):
    """The numeric coordinate with the most values."""
    numeric = [a for a in run.axes if all(isinstance(p.coordinates[a], (float, np.floating)) for p in run.points)]
    return max(numeric, key=lambda a: len({float(p.coordinates[a]) for p in run.points}), default=None)


def _place(ensemble, axis, p):
    return float(ensemble.coordinates[axis]) if axis else float(p)


def _text(value):
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


def _looks(ensembles):
    """(name, style) of each series that any of the points has."""
    looks = {}
    for ensemble in ensembles:
        for i, s in enumerate(ensemble.iterates):
            colour = style.cycle(style.COLOURS, i)
            looks.setdefault(s.name, dict(ls="none", marker=style.cycle(style.MARKERS, i), color=colour, mfc="white",
                                          mew=0.9))
            for k, model in enumerate(ensemble.models_of(s)):
                looks.setdefault(model.name, dict(ls=style.cycle(style.LINES, k), color=colour))
    return looks.items()
