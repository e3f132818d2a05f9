#!/usr/bin/env python3
"""Checks that a lost rank ends a training with its name: usage check_lost_rank.py HOW LIMIT COMMAND…

COMMAND runs tests/mpi/ranks.cpp's `lose HOW TIMEOUT` or `roll TIMEOUT` under mpirun, which loses rank 1. The run has
to end within LIMIT seconds, with an exit status other than 0 and a line that names rank 1. HOW = stop: that line is
slowsde's own, from every other rank; HOW = kill: it may be mpirun's, which ends the others when it sees a process die.
"""
import os
import re
import signal
import subprocess
import sys
import time


def main(how, limit, *command):
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=float(limit))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        sys.exit(f"still running after {limit} s:\n{process.communicate()[0]}")
    print(output)
    print(f"ended after {time.monotonic() - begin:.1f} s with exit status {process.returncode}")
    if process.returncode == 0:
        sys.exit("the exit status is 0")
    if how == "stop":
        seen = set(re.findall(r"seen by rank (\d+): rank 1 of \d+ \(.*\) did not answer", output))
        if seen != {"0", "2"}:
            sys.exit(f"rank 1 was named by the ranks {sorted(seen)} instead of 0 and 2")
        if re.search(r"seen by rank \d+: (?!rank 1 )", output) or re.search(r"seen by rank.*, rank ", output):
            sys.exit("another rank was named")
    elif not re.search(r"\brank 1\b", output):
        sys.exit("no line names rank 1")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
