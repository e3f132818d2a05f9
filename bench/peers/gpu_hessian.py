"""W4 in PyTorch and JAX on a GPU, over the directions that are multiplied at once: the peers of slowsde_bench_gpu_hessian,
one CSV line per size in the columns of that program. Timed end to end: 100 calls one after the other at one point, each from
the directions on the host to the products on the host; what depends on the point alone is computed before.

usage: gpu_hessian.py list | FORM PRECISION --data DIR [--device cpu]
DIR holds the arrays and products.csv that `slowsde_bench_gpu_hessian data DIR` writes: v.Hv and |Hv| of every direction are
held against the CPU program's in double precision, and a product that is not the same to 1e-4 (f64: 1e-10) is an error (exit
status 1), not a measurement. Exit status 77 where the library is not installed or sees no GPU.

W4: Hessian-vector products of the mean cross-entropy of the MLP 64-64-64-10 (tanh) on 2048 samples, no TF32.
"""

import csv
import pathlib
import sys

import numpy as np

import gpu_row
import peer

DIRECTIONS, CALLS = (1, 8, 64), 100
TOLERANCE = {"f32": 1e-4, "f64": 1e-10}


def disagreement(products, v, expected):
    """The first direction whose product is another one, in words; expected: (v.Hv, |Hv|) of each."""
    products, v = np.asarray(products, np.float64), np.asarray(v, np.float64)
    tolerance = TOLERANCE["f32" if v.dtype == np.float32 else "f64"]
    for index, (product, direction, (dot, norm)) in enumerate(zip(products, v, expected)):
        own = direction @ product, np.linalg.norm(product)
        if not (abs(own[0] - dot) <= tolerance * np.linalg.norm(direction) * norm and abs(own[1] - norm) <= tolerance * norm):
            return f"direction {index}: v.Hv is {own[0]:.9g} and |Hv| {own[1]:.9g}, the CPU program's {dot:.9g} and {norm:.9g}"
    return None


def places():
    """(first, last, shape) of W_0, b_0, W_1, ... in a row of d numbers."""
    found, at = [], 0
    for inputs, outputs in zip(peer.WIDTHS, peer.WIDTHS[1:]):
        for shape in ((outputs, inputs), (outputs,)):
            found.append((at, at + int(np.prod(shape)), shape))
            at = found[-1][1]
    return found


def pieces(rows):
    """W_0, b_0, W_1, ... of rows of d numbers, which are along the last axis."""
    return tuple(rows[..., first:last].reshape(*rows.shape[:-1], *shape) for first, last, shape in places())


class Torch:
    """What does the work, of_rows: (m x d) -> (m x d), is made for a number of directions. But for the forms whose work is
    not all on the stream that captures (double-backward, linearize) or compiled, it is one CUDA graph."""

    def __init__(self, form, data, device):
        self.torch, self.columns = gpu_row.torch_on(device)
        self.form, self.device = form, device
        self.theta, self.x, self.v = (self.torch.from_numpy(data[name]).to(device) for name in ("theta", "x", "v"))
        self.labels = self.torch.from_numpy(data["labels"].astype(np.int64)).to(device)
        self.parameters = tuple(piece.contiguous() for piece in pieces(self.theta))
        self.numbers = tuple(range(len(self.parameters)))

    def loss(self, *parameters):
        a = self.x
        for index in range(0, len(parameters), 2):
            a = self.torch.nn.functional.linear(a, parameters[index], parameters[index + 1])
            if index + 2 < len(parameters):
                a = self.torch.tanh(a)
        return self.torch.nn.functional.cross_entropy(a, self.labels)

    def joined(self, products):
        return self.torch.cat([piece.flatten(1) for piece in products], 1)

    def double_backward(self, _):
        """The gradient's graph is kept, and differentiated again for each call."""
        torch = self.torch
        parameters = [p.clone().requires_grad_() for p in self.parameters]
        gradient = torch.autograd.grad(self.loss(*parameters), parameters, create_graph=True)
        return lambda rows: self.joined(
            torch.autograd.grad(gradient, parameters, pieces(rows), retain_graph=True, is_grads_batched=True))

    def jvp_of_grad(self, _):
        """torch.func.jvp of torch.func.grad, mapped over the directions."""
        func = self.torch.func
        gradient = func.grad(self.loss, argnums=self.numbers)
        of_one = func.vmap(lambda *direction: func.jvp(gradient, self.parameters, direction)[1])
        return lambda rows: self.joined(of_one(*pieces(rows)))

    def linearize(self, _):
        """torch.func.linearize of torch.func.grad, whose graph is kept, mapped over the directions."""
        func = self.torch.func
        of_one = func.linearize(func.grad(self.loss, argnums=self.numbers), *self.parameters)[1]
        of_all = func.vmap(of_one)
        return lambda rows: self.joined(of_all(*pieces(rows)))

    def by_hand(self, m):
        """Pearlmutter's R-operator written out: the passes at the point are kept, every tensor is allocated once, what all
        directions share is one product, and the two products of each derivative go into one place."""
        torch = self.torch
        w0, b0, w1, b1, w2, b2 = self.parameters
        x, n = self.x, len(self.x)
        a1 = torch.tanh(x @ w0.T + b0)
        a2 = torch.tanh(a1 @ w1.T + b1)
        p = torch.softmax(a2 @ w2.T + b2, 1)
        s1, s2, p_over_n = 1 - a1**2, 1 - a2**2, p / n
        d3 = (p - torch.nn.functional.one_hot(self.labels, peer.WIDTHS[-1])) / n
        u2 = d3 @ w2
        d2 = u2 * s2
        u1 = d2 @ w1
        m2, m1 = -2 * u2 * a2, -2 * u1 * a1

        def all_directions(matrix):
            return matrix.expand(m, *matrix.shape)

        r1, r2, e1, e2 = (torch.empty(m, n, 64, dtype=x.dtype, device=x.device) for _ in range(4))
        e3, q = (torch.empty(m, n, 10, dtype=x.dtype, device=x.device) for _ in range(2))
        out = torch.empty(m, peer.DIM, dtype=x.dtype, device=x.device)
        g0, h0, g1, h1, g2, h2 = (
            out[:, first:last].view(m, *shape) for first, last, shape in places()
        )

        @torch.no_grad()
        def products(rows):
            v0, c0, v1, c1, v2, c2 = pieces(rows)
            torch.baddbmm(c0[:, None], all_directions(x), v0.mT, out=r1).mul_(s1)
            torch.baddbmm(c1[:, None], all_directions(a1), v1.mT, out=r2)
            r2.view(-1, 64).addmm_(r1.view(-1, 64), w1.T)
            r2.mul_(s2)
            torch.baddbmm(c2[:, None], all_directions(a2), v2.mT, out=e3)
            e3.view(-1, 10).addmm_(r2.view(-1, 64), w2.T)
            torch.mul(p, e3, out=q)
            e3.sub_(q.sum(2, keepdim=True)).mul_(p_over_n)
            g2.copy_(torch.bmm(e3.mT, all_directions(a2)).baddbmm_(all_directions(d3.T), r2))
            h2.copy_(e3.sum(1))
            torch.bmm(all_directions(d3), v2, out=e2)
            e2.view(-1, 64).addmm_(e3.view(-1, 10), w2)
            e2.mul_(s2).addcmul_(all_directions(m2), r2)
            g1.copy_(torch.bmm(e2.mT, all_directions(a1)).baddbmm_(all_directions(d2.T), r1))
            h1.copy_(e2.sum(1))
            torch.bmm(all_directions(d2), v1, out=e1)
            e1.view(-1, 64).addmm_(e2.view(-1, 64), w1)
            e1.mul_(s1).addcmul_(all_directions(m1), r1)
            g0.copy_(torch.bmm(e1.mT, all_directions(x)))
            h0.copy_(e1.sum(1))
            return out

        return products

    def prepare(self, m):
        torch = self.torch
        torch._dynamo.reset()  # pylint: disable=protected-access
        of_rows = {
            "torch-double-backward": self.double_backward,
            "torch-jvp-of-grad": self.jvp_of_grad,
            "torch-jvp-of-grad-compiled": self.jvp_of_grad,
            "torch-linearize": self.linearize,
            "torch-r-operator-by-hand": self.by_hand,
        }[self.form](m)
        if self.form.endswith("-compiled"):
            of_rows = torch.compile(of_rows)
        rows, result = self.v[:m].clone(), None

        def work():
            nonlocal result
            result = of_rows(rows)

        captured = self.form in ("torch-jvp-of-grad", "torch-r-operator-by-hand") and self.device != "cpu"
        once = gpu_row.captured(torch, work) if captured else work

        def call(v):
            rows.copy_(torch.from_numpy(v))
            once()
            return result.cpu().numpy()

        self.call = call

    def kernel_seconds(self, run):
        return None if self.device == "cpu" else gpu_row.torch_kernel_seconds(self.torch, run)


class Jax:
    """Compiled as one function for each number of directions."""

    def __init__(self, form, data, device):
        self.jax, self.columns = gpu_row.jax_on(device, data["v"].dtype == np.float64)
        self.form, self.data = form, data

    def prepare(self, m):
        jax, jnp = self.jax, self.jax.numpy
        x, labels, theta = (jax.device_put(self.data[name]) for name in ("x", "labels", "theta"))

        def loss(theta, x, labels):
            a, parameters = x, pieces(theta)
            for index in range(0, len(parameters), 2):
                a = a @ parameters[index].T + parameters[index + 1]
                if index + 2 < len(parameters):
                    a = jnp.tanh(a)
            picked = jnp.take_along_axis(a, labels[:, None], -1)[:, 0]
            return (jax.scipy.special.logsumexp(a, axis=-1) - picked).mean()

        gradient = jax.grad(loss)
        if self.form == "jax-linearize":
            at_point = jax.jit(lambda theta, x, labels: jax.linearize(lambda t: gradient(t, x, labels), theta)[1])
            linear = at_point(theta, x, labels)
            compiled = jax.jit(lambda linear, rows: jax.vmap(linear)(rows))
            self.call = lambda v: np.asarray(compiled(linear, v))
        else:

            def of_one(direction, theta, x, labels):
                return jax.jvp(lambda t: gradient(t, x, labels), (theta,), (direction,))[1]

            compiled = jax.jit(jax.vmap(of_one, (0, None, None, None)))
            self.call = lambda v: np.asarray(compiled(v, theta, x, labels))

    def kernel_seconds(self, _):
        return None


FORMS = {
    "torch-double-backward": Torch,
    "torch-jvp-of-grad": Torch,
    "torch-jvp-of-grad-compiled": Torch,
    "torch-linearize": Torch,
    "torch-r-operator-by-hand": Torch,
    "jax-jvp-of-grad": Jax,
    "jax-linearize": Jax,
}


def main():
    parser = gpu_row.form_parser(FORMS, __doc__)
    parser.add_argument("precision", choices=("f32", "f64"))
    parser.add_argument("--data", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with open(options.data / "products.csv", encoding="utf-8", newline="") as file:
        expected = [(float(row["v_Hv"]), float(row["norm"])) for row in csv.DictReader(file)]
    number = np.float32 if options.precision == "f32" else np.float64
    data = {name: peer.load(options.data, name).astype(number) for name in ("theta", "x", "v")}
    data["labels"] = peer.load(options.data, "labels")
    form = gpu_row.made(options.form, lambda: FORMS[options.form](options.form, data, options.device))
    calls = CALLS if options.device == "cuda" else 1
    sweep = gpu_row.Sweep(f"W4 {options.form}", repeats=5 if options.device == "cuda" else 1)
    print(",".join(gpu_row.COLUMNS))
    wrong = 0
    for m in DIRECTIONS:
        size = dict(workload="W4", precision=options.precision, replicas=m, workers=1, local_steps=1, steps=calls)
        v = np.ascontiguousarray(data["v"][:m])
        if sweep.expects_too_much(size, m * calls):
            continue

        def run(directions=v):
            for _ in range(calls):
                products = form.call(directions)
            return products

        try:
            form.prepare(m)
            seconds, products = sweep.seconds(run, m * calls)
            kernel = form.kernel_seconds(run) if seconds < 20 else None
        except Exception as failure:  # pylint: disable=broad-except
            gpu_row.not_measured(f"{options.form} {size}", failure)
            continue
        found = disagreement(products, v, expected)
        if found:
            print(f"{options.form}, {m} directions: {found}", file=sys.stderr)
            wrong += 1
            continue
        print(gpu_row.line(form.columns, options.form, size, kernel, seconds), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
