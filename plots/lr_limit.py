"""Measured over predicted fall of an observable against the learning rate, and where it goes as that goes to 0."""
import numpy as np

import intervals
import loader
import style
from loader import Unreadable
from style import plt


def draw(runs, observable=None):
    """Marks for each of the iterates, filled as the theory says; a curve through those of a theory, to eta = 0."""
    run, name, m = loader.sweep_over_iterates(runs, observable)
    algorithms = [s.name for s in run.points[0].iterates]
    ratios = {}  # (algorithm, theory): [(eta, ratio)]
    for ensemble in run.points:
        for s in ensemble.iterates:
            for theory, model in ensemble.theories_of(s).items():
                ratio = intervals.fall(s, m) / intervals.fall(model, m)
                ratios.setdefault((s.name, theory), []).append((s.settings["eta"], ratio))
    if not ratios:
        raise Unreadable(f"{run.path}: has no model to compare the iterates with")
    theories = sorted({k for _, k in ratios}, key=lambda k: list(style.THEORIES).index(k) if k in style.THEORIES else 99)
    label = {k: style.THEORIES.get(k, (k, "-")) for k in theories}

    fig, axes = plt.subplots(1, len(algorithms), squeeze=False, sharex=True, sharey=True,
                             figsize=(style.SINGLE if len(algorithms) == 1 else style.DOUBLE, 2.7))
    said = []
    for ax, algorithm in zip(axes[0], algorithms):
        ax.axhline(1, color="0.4", lw=0.6, zorder=1)
        for i, theory in enumerate(theories):
            if (algorithm, theory) not in ratios:
                continue
            points = sorted(ratios[algorithm, theory], key=lambda p: p[0])
            eta = np.array([p[0] for p in points])
            value, half, se = (np.array([getattr(p[1], what) for p in points]) for what in ("value", "half", "se"))
            colour = style.cycle(style.COLOURS, i)
            style.intervals(ax, eta, value, half, ls="none", marker=style.cycle(style.MARKERS, i), color=colour, mfc="white",
                            mew=0.9, ms=4, zorder=3)
            text = ", ".join(f"{v:.4f} ± {h:.4f} (η = {e:g})" for e, v, h in zip(eta, value, half))
            limit = extrapolated(eta, value, se)
            if limit:
                curve, at_zero, width = limit
                x = np.linspace(0, eta[-1], 100)
                ax.plot(x, np.polyval(curve, x), color=colour, ls=label[theory][1], lw=0.9, zorder=2)
                text += f", to {at_zero:.4f} ± {width:.4f} at η = 0"
            said.append(f"{_plain(algorithm)}, '{label[theory][0]}': {text}")
        ax.set_title(_mathematics(algorithm))
        ax.set_xlabel(r"learning rate $\eta$ (dimensionless)")
        ax.set_xlim(left=0)
    axes[0, 0].set_ylabel(f"fall of {style.observable_label(name, run)},\nmeasured / predicted")
    style.legends_above(fig, [("mark: measured, 95 % interval; line: extrapolated", [
        style.line_handle(label[k][0], ls=label[k][1], color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i),
                          mfc="white", mew=0.9, ms=4) for i, k in enumerate(theories)])])
    text = f"{run.title or run.path.name}: measured / predicted fall of {style.PLAIN.get(name, name)}: " + "; ".join(said)
    text += ("; 95 % intervals over the seeds (Student's t), nothing fitted in a prediction; the values at η = 0 are those of a "
             "polynomial in η through the ratios by weighted least squares, a parabola for four learning rates and more")
    return fig, text + "."


def extrapolated(eta, value, se):
    """(polynomial, its value at eta = 0, half-width of the 95 % interval): weighted least squares, of degree 2 where
    there are four points or more, else 1. None where an error is not known or the points are fewer than two."""
    if len(eta) < 2 or not (np.isfinite(value) & np.isfinite(se) & (se > 0)).all():
        return None
    design = np.vander(eta, 3 if len(eta) >= 4 else 2) / se[:, None]
    curve = np.linalg.lstsq(design, value / se, rcond=None)[0]
    covariance = np.linalg.inv(design.T @ design)
    return curve, float(curve[-1]), 1.959963984540054 * float(np.sqrt(covariance[-1, -1]))


def _plain(text):
    return text.replace("eta H", "ηH")


def _mathematics(text):
    return text.replace("eta H", r"$\eta H$")
