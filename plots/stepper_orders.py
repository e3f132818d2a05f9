"""Orders of convergence: differences of successive steps against the step, for each class of noise."""
import numpy as np

import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """Weak differences above, strong ones below, a column for each class of noise."""
    (run,) = runs
    if "weak_difference" not in run.variables:
        raise Unreadable(f"{run.path}: holds no orders of steppers")
    v = {name: variable.data for name, variable in run.variables.items()}
    schemes = list(dict.fromkeys(map(str, v["scheme"])))
    noises = list(dict.fromkeys(map(str, v["noise"])))
    fig, axes = plt.subplots(2, len(noises), squeeze=False, sharex="row", sharey="row", figsize=(style.DOUBLE, 3.9))
    for row, kind in enumerate(("weak", "strong")):
        for column, noise in enumerate(noises):
            ax = axes[row, column]
            for i, (scheme, of) in enumerate(zip(map(str, v["scheme"]), map(str, v["noise"]))):
                h, y, se = (v[f"{kind}_{name}"][i] for name in ("step", "difference", "se"))
                if of != noise or not np.isfinite(y).any():
                    continue
                k = schemes.index(scheme)
                shown = np.abs(y) > 2 * se  # a logarithm of what may be 0 says nothing
                style.intervals(ax, h[shown], np.abs(y[shown]), 2.5758 * se[shown], ls=style.cycle(style.LINES, k), lw=0.8,
                                marker=style.cycle(style.MARKERS, k), color=style.cycle(style.COLOURS, k), mfc="white",
                                mew=0.8, ms=3)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            low, high = ax.get_xlim()
            ax.set_xlim(low, high)
            if row == 0:
                ax.set_title(noise)
        for ax in axes[row]:  # slopes of the orders that there are, below the marks
            bottom = axes[row, 0].get_ylim()[0]
            h = np.array([h for h in np.unique(v[f"{kind}_step"][np.isfinite(v[f"{kind}_step"])])])
            for order in ((1, 2) if kind == "weak" else (0.5, 1)):
                ax.plot(h, 3 * bottom * (h / h[0]) ** order, color="0.6", lw=0.7, zorder=1)
        axes[row, 0].set_ylabel(r"$|E f(X_h)-E f(X_{h/2})|$" if kind == "weak" else r"$\sqrt{E|X_h-X_{h/2}|^2}$")
        axes[row, len(noises) // 2].set_xlabel(f"step $h$ (in the SDE's time; {kind} order)")
    handles = [style.line_handle(s, ls=style.cycle(style.LINES, k), lw=0.8, marker=style.cycle(style.MARKERS, k),
                                 color=style.cycle(style.COLOURS, k), mfc="white", mew=0.8, ms=3)
               for k, s in enumerate(schemes)]
    handles.append(style.line_handle("slopes 1, 2 (above), 1/2, 1 (below)", color="0.6", lw=0.7))
    style.legends_above(fig, [(None, handles)])
    verdicts = [str(t) for t in v["verdict"] if not str(t).startswith("does not apply")]
    return fig, (f"{run.title or run.path.name}: differences of successive steps on one Brownian path fall with the order "
                 f"that theory gives; {verdicts.count('confirmed')} of {len(verdicts)} pairs of scheme and noise are "
                 f"confirmed, {verdicts.count('refuted')} refuted, {verdicts.count('inconclusive')} inconclusive; bars are "
                 "99 % intervals, grey lines have the slopes of the orders, differences below two standard errors are "
                 "left out.")
