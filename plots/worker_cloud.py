"""The workers of Local SGD within a round: own and cross second moments against the local step, beside theory."""
import numpy as np
from scipy import special

import style
from loader import Unreadable
from style import plt

SHOWN = ("trace", "largest eigenvalue", "least eigenvalue")
KINDS = {"own": "a worker with itself", "cross": "two different workers"}


def draw(runs, observable=None):
    """Above: moments; below: the own one over what each theory says."""
    (run,) = runs
    if "own_predicted" not in run.variables:
        raise Unreadable(f"{run.path}: holds no workers inside a round")
    v = {name: variable.data for name, variable in run.variables.items()}
    names, theories = list(map(str, v["quantity"])), list(map(str, v["theory"]))
    h, count = v["step"], float(v["replicas"])
    quantile = float(special.stdtrit(max(count - 1, 1), 0.975))
    fig, axes = plt.subplots(2, len(SHOWN), sharex=True, height_ratios=[2, 1], figsize=(style.DOUBLE, 3.9))
    worst = {theory: 0.0 for theory in theories}
    thin = -(-(len(h) - 1) // 16)
    for column, quantity in enumerate(SHOWN):
        q = names.index(quantity)
        top, bottom = axes[:, column]
        for i, kind in enumerate(KINDS):
            colour, marker = style.COLOURS[i], style.MARKERS[i]
            for theory, values in zip(theories, v[f"{kind}_predicted"]):
                top.plot(h, values[:, q], color=colour, ls=style.THEORIES[theory][1], zorder=2)
            style.intervals(top, h[1::thin], v[kind][1::thin, q], quantile * v[f"{kind}_se"][1::thin, q], ls="none", color=colour,
                            marker=marker, mfc="white", mew=0.9, ms=3.6, zorder=4)
        bottom.axhline(1, color="0.4", lw=0.6, zorder=1)
        for k, theory in enumerate(theories):
            ratio = v["own"][1:, q] / v["own_predicted"][k][1:, q]
            half = quantile * v["own_se"][1:, q] / v["own_predicted"][k][1:, q]
            worst[theory] = max(worst[theory], np.abs(ratio - 1).max())
            style.intervals(bottom, h[1::thin], ratio[::thin], half[::thin], ls="none", color=style.COLOURS[0],
                            marker=style.MARKERS[0], mfc=style.COLOURS[0] if k == 0 else "white", mew=0.9, ms=3.2, zorder=3)
        eigenvalue = float(v["eigenvalue"][q])
        top.set_title(quantity if np.isnan(eigenvalue) else rf"{quantity.split()[0]} $\lambda={eigenvalue:.3g}$")
        top.set_ylim(bottom=0)
        top.ticklabel_format(axis="y", scilimits=(-2, 3))
        bottom.set_xlabel("local step $h$ of the round")
    axes[0, 0].set_ylabel(r"second moment of $\delta$ / $\sigma^2$" + "\n(dimensionless)")
    axes[1, 0].set_ylabel("own moment,\nmeasured / theory")
    marks = [style.line_handle(label, ls="none", color=style.COLOURS[i], marker=style.MARKERS[i], mfc="white", mew=0.9, ms=3.6)
             for i, label in enumerate(KINDS.values())]
    lines = [style.line_handle(style.THEORIES[t][0], ls=style.THEORIES[t][1], color="0.2", marker="o", ms=3.2,
                               mfc="0.2" if k == 0 else "white") for k, t in enumerate(theories)]
    style.legends_above(fig, [("measured, 95 % interval", marks), ("predicted, nothing fitted", lines)])
    return fig, (f"{run.title or run.path.name}: after an average the second moment of a worker's displacement from the "
                 "manifold, over the variance of the label noise, grows with the local step and that of two different workers "
                 f"decays, as the theory with minibatch sampling says (largest difference of the own moment "
                 f"{100 * worst['sampling']:.1f} %, without sampling {100 * worst['finite-step']:.0f} %); marks are means over "
                 f"{count:.0f} replicas with 95 % intervals (Student's t).")
