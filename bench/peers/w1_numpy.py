"""W1 in NumPy: Local SGD on the valley L = (1 + x^2) y^2 / 2, label noise of standard deviation 1, K = 8, H = 100, lr 0.01,
2000 steps from (1.5, 0). An item is one step of one worker; the check is the mean of the final x and its standard error.
Tuned: nothing is allocated in the loop, the arrays of a block of replicas stay in the cache, each thread has a block and a
generator (SFC64) of its own.
"""

import concurrent.futures
import functools

import numpy as np

import peer

K, LOCAL_STEPS, STEPS, ETA, START = 8, 100, 2000, 0.01, 1.5
REPLICAS = 2048  # of a block


def block(seed, dtype, replicas=REPLICAS, steps=STEPS):
    """The final x of the replicas."""
    random = np.random.Generator(np.random.SFC64(seed))
    x = np.full((K, replicas), START, dtype)
    y = np.zeros_like(x)
    eps, root, residual = (np.empty_like(x) for _ in range(3))
    eta = dtype(ETA)
    for k in range(steps):
        random.standard_normal(dtype=dtype, out=eps)
        np.multiply(x, x, out=root)
        np.add(root, dtype(1), out=root)
        np.sqrt(root, out=root)
        np.multiply(root, y, out=residual)
        np.subtract(residual, eps, out=residual)
        np.multiply(residual, eta, out=residual)
        np.multiply(residual, x, out=eps)
        np.multiply(eps, y, out=eps)
        np.divide(eps, root, out=eps)
        np.multiply(residual, root, out=residual)
        np.subtract(x, eps, out=x)
        np.subtract(y, residual, out=y)
        if k % LOCAL_STEPS == LOCAL_STEPS - 1:
            x[:] = x.mean(0)
            y[:] = y.mean(0)
    return x[0].astype(np.float64)


if __name__ == "__main__":
    options = peer.arguments(__doc__)
    pool = concurrent.futures.ThreadPoolExecutor(options.threads)
    forms = {
        f"numpy_{name}": functools.partial(peer.Blocks, pool, options.threads, functools.partial(block, dtype=dtype),
                                           REPLICAS * K * STEPS)
        for name, dtype in (("f32", np.float32), ("f64", np.float64))
    }
    peer.main(options, forms, f"NumPy {np.__version__}")
