"""Which figures there are, and which ones show a run or a suite of runs."""
import importlib
import pathlib

import loader

CANNOT_DRAW, CANNOT_READ = 1, 5  # exit codes of slowsde


def _modules():
    """Modules by the name of their figure: the figure `drift-multiplier` is `draw` of drift_multiplier.py.

    A module whose JOINS is true also draws the runs of a suite together.
    """
    programs = {"plot", "report", pathlib.Path(__file__).stem}
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("*.py") if path.stem not in programs)
    modules = {name.replace("_", "-"): importlib.import_module(name) for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "draw")}


FIGURES = _modules()


def draw(name, runs, observable=None):
    """(figure, caption) of the figure `name`."""
    if name not in FIGURES:
        raise loader.Unreadable(f"{runs[0].path}: figure '{name}' is none of {', '.join(FIGURES)}")
    return FIGURES[name].draw(runs, observable)


def joint(runs, figure=None):
    """{name: runs} of the figures that show several of a suite's runs together. `figure` stands for every run's own."""
    shown = {name: [r for r in runs if (figure or r.figure) == name]
             for name, module in FIGURES.items() if getattr(module, "JOINS", False)}
    return {name: same for name, same in shown.items() if same}
