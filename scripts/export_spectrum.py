#!/usr/bin/env python3
"""Writes the spectrum of a PyTorch network's Hessian as the CSV file that `slowsde plan` reads.

    from export_spectrum import export_spectrum
    export_spectrum(model, loss_fn, batches, "spectrum.csv")

`loss_fn(model, batch)` is the mean loss of a batch, `batches` a list (or a DataLoader that gives the same batches
every time it is gone through); the Hessian is that of the mean over the batches, of all parameters that require
gradients. Put the network into the mode whose Hessian is meant: model.eval() fixes dropout and batch-norm statistics.

Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019): each of `probes` random vectors
gives, by `steps` Hessian-vector products and full reorthogonalisation, a Gauss quadrature of the spectral density, nodes
λ_k with weights τ_k². A row is one node:

    eigenvalue  λ_k
    weight      d τ_k² λ_k / probes, its part of the trace: what slowsde weighs an eigenvalue's drift by
    count       d τ_k² / probes, the number of eigenvalues that the node stands for

The largest nodes are Lanczos's (Ritz) values, good to their last digits; those in the bulk stand for many eigenvalues.
Nodes below `relative` times the largest modulus are noise of the arithmetic, and left out.
"""
import argparse
import csv
import os

import torch


def hessian_vector_product(model, loss_fn, batches):
    """(function v -> Hv for flat vectors, number of parameters)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    dim = sum(p.numel() for p in parameters)

    def product(vector):
        parts = [v.view_as(p) for v, p in zip(vector.split([p.numel() for p in parameters]), parameters)]
        total, count = torch.zeros_like(vector), 0
        for batch in batches:
            gradient = torch.autograd.grad(loss_fn(model, batch), parameters, create_graph=True, materialize_grads=True)
            slope = sum((g * v).sum() for g, v in zip(gradient, parts))
            second = torch.autograd.grad(slope, parameters, materialize_grads=True)
            total += torch.cat([s.reshape(-1) for s in second]).detach()
            count += 1
        if count == 0:
            raise ValueError("batches: there is none (a generator can be gone through once only; give a list)")
        return total / count

    return product, parameters, dim


def lanczos(product, start, steps):
    """Ritz values and the squared first components of their vectors, from a start vector."""
    basis, alpha, beta = [start / start.norm()], [], []
    for k in range(steps):
        w = product(basis[-1]).to(torch.float64)
        alpha.append(torch.dot(w, basis[-1]))
        for _ in range(2):  # twice is enough
            for q in basis:
                w = w - torch.dot(w, q) * q
        norm = w.norm()
        if k + 1 == steps or norm <= 1e-10 * max(abs(a) for a in alpha):
            break
        beta.append(norm)
        basis.append(w / norm)
    T = torch.diag(torch.stack(alpha))
    for k, b in enumerate(beta[: len(alpha) - 1]):
        T[k, k + 1] = T[k + 1, k] = b
    values, vectors = torch.linalg.eigh(T.cpu())
    return values, vectors[0] ** 2


def spectrum(model, loss_fn, batches, probes=4, steps=40, seed=0):
    """[(eigenvalue, count)] by stochastic Lanczos quadrature."""
    product, parameters, dim = hessian_vector_product(model, loss_fn, batches)
    dtype, device = parameters[0].dtype, parameters[0].device
    generator = torch.Generator().manual_seed(seed)
    nodes = []
    for _ in range(probes):
        start = torch.randint(0, 2, (dim,), generator=generator).to(torch.float64).to(device) * 2 - 1
        values, squares = lanczos(lambda v: product(v.to(dtype)), start, min(steps, dim))
        nodes += [(float(v), dim * float(s) / probes) for v, s in zip(values, squares)]
    return sorted(nodes, reverse=True)


def export_spectrum(model, loss_fn, batches, file, probes=4, steps=40, seed=0, relative=1e-6):
    """Writes the nodes as CSV and returns them as [(eigenvalue, weight, count)]."""
    nodes = spectrum(model, loss_fn, batches, probes, steps, seed)
    bound = relative * max(abs(value) for value, _ in nodes)
    rows = [(value, max(value, 0.0) * count, count) for value, count in nodes if abs(value) > bound]
    with open(file, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["eigenvalue", "weight", "count"])
        writer.writerows([f"{x:.9g}" for x in row] for row in rows)
    return rows


def demo(file, steps=1500):
    """Trains a small perceptron on a teacher's answers and exports its spectrum."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    teacher = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    student = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    x = torch.randn(64, 8)
    y = teacher(x).detach()
    batches = list(zip(x.split(32), y.split(32)))

    def loss_fn(model, batch):
        return 0.5 * ((model(batch[0]) - batch[1]) ** 2).mean()

    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_fn(student, batches[step % len(batches)])
        loss.backward()
        optimizer.step()
    rows = export_spectrum(student, loss_fn, batches, file)
    print(f"loss {float(loss.detach()):.3g}, trace {sum(v * c for v, _, c in rows):.4g}, {len(rows)} nodes from "
          f"{rows[0][0]:.4g} down, wrote {os.fspath(file)}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--demo", metavar="FILE", required=True,
                           help="train a small network, export its spectrum to FILE (as a library: export_spectrum)")
    demo(arguments.parse_args().demo)
