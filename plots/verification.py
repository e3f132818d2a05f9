"""A verification: how far each measurement is from its prediction, and how far from every wrong theory."""
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import loader
import style
from loader import Unreadable
from style import plt

LOOKS = {"confirmed": dict(color=style.COLOURS[0], marker="o"), "refuted": dict(color=style.COLOURS[1], marker="X"),
         "inconclusive": dict(color=style.COLOURS[2], marker="^")}
MARGIN = {"o": "s", "X": "P", "^": "v"}  # the same verdicts of claims of equality


def draw(runs, observable=None):
    """A line for each comparison, those of a claim together."""
    (run,) = runs
    if run.kind != "verification":
        raise Unreadable(f"{run.path}: is no verification")
    judged = loader.verification(run)
    comparisons = [c for claim in judged["claims"] for c in claim["comparisons"]]
    if not comparisons:
        raise Unreadable(f"{run.path}: no claim was compared with anything")
    critical, rejection = judged["critical_z"], judged["rejection_z"]
    known = [z for c in comparisons for z in (c["z"], *_rivals(c)) if z is not None]
    edge = 1.5 * max([critical, *known])
    place = lambda z: edge if z is None else z  # JSON has no infinity: the distance from an exact value that differs
    fig, ax = plt.subplots(figsize=(style.DOUBLE, 0.7 + 0.14 * len(comparisons) + 0.1 * len(judged["claims"])))
    ax.axvspan(0, critical, color=style.BAND, lw=0, zorder=0)
    handles, shown = [], {}
    y, ticks = 0.0, []
    for claim in judged["claims"]:
        first = y
        for c in claim["comparisons"]:
            rivals = [place(z) for z in _rivals(c)]
            ax.plot(rivals, np.full(len(rivals), y), ls="none", marker="|", ms=5, mew=0.9, color="0.35", zorder=2)
            look = dict(ls="none", mfc="white", mew=0.9, ms=4, **LOOKS[c["verdict"]])
            name = f"prediction, {c['verdict']}"
            if c["margin"] > 0:  # the distance decides nothing
                look["mfc"], name = "none", name + " by its margin"
                look["marker"] = MARGIN[look["marker"]]
            ax.plot(place(c["z"]), y, zorder=3, clip_on=False, **look)
            shown[name] = look
            y += 1
        ticks.append(((first + y - 1) / 2, claim["name"]))
        y += 0.6
    ax.set_yticks(*zip(*ticks))
    ax.set_ylim(y - 0.6, -1)
    ax.tick_params(axis="y", length=0)
    ax.set_xscale("symlog", linthresh=critical, linscale=1)
    decades = [10.0**j for j in range(1, 20) if 10.0**j <= edge]
    ax.set_xlim(0, edge)
    ax.xaxis.set_major_locator(FixedLocator([0, 2, 4, *decades]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("distance from the measurement (standard errors)")
    for name in sorted(shown):
        handles.append(style.line_handle(name, **shown[name]))
    handles.append(style.line_handle("wrong theory", ls="none", marker="|", ms=5, mew=0.9, color="0.35"))
    handles.append(style.band_handle(f"all right predictions, but for a chance of {judged['false_alarm_budget']:g}"))
    bound = dict(color="0.4", lw=0.6, ls=(0, (3, 2)))
    ax.axvline(rejection, zorder=1, **bound)
    handles.append(style.line_handle(f"rejected from here on: {rejection:g}", **bound))
    style.legends_above(fig, [(None, handles)])
    return fig, _caption(judged, comparisons, critical)


def _rivals(comparison):
    return [w["z"] for w in comparison["wrong_theories"]]


def _caption(judged, comparisons, critical):
    rivals = [z for c in comparisons for z in _rivals(c)]
    known = [z for z in rivals if z is not None]
    counts = ", ".join(f"{judged[v]} {v}" for v in LOOKS if judged[v] or v == "confirmed")
    equivalent = sum(c["margin"] > 0 for c in comparisons)
    text = (f"Of {len(judged['claims'])} claims {counts}: a mark is the distance of a measured number from its prediction "
            f"in standard errors, and {len(comparisons)} predictions that are all right stay within the grey band up to "
            f"{critical:.2f} with a probability of at least {1 - judged['false_alarm_budget']:g}")
    if rivals:
        text += f"; bars are {len(rivals)} wrong theories"
    if len(known) < len(rivals):
        text += f", of which the nearest that has a finite distance is {min(known):.1f} standard errors away" if known else ""
    elif known:
        text += f", the nearest {min(known):.1f} standard errors away"
    if equivalent:
        text += f"; {equivalent} claims of equality are judged by a margin stated before, not by this distance"
    return text + "."
