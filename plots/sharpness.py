"""Sharpness against slow time: measured, and predicted from the same start with nothing fitted."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt

JOINS = True  # also of a suite's parts

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
            theories += [k for k in ensemble.theories_of(s) if k not in theories]
    if not theories:
        raise Unreadable(f"{runs[0].path}: has no model to compare the sharpness with")
    known = list(style.THEORIES)
    theories.sort(key=lambda k: known.index(k) if k in known else len(known))
    line = {k: style.THEORIES.get(k, (k, style.cycle(style.LINES, 3 + i))) for i, k in enumerate(theories)}

    across = style.across(len(columns))
    down = -(-len(columns) // across)
    fig, axes = plt.subplots(2 * down, across, figsize=(style.SINGLE if across == 1 else style.DOUBLE, 3.8 * down),
                             squeeze=False, height_ratios=[2.1, 1] * down)
    for empty in range(len(columns), down * across):
        axes[2 * (empty // across), empty % across].set_axis_off()
        axes[2 * (empty // across) + 1, empty % across].set_axis_off()
    said = []
    for c, (run, ensemble) in enumerate(columns):
        row, column = divmod(c, across)
        top, bottom = axes[2 * row:2 * row + 2, column]
        if c > 0:
            top.sharey(axes[0, 0])
            bottom.sharey(axes[1, 0])
        m = ensemble.observables.index(observable)
        rates = sorted({s.settings["eta"] for s in ensemble.iterates})
        counts = {int(s.count[-1]) for s in ensemble.iterates}
        rate = ", ".join(f"{r:g}" for r in rates)
        where = "".join(f"\n{a} = {v:g}" for a, v in ensemble.coordinates.items() if isinstance(v, float))
        top.set_title(rf"$\eta={rate}$, {_range(counts)} seed{'s' * (counts != {1})}{where}")
        bottom.axhspan(1 - TOLERANCE, 1 + TOLERANCE, color=style.BAND, lw=0, zorder=0)
        bottom.axhline(1, color="0.4", lw=0.6, zorder=1)
        for s in ensemble.iterates:
            a = algorithms.index(style.algorithm_label(s))
            colour, marker = style.cycle(style.COLOURS, a), style.cycle(style.MARKERS, a)
            for theory, model in ensemble.theories_of(s).items():
                top.plot(model.t, model.mean[:, m], ls=line[theory][1], color=colour, zorder=2)
                ratio = intervals.fall(s, m) / intervals.fall(model, m)
                k = theories.index(theory)
                x = a + 0.22 * (k - (len(theories) - 1) / 2)
                style.intervals(bottom, x, ratio.value, ratio.half, ls="none", marker=marker, color=colour, ms=4.2,
                                mew=0.9, zorder=3, **_filling(theory, colour))
                said.append((rate, style.algorithm_label(s), theory, ratio))
            style.intervals(top, s.t, s.mean[:, m], intervals.half_width(s, m), ls="none", marker=marker,
                            color=colour, mfc="white", mew=0.9, zorder=4, ms=3.6)
        top.set_xlabel(style.SLOW_TIME if across < 3 else style.SLOW_TIME_SHORT)
        top.set_xlim(left=0)
        short = len(algorithms) * across > 6 or len(algorithms) * max(map(len, algorithms)) > 48  # what fits below a panel
        bottom.set_xticks(range(len(algorithms)), [_short(a) if short else a for a in algorithms])
        bottom.set_xlim(-0.5, len(algorithms) - 0.5)
        bottom.tick_params(axis="x", length=0)
        if column == 0:
            top.set_ylabel(style.observable_label(observable, run))
            bottom.set_ylabel("fall, measured\n/ predicted")
        else:
            top.tick_params(labelleft=False)
            bottom.tick_params(labelleft=False)
    style.legends_above(fig, [
        ("measured, 95 % interval",
         [style.line_handle(a, ls="none", marker=style.cycle(style.MARKERS, i), color=style.cycle(style.COLOURS, i),
                            mfc="white", mew=0.9) for i, a in enumerate(algorithms)]),
        ("predicted, nothing fitted",
         [style.line_handle(line[k][0], ls=line[k][1], color="0.2", marker="o", mew=0.9, **_filling(k, "0.2"))
          for k in theories]
         + [style.band_handle(rf"$1\pm{TOLERANCE}$")])])
    return fig, _caption(said, theories, line)


def _filling(theory, colour):
    """Tells the theory behind a ratio, as the line style tells it of a path."""
    if theory == "sampling":
        return dict(mfc=colour)
    if theory == "finite-step":
        return dict(mfc=colour, mfcalt="white", fillstyle="left")
    return dict(mfc="white")


def _short(algorithm):
    return algorithm.replace("Local SGD, ", "").replace("Local SGD ", "") or algorithm


def _range(counts):
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _caption(said, theories, line):
    best = theories[-1] if "sampling" not in theories else "sampling"
    plain = lambda text: text.replace("$", "")
    parts = [f"{r.value:.3f} ± {r.half:.3f} ({plain(a)}, η = {rate})" for rate, a, k, r in said if k == best]
    others = [r.value for _, _, k, r in said if k == "papers"]
    text = (f"Fall of the sharpness of the projected mean parameters: measured / predicted at the end is {', '.join(parts)} "
            f"for the theory '{line[best][0]}'")
    if others and best != "papers":
        text += f", while it is {min(others):.3f} to {max(others):.3f} for the slow SDE of the papers"
    text += (f"; points are means over the seeds with 95 % intervals (Student's t), lines start where the iterates "
             f"start and nothing is fitted, the grey band is 1 ± {TOLERANCE}")
    if any(np.isnan(r.half) for *_, r in said):
        text += ", and a point of a single seed has no interval"
    return text + "."
