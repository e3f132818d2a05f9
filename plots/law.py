"""Distribution of an observable at the last time: iterates against their slow SDE and wrong ones."""
import numpy as np

import intervals
import style
from loader import Unreadable
from style import plt

JOINS = True  # also of a suite's parts

BINS = 40


def draw(runs, observable=None):
    """One row for each iterates series: densities, differences of the distribution functions, a legend."""
    rows = []
    for run in runs:
        for ensemble in run.points:
            name = observable or ("x0" if "x0" in ensemble.observables else ensemble.observables[0])
            if name not in ensemble.observables:
                run.require_observable(name)
            for s in ensemble.iterates:
                rows.append((run, name, ensemble.observables.index(name), s, ensemble.models_of(s)))
    rows = [r for r in rows if r[3].samples is not None and r[4]]
    if not rows:
        raise Unreadable(f"{runs[0].path}: has no samples of the last time (run.samples) with a model to compare")
    fig, axes = plt.subplots(len(rows), 3, squeeze=False, width_ratios=[1, 1, 0.72],
                             figsize=(style.DOUBLE, 0.2 + 2.5 * len(rows)))
    said = []
    for (run, name, m, s, models), (density, difference, beside) in zip(rows, axes):
        said.append(_row(run, name, m, s, models, density, difference, beside))
    return fig, "; ".join(said) + (
        "; grey bands hold 95 % of each bin and of each point of the difference if both laws are the same, D is the "
        "two-sample Kolmogorov–Smirnov distance and p the probability of a larger one.")


def _row(run, name, m, s, models, density, difference, beside):
    x = _values(s, m)
    models = [(k, _values(k, m)) for k in models]
    models = [(k, v) for k, v in models if v.size]
    if not x.size or not models:
        raise Unreadable(f"{run.path}: '{s.name}' or all its models have no samples of the last time")
    # a common range that holds all but the outermost 0.1 % of everything
    everything = [x] + [v for _, v in models]
    low = min(np.quantile(v, 0.001) for v in everything)
    high = max(np.quantile(v, 0.999) for v in everything)
    edges = np.linspace(low, high, BINS + 1)
    width, centres = edges[1] - edges[0], (edges[1:] + edges[:-1]) / 2
    share = np.histogram(x, edges)[0] / x.size
    density.stairs(share / width, edges, color="0.25", lw=0.9, zorder=3)
    grid = np.linspace(low, high, 600)

    def below(v):
        return np.searchsorted(np.sort(v), grid, "right") / v.size

    F = below(x)
    right = models[0][1]
    # the band: binomial, for the difference of the iterates and as many samples as the first model has
    p = (share * x.size + np.histogram(right, edges)[0]) / (x.size + right.size)
    spread = 1.96 * np.sqrt(p * (1 - p) * (1 / x.size + 1 / right.size))
    density.fill_between(np.repeat(edges, 2)[1:-1], np.repeat(np.maximum(share - spread, 0) / width, 2),
                         np.repeat((share + spread) / width, 2), color=style.BAND, lw=0, zorder=1)
    pooled = (F * x.size + below(right) * right.size) / (x.size + right.size)
    half = 1.96 * np.sqrt(pooled * (1 - pooled) * (1 / x.size + 1 / right.size))
    difference.fill_between(grid, -half, half, color=style.BAND, lw=0, zorder=1)
    difference.axhline(0, color="0.4", lw=0.6, zorder=2)
    handles = [style.line_handle(f"{style.algorithm_label(s)} (iterates)\n$n={x.size}$", color="0.25", lw=0.9)]
    texts = []
    for i, (model, v) in enumerate(models):
        look = dict(color=style.cycle(style.COLOURS, i), ls=style.cycle(style.LINES, i))
        density.plot(centres, np.histogram(v, edges)[0] / v.size / width, lw=1.1, zorder=4 + i, **look)
        difference.plot(grid, below(v) - F, lw=1.1, zorder=4 + i, **look)
        D, p_value = intervals.kolmogorov_smirnov(x, v)
        handles.append(style.line_handle(f"{model.name}\n$D={D:.4f}$, {_p(p_value)}", **look))
        texts.append(f"D = {D:.4f}, {_p(p_value).replace('$', '')} for '{model.name}'")
    handles.append(style.band_handle("95 % band, pointwise"))
    label = style.observable_label(name, run)
    t = f"{s.t[-1]:.3g}"
    density.set(xlabel=f"{label} at $t={t}$", ylabel="probability density", xlim=(low, high))
    density.set_ylim(bottom=0)
    difference.set(xlabel=f"{label} at $t={t}$", ylabel=r"$F_\mathrm{model}-F_\mathrm{iterates}$", xlim=(low, high))
    beside.set_axis_off()
    beside.legend(handles=handles, loc="center left", borderaxespad=0, bbox_to_anchor=(0, 0.5), labelspacing=0.9)
    return f"Law of {name} at slow time {t}, {style.algorithm_label(s).replace('$', '')} against its models: " + ", ".join(texts) + (
        "; a model whose line stays within the band of the difference has the iterates' law, one that leaves it has not.")


def _values(series, m):
    return series.samples[m][np.isfinite(series.samples[m])] if series.samples is not None else np.empty(0)


def _p(p):
    return f"$p={p:.2f}$" if p >= 0.01 else (f"$p={p:.3f}$" if p >= 0.001 else "$p<0.001$")
