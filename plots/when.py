"""When Local SGD differs from SGD: the gap of two rules against the learning rate, for each length of training."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """Above: the gap, measured and predicted; below: their ratio. Schedules are named 'learning rate, length'."""
    (run,) = runs
    if "measured_gap" not in run.variables or len(run.variables["first_rule"].data) != 1:
        raise Unreadable(f"{run.path / 'result.nc'}: does not compare two rules, as this figure does")
    get = lambda name: run.variables[name].data
    compared = str(np.asarray(get("compared")).item())
    if observable and observable != compared:
        raise Unreadable(f"{run.path}: its rules are compared in '{compared}', not in '{observable}'")
    lengths = {}
    for p, name in enumerate(map(str, get("schedule"))):
        if ", " not in name:
            raise Unreadable(f"{run.path}: its schedule '{name}' is not named 'learning rate, length'")
        lengths.setdefault(name.split(", ", 1)[1], []).append(p)
    rate, gap = np.asarray(get("grid_lr"))[:, 0], np.asarray(get("measured_gap"))[:, 0]
    half, predicted = np.asarray(get("gap_half_width"))[:, 0], np.asarray(get("predicted_gap"))[:, 0]
    fig, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=[2, 1], figsize=(style.SINGLE, 3.9))
    bottom.axhline(1, color="0.4", lw=0.6, zorder=1)
    handles, said = [], []
    for i, (length, points) in enumerate(lengths.items()):
        points = sorted(points, key=lambda p: rate[p])
        look = dict(color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), mfc="white", mew=0.9)
        top.plot(rate[points], predicted[points], ls=style.cycle(style.LINES, i), color=look["color"], zorder=2)
        style.intervals(top, rate[points], gap[points], half[points], ls="none", zorder=4, **look)
        style.intervals(bottom, rate[points], gap[points] / predicted[points], half[points] / np.abs(predicted[points]),
                        ls="none", zorder=4, **look)
        handles.append(style.line_handle(_mathematics(length), ls=style.cycle(style.LINES, i), **look))
        said.append(f"after {length} " + ", ".join(f"{gap[p]:.3g} ± {half[p]:.2g} (predicted {predicted[p]:.3g}) at η = {rate[p]:g}"
                                                   for p in points))
    top.set_xscale("log")
    top.set_yscale("log" if (gap - half > 0).all() and (predicted > 0).all() else "linear")
    if top.get_yscale() == "log":
        style.plain_log_ticks(top.yaxis)
    first, second = str(get("first_rule")[0]), str(get("second_rule")[0])
    top.set_ylabel(f"{first} minus {second} in\n" + style.observable_label(compared, run))
    bottom.set_ylabel("measured\n/ predicted")
    bottom.set_xlabel(r"learning rate $\eta$ (dimensionless)")
    ticks = sorted(set(rate))
    bottom.set_xticks(ticks, [f"{r:g}" for r in ticks])
    for ax in (top, bottom):
        ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    style.legends_above(fig, [("marks: measured, 95 % interval; lines: predicted", handles)])
    told, agree = np.abs(gap) > half, np.abs(gap - predicted) <= half
    return fig, (f"{run.title or run.path.name}: {first} minus {second} in {style.PLAIN.get(compared, compared)} is told from "
                 f"zero at {told.sum()} of {told.size} learning rates and lengths, the prediction lies within the interval at "
                 f"{agree.sum()}: " + "; ".join(said) + "; 95 % intervals of the seeds' differences (Student's t).")


def _mathematics(length):
    return length.replace("eta^2", r"$\eta^2$").replace("/eta", r"/$\eta$")
