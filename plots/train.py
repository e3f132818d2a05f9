"""A training: accuracy, sharpness, local steps and the workers' divergence against steps, with 95 % bands."""
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

import intervals
import loader
import style
from loader import Unreadable
from style import plt

# Panels in the order in which they are shown: the observable, its label, whether its axis is logarithmic. Of an
# accuracy the error is shown, which tells the end of a training apart on an axis that also holds its beginning.
PANELS = [("test_accuracy", "test error (%)", True), ("train_loss", "training loss", True),
          ("trace", r"$\mathrm{tr}\,\nabla^2 L$ at $\bar\theta$", True),
          ("lambda_max", r"$\lambda_{\max}(\nabla^2 L)$ at $\bar\theta$", True),
          ("local_steps", "local steps $H$", True), ("worker_divergence", "workers' covariance, trace", True)]
# The theory of an observable, which its panel shows beside it.
PREDICTIONS = {"worker_divergence": "predicted_divergence"}
THEORY_LINE = dict(ls=(0, (1.5, 1.2)), lw=0.9)


def draw(runs, observable=None):
    run, ensemble = loader.single(runs, "train", "training")
    if observable:
        run.require_observable(observable)
        label = observable.replace("accuracy", "error (%)").replace("_", " ")
        panels = [next((p for p in PANELS if p[0] == observable), (observable, label, False))]
    else:
        panels = [p for p in PANELS if _known(ensemble, p[0])]
    if not panels:
        raise Unreadable(f"{run.path / 'result.nc'}: has none of " + ", ".join(p[0] for p in PANELS))
    across = 1 if len(panels) == 1 else 2
    down = -(-len(panels) // across)
    fig, axes = plt.subplots(down, across, squeeze=False, sharex=True,
                             figsize=(style.SINGLE if across == 1 else style.DOUBLE, 0.3 + 1.9 * down))
    handles, counts = [], set()
    predictions = [p for p in PREDICTIONS.values() if p in ensemble.observables and _known(ensemble, p)]
    for panel, (name, label, logarithmic) in enumerate(panels):
        ax = axes[panel // across, panel % across]
        m = ensemble.observables.index(name)
        lowest = np.inf
        for i, s in enumerate(ensemble.series):
            look = dict(color=style.cycle(style.COLOURS, i), ls=style.cycle(style.LINES, i // len(style.COLOURS)))
            y, half = s.mean[:, m], intervals.half_width(s, m)
            if name.endswith("accuracy"):
                y, half = 100 * (1 - y), 100 * half
            shown = np.isfinite(y) & ((y > 0) | (not logarithmic))
            x, y, half = s.steps[shown], y[shown], half[shown]
            if name == "local_steps":
                ax.step(x, y, where="pre", **look)
            else:
                ax.plot(x, y, marker=style.cycle(style.MARKERS, i), ms=2.4, **look)
                if np.isfinite(half).any():
                    bottom = np.maximum(y - half, 0.05 * y) if logarithmic else y - half
                    ax.fill_between(x, bottom, y + half, color=look["color"], alpha=0.18, lw=0)
            if y.size:
                lowest = min(lowest, y.min())
            if PREDICTIONS.get(name) in predictions:
                _draw_theory(ax, s, ensemble.observables.index(PREDICTIONS[name]), look["color"])
            if panel == 0:
                mark = {} if name == "local_steps" else dict(marker=style.cycle(style.MARKERS, i), ms=2.4)
                handles.append(style.line_handle(s.name, **mark, **look))
                counts.add(int(s.count[-1]))
        if logarithmic and np.isfinite(lowest):
            ax.set_yscale("log")
            _plain(ax)
        ax.set_ylabel(label)
        ax.set_xlabel("optimizer steps" if panel + across >= len(panels) else "")
        ax.tick_params(labelbottom=bool(ax.get_xlabel()))
    for empty in range(len(panels), down * across):
        axes[empty // across, empty % across].set_axis_off()
    if any(PREDICTIONS.get(p[0]) in predictions for p in panels):
        handles.append(style.line_handle("predicted, nothing fitted", color="#555555", **THEORY_LINE))
    style.legends_above(fig, [(None, handles)])
    return fig, _caption(run, ensemble, counts)


def _draw_theory(ax, series, m, colour):
    """A prediction where there is one: a line without marks, and its interval over the seeds."""
    y, half = series.mean[:, m], intervals.half_width(series, m)
    shown = np.isfinite(y) & (y > 0)
    x, y, half = series.steps[shown], y[shown], half[shown]
    ax.plot(x, y, color=colour, **THEORY_LINE)
    if np.isfinite(half).any():
        ax.fill_between(x, np.maximum(y - half, 0.05 * y), y + half, color=colour, alpha=0.1, lw=0)


def _known(ensemble, name):
    if name not in ensemble.observables:
        return False
    m = ensemble.observables.index(name)
    return any(np.isfinite(s.mean[:, m]).any() and (s.mean[:, m] != 0).any() for s in ensemble.series)


def _plain(ax):
    """Labels that are plain numbers, several in a decade, where the axis spans less than two."""
    low, high = ax.get_ylim()
    if high / low < 100:
        subs = (1, 2, 5) if high / low > 4 else (1, 1.5, 2, 3, 4, 5, 6, 8)
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _caption(run, ensemble, counts):
    if counts == {1}:
        seeds = "a single seed has no interval"
    else:
        number = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
        seeds = (f"means over {number} seeds, bands are 95 % intervals (Student's t): where they do not overlap the "
                 "algorithms have parted")
    text = (f"{run.title or run.path.name}: against optimizer steps; {seeds}; everything but the workers' covariance is "
            "measured on their average")
    if "test_accuracy" in ensemble.observables:
        m = ensemble.observables.index("test_accuracy")
        ends = [f"{s.name} {100 * s.mean[-1, m]:.2f}" + (f" ± {100 * half:.2f}" if np.isfinite(half) else "") + " %"
                for s, half in ((s, intervals.half_width(s, m)[-1]) for s in ensemble.series)
                if np.isfinite(s.mean[-1, m])]
        if ends:
            text += "; test accuracy at the end: " + ", ".join(ends)
    text += _predicted(ensemble)
    gone = [f"{s.diverged[-1]:.0f} of {s.name}" for s in ensemble.series if s.diverged[-1] > 0]
    if gone:
        text += "; left out as diverged: " + ", ".join(gone)
    return text + "."


def _predicted(ensemble):
    """The workers' covariance against its theory, over all records: per run, as the ratio of the sums."""
    if not all(name in ensemble.observables for name in ("worker_divergence", "predicted_divergence")):
        return ""
    measured, theory = (ensemble.observables.index(n) for n in ("worker_divergence", "predicted_divergence"))
    ratios = []
    for s in ensemble.series:
        known = np.isfinite(s.mean[:, theory]) & (s.mean[:, theory] > 0)
        if known.any():
            ratios.append(f"{s.name} {s.mean[known, measured].sum() / s.mean[known, theory].sum():.2f}")
    if not ratios:
        return ""
    return ("; dotted lines: the theory's trace of the workers' covariance, from Hessian and gradient noise where the "
            "round began; measured over predicted, all records: " + ", ".join(ratios))
