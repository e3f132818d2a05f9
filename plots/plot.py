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

# The module of each figure; those after the first two join the parts of a suite.
MODULES = {"ensemble": "ensemble", "sweep": "sweep", "sharpness": "sharpness",
           "drift-multiplier": "drift_multiplier", "law": "law", "sync-rules": "sync_rules",
           "when": "when", "workers": "workers"}
JOINED = ("sharpness", "drift-multiplier", "law", "workers")


class Plotter:
    def __init__(self, options):
        self.options = options
        self.failures = 0

    def fail(self, error):
        self.failures += 1
        print(f"error: {loader.one_line(error)}", file=sys.stderr)

    def draw(self, name, runs, folder):
        try:
            if name not in MODULES:
                raise loader.Unreadable(f"{runs[0].path}: figure '{name}' is none of {', '.join(MODULES)}")
            with style.context():
                fig, caption = importlib.import_module(MODULES[name]).draw(runs, self.options.observable)
                paths = style.save(fig, folder / "figures", name, caption)
            for path in paths:
                print(path)
        except (loader.Unreadable, OSError) as error:
            self.fail(error)

    def plot(self, path):
        """Plots what is at `path`; returns its runs, those of a suite's parts included."""
        try:
            run = loader.open_run(path)
        except (loader.Unreadable, OSError) as error:
            self.fail(error)
            return []
        if run.kind != "suite":
            self.draw(self.options.figure or run.figure, [run], run.path)
            return [run]
        runs = [below for part in run.parts for below in self.plot(run.path / part)]
        for name in JOINED:
            same = [r for r in runs if (self.options.figure or r.figure) == name]
            if same:
                self.draw(name, same, run.path)
        return runs


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="slowsde plot", description=__doc__.splitlines()[0])
    parser.add_argument("dir", nargs="+", type=pathlib.Path, metavar="DIR", help="run directory, or a suite of them")
    parser.add_argument("--figure", choices=MODULES, help="instead of the one that the configuration names")
    parser.add_argument("--observable", help="instead of the figure's usual one")
    options = parser.parse_args(arguments)
    plotter = Plotter(options)
    for path in options.dir:
        plotter.plot(path)
    return 1 if plotter.failures else 0


if __name__ == "__main__":
    sys.exit(main())
