#!/usr/bin/env python3
"""The exported spectrum against the Hessian of a small network, formed whole.

Needs PyTorch, in this Python or in the one that the variable SLOWSDE_PYTHON names; exit code 77 where it is in neither.
"""
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True

try:
    import torch
except ImportError:
    other = os.environ.get("SLOWSDE_PYTHON")
    if other and os.path.realpath(other) != os.path.realpath(sys.executable):
        os.execv(other, [other, *sys.argv])
    print("PyTorch is not installed: skipped")
    sys.exit(77)

import export_spectrum  # noqa: E402

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def loss_fn(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


class Spectrum(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
        x, label = torch.randn(20, 4), torch.randint(0, 2, (20,))
        self.batches = [(x[:10], label[:10]), (x[10:], label[10:])]
        self.hessian = self.by_differences()
        self.values = torch.linalg.eigvalsh(self.hessian)

    def gradient(self):
        loss = sum(loss_fn(self.model, b) for b in self.batches) / len(self.batches)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(self.model.parameters()))])

    def by_differences(self):
        """Central differences of the gradient, no second derivative of autograd's."""
        theta = torch.nn.utils.parameters_to_vector(self.model.parameters()).detach()
        rows, h = [], 1e-5
        for i in range(theta.numel()):
            sides = []
            for sign in (1, -1):
                moved = theta.clone()
                moved[i] += sign * h
                torch.nn.utils.vector_to_parameters(moved, self.model.parameters())
                sides.append(self.gradient())
            rows.append((sides[0] - sides[1]) / (2 * h))
        torch.nn.utils.vector_to_parameters(theta, self.model.parameters())
        H = torch.stack(rows)
        return (H + H.T) / 2

    def test_products_are_those_of_the_mean_hessian(self):
        product, _, dim = export_spectrum.hessian_vector_product(self.model, loss_fn, self.batches)
        self.assertEqual(dim, 44)
        v = torch.randn(dim)
        self.assertLess(float((product(v) - self.hessian @ v).abs().max()), 1e-8)
        self.assertGreater(float((product(v) - 2 * self.hessian @ v).abs().max()), 1e-2)  # a sum is no mean

    def test_the_ends_of_the_spectrum_are_eigenvalues(self):
        nodes = export_spectrum.spectrum(self.model, loss_fn, self.batches, probes=2, steps=30)
        self.assertAlmostEqual(nodes[0][0], float(self.values[-1]), delta=1e-8)
        self.assertAlmostEqual(nodes[-1][0], float(self.values[0]), delta=1e-8)

    def test_counts_and_weights_are_the_dimension_and_the_trace(self):
        probes = 40
        nodes = export_spectrum.spectrum(self.model, loss_fn, self.batches, probes=probes, steps=44)
        self.assertAlmostEqual(sum(c for _, c in nodes), 44, delta=1e-9)
        off = self.hessian - torch.diag(torch.diag(self.hessian))
        se = float((2 * (off ** 2).sum() / probes) ** 0.5)  # of Rademacher probes
        trace, squares = sum(v * c for v, c in nodes), sum(v * v * c for v, c in nodes)
        self.assertLess(abs(trace - float(self.values.sum())), 4 * se)
        self.assertGreater(abs(trace - 44 * float(self.values.sum())), 20 * se)
        square = self.hessian @ self.hessian
        off = square - torch.diag(torch.diag(square))
        se = float((2 * (off ** 2).sum() / probes) ** 0.5)
        self.assertLess(abs(squares - float((self.values ** 2).sum())), 4 * se)

    def test_few_steps_have_the_same_moments(self):
        # a quadrature of k nodes is exact for polynomials up to degree 2k - 1
        few = export_spectrum.spectrum(self.model, loss_fn, self.batches, probes=3, steps=4)
        many = export_spectrum.spectrum(self.model, loss_fn, self.batches, probes=3, steps=30)
        for power in range(8):
            a, b = (sum(c * v**power for v, c in nodes) for nodes in (few, many))
            self.assertAlmostEqual(a, b, delta=1e-9 * max(1, abs(b)))
        a, b = (sum(c * v**8 for v, c in nodes) for nodes in (few, many))
        self.assertGreater(abs(a - b), 1e-9)

    def test_batches_that_are_used_up_are_refused(self):
        with self.assertRaisesRegex(ValueError, "gone through once"):
            export_spectrum.spectrum(self.model, loss_fn, iter(self.batches))

    def test_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "spectrum.csv"
            rows = export_spectrum.export_spectrum(self.model, loss_fn, self.batches, file, probes=2, steps=20)
            with open(file, newline="") as stream:
                read = list(csv.DictReader(stream))
            self.assertEqual(len(read), len(rows))
            self.assertEqual(list(read[0]), ["eigenvalue", "weight", "count"])
            for row in read:
                value, weight, count = (float(row[k]) for k in ("eigenvalue", "weight", "count"))
                self.assertAlmostEqual(weight, max(value, 0) * count, delta=1e-6 * max(1, weight))

    def test_the_demo_runs_as_the_documentation_says(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "spectrum.csv"
            out = subprocess.run([sys.executable, SCRIPTS / "export_spectrum.py", "--demo", file], check=True,
                                 capture_output=True, text=True).stdout
            self.assertIn("wrote", out)
            shipped = SCRIPTS.parent / "experiments/configs/plan-log-spectrum.csv"
            largest = [float(f.read_text().splitlines()[1].split(",")[0]) for f in (file, shipped)]
            self.assertAlmostEqual(largest[0] / largest[1], 1, delta=0.05)


if __name__ == "__main__":
    unittest.main()
