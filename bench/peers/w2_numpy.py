"""W2 in NumPy: Euler-Maruyama of dx = -x/2 (1 + 7 psi(2 (1 + x^2))) dt + 0.3 dW from x = 1.5 to t = 1, 1000 steps. An item is
one step of one path; the check is the mean of the final x and its standard error. Tuned as W1 is (w1_numpy.py); psi's
argument is 2 at least, where 1 - exp(-z) loses nothing and exp is faster than expm1.
"""

import concurrent.futures
import functools

import numpy as np

import peer

STEPS, NOISE, START = 1000, 0.3, 1.5
PATHS = 16384  # of a block


def block(seed, dtype, paths=PATHS, steps=STEPS):
    """The final x of the paths."""
    random = np.random.Generator(np.random.SFC64(seed))
    x = np.full(paths, START, dtype)
    dw, z, drift = (np.empty_like(x) for _ in range(3))
    dt, spread = dtype(1 / steps), dtype(NOISE / np.sqrt(steps))
    for _ in range(steps):
        random.standard_normal(dtype=dtype, out=dw)
        np.multiply(dw, spread, out=dw)
        np.multiply(x, x, out=z)
        np.add(z, dtype(1), out=z)
        np.multiply(z, dtype(-2), out=z)
        np.exp(z, out=drift)
        np.subtract(drift, dtype(1), out=drift)
        np.divide(drift, z, out=drift)  # 1 - psi
        np.multiply(drift, dtype(3.5) * dt, out=drift)
        np.subtract(dtype(4) * dt, drift, out=drift)  # (1 + 7 psi) dt / 2
        np.multiply(drift, x, out=drift)
        np.subtract(x, drift, out=x)
        np.add(x, dw, out=x)
    return x.astype(np.float64)


if __name__ == "__main__":
    options = peer.arguments(__doc__)
    pool = concurrent.futures.ThreadPoolExecutor(options.threads)
    forms = {
        f"numpy_{name}": functools.partial(peer.Blocks, pool, options.threads, functools.partial(block, dtype=dtype),
                                           PATHS * STEPS)
        for name, dtype in (("f32", np.float32), ("f64", np.float64))
    }
    peer.main(options, forms, f"NumPy {np.__version__}")
