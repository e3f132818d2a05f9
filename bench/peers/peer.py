"""What the peers share: the workload's arrays, the windows of time, the lines that `slowsde bench` reads.

A peer is a dictionary of forms, name -> Form. Alone it measures itself and prints one JSON line a form. With --serve it
is driven from outside, so that its windows alternate with those of another program: it prints
    form NAME CHECK...        for every form that runs here, its check values after the warm-up
    failed NAME REASON        for every form that does not
    ready LIBRARY VERSION
and then answers each line "NAME SECONDS" on its standard input by "ITEMS SECONDS": the items that it did in the
repeats that fill a window of so many seconds, and how long they took.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np


class Form:
    """`run()` does `items` items; `reset()` before it is not timed; `check()` says what came out, as floats."""

    items = 1

    def reset(self):
        pass

    def run(self):
        raise NotImplementedError

    def check(self):
        raise NotImplementedError


class Blocks(Form):
    """block(seed) -> final values, one block of `items` items on each thread; the check is their mean and its standard
    error."""

    def __init__(self, pool, threads, block, items):
        self.pool, self.threads, self.block, self.items = pool, threads, block, threads * items

    def run(self):
        self.values = np.concatenate(list(self.pool.map(self.block, range(self.threads))))

    def check(self):
        return [float(self.values.mean()), float(self.values.std(ddof=1) / np.sqrt(len(self.values)))]


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=pathlib.Path, help="folder of the workload's .npy files; default: drawn here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--forms", default="", help="comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="windows per form, of which the best counts")
    parser.add_argument("--window", type=float, default=0.3, help="seconds")
    parser.add_argument("--serve", action="store_true", help="read windows from standard input")
    return parser.parse_args()


def load(folder, name):
    return np.load(folder / f"{name}.npy")


WIDTHS = [64, 64, 64, 10]
DIM = sum((i + 1) * o for i, o in zip(WIDTHS, WIDTHS[1:]))


def split(theta):
    """[(W_l, b_l)] of θ = (W_0, b_0, W_1, ...), W_l: (outputs × inputs)."""
    layers, at = [], 0
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        weight = theta[at : at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((weight, theta[at : at + outputs]))
        at += outputs
    return layers


def drawn(samples, seed=1):
    """θ, x and labels as `slowsde bench` makes them, but for the generator."""
    random = np.random.default_rng(seed)
    theta = np.zeros(DIM, np.float32)
    for weight, _ in split(theta):
        weight[:] = random.standard_normal(weight.shape) / np.sqrt(weight.shape[1])
    x = random.standard_normal((samples, WIDTHS[0])).astype(np.float32)
    labels = (x @ random.standard_normal((WIDTHS[0], WIDTHS[-1]))).argmax(1).astype(np.int32)
    return theta, x, labels


def window(form, seconds):
    items, spent = 0, 0.0
    while spent < seconds:
        form.reset()
        begin = time.perf_counter()
        form.run()
        spent += time.perf_counter() - begin
        items += form.items
    return items, spent


def main(options, forms, library):
    """`forms`: name -> function that makes the form; `library`: name and version. A form that does not run here (no
    compiler, an old version) is reported, not hidden."""
    ready = {}
    chosen = options.forms.split(",") if options.forms else list(forms)
    for name in chosen:
        try:
            form = forms[name]()
            for _ in range(3):
                form.reset()
                form.run()
            ready[name] = form
            if options.serve:
                print("form", name, *(repr(value) for value in form.check()), flush=True)
        except Exception as error:  # pylint: disable=broad-except
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if options.serve:
                print("failed", name, reason, flush=True)
            else:
                print(json.dumps({"form": name, "failed": reason}), flush=True)
    if options.serve:
        print("ready", library, flush=True)
        for line in sys.stdin:
            name, seconds = line.split()
            print(*window(ready[name], float(seconds)), flush=True)
        return
    best = {}
    for _ in range(options.rounds):
        for name, form in ready.items():
            items, seconds = window(form, options.window)
            best[name] = max(best.get(name, 0), items / seconds)
    for name, form in ready.items():
        print(
            json.dumps(
                {
                    "form": name,
                    "items_per_second": best[name],
                    "threads": options.threads,
                    "check": form.check(),
                    "library": library,
                }
            ),
            flush=True,
        )
