"""W1 and W2 in PyTorch and JAX on a GPU: the peers of slowsde_bench_gpu, one CSV line per form, precision and size in
the columns of that program. A form is measured end to end: the states are on the device before and the mean and its
standard error on the host after. A form that does not run here is said on standard error.

W1: Local SGD on the valley L = (1 + x^2) y^2 / 2, label noise of standard deviation 1, K = 8, H = 100, lr 0.01, 2000 steps.
W2: Euler-Maruyama of dx = -x/2 (1 + 7 psi(2 (1 + x^2))) dt + 0.3 dW, 1000 steps of 1/1000.
"""

import datetime
import math
import statistics
import sys
import time

WORKERS, LOCAL_STEPS, STEPS, ETA = 8, 100, 2000, 0.01
PATH_STEPS, NOISE = 1000, 0.3
W1_REPLICAS, W2_PATHS = (10_000, 100_000, 1_000_000), (100_000, 1_000_000, 10_000_000)


def torch_forms():
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    types = {"f32": torch.float32, "f64": torch.float64}

    def w1_step(x, y, eps):
        root = torch.sqrt(1 + x * x)
        residual = root * y - eps
        return x - ETA * (residual * x * y / root), y - ETA * (residual * root)

    def w1_steps(x, y, count):
        for _ in range(count):
            x, y = w1_step(x, y, torch.randn_like(x))
        return x, y

    def w1(steps, chunk):
        def run(replicas, precision):
            x = torch.full((replicas, WORKERS), 1.5, dtype=types[precision], device="cuda")
            y = torch.zeros_like(x)
            for _ in range(STEPS // LOCAL_STEPS):
                for _ in range(LOCAL_STEPS // chunk):
                    x, y = steps(x, y, chunk)
                x, y = (v.mean(1, keepdim=True).expand(-1, WORKERS).contiguous() for v in (x, y))
            return moments(x[:, 0])

        return run

    def w1_in_place(replicas, precision):
        x = torch.full((replicas, WORKERS), 1.5, dtype=types[precision], device="cuda")
        y = torch.zeros_like(x)
        eps, root, residual, g = (torch.empty_like(x) for _ in range(4))
        for k in range(STEPS):
            eps.normal_()
            torch.mul(x, x, out=root).add_(1).sqrt_()
            torch.mul(root, y, out=residual).sub_(eps)
            torch.mul(residual, x, out=g).mul_(y).div_(root)
            x.sub_(g, alpha=ETA)
            y.sub_(residual.mul_(root), alpha=ETA)
            if k % LOCAL_STEPS == LOCAL_STEPS - 1:
                x.copy_(x.mean(1, keepdim=True).expand_as(x))
                y.copy_(y.mean(1, keepdim=True).expand_as(y))
        return moments(x[:, 0])

    def psi(x):
        return 1 + torch.expm1(-x) / x

    def w2_steps(x, count):
        dt = 1 / PATH_STEPS
        for _ in range(count):
            x = x - 0.5 * x * (1 + 7 * psi(2 * (1 + x * x))) * dt + NOISE * math.sqrt(dt) * torch.randn_like(x)
        return x

    def w2(steps, chunk):
        def run(paths, precision):
            x = torch.full((paths,), 1.5, dtype=types[precision], device="cuda")
            for _ in range(PATH_STEPS // chunk):
                x = steps(x, chunk)
            return moments(x)

        return run

    def moments(x):
        x = x.double()
        return x.mean().item(), (x.std() / math.sqrt(x.numel())).item()

    def compiled(function):
        return torch.compile(function, dynamic=False)

    name = torch.cuda.get_device_properties(0)
    return f"{name.name}", name.multi_processor_count, {
        "W1": {
            "torch-eager": w1(w1_steps, LOCAL_STEPS),
            "torch-in-place": w1_in_place,
            "torch-compile": w1(compiled(w1_steps), 10),
        },
        "W2": {"torch-eager": w2(w2_steps, PATH_STEPS), "torch-compile": w2(compiled(w2_steps), 10)},
    }


def jax_forms():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    devices = [device for device in jax.devices() if device.platform == "gpu"]
    if not devices:
        raise RuntimeError("JAX sees no GPU")
    types = {"f32": jnp.float32, "f64": jnp.float64}

    def w1(replicas, precision):
        def local(h, state):
            x, y, key = state
            key, drawn = jax.random.split(key)
            eps = jax.random.normal(drawn, x.shape, x.dtype)
            root = jnp.sqrt(1 + x * x)
            residual = root * y - eps
            return x - ETA * (residual * x * y / root), y - ETA * (residual * root), key

        def round_of(s, state):
            x, y, key = jax.lax.fori_loop(0, LOCAL_STEPS, local, state)
            x, y = (jnp.broadcast_to(v.mean(1, keepdims=True), v.shape) for v in (x, y))
            return x, y, key

        def run(key):
            x = jnp.full((replicas, WORKERS), 1.5, types[precision])
            x, _, _ = jax.lax.fori_loop(0, STEPS // LOCAL_STEPS, round_of, (x, jnp.zeros_like(x), key))
            return x[:, 0].astype(jnp.float64)

        return jax.jit(run)

    def w2(paths, precision):
        dt = 1 / PATH_STEPS

        def step(k, state):
            x, key = state
            key, drawn = jax.random.split(key)
            z = 2 * (1 + x * x)
            drift = -0.5 * x * (1 + 7 * (1 + jnp.expm1(-z) / z))
            return x + drift * dt + NOISE * math.sqrt(dt) * jax.random.normal(drawn, x.shape, x.dtype), key

        def run(key):
            x, _ = jax.lax.fori_loop(0, PATH_STEPS, step, (jnp.full((paths,), 1.5, types[precision]), key))
            return x.astype(jnp.float64)

        return jax.jit(run)

    def form(make):
        made = {}

        def run(size, precision):
            if (size, precision) not in made:
                made[size, precision] = make(size, precision)
            x = made[size, precision](jax.random.key(1))
            return float(x.mean()), float(x.std() / math.sqrt(x.size))

        return run

    return devices[0].device_kind, "", {"W1": {"jax-jit": form(w1)}, "W2": {"jax-jit": form(w2)}}


def measure(run, size, precision):
    """Seconds (the median of three after a warm-up), mean and standard error."""
    run(size, precision)
    spent = []
    for _ in range(3):
        begin = time.perf_counter()
        mean, error = run(size, precision)
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent), mean, error


def main():
    measured = 0
    for library in (torch_forms, jax_forms):
        try:
            gpu, multiprocessors, forms = library()
        except Exception as error:  # pylint: disable=broad-except
            print(f"{library.__name__}: not measured: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        for workload, sizes in (("W1", W1_REPLICAS), ("W2", W2_PATHS)):
            workers, local_steps, steps = (WORKERS, LOCAL_STEPS, STEPS) if workload == "W1" else (1, 1, PATH_STEPS)
            for name, run in forms[workload].items():
                for precision in ("f32", "f64"):
                    for size in sizes:
                        try:
                            seconds, mean, error = measure(run, size, precision)
                        except Exception as failure:  # pylint: disable=broad-except
                            reason = " ".join(str(failure).split())[:200]
                            print(f"{name} {workload} {precision} {size}: not measured: {reason}", file=sys.stderr)
                            continue
                        measured += 1
                        date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                        rate = size * workers * steps / seconds
                        print(
                            f"{date},{gpu},{multiprocessors},,{name},{workload},{precision},{size},{workers},"
                            f"{local_steps},{steps},,{seconds:.6g},,{rate:.6g},{mean:.9g},{error:.3g}",
                            flush=True,
                        )
    return 0 if measured else 77


if __name__ == "__main__":
    sys.exit(main())
