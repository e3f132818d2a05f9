"""Sharpness against slow time: measured, and predicted from the same start with nothing fitted."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt

TOLERANCE = 0.03  # the band around measured/predicted = 1


def draw(runs, observable=None):
    """One column of panels for each run: the sharpness above, the ratio of the falls below."""
    observable = observable or "trace"
    for run in runs:
        run.require_observable(observable)
    columns = [(run, ensemble) for run in runs for ensemble in run.points]
    algorithms, theories = [], []
    for _, ensemble in columns:
        for s in ensemble.iterates:
            if style.algorithm_label(s) not in algorithms:
                algorithms.append(style.algorithm_label(s))
            theories += [m.theory for m in ensemble.models_of(s) if m.theory not in theories]
    if not theories:
        raise Unreadable(f"{runs[0].path}: has no model to compare the sharpness with")
    known = list(style.THEORIES)
    theories.sort(key=lambda k: known.index(k) if k in known else len(known))
    line = {k: style.THEORIES.get(k, (k, style.cycle(style.LINES, 3 + i))) for i, k in enumerate(theories)}

    n = len(columns)
    fig, axes = plt.subplots(2, n, figsize=(style.SINGLE if n == 1 else style.DOUBLE, 4.4), squeeze=False,
                             sharex="row", sharey="row", height_ratios=[2.2, 1])
    said = []
    for c, (run, ensemble) in enumerate(columns):
        top, bottom = axes[:, c]
        m = ensemble.observables.index(observable)
        rates = sorted({s.settings["eta"] for s in ensemble.iterates})
        counts = {int(s.count[-1]) for s in ensemble.iterates}
        rate = ", ".join(f"{r:g}" for r in rates)
        top.set_title(rf"$\eta={rate}$, {_range(counts)} seeds")
        bottom.axhspan(1 - TOLERANCE, 1 + TOLERANCE, color=style.BAND, lw=0, zorder=0)
        bottom.axhline(1, color="0.4", lw=0.6, zorder=1)
        for s in ensemble.iterates:
            a = algorithms.index(style.algorithm_label(s))
            colour, marker = style.cycle(style.COLOURS, a), style.cycle(style.MARKERS, a)
            for model in ensemble.models_of(s):
                top.plot(model.t, model.mean[:, m], ls=line[model.theory][1], color=colour, zorder=2)
                ratio = intervals.fall(s, m) / intervals.fall(model, m)
                k = theories.index(model.theory)
                x = a + 0.22 * (k - (len(theories) - 1) / 2)
                # the theory is told by the filling as well as by its place
                face = {"sampling": colour, "finite-step": "0.75"}.get(model.theory, "white")
                bottom.errorbar(x, ratio.value, ratio.half, ls="none", marker=marker, color=colour, mfc=face,
                                ms=4.2, mew=0.9, elinewidth=0.9, zorder=3)
                said.append((rate, style.algorithm_label(s), model.theory, ratio))
            top.errorbar(s.t, s.mean[:, m], intervals.half_width(s, m), ls="none", marker=marker, color=colour,
                         mfc="white", mew=0.9, elinewidth=0.8, zorder=4, ms=3.6)
        top.set_xlabel(style.SLOW_TIME)
        top.set_xlim(left=0)
        bottom.set_xticks(range(len(algorithms)), algorithms)
        bottom.set_xlim(-0.5, len(algorithms) - 0.5)
        bottom.tick_params(axis="x", length=0)
    axes[0, 0].set_ylabel(style.observable_label(observable, runs[0]))
    axes[1, 0].set_ylabel("fall at the end,\nmeasured / predicted")
    style.legends_above(fig, [
        ("measured: mean and 95 % interval",
         [style.line_handle(a, ls="none", marker=style.cycle(style.MARKERS, i), color=style.cycle(style.COLOURS, i),
                            mfc="white", mew=0.9) for i, a in enumerate(algorithms)]),
        ("predicted, nothing fitted (marks below: left to right)",
         [style.line_handle(line[k][0], ls=line[k][1], color="0.2") for k in theories]
         + [style.band_handle(rf"$1\pm{TOLERANCE}$")])])
    return fig, _caption(said, theories, line)


def _range(counts):
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _caption(said, theories, line):
    best = theories[-1] if "sampling" not in theories else "sampling"
    plain = lambda text: text.replace("$", "")
    parts = [f"{r.value:.3f} ± {r.half:.3f} ({plain(a)}, η = {rate})" for rate, a, k, r in said if k == best]
    others = [r.value for _, _, k, r in said if k == "papers"]
    text = (f"The sharpness of the projected mean parameters falls along the prediction: measured / predicted fall at "
            f"the end is {', '.join(parts)} for the theory '{line[best][0]}'")
    if others and best != "papers":
        text += f", while it is {min(others):.3f} to {max(others):.3f} for the slow SDE of the papers"
    text += (f"; points are means over the seeds with 95 % intervals (Student's t), lines start where the iterates "
             f"start and nothing is fitted, the grey band is 1 ± {TOLERANCE}")
    if any(np.isnan(r.half) for *_, r in said):
        text += ", and a point of a single seed has no interval"
    return text + "."
