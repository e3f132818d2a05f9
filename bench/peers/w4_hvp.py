"""W4 in PyTorch: Hessian-vector products of the mean cross-entropy of the MLP 64-64-64-10 (tanh) on 2048 samples, f32.
An item is one product at a fixed point; what depends on the point alone is computed before, so every form may reuse it.
The checks are v·Hv and |Hv|.
"""

import numpy as np
import torch
from torch.func import grad, jvp, linearize
from torch.nn.functional import cross_entropy, one_hot

import peer

SAMPLES = 2048


class Workload:
    def __init__(self, folder):
        if folder:
            theta, x, labels, v = (peer.load(folder, name) for name in ("theta", "x", "labels", "v"))
            v = v[0]
        else:
            theta, x, labels = peer.drawn(SAMPLES)
            v = np.random.default_rng(2).standard_normal(peer.DIM).astype(np.float32)
        self.theta, self.v, self.x = torch.from_numpy(theta), torch.from_numpy(v), torch.from_numpy(x)
        self.labels = torch.from_numpy(labels.astype(np.int64))

    def loss(self, *parameters):
        """of (W_0, b_0, W_1, ...)"""
        a = self.x
        for index in range(0, len(parameters), 2):
            a = torch.nn.functional.linear(a, parameters[index], parameters[index + 1])
            if index + 2 < len(parameters):
                a = torch.tanh(a)
        return cross_entropy(a, self.labels)


def pieces(theta):
    return tuple(t.contiguous() for layer in peer.split(theta) for t in layer)


class Product(peer.Form):
    """`product()` returns the pieces of Hv."""

    def __init__(self, workload):
        self.workload = workload
        self.parameters = pieces(workload.theta)
        self.direction = pieces(workload.v)

    def run(self):
        self.product()

    def check(self):
        hv = torch.cat([piece.reshape(-1) for piece in self.product()]).double()
        return [hv.dot(self.workload.v.double()).item(), hv.norm().item()]


class DoubleBackward(Product):
    """The gradient's graph is kept, and differentiated again for each product."""

    def __init__(self, workload):
        super().__init__(workload)
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.gradient = torch.autograd.grad(workload.loss(*self.parameters), self.parameters, create_graph=True)

    def product(self):
        return torch.autograd.grad(self.gradient, self.parameters, self.direction, retain_graph=True)


class ForwardOverReverse(Product):
    """torch.func.jvp of torch.func.grad: forward mode through the reverse pass, both anew for each product."""

    def __init__(self, workload, compiled=False):
        super().__init__(workload)
        gradient = grad(workload.loss, argnums=tuple(range(len(self.parameters))))

        def product(parameters, direction):
            return jvp(gradient, parameters, direction)[1]

        self.of = torch.compile(product) if compiled else product

    def product(self):
        return self.of(self.parameters, self.direction)


class Linearized(Product):
    """torch.func.linearize of torch.func.grad: the forward mode's graph is kept."""

    def __init__(self, workload):
        super().__init__(workload)
        _, self.of = linearize(grad(workload.loss, argnums=tuple(range(len(self.parameters)))), *self.parameters)

    def product(self):
        return self.of(*self.direction)


class ByHand(Product):
    """Pearlmutter's R-operator written out: the passes at the point are kept, every tensor is allocated once, and the two
    products of each derivative go into one place (addmm_).
    """

    @torch.no_grad()
    def __init__(self, workload):
        super().__init__(workload)
        (w0, b0), (w1, b1), (w2, b2) = self.layers = list(zip(self.parameters[::2], self.parameters[1::2]))
        n = len(workload.x)
        self.a1 = torch.tanh(workload.x @ w0.T + b0)
        self.a2 = torch.tanh(self.a1 @ w1.T + b1)
        self.p = torch.softmax(self.a2 @ w2.T + b2, 1)
        self.p_over_n = self.p / n
        self.s1, self.s2 = 1 - self.a1**2, 1 - self.a2**2
        self.d3 = (self.p - one_hot(workload.labels, peer.WIDTHS[-1])) / n
        u2 = self.d3 @ w2
        self.d2 = u2 * self.s2
        u1 = self.d2 @ w1
        self.m2, self.m1 = -2 * u2 * self.a2, -2 * u1 * self.a1
        self.r1, self.r2, self.e1, self.e2 = (torch.empty(n, 64) for _ in range(4))
        self.e3, self.q, self.sum = torch.empty(n, 10), torch.empty(n, 10), torch.empty(n, 1)
        self.out = [torch.empty_like(p) for p in self.parameters]

    @torch.no_grad()
    def product(self):
        v0, c0, v1, c1, v2, c2 = self.direction
        w1, w2 = self.layers[1][0], self.layers[2][0]
        r1, r2, e1, e2, e3, q = self.r1, self.r2, self.e1, self.e2, self.e3, self.q
        torch.addmm(c0, self.workload.x, v0.T, out=r1).mul_(self.s1)
        torch.addmm(c1, self.a1, v1.T, out=r2).addmm_(r1, w1.T).mul_(self.s2)
        torch.addmm(c2, self.a2, v2.T, out=e3).addmm_(r2, w2.T)
        torch.mul(self.p, e3, out=q)
        e3.sub_(torch.sum(q, 1, keepdim=True, out=self.sum)).mul_(self.p_over_n)
        torch.mm(e3.T, self.a2, out=self.out[4]).addmm_(self.d3.T, r2)
        torch.sum(e3, 0, out=self.out[5])
        torch.mm(e3, w2, out=e2).addmm_(self.d3, v2).mul_(self.s2).addcmul_(self.m2, r2)
        torch.mm(e2.T, self.a1, out=self.out[2]).addmm_(self.d2.T, r1)
        torch.sum(e2, 0, out=self.out[3])
        torch.mm(e2, w1, out=e1).addmm_(self.d2, v1).mul_(self.s1).addcmul_(self.m1, r1)
        torch.mm(e1.T, self.workload.x, out=self.out[0])
        torch.sum(e1, 0, out=self.out[1])
        return self.out


if __name__ == "__main__":
    options = peer.arguments(__doc__)
    torch.set_num_threads(options.threads)
    work = Workload(options.data)
    peer.main(
        options,
        {
            "double_backward": lambda: DoubleBackward(work),
            "jvp_of_grad": lambda: ForwardOverReverse(work),
            "jvp_of_grad_compiled": lambda: ForwardOverReverse(work, compiled=True),
            "linearize": lambda: Linearized(work),
            "r_operator_by_hand": lambda: ByHand(work),
        },
        f"PyTorch {torch.__version__}",
    )
