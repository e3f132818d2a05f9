"""Drift or diffusion: the slow SDEs of two algorithms, whole and with one of their two parts."""
import numpy as np

import intervals
import loader
import style
from loader import Unreadable
from style import plt

PANELS = [("the slow SDEs", "papers"), ("the drift alone", "drift-only"), ("the diffusion alone", "diffusion-only")]


def draw(runs, observable=None):
    """An observable against slow time: in every panel the iterates, with one variant of their slow SDEs."""
    run, ensemble = loader.single(runs, "why", "ensemble")
    if observable:
        run.require_observable(observable)
    name = observable or ensemble.observables[0]
    m = ensemble.observables.index(name)
    theories = [ensemble.theories_of(s) for s in ensemble.iterates]
    if len(theories) != 2 or any(variant not in of for of in theories for _, variant in PANELS):
        raise Unreadable(f"{run.path}: the figure 'why' shows two algorithms, each with its slow SDE, the drift alone and the "
                         "diffusion alone")
    fig, axes = plt.subplots(1, len(PANELS), sharex=True, sharey=True, figsize=(style.DOUBLE, 2.7))
    handles = []
    for i, (s, of) in enumerate(zip(ensemble.iterates, theories)):
        colour = style.cycle(style.COLOURS, i)
        look = dict(ls="none", color=colour, marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9, ms=3.6)
        handles.append(style.line_handle(style.algorithm_label(s), **look))
        for ax, (title, variant) in zip(axes, PANELS):
            style.intervals(ax, s.t, s.mean[:, m], intervals.half_width(s, m), zorder=4, **look)
            model = of[variant]
            half = intervals.half_width(model, m)
            ax.plot(model.t, model.mean[:, m], color=colour, zorder=3)
            ax.fill_between(model.t, model.mean[:, m] - half, model.mean[:, m] + half, color=colour, alpha=0.2, lw=0)
            ax.set_title(title)
            ax.set_xlabel(style.SLOW_TIME_SHORT)
    axes[0].set_ylabel(style.observable_label(name, run))
    style.legends_above(fig, [("measured, 95 % interval", handles),
                              ("predicted", [style.line_handle("mean, 95 % band, in the algorithm's colour", color="0.2")])])
    return fig, _caption(run, ensemble, theories, name, m)


def _caption(run, ensemble, theories, name, m):
    def apart(variant):
        """How far the two are apart at the end, with its 95 % half-width."""
        a, b = (ensemble.iterates if variant is None else [of[variant] for of in theories])
        half = np.hypot(intervals.half_width(a, m)[-1], intervals.half_width(b, m)[-1])
        text = f"{b.mean[-1, m] - a.mean[-1, m]:.3f}" + (f" ± {half:.3f}" if half > 0 else "")
        return text.replace("-", "−")

    first, second = (s.name for s in ensemble.iterates)
    return (f"{run.title or run.path.name}: at the same global batch it is the drift that sets {second} apart from {first}: the "
            f"difference in {name} at the end is {apart(None)} measured, {apart('papers')} by the slow SDEs, "
            f"{apart('drift-only')} with their drift alone and {apart('diffusion-only')} with their diffusion alone; marks and "
            "bands have 95 % intervals of the means.")
