"""A plan: H and the predicted drift over the schedule, what drift costs in communication, what it takes in hours."""
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

import style
from loader import Unreadable
from style import plt

JOINS = False


def draw(runs, observable=None):
    """H(k) and m(k) above; extra drift against communication, hours against bandwidth below."""
    (run,) = runs
    if run.kind != "plan":
        raise Unreadable(f"{run.path}: is no plan")
    if observable:
        raise Unreadable(f"{run.path}: a plan has no observables")
    data = {name: v.data for name, v in run.variables.items()}
    rules = [str(name) for name in data["rule"]]
    predicted, timed = "multiplier" in data, "hours" in data
    names = ["steps"] + ["multiplier"] * predicted + ["trade"] * predicted + ["hours"] * timed
    across = min(len(names), 2)
    down = -(-len(names) // across)
    fig, axes = plt.subplots(down, across, squeeze=False,
                             figsize=(style.SINGLE if across == 1 else style.DOUBLE, 0.2 + 2.3 * down))
    panels = dict(zip(names, axes.flat))
    for ax in list(axes.flat)[len(names):]:
        ax.set_visible(False)
    looks = [dict(color=style.cycle(style.COLOURS, i), ls=style.cycle(style.LINES, i // len(style.COLOURS)))
             for i in range(len(rules))]
    marks = [dict(color=look["color"], marker=style.cycle(style.MARKERS, i), ls="none", mew=0.9,
                  mfc="white" if i < len(style.COLOURS) else look["color"]) for i, look in enumerate(looks)]
    fraction = np.asarray(data["step"]) / float(data["total_steps"])

    ax = panels["steps"]
    for i, look in enumerate(looks):
        ax.plot(fraction, data["local_steps"][i], drawstyle="steps-post", **look)
    ax.set_yscale("log")
    ax.set_ylabel("local steps $H$ of the round")
    if predicted:
        ax = panels["multiplier"]
        K = float(data["workers"])
        for i, look in enumerate(looks):
            ax.plot(fraction, data["multiplier"][i], drawstyle="steps-post", **look)
        for limit in (1, K):
            ax.axhline(limit, color="0.4", lw=0.6, ls=(0, (1, 1)), zorder=1)
        ax.set_ylim(0, 1.06 * K)
        ax.set_ylabel("predicted drift multiplier $m$")
        _trade(panels["trade"], data, marks)
    for name in ("steps", "multiplier"):
        if name in panels:
            panels[name].set_xlabel("fraction of the run")
            panels[name].set_xlim(0, 1)
    if timed:
        _hours(panels["hours"], data, looks, marks)

    handles = [style.line_handle(name, **{**mark, "ls": look["ls"]}, markevery=[0])
               for name, look, mark in zip(rules, looks, marks)]
    groups = [("rules", handles)]
    if predicted:
        gamma = float(data["target_gamma"])
        power = "QSR" if gamma == 2 else rf"power rule, $\gamma={gamma:g}$,"
        base = run.config.get("target", {}).get("base_steps", 1)
        groups.append(("trade-off", [
            style.line_handle(rf"{power} $H_\mathrm{{base}}={base}$ over $\alpha$", color="0.55", lw=1),
            style.line_handle("least " + rf"$\alpha={float(data['answer_alpha']):.3g}$ that meets both targets"
                              if float(data["answer_feasible"]) else
                              rf"nearest to the targets, $\alpha={float(data['answer_alpha']):.3g}$",
                              color="0.1", marker="*", ls="none", ms=8),
            style.band_handle("asked for")]))
    style.legends_above(fig, groups)
    return fig, _caption(run, data, rules, predicted, timed)


def _percent(ax, which):
    formatter = FuncFormatter(lambda v, _: f"{100 * v:g}")
    (ax.xaxis if which == "x" else ax.yaxis).set_major_formatter(formatter)


def _trade(ax, data, marks):
    x, y = np.asarray(data["communication"]), np.asarray(data["extra_drift"])
    asked, allowed = float(data["target_extra_drift"]), float(data["target_communication"])
    curve = np.asarray(data["alpha_communication"]), np.asarray(data["alpha_extra_drift"])
    low = 0.7 * min(x.min(), curve[0].min())
    ax.fill_between([low, allowed], asked, 1.04, color=style.BAND, lw=0, zorder=0)
    ax.plot(*curve, color="0.55", lw=1, zorder=1)
    for i, mark in enumerate(marks):
        ax.plot(x[i], y[i], zorder=3, **mark)
    ax.plot(float(data["answer_communication"]), float(data["answer_extra_drift"]), marker="*", ms=8, color="0.1",
            ls="none", zorder=4)
    ax.set_xscale("log")
    ax.set_xlim(low, 1.3)
    ax.set_ylim(-0.03, 1.04)
    ax.xaxis.set_major_locator(FixedLocator([v for v in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1) if v >= low]))
    ax.xaxis.set_minor_locator(NullLocator())
    _percent(ax, "x")
    _percent(ax, "y")
    ax.set_xlabel("averages / those of data parallelism (%)")
    ax.set_ylabel("extra drift, $\\sum\\eta^2(m-1)$\nrelative to its bound (%)")


def _hours(ax, data, looks, marks):
    gbps, hours = np.asarray(data["bandwidth"]), np.asarray(data["hours"])
    error = np.asarray(data["hours_error"])
    order = np.argsort(gbps)
    for i, (look, mark) in enumerate(zip(looks, marks)):
        half = error[i][order] if (error[i] > 0).any() else np.full(len(gbps), np.nan)
        style.intervals(ax, gbps[order], hours[i][order], half, **{**mark, "ls": look["ls"], "lw": 0.9})
    if len(gbps) > 1:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(gbps, [f"{g:g}" for g in gbps])
    if hours.max() > 8 * hours.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_ylim(0, None)
    ax.set_xlabel("bandwidth (Gbit/s)")
    ax.set_ylabel("wall clock (h)")


def _caption(run, data, rules, predicted, timed):
    text = (f"{run.title or run.path.name}: {float(data['total_steps']):.0f} steps on {float(data['workers']):.0f} workers, "
            "nothing trained; H of the round under way, counted on the true schedule")
    if predicted:
        x, y = float(data["answer_communication"]), float(data["answer_extra_drift"])
        text += ("; drift toward flat minima over that of SGD with the same batch, as the slow SDE predicts it for the "
                 f"{len(np.atleast_1d(data['eigenvalue']))} eigenvalues given, between 1 and K (dotted)"
                 "; its sum over the run against communication")
        text += (f": alpha = {float(data['answer_alpha']):.3g} is the least that " if float(data["answer_feasible"]) else
                 f": no alpha meets the targets, and alpha = {float(data['answer_alpha']):.3g} comes nearest: it ")
        text += f"gives {100 * y:.1f} % of the possible extra drift at {100 * x:.1f} % of the averages"
    if timed:
        base = float(data["measured_bandwidth"])
        text += (f"; hours from {float(data['step_seconds']):.3g} s a step and {float(data['average_seconds']):.3g} s an "
                 f"average at {base:g} Gbit/s, bars: what the rounding of the measured times or the fit leaves open")
    return text + "."
