"""W1 and W2 in PyTorch and JAX on a GPU: the peers of slowsde_bench_gpu, one CSV line per size in the columns of that
program. A form is measured end to end: the mean and its standard error are on the host after.

usage: gpu_ensembles.py list | FORM PRECISION SWEEP [--most N] [--device cpu]
  FORM W1-torch-compile, ...; PRECISION f32 or f64; SWEEP replicas, workers (W1) or steps.
Exit status 77 where the library is not installed or sees no GPU.

W1: Local SGD on the valley L = (1 + x^2) y^2 / 2, label noise of standard deviation 1, K = 8, H = 100, lr 0.01, 2000 steps.
W2: Euler-Maruyama of dx = -x/2 (1 + 7 psi(2 (1 + x^2))) dt + 0.3 dW from x = 1.5 to t = 1, 1000 steps.
"""

import math
import sys

import gpu_row

LOCAL_STEPS, ETA, NOISE, START = 100, 0.01, 0.3, 1.5
SWEEP_STEPS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def sizes(workload, sweep, most):
    """(replicas, workers, steps), from small to large; as slowsde_bench_gpu has them."""
    decades = [10**k for k in range(2, 11) if 10**k <= most]
    if workload == "W1":
        return {
            "replicas": [(n, 8, 2000) for n in decades],
            "workers": [(min(most, 10_000), 2**k, 2000) for k in range(3, 13)],
            "steps": [(min(most, 100_000), 8, steps) for steps in SWEEP_STEPS],
        }[sweep]
    return {
        "replicas": [(n, 1, 1000) for n in decades],
        "steps": [(min(most, 1_000_000), 1, steps) for steps in SWEEP_STEPS],
    }[sweep]


def psi(z, expm1):
    return 1 + expm1(-z) / z


class Torch:
    """`forms`: name -> run(replicas, workers, steps, precision) -> (mean, standard error)."""

    def __init__(self, device):
        self.torch, self.columns = gpu_row.torch_on(device)
        self.device = device
        self.forms = {
            "W1-torch-eager": lambda *size: self.w1(self.w1_steps, LOCAL_STEPS, *size),
            "W1-torch-in-place": self.w1_in_place,
            "W1-torch-graph": lambda *size: self.w1_in_place(*size, graph=True),
            "W1-torch-compile": lambda *size: self.w1(self.compiled("w1_steps"), 10, *size),
            "W2-torch-eager": lambda *size: self.w2(self.w2_steps, 100, *size),
            "W2-torch-compile": lambda *size: self.w2(self.compiled("w2_steps"), 10, *size),
        }
        self.compiled_steps, self.graphs = {}, {}

    def next_size(self):
        """What was compiled or captured for another size goes: the number of versions of a function is limited."""
        self.compiled_steps.clear()
        self.graphs.clear()
        self.torch.cuda.empty_cache()  # what a size that was too large has left
        self.torch._dynamo.reset()  # pylint: disable=protected-access

    def compiled(self, name):
        if name not in self.compiled_steps:
            self.compiled_steps[name] = self.torch.compile(getattr(self, name), dynamic=False)
        return self.compiled_steps[name]

    def full(self, shape, precision):
        dtype = {"f32": self.torch.float32, "f64": self.torch.float64}[precision]
        return self.torch.full(shape, START, dtype=dtype, device=self.device)

    def moments(self, x):
        x = x.double()
        return x.mean().item(), (x.std() / math.sqrt(x.numel())).item()

    def w1_steps(self, x, y, count):
        torch = self.torch
        for _ in range(count):
            root = torch.sqrt(1 + x * x)
            residual = root * y - torch.randn_like(x)
            x, y = x - ETA * (residual * x * y / root), y - ETA * (residual * root)
        return x, y

    def w1(self, take, chunk, replicas, workers, steps, precision):
        x = self.full((replicas, workers), precision)
        y = self.torch.zeros_like(x)
        for _ in range(steps // LOCAL_STEPS):
            for _ in range(LOCAL_STEPS // chunk):
                x, y = take(x, y, chunk)
            x, y = (v.mean(1, keepdim=True).expand(-1, workers).contiguous() for v in (x, y))
        return self.moments(x[:, 0])

    def w1_in_place(self, replicas, workers, steps, precision, graph=False):
        torch = self.torch
        key = replicas, workers, precision
        if graph and self.device != "cpu" and key in self.graphs:
            recorded, x, y = self.graphs[key]
            x.fill_(START)
            y.zero_()
        else:
            x = self.full((replicas, workers), precision)
            y = torch.zeros_like(x)
            recorded = None
        if recorded is None:
            eps, root, residual, g = (torch.empty_like(x) for _ in range(4))

            def round_of():
                for _ in range(LOCAL_STEPS):
                    eps.normal_()
                    torch.mul(x, x, out=root).add_(1).sqrt_()
                    torch.mul(root, y, out=residual).sub_(eps)
                    torch.mul(residual, x, out=g).mul_(y).div_(root)
                    x.sub_(g, alpha=ETA)
                    y.sub_(residual.mul_(root), alpha=ETA)
                for v in (x, y):
                    v.copy_(v.mean(1, keepdim=True).expand_as(v))

            recorded = round_of
            if graph and self.device != "cpu":
                recorded = gpu_row.captured(torch, round_of)
                self.graphs[key] = recorded, x, y
                x.fill_(START)
                y.zero_()
        for _ in range(steps // LOCAL_STEPS):
            recorded()
        return self.moments(x[:, 0])

    def w2_steps(self, x, count, dt):
        torch = self.torch
        for _ in range(count):
            drift = -0.5 * x * (1 + 7 * psi(2 * (1 + x * x), torch.expm1))
            x = x + drift * dt + NOISE * math.sqrt(dt) * torch.randn_like(x)
        return x

    def w2(self, take, chunk, paths, _, steps, precision):
        x = self.full((paths,), precision)
        for _ in range(steps // chunk):
            x = take(x, chunk, 1 / steps)
        return self.moments(x)

    def kernel_seconds(self, run):
        return None if self.device == "cpu" else gpu_row.torch_kernel_seconds(self.torch, run)


class Jax:
    def __init__(self, device):
        self.jax, self.columns = gpu_row.jax_on(device, double=True)
        self.made = {}
        self.forms = {
            "W1-jax-jit": lambda *size: self.run(self.w1, *size),
            "W2-jax-jit": lambda *size: self.run(self.w2, *size),
        }

    def next_size(self):
        self.made.clear()

    def dtype(self, precision):
        return {"f32": self.jax.numpy.float32, "f64": self.jax.numpy.float64}[precision]

    def run(self, make, *size):
        if size not in self.made:
            self.made[size] = make(*size)
        mean, error = self.made[size](self.jax.random.key(1))
        return float(mean), float(error)

    def moments(self, x):
        x = x.astype(self.jax.numpy.float64)
        return x.mean(), x.std(ddof=1) / math.sqrt(x.size)

    def w1(self, replicas, workers, steps, precision):
        jax, jnp = self.jax, self.jax.numpy

        def local(_, state):
            x, y, key = state
            key, drawn = jax.random.split(key)
            root = jnp.sqrt(1 + x * x)
            residual = root * y - jax.random.normal(drawn, x.shape, x.dtype)
            return x - ETA * (residual * x * y / root), y - ETA * (residual * root), key

        def round_of(_, state):
            x, y, key = jax.lax.fori_loop(0, LOCAL_STEPS, local, state)
            x, y = (jnp.broadcast_to(v.mean(1, keepdims=True), v.shape) for v in (x, y))
            return x, y, key

        def run(key):
            x = jnp.full((replicas, workers), START, self.dtype(precision))
            x, _, _ = jax.lax.fori_loop(0, steps // LOCAL_STEPS, round_of, (x, jnp.zeros_like(x), key))
            return self.moments(x[:, 0])

        return jax.jit(run)

    def w2(self, paths, _, steps, precision):
        jax, jnp = self.jax, self.jax.numpy
        dt = 1 / steps

        def step(_, state):
            x, key = state
            key, drawn = jax.random.split(key)
            drift = -0.5 * x * (1 + 7 * psi(2 * (1 + x * x), jnp.expm1))
            return x + drift * dt + NOISE * math.sqrt(dt) * jax.random.normal(drawn, x.shape, x.dtype), key

        def run(key):
            x, _ = jax.lax.fori_loop(0, steps, step, (jnp.full((paths,), START, self.dtype(precision)), key))
            return self.moments(x)

        return jax.jit(run)

    def kernel_seconds(self, _):
        return None


FORMS = {
    **{f"W1-torch-{form}": Torch for form in ("eager", "in-place", "graph", "compile")},
    **{f"W2-torch-{form}": Torch for form in ("eager", "compile")},
    "W1-jax-jit": Jax,
    "W2-jax-jit": Jax,
}


def main():
    parser = gpu_row.form_parser(FORMS, __doc__)
    parser.add_argument("precision", choices=("f32", "f64"))
    parser.add_argument("sweep", choices=("replicas", "workers", "steps"))
    parser.add_argument("--most", type=lambda number: int(float(number)), default=10**8, help="replicas")
    options = parser.parse_args()
    workload, program = options.form.split("-", 1)
    if workload == "W2" and options.sweep == "workers":
        parser.error("W2 has no workers")
    library = gpu_row.made(options.form, lambda: FORMS[options.form](options.device))
    run = library.forms[options.form]
    sweep = gpu_row.Sweep(f"{options.form} {options.precision}", repeats=3 if options.device == "cuda" else 1)
    print(",".join(gpu_row.COLUMNS))
    for replicas, workers, steps in sizes(workload, options.sweep, options.most):
        size = dict(workload=workload, precision=options.precision, replicas=replicas, workers=workers,
                    local_steps=LOCAL_STEPS if workload == "W1" else 1, steps=steps)
        cost = replicas * workers * steps
        if sweep.expects_too_much(size, cost):
            continue
        library.next_size()

        def once(arguments=(replicas, workers, steps, options.precision)):
            return run(*arguments)

        try:
            seconds, (mean, error) = sweep.seconds(once, cost)
            kernel = library.kernel_seconds(once) if steps <= 3000 and seconds < 20 else None
        except Exception as failure:  # pylint: disable=broad-except
            gpu_row.not_measured(f"{options.form} {size}", failure)
            continue
        print(gpu_row.line(library.columns, program, size, kernel, seconds, mean, error), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
