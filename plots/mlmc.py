"""Multilevel and plain Monte Carlo: measured error against cost."""
import numpy as np
from scipy import special

import style
from loader import Unreadable
from style import plt

LOOKS = {"multilevel": ("multilevel Monte Carlo", style.COLOURS[0], "o"), "plain": ("plain Monte Carlo", style.COLOURS[1], "s")}


def draw(runs, observable=None):
    """Left: root mean square error over repetitions against cost; right: means and variances of the levels."""
    (run,) = runs
    v = {name: variable.data for name, variable in run.variables.items()}
    if "reference" not in v:
        raise Unreadable(f"{run.path}: holds no multilevel Monte Carlo")
    fig, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.9), width_ratios=[1.25, 1])
    error = v["estimate"] - float(v["reference"])  # (method, target, repetition)
    n = error.shape[2]
    rmse = np.sqrt((error**2).mean(axis=2))
    cost = v["cost"].mean(axis=2)
    # 95 % of a Gaussian error's mean square: chi-squared with n degrees of freedom
    low, high = (np.sqrt(n / special.chdtri(n, p)) for p in (0.025, 0.975))
    handles, said = [], []
    for m, method in enumerate(map(str, v["method"])):
        name, colour, marker = LOOKS[method]
        look = dict(color=colour, marker=marker, mfc="white", mew=0.9, ms=4)
        left.errorbar(cost[m], rmse[m], np.abs(np.outer([low - 1, high - 1], rmse[m])), ls="none", elinewidth=0.8,
                      zorder=3, **look)
        slope, half = _slope(error[m], v["cost"][m])
        fit = np.exp(np.polyval(np.polyfit(np.log(cost[m]), np.log(rmse[m]), 1), np.log(cost[m])))
        left.plot(cost[m], fit, color=colour, lw=0.9, ls="-" if m == 0 else "--", zorder=2)
        handles.append(style.line_handle(f"{name}: cost ∝ error$^{{{slope:.2f} \\pm {half:.2f}}}$",
                                         ls="-" if m == 0 else "--", lw=0.9, **look))
        said.append(f"{name} cost ∝ error^({slope:.2f} ± {half:.2f})")
    for target in v["target"]:
        left.axhline(target, color="0.6", lw=0.6, ls=(0, (1, 1)), zorder=1)
    handles.append(style.line_handle("targets", color="0.6", lw=0.6, ls=(0, (1, 1))))
    left.set(xscale="log", yscale="log", xlabel="cost of an estimate (stepper steps)",
             ylabel="root mean square error (dimensionless)")
    level = np.arange(len(v["level_mean"]))
    for name, y, colour, marker, ls in [
            (r"variance of $P_l-P_{l-1}$", v["level_variance"], style.COLOURS[0], "o", "-"),
            (r"variance of $P_l$", v["level_variance_of_fine"], style.COLOURS[1], "s", "--"),
            (r"$|$mean of $P_l-P_{l-1}|$", np.abs(v["level_mean"]), style.COLOURS[2], "^", ":")]:
        first = 0 if "P_l$" in name else 1
        look = dict(color=colour, marker=marker, ls=ls, lw=0.9, mfc="white", mew=0.9, ms=4)
        error_bar = 1.96 * v["level_se"][first:] if marker == "^" else None
        right.errorbar(level[first:], y[first:], error_bar, elinewidth=0.8, **look)
        handles.append(style.line_handle(name, **look))
    right.set(yscale="log", xlabel=r"level $l$ ($2^l$ times as many steps)", ylabel="variance and mean (dimensionless)")
    right.set_xticks(level)
    style.legends_above(fig, [(None, handles)])
    reached = int((v["reached"][0] == 1).sum())
    inside = rmse[0] <= v["target"]
    return fig, (f"{run.title or run.path.name}: {'; '.join(said)}; the measured error of multilevel Monte Carlo is at most "
                 f"its target (dotted) at {int(inside.sum())} of {inside.size} targets, and {reached} of "
                 f"{v['reached'][0].size} estimates say that they reached it; errors are over {n} repetitions against a "
                 f"reference with an error of at most {float(v['reference_error']):.2g}, bars are 95 % intervals (χ²), "
                 "exponents have 95 % intervals by the bootstrap over repetitions.")


def _slope(error, cost, draws=400):
    """Exponent of cost against root mean square error and the half-width of its 95 % interval."""
    rng = np.random.default_rng(1)
    n = error.shape[1]

    def of(chosen):
        rmse = np.sqrt((error[:, chosen] ** 2).mean(axis=1))
        return np.polyfit(np.log(rmse), np.log(cost[:, chosen].mean(axis=1)), 1)[0]

    again = [of(rng.integers(n, size=n)) for _ in range(draws)]
    return of(np.arange(n)), float(np.subtract(*np.quantile(again, [0.975, 0.025])) / 2)
