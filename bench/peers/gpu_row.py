"""What the peers on a GPU share: the columns of bench/gpu_row.hpp, the sweep that times one size after the other, and
what a library says about the device. With --device cpu the same forms run without a GPU, to see what they compute.
"""

import argparse
import datetime
import math
import statistics
import sys
import time

COLUMNS = (
    "date,gpu,multiprocessors,clock_mhz,program,workload,precision,replicas,workers,local_steps,steps,kernel_seconds,"
    "total_seconds,per_second_kernel,per_second_total,mean,standard_error,loss"
).split(",")

PATIENCE = 120  # seconds that one run may be expected to take
LIMIT = 540  # seconds of a sweep: a piece of bench/gpu.sh that takes longer than 590 leaves none of its lines


def text(value, digits=6):
    """A number, or nothing where it is not known."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.{digits}g}" if math.isfinite(value) else ""


def line(device, program, size, kernel_seconds, total_seconds, mean=None, standard_error=None, loss=None):
    """One measurement; `size`: the columns from workload to steps by name, `device`: gpu and multiprocessors."""
    items = size["replicas"] * size["workers"] * size["steps"]
    row = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "program": program,
        **device,
        **{name: str(value) for name, value in size.items()},
        "kernel_seconds": text(kernel_seconds),
        "total_seconds": text(total_seconds),
        "per_second_kernel": text(items / kernel_seconds if kernel_seconds else None),
        "per_second_total": text(items / total_seconds),
        "mean": text(mean, 9),
        "standard_error": text(standard_error, 3),
        "loss": text(loss, 9),
    }
    return ",".join(row.get(column, "") for column in COLUMNS)


class Sweep:
    """Sizes from small to large, each timed after a warm-up: the median of up to `repeats` runs. A size of which one run
    would take longer than PATIENCE, by what the last one took, is said and left out, and one whose warm-up and first run
    would end after LIMIT."""

    def __init__(self, name, repeats=3):
        self.name, self.repeats, self.rate = name, repeats, 0.0
        self.begin, self.compilation = time.perf_counter(), 0.0

    def expects_too_much(self, size, cost):
        expected = cost / self.rate if self.rate else 0
        elapsed = time.perf_counter() - self.begin
        if expected > PATIENCE:
            print(f"{self.name} {size}: not measured: about {expected:.0f} s", file=sys.stderr)
        elif elapsed + self.compilation + 2 * expected > LIMIT:
            print(f"{self.name} {size}: not measured: about {expected:.0f} s, after {elapsed:.0f} s of the sweep",
                  file=sys.stderr)
        else:
            return False
        return True

    def seconds(self, run, cost, prepare=lambda: None):
        """(median seconds, what the last run returned). run() returns when its result is on the host."""
        prepare()
        begin = time.perf_counter()
        result = run()  # compiles, loads the kernels, fills the caches
        first = time.perf_counter() - begin
        spent = []
        while len(spent) < self.repeats and (not spent or sum(spent) < 30):
            prepare()
            begin = time.perf_counter()
            result = run()
            spent.append(time.perf_counter() - begin)
        median = statistics.median(spent)
        self.rate = cost / median
        self.compilation = max(self.compilation, first - median)
        return median, result


def form_parser(forms, description):
    """The arguments that all programs of forms have; `list` instead prints the forms' names and ends the program."""
    if sys.argv[1:] == ["list"]:
        print(*forms, sep="\n")
        sys.exit(0)
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("form", choices=forms)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    return parser


def not_measured(what, error):
    print(f"{what}: not measured: {reason(error)}", file=sys.stderr)


def made(form, make):
    """What make() returns; where it can not be made (no library, no device) the program ends with 77."""
    try:
        return make()
    except Exception as error:  # pylint: disable=broad-except
        not_measured(form, error)
        sys.exit(77)


def reason(error):
    """In one line; PyTorch and XLA say in different words that there is no memory left."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    memory = any(words in said.lower() for words in ("out of memory", "outofmemory", "resource_exhausted", "memoryerror"))
    return f"out of memory: {said}" if memory else said


def torch_on(device):
    """(torch, its columns of the device); single precision without TF32."""
    import torch

    torch.set_float32_matmul_precision("highest")
    if device == "cpu":
        return torch, {"gpu": "none", "multiprocessors": ""}
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    of = torch.cuda.get_device_properties(0)
    return torch, {"gpu": of.name, "multiprocessors": str(of.multi_processor_count)}


def jax_on(device, double=False):
    """(jax, its columns of the device); single precision without TF32, memory taken as it is needed."""
    import os

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_enable_x64", double)
    if device == "cpu":
        return jax, {"gpu": "none", "multiprocessors": ""}
    devices = [d for d in jax.devices() if d.platform == "gpu"]
    if not devices:
        raise RuntimeError("JAX sees no GPU")
    return jax, {"gpu": devices[0].device_kind, "multiprocessors": ""}


def captured(torch, run):
    """run() as a CUDA graph: everything that it launches, launched at once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def torch_kernel_seconds(torch, run):
    """Time that kernels took during run(), from the profiler's trace of the device; None where it has none."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        run()
        torch.cuda.synchronize()
    microseconds = sum(
        getattr(event, "self_device_time_total", getattr(event, "self_cuda_time_total", 0))
        for event in trace.key_averages()
    )
    return 1e-6 * microseconds or None
