"""Weak order in the learning rate: how far models are from the iterates as it falls, at fixed local time of a round."""
import numpy as np

import intervals
import loader
import style
from style import plt


def draw(runs, observable=None):
    """A panel for each of the iterates; errors of the fall of an observable, relative to the measured fall."""
    run, name, m = loader.sweep_over_iterates(runs, observable)
    algorithms = [s.name for s in run.points[0].iterates]
    fig, axes = plt.subplots(1, len(algorithms), squeeze=False, sharex=True, sharey=True,
                             figsize=(style.SINGLE if len(algorithms) == 1 else style.DOUBLE, 2.7))
    theories, said, resolution = [], [], []
    for column, algorithm in enumerate(algorithms):
        ax = axes[0, column]
        errors = {}
        for ensemble in run.points:
            s = next(s for s in ensemble.iterates if s.name == algorithm)
            measured = intervals.fall(s, m)
            for theory, model in ensemble.theories_of(s).items():
                ratio = intervals.fall(model, m) / measured
                errors.setdefault(theory, []).append((s.settings["eta"], abs(ratio.value - 1), ratio.half, ratio.se))
        for theory, points in errors.items():
            theories += [theory] if theory not in theories else []
            i = theories.index(theory)
            eta, error, half, se = np.array(sorted(points)).T
            look = dict(color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9, ms=4)
            # an interval that holds zero reaches to the axis
            style.intervals(ax, eta, error, np.stack([np.minimum(half, error * (1 - 1e-9)), half]), ls="none", zorder=3, **look)
            resolution += [h for h in half if h > 0]
            if (error > 3 * se).all() and len(eta) > 2:
                slope, width = _slope(eta, error, se)
                ax.plot(eta, np.exp(np.polyval(np.polyfit(np.log(eta), np.log(error), 1, w=error / se), np.log(eta))),
                        color=look["color"], lw=0.9, zorder=2)
                said.append(f"that of '{style.THEORIES[theory][0]}' for {algorithm} is of order {slope:.2f} ± {width:.2f}")
            else:
                said.append(f"that of '{style.THEORIES[theory][0]}' for {algorithm} is at most {100 * max(error + half):.2g} %")
        ax.set(xscale="log", yscale="log", xlabel=r"learning rate $\eta$ (dimensionless)")
        ax.set_title(algorithm + (r", $\eta H = %g$" % _local_time(run, algorithm) if _local_time(run, algorithm) else ""))
        ticks = sorted({float(s.settings["eta"]) for e in run.points for s in e.iterates})
        ax.set_xticks(ticks, [f"{eta:g}" for eta in ticks])
        ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes[0, 0].set_ylim(bottom=min(resolution) / 3 if resolution else None)
    axes[0, 0].set_ylabel("relative error of the predicted fall\nof " + _label(name, run))
    style.legends_above(fig, [(None, [
        style.line_handle(style.THEORIES[k][0], ls="none", color=style.cycle(style.COLOURS, i),
                          marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9, ms=4) for i, k in enumerate(theories)]
        + [style.line_handle("fitted power", color="0.2", lw=0.9)])])
    return fig, (f"{run.title or run.path.name}: the relative error of the predicted fall against the learning rate (dimensionless): "
                 + "; ".join(said) + "; bars are 95 % intervals of the measurement, which hold zero where they reach the lower edge, those of orders are from weighted least "
                 "squares, and an error without an order is not told from zero at every learning rate.")


def _slope(eta, error, se):
    """Exponent and half-width of its 95 % interval, by least squares of logarithms with weights error/se."""
    x, w = np.log(eta), (error / se) ** 2
    centred = x - (w * x).sum() / w.sum()
    spread = (w * centred**2).sum()
    return float((w * centred * np.log(error)).sum() / spread), 1.96 / float(np.sqrt(spread))


def _local_time(run, algorithm):
    """eta H of Local SGD if it is the same at all points, else 0."""
    values = [s.settings["eta"] * s.settings["local_steps"] for e in run.points for s in e.iterates
              if s.name == algorithm and s.settings["local_steps"] > 1]
    return values[0] if values and np.allclose(values, values[0]) else 0


def _label(name, run):
    return r"$\ln|x|$" if name == "log_x0" else style.observable_label(name, run)
