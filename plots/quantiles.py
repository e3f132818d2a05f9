"""Quantiles of an ensemble against slow time: iterates with their intervals, and their models."""
import numpy as np

import loader
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """A panel for each observable; series of iterates by colour, quantiles from thin (outer) to thick (median)."""
    run, ensemble = loader.single(runs, "quantiles", "ensemble")
    if observable:
        run.require_observable(observable)
    if ensemble.probabilities is None or not ensemble.iterates:
        raise Unreadable(f"{run.path / 'result.nc'}: has no quantiles of iterates (run.quantiles)")
    shown = [observable] if observable else ensemble.observables
    probabilities = np.asarray(ensemble.probabilities)
    across = style.across(len(shown))
    down = -(-len(shown) // across)
    fig, axes = plt.subplots(down, across, squeeze=False, sharex=True,
                             figsize=(style.SINGLE if across == 1 else style.DOUBLE, 0.2 + 2.4 * down))
    handles, outside, judged = [], 0, 0
    for panel, name in enumerate(shown):
        ax = axes.flat[panel]
        m = ensemble.observables.index(name)
        for i, s in enumerate(ensemble.iterates):
            colour, marker = style.cycle(style.COLOURS, i), style.cycle(style.MARKERS, i)
            thin = -(-len(s.t) // 20)
            value, lower, upper = s.quantiles[:, :, m]
            models = ensemble.models_of(s)
            for q, p in enumerate(probabilities):
                # An interval that is open on a side is not drawn there; far out, where few values decide, one may end
                # before the value that is interpolated.
                ends = np.maximum(np.nan_to_num(np.stack([value[:, q] - lower[:, q], upper[:, q] - value[:, q]])), 0)
                ax.errorbar(s.t[::thin], value[::thin, q], ends[:, ::thin], ls="none", marker=marker, color=colour,
                            mfc="white", mew=0.8, ms=3.0, elinewidth=0.8, zorder=4)
                for k, model in enumerate(models):
                    middle = 1 - 2 * abs(p - 0.5)
                    ax.plot(model.t, model.quantiles[0][:, m, q], color=colour, ls=style.cycle(style.LINES, k),
                            lw=0.6 + 0.8 * middle, zorder=2)
                    if k == 0:
                        its_lower, its_upper = model.quantiles[1:, :, m, q]
                        apart = (its_upper < lower[:, q]) | (its_lower > upper[:, q])
                        known = np.isfinite(lower[:, q] + upper[:, q] + its_lower + its_upper) & (s.steps > 0)
                        outside += int(np.count_nonzero(apart & known))
                        judged += int(np.count_nonzero(known))
            if panel == 0:
                handles.append(style.line_handle(style.algorithm_label(s), ls="none", marker=marker, color=colour, mfc="white"))
                handles += [style.line_handle(model.name, color=colour, ls=style.cycle(style.LINES, k))
                            for k, model in enumerate(models)]
        ax.set_ylabel(style.observable_label(name, run))
        if panel + across >= len(shown):
            ax.set_xlabel(style.SLOW_TIME if across < 3 else style.SLOW_TIME_SHORT)
            ax.tick_params(labelbottom=True)
    for empty in range(len(shown), down * across):
        axes.flat[empty].set_axis_off()
    style.legends_above(fig, [(None, handles)])
    named = ", ".join(f"{p:g}" for p in probabilities)
    return fig, (f"Quantiles ({named}) of {', '.join(shown)} against slow time: marks are the iterates, with 95 % intervals that "
                 "assume nothing of the distribution, lines their models"
                 + (f"; {outside} of {judged} intervals do not meet that of the first model." if judged else "."))
