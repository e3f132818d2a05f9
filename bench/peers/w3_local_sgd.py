"""W3 in PyTorch: Local SGD of K = 16 workers, MLP 64-64-64-10 (tanh, cross-entropy), local batch 16, lr 0.1, plain SGD,
the mean of the workers every 10 steps, f32. An item is one step of one worker; a repeat is 100 steps of all workers from
the same start with the same samples, and the check is the loss of the mean on all data after it. gpu_training.py has the
same forms on a GPU, for any K.
"""

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import peer

K, BATCH, STEPS, LOCAL_STEPS, LR = 16, 16, 100, 10, 0.1


class Workload:
    """`workers`: K; the samples of a worker are the same for any number of workers."""

    def __init__(self, folder, workers=K, device="cpu"):
        if folder:
            theta, x, labels, samples = (peer.load(folder, name) for name in ("theta", "x", "labels", "samples"))
        else:
            theta, x, labels = peer.drawn(2048)
            samples = np.random.default_rng(2).integers(2048, size=(STEPS, workers, BATCH))
        if samples.shape[1] < workers:
            raise ValueError(f"samples of {samples.shape[1]} workers only, {workers} asked for")
        samples = samples[:, :workers].astype(np.int64).reshape(STEPS, workers * BATCH)
        self.workers, self.device = workers, device
        self.start = [tuple(torch.from_numpy(t.copy()).to(device) for t in layer) for layer in peer.split(theta)]
        self.x = torch.from_numpy(x).to(device)
        self.labels = torch.from_numpy(labels.astype(np.int64)).to(device)
        self.samples = torch.from_numpy(samples).to(device)

    @torch.no_grad()
    def loss(self, layers):
        a = self.x
        for index, (weight, bias) in enumerate(layers):
            a = a @ weight.T + bias
            if index + 1 < len(layers):
                a = torch.tanh(a)
        return cross_entropy(a, self.labels).item()


class LocalSgd(peer.Form):
    def __init__(self, workload):
        self.workload = workload
        self.workers, self.items = workload.workers, STEPS * workload.workers

    def run(self):
        for k in range(STEPS):
            self.step(self.workload.samples[k])
            if k % LOCAL_STEPS == LOCAL_STEPS - 1:
                self.average()

    def check(self):
        self.reset()
        self.run()
        return [self.workload.loss(self.layers())]


def module():
    layers = []
    for inputs, outputs in zip(peer.WIDTHS, peer.WIDTHS[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


class Modules(LocalSgd):
    """One module and one optimizer per worker."""

    def __init__(self, workload):
        super().__init__(workload)
        self.modules = [module().to(workload.device) for _ in range(self.workers)]
        self.optimizers = [torch.optim.SGD(worker.parameters(), lr=LR) for worker in self.modules]

    @torch.no_grad()
    def reset(self):
        start = [t for layer in self.workload.start for t in layer]
        for worker in self.modules:
            for parameter, value in zip(worker.parameters(), start):
                parameter.copy_(value)

    def step(self, chosen):
        x, labels = self.workload.x, self.workload.labels
        for k, (worker, optimizer) in enumerate(zip(self.modules, self.optimizers)):
            mine = chosen[k * BATCH : (k + 1) * BATCH]
            optimizer.zero_grad()
            cross_entropy(worker(x[mine]), labels[mine]).backward()
            optimizer.step()

    @torch.no_grad()
    def average(self):
        for copies in zip(*(worker.parameters() for worker in self.modules)):
            mean = torch.stack(copies).mean(0)
            for copy in copies:
                copy.copy_(mean)

    def layers(self):
        parameters = list(self.modules[0].parameters())
        return list(zip(parameters[::2], parameters[1::2]))


class Vmap(LocalSgd):
    """torch.func: the gradient of one worker's loss, mapped over the workers."""

    def __init__(self, workload):
        super().__init__(workload)
        net = module()

        def loss(parameters, x, labels):
            return cross_entropy(functional_call(net, parameters, (x,)), labels)

        self.names = list(dict(net.named_parameters()))
        self.gradient = vmap(grad(loss))
        self.first = dict(zip(self.names, (t for layer in workload.start for t in layer)))
        self.parameters = {n: t.repeat(self.workers, *[1] * t.dim()) for n, t in self.first.items()}

    def reset(self):
        for name, t in self.parameters.items():
            t.copy_(self.first[name].expand_as(t))

    def step(self, chosen):
        x = self.workload.x[chosen].view(self.workers, BATCH, -1)
        labels = self.workload.labels[chosen].view(self.workers, BATCH)
        gradient = self.gradient(self.parameters, x, labels)
        torch._foreach_add_(list(self.parameters.values()), [gradient[n] for n in self.names], alpha=-LR)

    def average(self):
        for t in self.parameters.values():
            t.copy_(t.mean(0, keepdim=True).expand_as(t))

    def layers(self):
        tensors = [self.parameters[n][0] for n in self.names]
        return list(zip(tensors[::2], tensors[1::2]))


class BmmAutograd(LocalSgd):
    """Stacked weights, batched matrix products, gradients by autograd."""

    def __init__(self, workload, compiled=False):
        super().__init__(workload)
        self.parameters = []
        for weight, bias in workload.start:
            self.parameters += [weight.T.repeat(self.workers, 1, 1), bias.repeat(self.workers, 1, 1)]
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.loss = torch.compile(self.eager_loss) if compiled else self.eager_loss

    @torch.no_grad()
    def reset(self):
        for index, (weight, bias) in enumerate(self.workload.start):
            self.parameters[2 * index].copy_(weight.T.expand(self.workers, -1, -1))
            self.parameters[2 * index + 1].copy_(bias.expand(self.workers, 1, -1))

    @staticmethod
    def eager_loss(parameters, x, labels):
        a = x
        for index in range(0, len(parameters), 2):
            a = torch.baddbmm(parameters[index + 1], a, parameters[index])
            if index + 2 < len(parameters):
                a = torch.tanh(a)
        return cross_entropy(a.flatten(0, 1), labels, reduction="sum") / BATCH

    def step(self, chosen):
        x = self.workload.x[chosen].view(self.workers, BATCH, -1)
        gradient = torch.autograd.grad(self.loss(self.parameters, x, self.workload.labels[chosen]), self.parameters)
        with torch.no_grad():
            torch._foreach_add_(self.parameters, gradient, alpha=-LR)

    @torch.no_grad()
    def average(self):
        for parameter in self.parameters:
            parameter.copy_(parameter.mean(0, keepdim=True).expand_as(parameter))

    def layers(self):
        return [
            (self.parameters[index][0].T, self.parameters[index + 1][0, 0])
            for index in range(0, len(self.parameters), 2)
        ]


class BmmByHand(LocalSgd):
    """Stacked weights and the backward pass written out: every tensor allocated once, every product into its place, the
    step inside the product that makes the gradient (baddbmm_). The biases are a 65th row of the weights, over a 65th unit
    that is always one: in the hidden layers tanh(20) = 1 in single precision, so that all tensors stay contiguous.
    """

    def __init__(self, workload, compiled=False):
        super().__init__(workload)
        k, device = self.workers, workload.device
        self.x = torch.cat([workload.x, torch.ones(len(workload.x), 1, device=device)], 1)
        self.targets = torch.nn.functional.one_hot(workload.labels, 10).float()
        self.weights = [torch.zeros(k, 65, outputs, device=device) for outputs in (65, 65, 10)]
        self.transposed = [w.transpose(1, 2) for w in self.weights]
        self.batch_x, self.batch_y = (torch.empty(k * BATCH, width, device=device) for width in (65, 10))
        self.a0, self.y = self.batch_x.view(k, BATCH, 65), self.batch_y.view(k, BATCH, 10)
        self.a1, self.a2, self.d1, self.d2 = (torch.empty(k, BATCH, 65, device=device) for _ in range(4))
        self.p, self.sum = (torch.empty(k, BATCH, width, device=device) for width in (10, 1))
        self.step = torch.compile(self.eager_step) if compiled else self.eager_step

    def reset(self):
        for weights, (weight, bias) in zip(self.weights, self.workload.start):
            outputs = len(bias)
            weights.zero_()
            weights[:, :64, :outputs] = weight.T
            weights[:, 64, :outputs] = bias
            if outputs == 64:
                weights[:, 64, 64] = 20

    @torch.no_grad()
    def eager_step(self, chosen):
        w0, w1, w2 = self.weights
        a0, a1, a2, d1, d2, p = self.a0, self.a1, self.a2, self.d1, self.d2, self.p
        torch.index_select(self.x, 0, chosen, out=self.batch_x)
        torch.index_select(self.targets, 0, chosen, out=self.batch_y)
        torch.bmm(a0, w0, out=a1).tanh_()
        torch.bmm(a1, w1, out=a2).tanh_()
        torch.bmm(a2, w2, out=p).exp_()
        p.div_(torch.sum(p, 2, keepdim=True, out=self.sum)).sub_(self.y)
        torch.bmm(p, self.transposed[2], out=d2)
        w2.baddbmm_(a2.transpose(1, 2), p, alpha=-LR / BATCH)
        torch.ops.aten.tanh_backward.grad_input(d2, a2, grad_input=d2)
        torch.bmm(d2, self.transposed[1], out=d1)
        w1.baddbmm_(a1.transpose(1, 2), d2, alpha=-LR / BATCH)
        torch.ops.aten.tanh_backward.grad_input(d1, a1, grad_input=d1)
        w0.baddbmm_(a0.transpose(1, 2), d1, alpha=-LR / BATCH)

    def average(self):
        for w in self.weights:
            w.copy_(w.mean(0, keepdim=True).expand_as(w))

    def layers(self):
        return [(w[0, :64, :outputs].T, w[0, 64, :outputs]) for w, outputs in zip(self.weights, peer.WIDTHS[1:])]


if __name__ == "__main__":
    options = peer.arguments(__doc__)
    torch.set_num_threads(options.threads)
    work = Workload(options.data)
    peer.main(
        options,
        {
            "modules": lambda: Modules(work),
            "vmap": lambda: Vmap(work),
            "bmm_autograd": lambda: BmmAutograd(work),
            "bmm_autograd_compiled": lambda: BmmAutograd(work, compiled=True),
            "bmm_by_hand": lambda: BmmByHand(work),
            "bmm_by_hand_compiled": lambda: BmmByHand(work, compiled=True),
        },
        f"PyTorch {torch.__version__}",
    )
