#!/usr/bin/python3
"""Figures from run directories: PNG, SVG and a caption in DIR/figures.

Of a suite, every part gets its figure, and the suite the combined ones.
"""
import argparse
import importlib
import pathlib
import sys

import loader
import style

CANNOT_DRAW, CANNOT_READ = 1, 5  # exit codes of slowsde


def figures():
    """Modules by the name of their figure: the figure `drift-multiplier` is `draw` of drift_multiplier.py.

    A module whose JOINS is true also draws the runs of a suite together.
    """
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("*.py") if path.stem != "plot")
    modules = {name.replace("_", "-"): importlib.import_module(name) for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "draw")}


FIGURES = figures()


class Plotter:
    def __init__(self, options):
        self.options = options
        self.status = 0

    def fail(self, error, status):
        self.status = max(self.status, status)
        print(f"slowsde: {loader.one_line(error)}", file=sys.stderr)

    def draw(self, name, runs, folder):
        try:
            if name not in FIGURES:
                raise loader.Unreadable(f"{runs[0].path}: figure '{name}' is none of {', '.join(FIGURES)}")
            with style.context():
                fig, caption = FIGURES[name].draw(runs, self.options.observable)
                paths = style.save(fig, folder / "figures", name, caption)
            for path in paths:
                print(path)
        except loader.Unreadable as error:
            self.fail(error, CANNOT_DRAW)
        except OSError as error:
            self.fail(error, CANNOT_READ)

    def plot(self, path):
        """Plots what is at `path`; returns its runs, those of a suite's parts included."""
        try:
            run = loader.open_run(path)
        except (loader.Unreadable, OSError) as error:
            self.fail(error, CANNOT_READ)
            return []
        if run.kind != "suite":
            self.draw(self.options.figure or run.figure, [run], run.path)
            return [run]
        runs = [below for part in run.parts for below in self.plot(run.path / part)]
        for name in (name for name, module in FIGURES.items() if getattr(module, "JOINS", False)):
            same = [r for r in runs if (self.options.figure or r.figure) == name]
            if same:
                self.draw(name, same, run.path)
        return runs


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="slowsde plot", description=__doc__.splitlines()[0])
    parser.add_argument("dir", nargs="+", type=pathlib.Path, metavar="DIR", help="run directory, or a suite of them")
    parser.add_argument("--figure", choices=FIGURES, help="instead of the one that the configuration names")
    parser.add_argument("--observable", help="instead of the figure's usual one")
    options = parser.parse_args(arguments)
    plotter = Plotter(options)
    for path in options.dir:
        plotter.plot(path)
    return plotter.status


if __name__ == "__main__":
    sys.exit(main())
