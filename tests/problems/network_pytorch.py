#!/usr/bin/python3
"""Derivatives of networks by PyTorch's autograd, in double precision: usage network_pytorch.py FOLDER CASE...

FOLDER/CASE.txt describes a network and its loss, one word list a line:
    input CHANNELS HEIGHT WIDTH | dense OUTPUTS | convolution CHANNELS KERNEL PADDING STRIDE BIAS | norm GROUPS EPS
    tanh | silu | relu | pool SIZE | loss squared|cross_entropy | decay LAMBDA
Beside it lie CASE.theta, CASE.u (d), CASE.x (n × inputs, sample by sample) and CASE.y (labels, or n × outputs targets):
doubles. Writes CASE.out: L, then ∇L, ∇²L u and ∇³L[u uᵀ]. Exit status 77 where there is no PyTorch.
"""
import pathlib
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)


def outputs(lines, theta, x):
    at, a = 0, x

    def take(*shape):
        nonlocal at
        count = int(np.prod(shape))
        at += count
        return theta[at - count : at].reshape(shape)

    for name, *words in lines:
        if name == "input":
            a = a.reshape(len(x), *map(int, words))
        elif name == "dense":
            a = a.flatten(1)
            weight = take(int(words[0]), a.shape[1])
            a = F.linear(a, weight, take(int(words[0])))
            a = a.reshape(*a.shape, 1, 1)
        elif name == "convolution":
            channels, kernel, padding, stride, bias = map(int, words)
            weight = take(channels, a.shape[1], kernel, kernel)
            a = F.conv2d(a, weight, take(channels) if bias else None, stride, padding)
        elif name == "norm":
            gamma = take(a.shape[1])
            a = F.group_norm(a, int(words[0]), gamma, take(a.shape[1]), float(words[1]))
        elif name == "pool":
            a = F.avg_pool2d(a, int(words[0]))
        elif name in ("tanh", "silu", "relu"):
            a = {"tanh": torch.tanh, "silu": F.silu, "relu": F.relu}[name](a)
    assert at == len(theta), f"the layers have {at} parameters, theta {len(theta)}"
    return a.flatten(1)


def main(folder, cases):
    for case in cases:
        lines = [line.split() for line in (folder / f"{case}.txt").read_text(encoding="utf-8").splitlines()]
        settings = {name: words for name, *words in lines}
        theta, u, x, y = (torch.from_numpy(np.fromfile(folder / f"{case}.{k}")) for k in ("theta", "u", "x", "y"))
        theta.requires_grad_()
        f = outputs(lines, theta, x.reshape(-1, int(np.prod([int(w) for w in settings["input"]]))))
        if settings["loss"] == ["squared"]:
            loss = 0.5 * ((f - y.reshape(f.shape)) ** 2).sum(1).mean()
        else:
            loss = F.cross_entropy(f, y.long())
        loss = loss + 0.5 * float(settings["decay"][0]) * theta.dot(theta)
        (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
        (product,) = torch.autograd.grad(gradient, theta, u, create_graph=True)
        (third,) = torch.autograd.grad(product, theta, u)
        parts = [loss.reshape(1), gradient, product, third]
        torch.cat(parts).detach().numpy().tofile(folder / f"{case}.out")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
