#!/usr/bin/env python3
"""NumPy's W1 and W2 compute what they are said to: against a plain double-precision loop with other noise."""
import pathlib
import subprocess
import sys
import unittest

import numpy as np

PEERS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
sys.dont_write_bytecode = True

import w1_numpy  # noqa: E402
import w2_numpy  # noqa: E402


def w1(replicas, steps, workers=8, sigma=1.0):
    """The final x, written from L = (1 + x^2) y^2 / 2 with residual sqrt(1 + x^2) y - eps."""
    random = np.random.default_rng(11)
    x, y = np.full((replicas, workers), 1.5), np.zeros((replicas, workers))
    for k in range(1, steps + 1):
        a = np.sqrt(1 + x**2)
        r = a * y - sigma * random.standard_normal(x.shape)
        x, y = x - 0.01 * r * x * y / a, y - 0.01 * r * a
        if k % 100 == 0:
            x, y = (np.repeat(v.mean(1, keepdims=True), workers, 1) for v in (x, y))
    return x[:, 0]


def w2(paths, steps, spread=0.3, factor=7):
    random = np.random.default_rng(12)
    x, dt = np.full(paths, 1.5), 1 / steps
    for _ in range(steps):
        z = 2 * (1 + x**2)
        drift = -x / 2 * (1 + factor * (1 + np.expm1(-z) / z))
        x = x + drift * dt + spread * np.sqrt(dt) * random.standard_normal(paths)
    return x


def z(a, b):
    """Of the means, and of the spreads around one centre."""
    centre = b.mean()
    return [abs(u.mean() - v.mean()) / np.hypot(u.std() / len(u) ** 0.5, v.std() / len(v) ** 0.5)
            for u, v in ((a, b), ((a - centre) ** 2, (b - centre) ** 2))]


class Ensembles(unittest.TestCase):
    def test_w1_is_local_sgd_on_the_valley(self):
        steps, expected = 600, w1(1500, 600)
        for dtype in (np.float32, np.float64):
            got = w1_numpy.block(1, dtype, 1500, steps)
            self.assertTrue(all(value < 4.5 for value in z(got, expected)), z(got, expected))
        # wrong: one worker fewer to average over, noise of half the size
        for wrong in (w1(1500, steps, workers=4), w1(1500, steps, sigma=0.5)):
            self.assertGreater(max(z(got, wrong)), 5)

    def test_w2_is_euler_maruyama_on_the_slow_sde(self):
        expected = w2(20000, 100)
        for dtype in (np.float32, np.float64):
            got = w2_numpy.block(1, dtype, 20000, 100)
            self.assertTrue(all(value < 4.5 for value in z(got, expected)), z(got, expected))
        for wrong in (w2(20000, 100, factor=6.5), w2(20000, 100, spread=0.33)):
            self.assertGreater(max(z(got, wrong)), 5)

    def test_a_block_depends_on_its_seed_alone(self):
        for block in (w1_numpy.block, w2_numpy.block):
            a, b, c = (block(seed, np.float64, 16, 100) for seed in (1, 1, 2))
            self.assertTrue((a == b).all())
            self.assertFalse((a == c).any())

    def test_served_windows_answer_with_items_and_seconds(self):
        with subprocess.Popen([sys.executable, PEERS / "w2_numpy.py", "--threads", "2", "--serve", "--forms", "numpy_f32"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            out, _ = peer.communicate("numpy_f32 0.01\n")
        lines = [line.split() for line in out.splitlines()]
        self.assertEqual([line[0] for line in lines[:2]], ["form", "ready"])
        self.assertEqual(lines[0][1], "numpy_f32")
        self.assertLess(float(lines[0][3]), 0.01)
        self.assertEqual(lines[1][1], "NumPy")
        self.assertEqual(int(lines[2][0]) % (2 * w2_numpy.PATHS * w2_numpy.STEPS), 0)
        self.assertGreater(float(lines[2][1]), 0)


if __name__ == "__main__":
    unittest.main()
