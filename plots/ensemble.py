"""Any ensemble: every observable against slow time, and how many standard errors each model is off."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    (run,) = runs
    (ensemble,) = run.points
    if observable:
        run.require_observable(observable)
    shown = [observable] if observable else ensemble.observables
    if not ensemble.series:
        raise Unreadable(f"{run.path / 'result.nc'}: has no series")
    across = min(len(shown), 3)
    down = -(-len(shown) // across)
    fig, axes = plt.subplots(2 * down, across, squeeze=False, sharex=True, height_ratios=[2, 1] * down,
                             figsize=(style.SINGLE if across == 1 else style.DOUBLE, 0.7 + 3.0 * down))
    handles, worst = [], []
    for panel, name in enumerate(shown):
        row, column = divmod(panel, across)
        top, bottom = axes[2 * row, column], axes[2 * row + 1, column]
        m = ensemble.observables.index(name)
        bottom.axhspan(-1.96, 1.96, color=style.BAND, lw=0, zorder=0)
        bottom.axhline(0, color="0.4", lw=0.6, zorder=1)
        largest = 0.0
        for i, s in enumerate(ensemble.iterates):
            colour = style.cycle(style.COLOURS, i)
            points = dict(ls="none", marker=style.cycle(style.MARKERS, i), color=colour, mfc="white", mew=0.9,
                          ms=3.6)
            top.errorbar(s.t, s.mean[:, m], intervals.half_width(s, m), elinewidth=0.8, zorder=4,
                         markevery=-(-len(s.t) // 30), errorevery=-(-len(s.t) // 30), **points)
            if panel == 0:
                handles.append(style.line_handle(style.algorithm_label(s), **points))
            for k, model in enumerate(ensemble.models_of(s)):
                look = dict(ls=style.cycle(style.LINES, k), color=colour)
                top.plot(model.t, model.mean[:, m], zorder=2, **look)
                if not model.deterministic:
                    half = intervals.half_width(model, m)
                    top.fill_between(model.t, model.mean[:, m] - half, model.mean[:, m] + half, color=colour,
                                     alpha=0.2, lw=0, zorder=1)
                mean, se = intervals.at(s.t, model, m)
                error = np.hypot(s.se[:, m], se)
                z = np.full(len(s.t), np.nan)
                np.divide(s.mean[:, m] - mean, error, out=z, where=error > 0)
                bottom.plot(s.t, z, zorder=3, lw=1.0, **look)
                if panel == 0:
                    handles.append(style.line_handle(model.name, **look))
                if np.isfinite(z).any():
                    largest = max(largest, np.nanmax(np.abs(z)))
                    worst.append((np.nanmax(np.abs(z)), model.name, name))
        if largest > 12:
            bottom.set_yscale("symlog", linthresh=2)
            bottom.yaxis.set_major_locator(plt.matplotlib.ticker.SymmetricalLogLocator(base=10, linthresh=2))
            bottom.yaxis.set_minor_locator(plt.matplotlib.ticker.NullLocator())
        elif largest < 3:
            bottom.set_ylim(-3.2, 3.2)
        top.set_ylabel(style.observable_label(name, run))
        bottom.set_ylabel("(iterates − model)\n/ SE" if column == 0 else "")
        bottom.set_xlabel(style.SLOW_TIME if row == down - 1 or panel + across >= len(shown) else "")
        bottom.tick_params(labelbottom=bool(bottom.get_xlabel()))
    for empty in range(len(shown), down * across):
        row, column = divmod(empty, across)
        axes[2 * row, column].set_axis_off()
        axes[2 * row + 1, column].set_axis_off()
    handles.append(style.band_handle(r"95 %: $\pm1.96$ SE"))
    style.legends_above(fig, [(None, handles)])
    return fig, _caption(run, ensemble, worst)


def _caption(run, ensemble, worst):
    text = f"{run.title or run.path.name}: iterates (marks) and models (lines) against slow time"
    if worst:
        z, model, name = max(worst)
        text += f"; the largest distance is {z:.1f} standard errors, '{model}' in {name}"
    text += ("; error bars and coloured bands are 95 % intervals of the means, lower panels show the difference in "
             "standard errors, where the grey band holds 95 % of the points if the model is right")
    lost = {s.name: int(s.diverged[-1]) for s in ensemble.series if len(s.diverged) and s.diverged[-1] > 0}
    if lost:
        text += "; left out as diverged: " + ", ".join(f"{n} of {name}" for name, n in lost.items())
    return text + "."
