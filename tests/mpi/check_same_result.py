#!/usr/bin/env python3
"""Checks that a training split over processes has the result of one: usage check_same_result.py SLOWSDE MPIRUN…

Runs one small training with the program SLOWSDE alone and under the command MPIRUN, and compares every number of the
two results.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import xarray

TRAINING = """
kind = "train"
seed = 4
data = { name = "gaussian-mixture", classes = 3, dim = 6, separation = 4.0, train = 120, test = 60 }
network = { hidden = [7], activation = "silu" }
train = { steps = 50, replicas = 2 }
measure = { records = 5, gap_samples = 60, trace_products = 12, sharpness_samples = 60 }

[[runs]]
name = "local"
workers = 5
local_batch = 4
lr = { schedule = "cosine", peak = 0.2, end = 0.02 }
rule = { name = "qsr", alpha = 0.3, base_steps = 4 }
update = { name = "adamw", state = "averaged" }

[[runs]]
name = "parallel"
workers = 5
local_batch = 4
lr = 0.1
exchange = "gradients"
"""


def main(program, *mpirun):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "training.toml").write_text(TRAINING)
        command = [program, "run", str(folder / "training.toml"), "--quiet", "--out"]
        subprocess.run([*command, str(folder / "alone")], check=True)
        subprocess.run([*mpirun, *command, str(folder / "split")], check=True)
        with xarray.open_dataset(folder / "alone/result.nc") as alone, xarray.open_dataset(
            folder / "split/result.nc"
        ) as split:
            if set(alone.data_vars) != set(split.data_vars):
                sys.exit("the results have different variables")
            for name in alone.data_vars:
                a, b = alone[name].values, split[name].values
                if not numpy.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                    sys.exit(f"{name} differs")
            divergence = alone["mean"].values[0, -1, list(alone["observable"].values).index("worker_divergence")]
            if not divergence > 0:
                sys.exit("the workers were not apart, so nothing was compared")
            print(f"{len(alone.data_vars)} variables are equal")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
