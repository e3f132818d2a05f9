"""The spectra that a training took: how many eigenvalues of the Hessian lie above a value."""
import numpy as np

import loader
import style
from loader import Unreadable
from style import plt

DECADES = 5  # below the largest eigenvalue: what is smaller is not told from 0


def draw(runs, observable=None):
    """A panel for each time, a curve for each run: the mean over the seeds, and their range as a band."""
    run, ensemble = loader.single(runs, "spectrum", "training")
    if "ritz_value" not in run.variables:
        raise Unreadable(f"{run.path / 'result.nc'}: holds no spectra; a training takes them where [measure] has spectrum_at")
    values, counts = (np.asarray(run.variables[name].data, dtype=float) for name in ("ritz_value", "ritz_weight"))
    times = np.atleast_1d(run.variables["spectrum_at"].data)
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        raise Unreadable(f"{run.path / 'result.nc'}: no spectrum has an eigenvalue above 0")
    top = np.nanmax(values)
    x = top * np.logspace(-DECADES, 0.02, 400)
    fig, axes = plt.subplots(1, len(times), squeeze=False, sharex=True, sharey=True,
                             figsize=(style.SINGLE if len(times) == 1 else style.DOUBLE, 2.6))
    handles, said = [], []
    for i, series in enumerate(ensemble.series):
        look = dict(color=style.cycle(style.COLOURS, i), ls=style.cycle(style.LINES, i // len(style.COLOURS)))
        handles.append(style.line_handle(series.name, **look))
        for k, ax in enumerate(axes[0]):
            above = [np.array([c[v >= at].sum() for at in x])
                     for v, c in ((values[i, s, k], counts[i, s, k]) for s in range(values.shape[1])) if np.isfinite(v).any()]
            if not above:
                continue
            ax.fill_between(x, np.min(above, axis=0), np.max(above, axis=0), color=look["color"], alpha=0.18, lw=0, step="mid")
            ax.plot(x, np.mean(above, axis=0), **look)
        largest = [np.nanmax(v) for v in values[i, :, -1] if np.isfinite(v).any()]
        if largest:
            said.append(f"{series.name} {np.mean(largest):.3g}")
    for k, ax in enumerate(axes[0]):
        ax.set(xscale="log", yscale="log", ylim=(0.5, None), xlabel=r"$x$, eigenvalue of $\nabla^2 L$ at $\bar\theta$")
        ax.set_title(f"after {100 * times[k]:g} % of the steps")
    axes[0, 0].set_ylabel(r"eigenvalues $\geq x$ (count)")
    style.legends_above(fig, [(None, handles)])
    text = (f"{run.title or run.path.name}: how many eigenvalues of the Hessian lie above x, by stochastic Lanczos quadrature: "
            f"means over {values.shape[1]} seeds, bands are the range of the seeds; curves further to the left are flatter "
            f"minima")
    if said:
        text += f"; largest eigenvalue after {100 * times[-1]:g} %: " + ", ".join(said)
    return fig, text + "."
