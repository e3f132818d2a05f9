#!/usr/bin/env python3
"""Checks what the source files include: usage check_layers.py ROOT; exit status 1 if a rule is broken.

Order       a folder of the library includes itself and the folders before it: problems < sde < optim < gpu < experiments.
One name    the library's headers are written "slowsde/<folder>/<file>" everywhere, and exist; what is shared by tests
            is "tests/...", bench's own headers "bench/...", and only tests and bench include those. What the build
            generates is "slowsde_<name>.hpp"; it is not installed, so only .cpp files include it.
CUDA        CUDA's headers are included in gpu, experiments and tests only.
"""
import pathlib
import re
import sys

LAYERS = ["problems", "sde", "optim", "gpu", "experiments"]
OUTSIDE = ["tests", "bench"]  # see every layer
SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CUDA_HEADER = re.compile(
    r"^(cuda|curand|cublas|cusolver|cusparse|nvml|nvrtc|nvToolsExt|nccl|cooperative_groups|device_launch_parameters"
    r"|math_constants|vector_types|driver_types|mma)[A-Za-z0-9_]*\.h$|^(thrust|cub|cuda|cooperative_groups|nvtx3)/"
)
GENERATED = re.compile(r"^slowsde_[a-z0-9_]+\.hpp$")
CUDA_FOLDERS = {"gpu", "experiments", "tests"}


def violations_in(path, root):
    """Yields (line number, message) for one file."""
    folder = path.relative_to(root).parts[0]
    # Example projects of the tests are users of the library, not part of it: they may have headers of their own.
    consumer = path.relative_to(root).parts[:3] == ("tests", "build", "consumer")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, target = match[1] == '"', match[2]
        parts = target.split("/")
        if CUDA_HEADER.match(target) and folder not in CUDA_FOLDERS:
            yield number, f"CUDA's {target} is included outside {', '.join(sorted(CUDA_FOLDERS))}"
        elif parts[0] == "slowsde":
            if not quoted:
                yield number, f'<{target}> is written "{target}"'
            elif len(parts) != 3 or parts[1] not in LAYERS:
                yield number, f"{target} is in none of the folders {', '.join(LAYERS)}"
            elif not (root / parts[1] / parts[2]).is_file():
                yield number, f"{target} does not exist"
            elif folder in LAYERS and LAYERS.index(parts[1]) > LAYERS.index(folder):
                yield number, f"{folder} includes {target}, but {parts[1]} lies above {folder}"
        elif parts[0] in LAYERS:
            yield number, f'{target} is written "slowsde/{target}"'
        elif GENERATED.match(target) and path.suffix == ".cpp":
            continue
        elif quoted and not consumer and not (folder in OUTSIDE and parts[0] in OUTSIDE):
            yield number, f'"{target}" is not a header of slowsde: write <{target}> or "slowsde/<folder>/<header>"'


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    root = pathlib.Path(arguments[0]).resolve()
    files = [
        path
        for folder in LAYERS + OUTSIDE
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in SUFFIXES
    ]
    if not files:
        sys.exit(f"no source file under {root}")
    broken = 0
    for path in files:
        for number, message in violations_in(path, root):
            print(f"{path.relative_to(root)}:{number}: {message}")
            broken += 1
    print(f"{len(files)} files, {broken} violations")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
