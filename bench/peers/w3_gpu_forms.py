"""W3's forms in PyTorch for a GPU: those of w3_local_sgd.py, and the backward pass by hand with tensors as a GPU likes
them, 64 wide, which the CPU's padded ones are not."""

import torch

from w3_local_sgd import BATCH, LR, BmmAutograd, BmmByHand, LocalSgd, Vmap


class ByHand(LocalSgd):
    """Stacked weights and biases, the backward pass written out: every tensor allocated once, every product into its
    place, the step inside the product that makes the gradient (baddbmm_)."""

    def __init__(self, workload, compiled=False):
        super().__init__(workload)
        k, device = self.workers, workload.device
        self.targets = torch.nn.functional.one_hot(workload.labels, 10).float()
        self.weights = [torch.empty(k, *weight.T.shape, device=device) for weight, _ in workload.start]
        self.biases = [torch.empty(k, 1, len(bias), device=device) for _, bias in workload.start]
        self.batch_x, self.batch_y = (torch.empty(k * BATCH, width, device=device) for width in (64, 10))
        self.a0, self.y = self.batch_x.view(k, BATCH, 64), self.batch_y.view(k, BATCH, 10)
        self.a1, self.a2, self.d1, self.d2 = (torch.empty(k, BATCH, 64, device=device) for _ in range(4))
        self.d3 = torch.empty(k, BATCH, 10, device=device)
        self.step = torch.compile(self.eager_step) if compiled else self.eager_step

    def reset(self):
        for weights, biases, (weight, bias) in zip(self.weights, self.biases, self.workload.start):
            weights.copy_(weight.T.expand_as(weights))
            biases.copy_(bias.expand_as(biases))

    @torch.no_grad()
    def eager_step(self, chosen):
        (w0, w1, w2), (b0, b1, b2) = self.weights, self.biases
        a0, a1, a2, d1, d2, d3 = self.a0, self.a1, self.a2, self.d1, self.d2, self.d3
        torch.index_select(self.workload.x, 0, chosen, out=self.batch_x)
        torch.index_select(self.targets, 0, chosen, out=self.batch_y)
        torch.baddbmm(b0, a0, w0, out=a1).tanh_()
        torch.baddbmm(b1, a1, w1, out=a2).tanh_()
        torch.baddbmm(b2, a2, w2, out=d3)
        torch.sub(torch.softmax(d3, 2), self.y, out=d3)
        torch.bmm(d3, w2.transpose(1, 2), out=d2)
        torch.ops.aten.tanh_backward.grad_input(d2, a2, grad_input=d2)
        torch.bmm(d2, w1.transpose(1, 2), out=d1)
        torch.ops.aten.tanh_backward.grad_input(d1, a1, grad_input=d1)
        for w, b, a, d in ((w2, b2, a2, d3), (w1, b1, a1, d2), (w0, b0, a0, d1)):
            w.baddbmm_(a.transpose(1, 2), d, alpha=-LR / BATCH)
            b.sub_(d.sum(1, keepdim=True), alpha=LR / BATCH)

    def average(self):
        for t in (*self.weights, *self.biases):
            t.copy_(t.mean(0, keepdim=True).expand_as(t))

    def layers(self):
        return [(w[0].T, b[0, 0]) for w, b in zip(self.weights, self.biases)]


FORMS = {
    "torch-bmm-by-hand": ByHand,
    "torch-bmm-by-hand-compiled": lambda workload: ByHand(workload, compiled=True),
    "torch-bmm-by-hand-padded": BmmByHand,
    "torch-bmm-autograd": BmmAutograd,
    "torch-bmm-autograd-compiled": lambda workload: BmmAutograd(workload, compiled=True),
    "torch-vmap": Vmap,
}
