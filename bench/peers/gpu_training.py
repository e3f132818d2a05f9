"""W3 in PyTorch and JAX on a GPU, for K workers: the peers of slowsde_bench_gpu_training, one CSV line per size in the
columns of that program. Timed end to end: from the start on the device to the mean of the workers on the host.

usage: gpu_training.py list | FORM SWEEP --data DIR [--most N] [--device cpu]
  SWEEP workers (K = 8, 16, ..., 100 steps) or steps (K = 1024; the samples of 100 steps again and again).
DIR holds the arrays and losses.csv that `slowsde_bench_gpu_training data DIR` writes: the loss on all data after 100
steps of the mean parameters is held against the CPU program's, and one that is not the same to 1e-4 is an error (exit
status 1), not a measurement. Exit status 77 where the library is not installed or sees no GPU.

W3: MLP 64-64-64-10 (tanh, cross-entropy), local batch 16, lr 0.1, plain SGD, f32 (no TF32), the mean of the workers every
10 steps; gathering the batch, passes, step and mean are all in it.
"""

import csv
import pathlib
import sys

import numpy as np

import gpu_row
import peer

BATCH, STEPS, LOCAL_STEPS, LR = 16, 100, 10, 0.1
SWEEP_STEPS = (100, 300, 1000, 3000, 10_000, 30_000)
TOLERANCE = 1e-4


def loss_of(layers, x, labels):
    """Mean cross-entropy in double precision; layers: (W: outputs x inputs, b)."""
    a = x.astype(np.float64)
    for index, (weight, bias) in enumerate(layers):
        a = a @ np.asarray(weight, np.float64).T + np.asarray(bias, np.float64)
        if index + 1 < len(layers):
            a = np.tanh(a)
    top = a.max(1)
    return float((np.log(np.exp(a - top[:, None]).sum(1)) + top - a[np.arange(len(a)), labels]).mean())


class Torch:
    """The forms of w3_local_sgd.py on the device, and one that is tuned for it. A form's rounds are one CUDA graph, but
    for those that are called eager."""

    def __init__(self, form, folder, device):
        self.torch, self.columns = gpu_row.torch_on(device)
        self.form, self.folder, self.device = form, folder, device

    def prepare(self, workers, steps):
        """For a number of workers: run(), which ends in the mean's layers on the host."""
        import w3_local_sgd
        from w3_gpu_forms import FORMS

        self.torch._dynamo.reset()  # pylint: disable=protected-access
        workload = w3_local_sgd.Workload(self.folder, workers, self.device)
        eager = self.form.endswith("-eager") or self.device == "cpu"
        self.made = FORMS[self.form.removesuffix("-eager")](workload)
        self.steps, self.once = steps, self.made.run if eager else self.recorded()

    def recorded(self):
        self.made.reset()
        return gpu_row.captured(self.torch, self.made.run)

    def reset(self):
        self.made.reset()
        if self.device != "cpu":
            self.torch.cuda.synchronize()

    def run(self):
        for _ in range(self.steps // STEPS):
            self.once()
        with self.torch.no_grad():
            return [tuple(t.cpu().numpy() for t in layer) for layer in self.made.layers()]

    def kernel_seconds(self):
        if self.device == "cpu":
            return None
        self.reset()
        return gpu_row.torch_kernel_seconds(self.torch, self.run)


class Jax:
    """Everything in one compiled function: a scan over rounds of scans over steps. jax-vmap maps the gradient of one
    worker's loss over the workers; jax-bmm differentiates the sum of the losses, written with batched products."""

    def __init__(self, form, folder, device):
        self.jax, self.columns = gpu_row.jax_on(device)
        self.form = form
        self.theta, self.x, self.labels, self.samples = (
            peer.load(folder, name) for name in ("theta", "x", "labels", "samples")
        )

    def prepare(self, workers, steps):
        jax, jnp = self.jax, self.jax.numpy
        if self.samples.shape[1] < workers:
            raise ValueError(f"samples of {self.samples.shape[1]} workers only, {workers} asked for")

        def cross_entropy(logits, labels):
            picked = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
            return jax.scipy.special.logsumexp(logits, axis=-1) - picked

        def forward(product, layers, a):
            for index, (weight, bias) in enumerate(layers):
                a = product(a, weight) + bias
                if index + 1 < len(layers):
                    a = jnp.tanh(a)
            return a

        def of_one(layers, x, labels):
            return cross_entropy(forward(jnp.matmul, layers, x), labels).mean()

        def of_all(layers, x, labels):
            layers = [(weight, bias[:, None]) for weight, bias in layers]
            return cross_entropy(forward(jnp.matmul, layers, x), labels).mean(1).sum()

        gradient = jax.vmap(jax.grad(of_one)) if self.form == "jax-vmap" else jax.grad(of_all)

        def train(start, x, labels, samples):
            def step(layers, chosen):
                g = gradient(layers, x[chosen], labels[chosen])
                return jax.tree_util.tree_map(lambda p, q: p - LR * q, layers, g), None

            def round_of(layers, chosen):
                layers, _ = jax.lax.scan(step, layers, chosen)
                return jax.tree_util.tree_map(lambda p: jnp.broadcast_to(p.mean(0), p.shape), layers), None

            layers = [tuple(jnp.broadcast_to(p, (workers, *p.shape)) for p in layer) for layer in start]

            def again(_, layers):
                return jax.lax.scan(round_of, layers, samples)[0]

            layers = jax.lax.fori_loop(0, steps // STEPS, again, layers)
            return [tuple(p[0] for p in layer) for layer in layers]

        samples = self.samples[:, :workers].reshape(STEPS // LOCAL_STEPS, LOCAL_STEPS, workers, BATCH)
        start = [(weight.T.copy(), bias.copy()) for weight, bias in peer.split(self.theta)]
        self.arguments = jax.device_put((start, self.x, self.labels.astype(np.int32), samples.astype(np.int32)))
        jax.block_until_ready(self.arguments)
        self.train = jax.jit(train)

    def reset(self):
        pass

    def run(self):
        return [(np.asarray(weight).T, np.asarray(bias)) for weight, bias in self.train(*self.arguments)]

    def kernel_seconds(self):
        return None


FORMS = {
    **{
        f"torch-{form}": Torch
        for form in (
            "bmm-by-hand",
            "bmm-by-hand-eager",
            "bmm-by-hand-compiled",
            "bmm-by-hand-padded",
            "bmm-autograd",
            "bmm-autograd-eager",
            "bmm-autograd-compiled",
            "vmap",
            "vmap-eager",
        )
    },
    "jax-vmap": Jax,
    "jax-bmm": Jax,
}


def main():
    parser = gpu_row.form_parser(FORMS, __doc__)
    parser.add_argument("sweep", choices=("workers", "steps"))
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--most", type=int, default=4096, help="workers")
    options = parser.parse_args()
    with open(options.data / "losses.csv", encoding="utf-8", newline="") as file:
        losses = {int(row["workers"]): float(row["loss"]) for row in csv.DictReader(file)}
    x, labels = (peer.load(options.data, name) for name in ("x", "labels"))
    form = gpu_row.made(options.form, lambda: FORMS[options.form](options.form, options.data, options.device))
    if options.sweep == "workers":
        sizes = [(2**k, STEPS) for k in range(3, 31) if 2**k <= options.most]
    else:
        sizes = [(min(1024, options.most), steps) for steps in SWEEP_STEPS]
    sweep = gpu_row.Sweep(f"W3 {options.form}", repeats=5 if options.device == "cuda" else 1)
    print(",".join(gpu_row.COLUMNS))
    wrong = 0
    for workers, steps in sizes:
        size = dict(workload="W3", precision="f32", replicas=1, workers=workers, local_steps=LOCAL_STEPS, steps=steps)
        if sweep.expects_too_much(size, workers * steps):
            continue
        try:
            form.prepare(workers, steps)
            seconds, layers = sweep.seconds(form.run, workers * steps, form.reset)
            kernel = form.kernel_seconds() if steps <= 1000 and seconds < 20 else None
        except Exception as failure:  # pylint: disable=broad-except
            gpu_row.not_measured(f"{options.form} {size}", failure)
            continue
        loss = loss_of(layers, x, labels) if steps == STEPS else None
        if loss is not None and not abs(loss - losses[workers]) <= TOLERANCE * losses[workers]:
            print(f"{options.form}, {workers} workers: the loss after {steps} steps is {loss:.9g}, the CPU program's "
                  f"{losses[workers]:.9g}", file=sys.stderr)
            wrong += 1
            continue
        print(gpu_row.line(form.columns, options.form, size, kernel, seconds, loss=loss), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
