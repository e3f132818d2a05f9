"""Rules under a decaying learning rate: trajectories, and the drift of each over that of SGD while it decays."""
import numpy as np

import intervals
import loader
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """Above: an observable against slow time; below: its speed between two records over that of SGD."""
    run, ensemble = loader.single(runs, "decaying-lr", "ensemble")
    if observable:
        run.require_observable(observable)
    name = observable or ensemble.observables[0]
    m = ensemble.observables.index(name)
    sgd = next((s for s in ensemble.iterates if s.name == "SGD"), None)
    if sgd is None or len(ensemble.iterates) < 2:
        raise Unreadable(f"{run.path}: has no series 'SGD' with others beside it")
    fig, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=[1, 1], figsize=(style.SINGLE, 4.4))
    base, base_theories = _speed(sgd, m), {k: _speed(s, m) for k, s in ensemble.theories_of(sgd).items()}
    handles, ends, theories = [], [], []
    for i, s in enumerate(ensemble.iterates):
        look = dict(ls="none", color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9,
                    ms=3.6)
        style.intervals(top, s.t, s.mean[:, m], intervals.half_width(s, m), zorder=4, **look)
        handles.append(style.line_handle(s.name, **look))
        if s is not sgd:
            at, ratio, half = _over(_speed(s, m), base)
            style.intervals(bottom, at, ratio, half, zorder=4, **look)
            ends.append(f"{ratio[-1]:.2f}" + (f" ± {half[-1]:.2f}" if np.isfinite(half[-1]) else "") + f" ({s.name})")
        for theory, model in ensemble.theories_of(s).items():
            line = dict(ls=style.THEORIES[theory][1], color=look["color"], zorder=2)
            theories += [theory] if theory not in theories else []
            top.plot(model.t, model.mean[:, m], **line)
            if s is not sgd and theory in base_theories:
                at, ratio, _ = _over(_speed(model, m), base_theories[theory])
                bottom.plot(at, ratio, **line)
    K = sgd.settings["workers"]
    for level in (1, K):
        bottom.axhline(level, color="0.4", lw=0.6, ls=(0, (1, 1)), zorder=1)
    top.set_ylabel(r"$\ln|x|$ at $\Phi(\bar\theta)$" if name == "log_x0" else style.observable_label(name, run))
    bottom.set_ylabel("drift / drift of SGD")
    bottom.set_xlabel(style.SLOW_TIME)
    bottom.set_xlim(left=0)
    lines = [style.line_handle(style.THEORIES[k][0], ls=style.THEORIES[k][1], color="0.2") for k in theories]
    lines.append(style.line_handle(f"limits 1 and K = {K:.0f}", ls=(0, (1, 1)), lw=0.6, color="0.4"))
    style.legends_above(fig, [("measured, 95 % interval", handles), ("predicted, nothing fitted", lines)])
    return fig, (f"{run.title or run.path.name}: above the trajectories, below the drift of each rule over that of SGD between "
                 f"two records, which as the learning rate decays comes to {', '.join(ends)}, K being {K:.0f}; marks are "
                 "means over the replicas with 95 % intervals (of a ratio at most so wide: that the two records are of the same "
                 "replicas is left aside), lines are theories that take the learning rate and H of the time.")


def _speed(series, m):
    """(times, change per slow time, its standard error at most, replicas) between records."""
    dt = np.diff(series.t)
    return ((series.t[1:] + series.t[:-1]) / 2, np.diff(series.mean[:, m]) / dt,
            np.hypot(series.se[1:, m], series.se[:-1, m]) / dt, series.count[1:])


def _over(speed, base):
    """(times, ratio, half-width of its 95 % interval) by the delta method."""
    if len(speed[0]) != len(base[0]):
        raise Unreadable("series of one run have different numbers of records")
    ratio = speed[1] / base[1]
    relative = np.hypot(speed[2] / speed[1], base[2] / base[1])
    return speed[0], ratio, np.abs(ratio) * relative * intervals.quantile(np.minimum(speed[3], base[3]))
