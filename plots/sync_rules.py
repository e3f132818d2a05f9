"""Synchronization rules at one budget of steps: final sharpness and test accuracy against communication, H over time."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """One column for each learning-rate schedule: the compared observable, H, and the test accuracy if recorded."""
    (run,) = runs
    if "final_measured" not in run.variables:
        raise Unreadable(f"{run.path / 'result.nc'}: has no final values of rules, so it is no run of sync-rules")
    get = lambda name: run.variables[name].data
    rules, schedules = [str(r) for r in get("rule")], [str(s) for s in get("schedule")]
    compared = str(np.asarray(get("compared")).item())
    if observable and observable != compared:
        raise Unreadable(f"{run.path}: its rules are compared in '{compared}', not in '{observable}'")
    share = 100 * np.asarray(get("total_communication"))
    tested = "test_accuracy" in run.points[0].observables
    rows, n = 3 if tested else 2, len(schedules)
    fig, axes = plt.subplots(rows, n, squeeze=False, sharey="row", height_ratios=[1.7, 1.2, 1.2][:rows],
                             figsize=(style.SINGLE if n == 1 else style.DOUBLE, 2.1 * rows))
    looks = [_look(i) for i in range(len(rules))]
    for c, ensemble in enumerate(run.points):
        top, middle, steps = axes[0, c], axes[1, c], np.asarray(get("grid_step"))[c]
        top.set_title(f"{schedules[c]}, $t={ensemble.iterates[0].t[-1]:.3g}$")
        for r, look in enumerate(looks):
            x = share[c, r]
            colour = look["color"]
            style.intervals(top, x, get("final_measured")[c, r], get("final_half_width")[c, r], ls="none", zorder=4,
                            mew=0.9, **look)
            top.plot(x, get("final_predicted")[c, r], ls="none", marker="_", ms=11, mew=1.1, color=colour, zorder=3)
            middle.step(steps, get("grid_local_steps")[c, r], where="post", color=colour, ls=_line(r), lw=1.0)
            if tested:
                s = ensemble.iterates[r]
                m = ensemble.observables.index("test_accuracy")
                style.intervals(axes[2, c], x, 100 * s.mean[-1, m], 100 * intervals.half_width(s, m)[-1], ls="none",
                                zorder=4, mew=0.9, **look)
        for ax in [top] + ([axes[2, c]] if tested else []):
            ax.set_xscale("log")
            ax.set_xlim(min(share.min() / 1.5, 90), 150)
            ax.set_xlabel("communication, % of data parallel")
        middle.set_yscale("log")
        middle.set_xlabel("step $k$")
        middle.set_xlim(0, steps[-1])
        if c == 0:
            top.set_ylabel(style.observable_label(compared, run) + "\nat the end")
            middle.set_ylabel("local steps $H$")
            if tested:
                axes[2, 0].set_ylabel("test accuracy, %")
    handles = [style.line_handle(rule, mew=0.9, ls=_line(r), lw=1.0, **looks[r]) for r, rule in enumerate(rules)]
    style.legends_above(fig, [
        (None, handles),
        (None, [style.line_handle("measured, 95 % interval", ls="none", marker="o", color="0.2", mfc="white", mew=0.9),
                style.line_handle("predicted, nothing fitted", ls="none", marker="_", ms=11, mew=1.1, color="0.2")])])
    return fig, _caption(run, compared)


def _look(i):
    """Colour, marker and filling of rule i: no two alike among the first 98."""
    colour, k = style.cycle(style.COLOURS, i), len(style.COLOURS)
    return dict(marker=style.cycle(style.MARKERS, i + i // k), color=colour, mfc=colour if i // k % 2 else "white", ms=4.4)


def _line(i):
    return style.cycle(style.LINES, i + i // len(style.LINES))


def _caption(run, compared):
    verdicts = [str(v) for v in np.ravel(run.variables["verdict"].data)]
    count = lambda name: verdicts.count(name)
    decided = count("ordered as predicted") + count("contradicted")
    long = int(np.nansum(np.asarray(run.variables["long_rounds"].data)))
    return (f"{run.title or run.path.name}: {style.PLAIN.get(compared, compared)} at the end against communication, the "
            f"local steps of each rule over the run, and what the network makes of images it was not trained on; of "
            f"{len(verdicts)} pairs of rules {decided} have a predicted gap beyond 5 standard errors, "
            f"{count('ordered as predicted')} of them ordered as predicted and {count('contradicted')} not; "
            f"{count('tie')} are ties and {count('gap not predicted')} have a gap that is not predicted; {long} pairs have "
            f"a round within which the compared quantity changes by more than 1 %.")
