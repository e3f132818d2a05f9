#!/usr/bin/env python3
"""Plant a fault in the library and see `slowsde verify` find it.

A mutation is a patch of one hunk; its text names the claims that have to be refuted (`Refutes: a b`). The
sources are copied, so the tree that is tested is never touched, and only what depends on the patched file is
built again. Without a patch the copy is built as it is and every claim that some mutation names has to be
confirmed: what a mutation refutes, the fault refutes.
"""

import argparse
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys

SOURCES = ["CMakeLists.txt", "LICENSE", "CITATION.cff", "README.md", "cmake", "problems", "sde", "optim", "gpu",
           "experiments", "plots", "bench", "scripts"]


class Failure(Exception):
    pass


def claims_of(patch):
    named = re.search(r"^Refutes: *(.+)$", patch.read_text(), re.MULTILINE)
    if not named:
        raise Failure(f"{patch.name}: no line 'Refutes: ' before the patch")
    return named.group(1).split()


def mirror(source, target):
    """Copy what differs and delete what is gone, so that untouched files keep their times."""
    wanted = set()
    for name in SOURCES:
        origin = source / name
        for file in [origin] if origin.is_file() else sorted(origin.rglob("*")):
            if not file.is_file() or "__pycache__" in file.parts:
                continue
            copy = target / file.relative_to(source)
            wanted.add(copy)
            if not copy.exists() or copy.read_bytes() != file.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    for file in target.rglob("*"):
        if file.is_file() and file not in wanted:
            file.unlink()


def checked(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(" ".join(map(str, command)) + "\n" + done.stdout[-4000:])


def build(cmake, work):
    # A fault is in the numbers, whatever optimizes them, and -O1 compiles in half the time of -O3.
    checked([cmake, "-S", work / "source", "-B", work / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
             "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -DNDEBUG", "-DSLOWSDE_BUILD_TESTS=OFF",
             "-DSLOWSDE_CUDA=OFF", "-DSLOWSDE_MPI=OFF"])
    checked([cmake, "--build", work / "build", "--target", "slowsde_program"])


def verify(work):
    """The exit code and the claims of a quick verification, all of it: a fault may break what no claim is about."""
    done = subprocess.run([work / "build" / "slowsde", "verify", "--suite", "quick", "--json", "--quiet"],
                          capture_output=True, text=True)
    if done.returncode not in (0, 1, 3) or not done.stdout:
        raise Failure(f"verify ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.returncode, json.loads(done.stdout)["claims"]


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from numbers(entry)
    elif isinstance(value, float) or value is None:  # JSON has no NaN: it is written as null
        yield value


def without_number(claims):
    """The quantities whose measurement or prediction is not finite."""
    return [f"{claim['name']}: {comparison['quantity']}" for claim in claims for comparison in claim["comparisons"]
            if not all(number is not None and math.isfinite(number)
                       for number in numbers([comparison["measured"], comparison["predicted"]]))]


def check_unharmed(cmake, work, patches):
    build(cmake, work)
    named = {claim for patch in patches for claim in claims_of(patch)}
    status, claims = verify(work)
    found = {claim["name"]: claim["verdict"] for claim in claims}
    if status != 0 or not named <= set(found):
        raise Failure(f"without a fault the claims are {found} (exit code {status})")
    print(f"without a fault all {len(found)} claims are confirmed")


def check_mutation(cmake, work, patch):
    expected = claims_of(patch)
    text = patch.read_text()
    if len(re.findall(r"^@@ ", text, re.MULTILINE)) != 1:
        raise Failure(f"{patch.name}: not a patch of one hunk")
    changed = work / "source" / re.search(r"^\+\+\+ b/(.+)$", text, re.MULTILINE).group(1).strip()
    before = changed.read_bytes()
    try:
        checked(["patch", "--batch", "--fuzz=0", "-p1", "-d", work / "source", "-i", patch.resolve()])
        build(cmake, work)
        status, claims = verify(work)
    finally:
        changed.write_bytes(before)
        for leftover in (".orig", ".rej"):
            changed.with_name(changed.name + leftover).unlink(missing_ok=True)
    verdicts = {claim["name"]: claim["verdict"] for claim in claims}
    if status != 1 or any(verdicts.get(name) != "refuted" for name in expected):
        raise Failure(f"{patch.stem}: exit code {status}, {verdicts}; {expected} had to be refuted")
    if without_number(claims):
        raise Failure(f"{patch.stem}: a measurement or prediction is not a number, which is no refutation: {without_number(claims)}")
    print(f"{patch.stem}: refuted", ", ".join(name for name, verdict in verdicts.items() if verdict == "refuted"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, required=True, help="slowsde's sources")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for the copy and its build")
    parser.add_argument("--cmake", default="cmake")
    parser.add_argument("patch", type=pathlib.Path, nargs="?", help="default: the copy without a fault")
    options = parser.parse_args()
    work = options.work.resolve()
    try:
        mirror(options.source.resolve(), work / "source")
        if options.patch:
            check_mutation(options.cmake, work, options.patch)
        else:
            patches = sorted(pathlib.Path(__file__).parent.glob("*.patch"))
            check_unharmed(options.cmake, work, patches)
    except Failure as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
