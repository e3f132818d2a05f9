"""The error of the Quadratic Synchronization Rule's slow SDE against alpha^2 = eta^2 H, and its local exponent."""
import numpy as np

import style
from loader import Unreadable
from style import plt

Z = 1.959964  # 95 %


def draw(runs, observable=None):
    """Left: |error| with lines of order alpha and alpha^2; right: the exponent in alpha^2 between neighbours."""
    (run,) = runs
    v = {name: variable.data for name, variable in run.variables.items()}
    if "alpha2" not in v or "exponent" not in v:
        raise Unreadable(f"{run.path}: holds no errors against alpha^2")
    settings = run.config.get("run", {})
    name = settings.get("observable", "trace")
    if observable and observable != name:
        raise Unreadable(f"{run.path / 'result.nc'}: has no observable '{observable}', only {name}")
    alpha2, error, half = v["alpha2"], np.abs(v["error"]), Z * v["error_se"]
    exponent, exponent_half = v["exponent"], Z * v["exponent_se"]
    extra = abs(float(v["extra"]))
    fig, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.7), width_ratios=[1.15, 1])
    data = dict(color=style.COLOURS[0], marker="o", mfc="white", mew=0.9, ms=4)
    second = dict(color="0.35", lw=0.9, ls="-")
    first = dict(color=style.COLOURS[1], lw=0.9, ls="--")
    whole = dict(color="0.5", lw=0.8, ls=(0, (1, 1)))

    # an interval that holds zero reaches to the axis
    style.intervals(left, alpha2, error, np.stack([np.minimum(half, error * (1 - 1e-9)), half]), ls="none", zorder=3,
                    **data)
    for power, look in ((1, second), (0.5, first)):  # of alpha^2, through the least one
        left.plot(alpha2, error[-1] * (alpha2 / alpha2[-1]) ** power, zorder=2, **look)
    left.axhline(extra, zorder=1, **whole)
    if (half >= error).any():
        left.set_ylim(bottom=error.min() / 3)
    left.set(xscale="log", yscale="log", xlabel=r"$\alpha^2=\eta^2H$ (dimensionless)",
             ylabel="error of the slow SDE of QSR\nin the mean of " + _label(name, run))
    right.axhline(1, zorder=1, **second)
    right.axhline(0.5, zorder=1, **first)
    between = np.sqrt(alpha2[1:] * alpha2[:-1])
    style.intervals(right, between, exponent, exponent_half, ls="none", zorder=3, **data)
    right.set(xscale="log", xlabel=r"$\alpha^2$ (between neighbours)", ylabel=r"local exponent in $\alpha^2$")
    for ax in (left, right):
        ax.set_xticks(alpha2, [_fraction(a) for a in alpha2])
        ax.minorticks_off()
        ax.set_xlim(alpha2[-1] / 1.3, alpha2[0] * 1.3)
    style.plain_log_ticks(left.yaxis)
    style.legends_above(fig, [(None, [
        style.line_handle("quasi-static process minus slow SDE of QSR", ls="none", **data),
        style.line_handle(r"order $\alpha^2$", **second), style.line_handle(r"order $\alpha$", **first),
        style.line_handle("extra drift: QSR minus SGD", **whole)])])
    relative = 100 * error / extra
    away = abs(exponent[-1] - 0.5) / v["exponent_se"][-1]
    return fig, (f"{run.title or run.path.name}: as α² falls from {_fraction(alpha2[0])} to {_fraction(alpha2[-1])}, what the slow "
                 f"SDE of the Quadratic Synchronization Rule (drift {settings.get('workers', 4)} times SGD's) errs in the mean of "
                 f"{_plain(name)} goes from {relative[0]:.2g} to {relative[-1]:.2g} % of what the extra drift does to it, and the "
                 f"exponent in α² between neighbours from {exponent[0]:.2f} ± {exponent_half[0]:.2f} to {exponent[-1]:.3f} ± "
                 f"{exponent_half[-1]:.3f}, {away:.0f} standard errors from that of order α (dashed), where order α² (solid) is "
                 "that of the bound of Gu et al. 2024, Theorem 3.1, up to logarithms; bars are 95 % intervals.")


def _fraction(value):
    """1/32 for 0.03125, a plain number where it is no inverse of a whole one."""
    inverse = 1 / value
    return f"1/{inverse:.0f}" if inverse > 1.5 and abs(inverse - round(inverse)) < 1e-6 * inverse else f"{value:g}"


def _label(name, run):
    return r"$\mathrm{tr}\,\nabla^2 L$" if name == "trace" else style.observable_label(name, run)


def _plain(name):
    return "tr ∇²L" if name == "trace" else style.PLAIN.get(name, name)
