"""Any ensemble: every observable against slow time, and how many standard errors each model is off."""
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import intervals
import loader
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    run, ensemble = loader.single(runs, "ensemble", "ensemble")
    if observable:
        run.require_observable(observable)
    shown = [observable] if observable else ensemble.observables
    if not ensemble.iterates:
        raise Unreadable(f"{run.path / 'result.nc'}: has no iterates")
    across = style.across(len(shown))
    down = -(-len(shown) // across)
    fig, axes = plt.subplots(2 * down, across, squeeze=False, sharex=True, height_ratios=[2, 1] * down,
                             figsize=(style.SINGLE if across == 1 else style.DOUBLE, 0.2 + 3.0 * down))
    groups, worst = [], []
    # of the series with the fewest replicas that have an error at all
    limits = [float(intervals.quantile(s.count[-1])) for s in ensemble.iterates if s.count[-1] > 1]
    limit = max(limits, default=1.96)
    for panel, name in enumerate(shown):
        row, column = divmod(panel, across)
        top, bottom = axes[2 * row, column], axes[2 * row + 1, column]
        m = ensemble.observables.index(name)
        bottom.axhspan(-limit, limit, color=style.BAND, lw=0, zorder=0)
        bottom.axhline(0, color="0.4", lw=0.6, zorder=1)
        largest = 0.0
        for i, s in enumerate(ensemble.iterates):
            colour = style.cycle(style.COLOURS, i)
            points = dict(ls="none", marker=style.cycle(style.MARKERS, i), color=colour, mfc="white", mew=0.9,
                          ms=3.6)
            thin = -(-len(s.t) // 30)
            style.intervals(top, s.t, s.mean[:, m], intervals.half_width(s, m), zorder=4, markevery=thin,
                            errorevery=thin, **points)
            handles = [style.line_handle(style.algorithm_label(s), **points)]
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
                handles.append(style.line_handle(model.name, **look))
                if np.isfinite(z).any():
                    largest = max(largest, np.nanmax(np.abs(z)))
                    worst.append((np.nanmax(np.abs(z)), model.name, name))
            if panel == 0:
                groups.append((None, handles))
        if largest > 12:  # linear within the band, logarithmic outside
            bottom.set_yscale("symlog", linthresh=2)
            decades = [10.0**j for j in range(1, 9)]
            bottom.yaxis.set_major_locator(FixedLocator([-u for u in decades] + [-2, 0, 2] + decades))
            bottom.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
            bottom.yaxis.set_minor_locator(NullLocator())
        elif largest < 3:
            bottom.set_ylim(-max(3.2, 1.1 * limit), max(3.2, 1.1 * limit))
        top.set_ylabel(style.observable_label(name, run))
        bottom.set_ylabel("difference\n/ SE" if column == 0 else "")
        slow_time = style.SLOW_TIME if across < 3 else style.SLOW_TIME_SHORT
        bottom.set_xlabel(slow_time if row == down - 1 or panel + across >= len(shown) else "")
        bottom.tick_params(labelbottom=bool(bottom.get_xlabel()))
    for empty in range(len(shown), down * across):
        row, column = divmod(empty, across)
        axes[2 * row, column].set_axis_off()
        axes[2 * row + 1, column].set_axis_off()
    groups[-1][1].append(style.band_handle(rf"95 %: $\pm{limit:.2f}$ SE"))
    style.legends_above(fig, groups)
    return fig, _caption(run, ensemble, worst)


def _caption(run, ensemble, worst):
    text = f"{run.title or run.path.name}: iterates (marks) and models (lines) against slow time"
    if worst:
        z, model, name = max(worst)
        text += f"; the largest distance is {z:.1f} standard errors, '{model}' in {name}"
    text += ("; error bars and coloured bands are 95 % intervals of the means, lower panels show iterates − model "
             "in standard errors of the difference, where the grey band holds 95 % of the points if the model is right")
    lost = {s.name: int(s.diverged[-1]) for s in ensemble.series if len(s.diverged) and s.diverged[-1] > 0}
    if lost:
        text += "; left out as diverged: " + ", ".join(f"{n} of {name}" for name, n in lost.items())
    return text + "."
