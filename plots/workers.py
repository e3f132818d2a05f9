"""The drift against the number of workers, at a fixed global and at a fixed local batch."""
import collections

import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt

JOINS = True  # also of a suite's parts


def draw(runs, observable=None):
    """One row for each run; left the points of one global batch, right those of one local batch."""
    fig, axes = plt.subplots(len(runs), 2, squeeze=False, figsize=(style.DOUBLE, 0.3 + 2.3 * len(runs)))
    groups, said, within = [], [], []
    names = list(dict.fromkeys(s.name for run in runs for s in run.points[0].iterates))
    for row, run in enumerate(runs):
        if observable:
            run.require_observable(observable)
        name = observable or run.points[0].observables[0]
        for column, fixed in enumerate(("global", "local")):
            ax = axes[row, column]
            size, points = _fixed(run, fixed)
            m = points[0].observables.index(name)
            for series in names:
                i = names.index(series)
                look = dict(color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9)
                line = dict(ls=style.cycle(style.LINES, i), color=look["color"])
                K, measured, predicted = [], [], []
                for ensemble in points:
                    s = next((s for s in ensemble.iterates if s.name == series), None)
                    if s is None:
                        continue
                    K.append(s.settings["workers"])
                    measured.append(intervals.fall(s, m))
                    models = ensemble.models_of(s)
                    predicted.append(intervals.fall(models[0], m).value if models else np.nan)
                if not K:
                    continue
                order = np.argsort(K)
                x = np.array(K)[order]
                y = np.array([measured[j].value for j in order])
                half = np.array([measured[j].half for j in order])
                p = np.array(predicted)[order]
                ax.plot(x, p, zorder=2, **line)
                style.intervals(ax, x, y, half, ls="none", zorder=4, **look)
                within.extend(np.abs(y - p)[np.isfinite(p)] <= half[np.isfinite(p)])
                said.append(f"{run.title or run.path.name}, {fixed} batch {size:g}, {series}: from K = {x[0]:g} to {x[-1]:g} the "
                            f"fall changes by a factor of {y[-1] / y[0]:.2g}, measured / predicted "
                            + ", ".join(f"{a / b:.3f} ± {h / b:.3f} (K = {k:g})" for k, a, h, b in zip(x, y, half, p)))
                if len(groups) < len(names):
                    groups.append(style.line_handle(series, **line, **{k: v for k, v in look.items() if k != "color"}))
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.set_xticks(x, [f"{k:g}" for k in x])
            ax.tick_params(axis="x", which="minor", bottom=False)
            style.plain_log_ticks(ax.yaxis)
            ax.set_title(rf"{run.title.split(', ')[-1]}: " + (rf"$B={size:g}$, $B_\mathrm{{loc}}=B/K$" if fixed == "global"
                                                              else rf"$B_\mathrm{{loc}}={size:g}$, $B=K B_\mathrm{{loc}}$"))
            if row + 1 == len(runs):
                ax.set_xlabel("workers $K$")
            if column == 0:
                ax.set_ylabel("fall of " + style.observable_label(name, run))
    style.legends_above(fig, [("marks: measured, 95 % interval; lines: predicted, nothing fitted", groups)])
    return fig, (f"The prediction lies within the 95 % interval at {sum(within)} of {len(within)} points: "
                 + "; ".join(said) + ".")


def _fixed(run, what):
    """(batch, points): the points of the commonest global or local batch."""
    size = lambda e: e.iterates[0].settings["local_batch"] * (e.iterates[0].settings["workers"] if what == "global" else 1)
    if not run.points or not all(e.iterates for e in run.points):
        raise Unreadable(f"{run.path / 'result.nc'}: has no iterates")
    batch = collections.Counter(map(size, run.points)).most_common(1)[0][0]
    return batch, [e for e in run.points if size(e) == batch]
