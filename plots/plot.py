#!/usr/bin/python3
"""Figures from run directories: PNG, SVG and a caption in DIR/figures.

Of a suite, every part gets its figure, and the suite the combined ones.
"""
import argparse
import pathlib
import sys

import figures
import loader
import style
from figures import CANNOT_DRAW, CANNOT_READ


class Plotter:
    def __init__(self, options):
        self.options = options
        self.status = 0

    def fail(self, error, status):
        self.status = max(self.status, status)
        print(f"slowsde: {loader.one_line(error)}", file=sys.stderr)

    def draw(self, name, runs, folder):
        try:
            with style.context():
                fig, caption = figures.draw(name, runs, self.options.observable)
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
        for name, same in figures.joint(runs, self.options.figure).items():
            self.draw(name, same, run.path)
        return runs


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="slowsde plot", description=__doc__.splitlines()[0])
    parser.add_argument("dir", nargs="+", type=pathlib.Path, metavar="DIR", help="run directory, or a suite of them")
    parser.add_argument("--figure", choices=figures.FIGURES, help="instead of the one that the configuration names")
    parser.add_argument("--observable", help="instead of the figure's usual one")
    options = parser.parse_args(arguments)
    plotter = Plotter(options)
    for path in options.dir:
        plotter.plot(path)
    return plotter.status


if __name__ == "__main__":
    sys.exit(main())
