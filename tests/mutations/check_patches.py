#!/usr/bin/env python3
"""Checks that every planted fault still fits the sources: usage check_patches.py ROOT; exit status 1 if one does not.

The faults themselves take long to build (mutate.py); that a patch no longer applies is found here.
"""
import pathlib
import sys


def before(patch):
    """(file, lines) that the patch's hunk replaces."""
    lines = patch.read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("@@"))
    file = next(line for line in lines if line.startswith("--- a/"))[len("--- a/"):]
    return file, [line[1:] for line in lines[start + 1:] if line[:1] in (" ", "-")]


def fits(root, patch):
    file, wanted = before(patch)
    lines = (root / file).read_text(encoding="utf-8").splitlines()
    return bool(wanted) and any(lines[k:k + len(wanted)] == wanted for k in range(len(lines)))


def main():
    root = pathlib.Path(sys.argv[1])
    patches = sorted((root / "tests" / "mutations").glob("*.patch"))
    broken = [patch.name for patch in patches if not fits(root, patch)]
    for name in broken:
        print(f"{name} no longer fits")
    print(f"{len(patches)} patches, {len(broken)} that do not fit")
    return 1 if broken or not patches else 0


if __name__ == "__main__":
    sys.exit(main())
