#!/usr/bin/env python3
"""Checks that the library's sources compile where its optional parts are missing: CUDA, NCCL and MPI.

usage: check_without_parts.py ROOT JOBS COMPILE_COMMANDS
Compiled are the sources that could notice: those of gpu/ and their tests, and those that name a part. They get the flags
of compile_commands.json without the parts' definitions and the folders of their headers. Exit status 1 if one does not
compile.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys

from compile_all import compile_all

PARTS = re.compile(r"SLOWSDE_(CUDA|NCCL|MPI)\b")
NEEDS_TOOLKIT = ("test_device_", "test_curand_", "test_host_executor")  # tests of the toolkit's headers
FOLDERS = re.compile("cuda|mpi", re.IGNORECASE)


def without_parts(entry):
    """The command of an entry that checks its syntax without the parts."""
    words, kept = iter(shlex.split(entry["command"])), []
    for word in words:
        if word in {"-o", "-include", "-MT", "-MF"}:
            next(words)
        elif word in {"-isystem", "-I"}:
            folder = next(words)
            if not FOLDERS.search(folder):
                kept += [word, folder]
        elif not (re.match("-D" + PARTS.pattern, word) or word in {"-c", "-MD", "-Winvalid-pch", "-fpch-preprocess"}
                  or pathlib.Path(word).name in {"ccache", "sccache"}):
            kept.append(word)
    return [*kept, "-fsyntax-only"]


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    root, jobs = pathlib.Path(arguments[0]), int(arguments[1])
    entries = {}
    for entry in json.loads(pathlib.Path(arguments[2]).read_text()):
        file = pathlib.Path(entry["file"])
        layer = file.relative_to(root).parts[0] if file.is_relative_to(root) else ""
        if file.suffix != ".cpp" or layer not in {"problems", "sde", "optim", "gpu", "experiments", "tests"}:
            continue
        if "gpu" in file.relative_to(root).parts[:2] or PARTS.search(file.read_text()):
            if not file.name.startswith(NEEDS_TOOLKIT):
                entries[file] = entry
    if not entries:
        sys.exit(f"no source under {root} names an optional part")
    def compile_one(file):
        entry = entries[file]
        return subprocess.run(without_parts(entry), text=True, capture_output=True, cwd=entry["directory"])

    return compile_all(list(entries), compile_one, jobs, "sources", "does not compile without CUDA, NCCL and MPI")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
