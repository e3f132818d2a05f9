#!/usr/bin/env python3
"""Checks that every public header compiles alone, twice in one translation unit.

usage: check_headers.py ROOT JOBS COMPILE_COMMANDS SOURCE
The compiler and its flags are those with which compile_commands.json compiles SOURCE, a user of the library.
Exit status 1 if a header does not compile.
"""
import json
import pathlib
import shlex
import subprocess
import sys

from compile_all import compile_all

LAYERS = ["problems", "sde", "optim", "gpu", "experiments"]


def command_for(database, source):
    """The command that compiles `source`, without the file, the output and a compiler launcher."""
    (entry,) = [entry for entry in json.loads(database.read_text()) if entry["file"] == str(source)]
    words = shlex.split(entry["command"])
    if pathlib.Path(words[0]).name in {"ccache", "sccache"}:
        words = words[1:]
    output = words.index("-o")
    del words[output : output + 2]
    return [word for word in words if word not in {"-c", str(source)}]


def compile_alone(command, header):
    text = f'#include "slowsde/{header}"\n' * 2
    return subprocess.run([*command, "-fsyntax-only", "-x", "c++", "-"], input=text, text=True, capture_output=True)


def main(arguments):
    if len(arguments) != 4:
        sys.exit(__doc__)
    root, jobs = pathlib.Path(arguments[0]), int(arguments[1])
    command = command_for(pathlib.Path(arguments[2]), pathlib.Path(arguments[3]))
    headers = [path.relative_to(root) for layer in LAYERS for path in sorted((root / layer).glob("*.hpp"))]
    if not headers:
        sys.exit(f"no header under {root}")
    return compile_all(headers, lambda header: compile_alone(command, header), jobs, "headers", "does not compile alone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
