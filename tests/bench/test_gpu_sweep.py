#!/usr/bin/env python3
"""The sweep of the peers on a GPU, with a form that needs no library: what is left out, and that the sweep goes on."""
import contextlib
import csv
import io
import pathlib
import sys
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"))
sys.dont_write_bytecode = True

import gpu_ensembles  # noqa: E402
import gpu_row  # noqa: E402


class OutOfMemoryError(RuntimeError):
    """As PyTorch's is called."""


class Library:
    """W1-torch-eager on a device whose memory ends at `room` replicas and whose clock a run moves on by its cost."""

    columns = {"gpu": "made up", "multiprocessors": ""}
    room, error, rate, compilation = 10**8, None, 1e15, 0.0
    now = 0.0

    def __init__(self, _):
        self.forms = {"W1-torch-eager": self.run}
        self.compiled = False

    def next_size(self):
        self.compiled = False

    def run(self, replicas, workers, steps, _):
        if replicas > Library.room:
            raise Library.error
        Library.now += replicas * workers * steps / Library.rate + (0 if self.compiled else Library.compilation)
        self.compiled = True
        return 1.2, 1e-3

    def kernel_seconds(self, _):
        return None


class Sweep(unittest.TestCase):
    def swept(self, **device):
        """(exit status, replicas that were measured, standard error)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            stack.enter_context(mock.patch.dict(gpu_ensembles.FORMS, {"W1-torch-eager": Library}))
            stack.enter_context(mock.patch.multiple(Library, now=0.0, **device))
            stack.enter_context(mock.patch.object(gpu_row.time, "perf_counter", lambda: Library.now))
            stack.enter_context(mock.patch.object(sys, "argv", ["gpu_ensembles.py", "W1-torch-eager", "f32", "replicas"]))
            status = gpu_ensembles.main()
            self.ended = Library.now
        return status, [int(row["replicas"]) for row in csv.DictReader(out.getvalue().splitlines())], err.getvalue()

    def test_all_sizes_are_measured_where_time_and_memory_allow_it(self):
        self.assertEqual(self.swept(), (0, [10**k for k in range(2, 9)], ""))

    def test_a_size_that_there_is_no_memory_for_is_said_and_the_sweep_goes_on(self):
        for error in (OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB"),
                      RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes"), MemoryError()):
            status, replicas, err = self.swept(room=10**6, error=error)
            self.assertEqual((status, replicas), (0, [10**k for k in range(2, 7)]))
            for size in (10**7, 10**8):
                self.assertRegex(err, f"W1-torch-eager .*'replicas': {size},.*: not measured: out of memory")
        _, _, err = self.swept(room=10**6, error=RuntimeError("another failure"))
        self.assertIn("not measured: RuntimeError: another failure", err)

    def test_a_size_that_takes_too_long_is_left_out(self):
        # 1e8 replicas of 8 workers and 2000 steps would take 150 s.
        status, replicas, err = self.swept(rate=1.6e12 / 150)
        self.assertEqual((status, replicas[-1]), (0, 10**7))
        self.assertRegex(err, "'replicas': 100000000, .*: not measured: about 150 s\n")

    def test_a_sweep_ends_before_its_piece_does(self):
        # 70 s to compile each size: 433 s are over before 1e8 replicas, whose four runs take 120 s.
        status, replicas, err = self.swept(rate=1.6e12 / 30, compilation=70.0)
        self.assertEqual((status, replicas), (0, [10**k for k in range(2, 8)]))
        self.assertIn("s of the sweep", err)
        self.assertLess(self.ended, 590)


if __name__ == "__main__":
    unittest.main()
