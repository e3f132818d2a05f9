#!/usr/bin/env python3
"""What the GPU's peers compute, on the CPU: W3's loss after 100 steps against a plain loop in NumPy, W1 and W2 against
NumPy's. Compiled forms are the same functions and are left to the machine with the GPU.

Needs PyTorch or JAX, in this Python or in the one that the variable SLOWSDE_PYTHON names; exit code 77 where there is
neither.
"""
import csv
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PEERS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
sys.dont_write_bytecode = True

LIBRARIES = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
if not LIBRARIES:
    other = os.environ.get("SLOWSDE_PYTHON")
    if other and os.path.realpath(other) != os.path.realpath(sys.executable):
        os.environ["SLOWSDE_PYTHON"] = ""
        os.execv(other, [other, *sys.argv])
    print("neither PyTorch nor JAX is installed: skipped")
    sys.exit(77)

import numpy as np  # noqa: E402

import gpu_ensembles  # noqa: E402
import gpu_row  # noqa: E402
import gpu_training  # noqa: E402
import peer  # noqa: E402
import w1_numpy  # noqa: E402
import w2_numpy  # noqa: E402


def runs(form):
    return form.split("-")[1 if form[0] == "W" else 0] in LIBRARIES and "compile" not in form


def lines(script, *arguments):
    """(exit status, rows of CSV, standard error)"""
    run = subprocess.run([sys.executable, PEERS / script, *map(str, arguments), "--device", "cpu"], text=True,
                         capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return run.returncode, list(csv.DictReader(run.stdout.splitlines())), run.stderr


def local_sgd(theta, x, labels, samples):
    """Layers (W, b) of the workers' mean, in double precision, one worker after the other."""
    mean = [(w.astype(float), b.astype(float)) for w, b in peer.split(theta)]
    for first in range(0, len(samples), 10):
        ends = []
        for worker in range(samples.shape[1]):
            layers = [(w.copy(), b.copy()) for w, b in mean]
            for step in range(first, first + 10):
                chosen = samples[step, worker]
                a = [x[chosen].astype(float)]
                for w, b in layers:
                    a.append(a[-1] @ w.T + b)
                    if len(a) <= len(layers):
                        a[-1] = np.tanh(a[-1])
                p = np.exp(a[-1] - a[-1].max(1, keepdims=True))
                d = p / p.sum(1, keepdims=True)
                d[np.arange(len(chosen)), labels[chosen]] -= 1
                for index in reversed(range(len(layers))):
                    w, b = layers[index]
                    back = (d @ w) * (1 - a[index] ** 2)
                    w -= 0.1 / len(chosen) * d.T @ a[index]
                    b -= 0.1 / len(chosen) * d.sum(0)
                    d = back
            ends.append(layers)
        mean = [tuple(np.mean([e[l][part] for e in ends], 0) for part in (0, 1)) for l in range(len(mean))]
    return mean


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.data = pathlib.Path(cls.folder.name)
        theta, x, labels = peer.drawn(256)
        samples = np.random.default_rng(3).integers(256, size=(100, 16, 16)).astype(np.int32)
        for name, array in (("theta", theta), ("x", x), ("labels", labels), ("samples", samples)):
            np.save(cls.data / f"{name}.npy", array)
        cls.losses = {k: gpu_training.loss_of(local_sgd(theta, x, labels, samples[:, :k]), x, labels) for k in (8, 16)}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def write_losses(self, factor):
        text = "".join(f"{k},{factor * loss:.9g}\n" for k, loss in self.losses.items())
        (self.data / "losses.csv").write_text("workers,loss\n" + text, encoding="utf-8")

    def test_every_form_ends_in_the_loss_of_a_plain_loop(self):
        self.write_losses(1)
        for form in filter(runs, gpu_training.FORMS):
            with self.subTest(form):
                status, rows, err = lines("gpu_training.py", form, "workers", "--data", self.data, "--most", 16)
                self.assertEqual((status, len(rows)), (0, 2), err)
                for row, (workers, loss) in zip(rows, self.losses.items()):
                    self.assertEqual(list(row), list(gpu_row.COLUMNS))
                    self.assertEqual((row["program"], row["workers"], row["steps"]), (form, str(workers), "100"))
                    self.assertLess(abs(float(row["loss"]) - loss), 1e-4 * loss)
                    self.assertAlmostEqual(float(row["per_second_total"]) * float(row["total_seconds"]), 100 * workers,
                                           delta=1)

    def test_a_form_with_another_loss_is_an_error_and_no_measurement(self):
        self.write_losses(1.0003)
        form = next(filter(runs, gpu_training.FORMS))
        status, rows, err = lines("gpu_training.py", form, "workers", "--data", self.data, "--most", 8)
        self.assertEqual((status, rows), (1, []))
        self.assertIn("the CPU program's", err)

    def test_more_workers_than_there_are_samples_for_are_not_measured(self):
        self.write_losses(1)
        form = next(filter(runs, gpu_training.FORMS))
        status, rows, err = lines("gpu_training.py", form, "workers", "--data", self.data, "--most", 32)
        self.assertEqual((status, len(rows)), (0, 2))
        self.assertIn("not measured", err)


class Ensembles(unittest.TestCase):
    def test_every_form_has_the_mean_of_numpys_loop(self):
        expected = {"W1": w1_numpy.block(5, np.float64, 2000), "W2": w2_numpy.block(5, np.float64, 20000)}
        for form in filter(runs, gpu_ensembles.FORMS):
            for precision in ("f32", "f64"):
                with self.subTest(form=form, precision=precision):
                    most = 1000 if form.startswith("W1") else 10000
                    status, rows, err = lines("gpu_ensembles.py", form, precision, "replicas", "--most", most)
                    self.assertEqual(status, 0, err)
                    self.assertEqual([int(row["replicas"]) for row in rows], [10**k for k in range(2, 5) if 10**k <= most])
                    of = expected[form[:2]]
                    for row in rows:
                        mean, error = float(row["mean"]), float(row["standard_error"])
                        self.assertLess(abs(mean - of.mean()), 4.5 * np.hypot(error, of.std() / len(of) ** 0.5))
                        self.assertAlmostEqual(error * int(row["replicas"]) ** 0.5 / of.std(), 1, delta=0.35)

    def test_sizes_are_those_of_slowsdes_program(self):
        self.assertEqual(gpu_ensembles.sizes("W1", "workers", 10**8)[-1], (10_000, 4096, 2000))
        self.assertEqual(gpu_ensembles.sizes("W1", "replicas", 10**8)[-1], (10**8, 8, 2000))
        self.assertEqual(gpu_ensembles.sizes("W2", "steps", 10**8)[0], (1_000_000, 1, 100))


if __name__ == "__main__":
    unittest.main()
