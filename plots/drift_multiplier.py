"""How many times faster Local SGD drifts than SGD with the same batch, against eta*H."""
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy.interpolate import PchipInterpolator

import intervals
import style
from loader import Unreadable
from style import plt

JOINS = True  # also of a suite's parts

CURVES = ("papers", "finite-step")
PREFERRED = ("log_x0", "log x0", "x0")


def draw(runs, observable=None):
    """Ratio of the falls Local SGD / SGD over H and K above; measured / finite-step below."""
    groups = _collect(runs, observable)
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(style.SINGLE, 3.8), sharex=True, height_ratios=[2.2, 1])
    bottom.axhline(1, color="0.4", lw=0.6, zorder=1)
    workers = sorted({K for K, _ in groups})
    residuals, marks = [], []
    for i, ((K, eta), points) in enumerate(sorted(groups.items())):
        a = workers.index(K)
        colour, marker = style.cycle(style.COLOURS, a), style.cycle(style.MARKERS, i)
        points.sort(key=lambda p: p[0])
        x = np.array([p[0] for p in points])
        measured = [p[1] for p in points]
        look = dict(ls="none", marker=marker, color=colour, mfc="white", mew=0.9, ms=3.8)
        style.intervals(top, x, [r.value for r in measured], [r.half for r in measured], zorder=4, **look)
        for theory in CURVES:
            known = [(p[0], p[2][theory]) for p in points if theory in p[2]]
            if known:
                top.plot(*_smooth(*zip(*known)), ls=style.THEORIES[theory][1], color=colour, zorder=3)
        top.axhline(K, color=colour, lw=0.6, ls=(0, (1, 1)), zorder=1)
        ratios = [(p[0], p[1] / intervals.Estimate(p[2]["finite-step"])) for p in points if "finite-step" in p[2]]
        if ratios:
            shift = 1.06 ** (i - (len(groups) - 1) / 2)  # marks of different K side by side
            style.intervals(bottom, [u * shift for u, _ in ratios], [r.value for _, r in ratios],
                            [r.half for _, r in ratios], zorder=3, **look)
            residuals += [(abs(r.value - 1), r.half) for _, r in ratios]
        rates = {e for k, e in groups if k == K}
        marks.append(style.line_handle(f"$K={K:.0f}$" + (rf", $\eta={eta:g}$" if len(rates) > 1 else ""), **look))
    top.axhline(1, color="0.4", lw=0.6, ls=(0, (1, 1)), zorder=1)
    top.set_xscale("log")
    top.set_yscale("log", base=2)
    top.set_ylim(0.85, 1.25 * max(workers))
    top.yaxis.set_major_locator(FixedLocator([2.0**j for j in range(0, 12)]))
    top.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    top.yaxis.set_minor_locator(NullLocator())
    top.set_ylabel("drift of Local SGD / drift of SGD")
    bottom.set_xlabel(r"local time of a round $\eta H$ (dimensionless)")
    bottom.set_ylabel("measured /\nfinite-step")
    used = [k for k in CURVES if any(k in p[2] for points in groups.values() for p in points)]
    # what the papers' slow SDE of Local SGD comes to where all eigenvalues are equal
    names = {"papers": r"papers: $1+(K-1)\psi(2\eta H\lambda)$", "finite-step": "finite-step model"}
    style.legends_above(fig, [
        ("measured, 95 % interval", marks),
        ("predicted, nothing fitted", [style.line_handle(names[k], ls=style.THEORIES[k][1], color="0.2") for k in used]
         + [style.line_handle(r"limits $1$ and $K$", ls=(0, (1, 1)), lw=0.6, color="0.2")])])
    text = (f"Over {np.log10(_span(groups)):.1f} decades of ηH the drift of Local SGD relative to SGD with the same "
            f"batch goes from 1 towards the number of workers K = {', '.join(f'{K:.0f}' for K in workers)}")
    if residuals:
        inside = sum(off <= half for off, half in residuals)
        text += (f": measured / finite-step (below) is 1 within its 95 % interval at {inside} of {len(residuals)} points "
                 f"and off by at most {100 * max(r[0] for r in residuals):.1f} %")
    text += ("; marks are ratios of the falls of the mean with 95 % intervals by the delta method for independent "
             "series, curves are ratios of the models' falls, joined by monotone interpolation, nothing is fitted")
    return fig, text + "."


def _collect(runs, observable):
    """{(K, eta): [(eta H, measured ratio, {theory: ratio})]}"""
    groups = {}
    for run in runs:
        for ensemble in run.points:
            name = observable or next((o for o in PREFERRED if o in ensemble.observables), None)
            if name not in ensemble.observables:
                raise Unreadable(f"{run.path / 'result.nc'}: has no observable '{name or 'x0'}', only "
                                 + ", ".join(ensemble.observables))
            m = ensemble.observables.index(name)
            sgd = _sgd(run, ensemble)
            slow = {k: intervals.fall(s, m).value for k, s in ensemble.theories_of(sgd).items()}
            base = intervals.fall(sgd, m)
            for local in ensemble.iterates:
                if local is sgd:
                    continue
                a, b = (s.settings["workers"] * s.settings["local_batch"] for s in (local, sgd))
                if a != b:
                    raise Unreadable(f"{run.path}: '{local.name}' has batch {a:g} and '{sgd.name}' {b:g}; the ratio of "
                                     "their falls is no drift multiplier")
                theories = {k: intervals.fall(s, m).value / slow[k]
                            for k, s in ensemble.theories_of(local).items() if slow.get(k)}
                key = local.settings["workers"], local.settings["eta"]
                x = local.settings["eta"] * local.settings["local_steps"]
                groups.setdefault(key, []).append((x, intervals.fall(local, m) / base, theories))
    if not groups:
        raise Unreadable(f"{runs[0].path}: has no Local SGD series beside SGD")
    return groups


def _sgd(run, ensemble):
    for s in ensemble.iterates:
        if s.name == "SGD":
            return s
    for s in ensemble.iterates:
        if s.settings["local_steps"] == 1:
            return s
    raise Unreadable(f"{run.path}: has no SGD series (named 'SGD' or with one local step)")


def _span(groups):
    x = [p[0] for points in groups.values() for p in points]
    return max(x) / min(x)


def _smooth(x, y):
    x, unique = np.unique(x, return_index=True)
    y = np.asarray(y)[unique]
    if len(x) < 3:
        return x, y
    fine = np.linspace(np.log(x[0]), np.log(x[-1]), 200)
    return np.exp(fine), PchipInterpolator(np.log(x), y)(fine)
