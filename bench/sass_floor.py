#!/usr/bin/env python3
"""The floor of a step of the CUDA ensembles, counted from their machine code.

usage: sass_floor.py PROGRAM [--clock MHZ] [--multiprocessors N] [--measured CSV]
PROGRAM holds the kernels (slowsde_bench_gpu). Prints one CSV line per kernel: instructions per step by pipe, the pipe
that binds, and steps per second at the clock; with --measured the best measured rate and its share of the floor.

Of the loops that hold a Philox block (12 wide multiplications at least), W2's step loop is an innermost one and W1's lies
around an innermost one, that over the samples, which turns once. The smallest such loop is that without momentum. The
instructions that a forward branch skips around the block run once per block of normals (4 in f32, 2 in f64), all others
once per step. The rates are results per clock and multiprocessor of compute capability 9.0 (CUDA C++ Programming Guide,
"Arithmetic Instructions").
"""
import argparse
import collections
import csv
import re
import subprocess
import sys

RATES = {"issue": 128, "fp32": 128, "imad": 64, "alu": 64, "fp64": 64, "xu": 16, "memory": 32}
PIPES = [
    ("fp32", r"^(FADD|FMUL|FFMA)"),
    ("imad", r"^IMAD"),
    ("fp64", r"^(DADD|DMUL|DFMA|DSETP|DMNMX)"),
    ("xu", r"^(MUFU|F2F|F2I|I2F|POPC|FRND)"),
    ("memory", r"^(LD[GSL]|ST[GSL]|SHFL)"),
    ("alu", r"^(LOP3|IADD|SHF|ISETP|FSETP|SEL|FSEL|FMNMX|IMNMX|VIMNMX|LEA|PRMT|MOV|IABS|VIADD|PLOP3|CS2R|SGXT|BMSK)"),
]
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(@!?U?P\d\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")
TARGET = re.compile(r"0x([0-9a-f]+)")


def functions(program):
    """Yields (name, [(address, predicated, opcode, target)])."""
    text = subprocess.run(["cuobjdump", "-sass", program], check=True, capture_output=True, text=True).stdout
    name, body = None, []
    for line in text.splitlines():
        if "Function :" in line:
            if name:
                yield name, body
            name, body = line.split(":", 1)[1].strip(), []
        match = INSTRUCTION.match(line)
        if match and name:
            opcode = match[3]
            target = TARGET.search(match[4]) if opcode.startswith("BRA") else None
            body.append((int(match[1], 16), bool(match[2]), opcode, int(target[1], 16) if target else None))
    if name:
        yield name, body


def pipe_of(opcode):
    return next((pipe for pipe, pattern in PIPES if re.match(pattern, opcode)), None)


def wide(body):
    return sum(opcode.startswith(("IMAD.WIDE", "IMAD.HI")) for _, _, opcode, _ in body)


def step_loop(body, depth):
    """The instructions of the smallest loop around `depth` loops with a Philox block, or None."""
    spans = {
        (target, address) for address, _, opcode, target in body if target is not None and target < address
    }
    loops = {span: [e for e in body if span[0] <= e[0] <= span[1]] for span in spans}
    loops = {span: loop for span, loop in loops.items() if wide(loop) >= 12}

    def inside(a, b):
        return a != b and b[0] <= a[0] and a[1] <= b[1]

    chosen = [loop for span, loop in loops.items() if sum(inside(other, span) for other in loops) == depth]
    return min(chosen, key=len) if chosen else None


def counts(loop, per_block):
    """Instructions per step by pipe."""
    skipped = [
        (address, target)
        for address, predicated, _, target in loop
        if predicated and target is not None and address < target <= loop[-1][0]
    ]
    block = max(skipped, key=lambda span: wide([e for e in loop if span[0] < e[0] < span[1]]), default=(0, 0))
    result = collections.Counter()
    for address, _, opcode, _ in loop:
        weight = 1 / per_block if block[0] < address < block[1] else 1
        if opcode == "NOP":
            continue
        result["issue"] += weight
        pipe = pipe_of(opcode)
        if pipe:
            result[pipe] += weight
    return result


def workload_of(name):
    """("W1" | "W2", "f32" | "f64") of a mangled kernel name, or None."""
    if "rounds_in_warps" in name and "6ValleyE" in name and "NoiseKindE1" in name:
        return "W1", "f32" if re.search(r"6ValleyEf", name) else "f64"
    if "run_trajectories" in name and "ValleySlowSde" in name:
        return "W2", "f32" if re.search(r"ValleySlowSdeEf", name) else "f64"
    return None


def best_measured(path):
    best = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["program"] == "slowsde":
                key = row["workload"], row["precision"]
                best[key] = max(best.get(key, 0.0), float(row["per_second_kernel"]))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--clock", type=float, default=0, help="MHz")
    parser.add_argument("--multiprocessors", type=int, default=0)
    parser.add_argument("--measured", help="CSV of slowsde_bench_gpu")
    options = parser.parse_args()
    measured = best_measured(options.measured) if options.measured else {}
    pipes = list(RATES)
    print("workload,precision,instructions_of_loop," + ",".join(f"{p}_per_step" for p in pipes) +
          ",binding_pipe,cycles_per_32_steps,floor_per_second,measured_per_second,share_of_floor")
    found = 0
    for name, body in functions(options.program):
        key = workload_of(name)
        if key is None:
            continue
        loop = step_loop(body, 1 if key[0] == "W1" else 0)
        if loop is None:
            print(f"{name}: no step loop found", file=sys.stderr)
            continue
        found += 1
        per_step = counts(loop, 4 if key[1] == "f32" else 2)
        binding = max(pipes, key=lambda pipe: per_step[pipe] / RATES[pipe])
        clocks = per_step[binding] / RATES[binding]  # of a multiprocessor, for one step of one thread
        floor = options.multiprocessors * options.clock * 1e6 / clocks
        rate = measured.get(key)
        print(",".join([*key, str(len(loop)), *(f"{per_step[pipe]:.4g}" for pipe in pipes), binding, f"{32 * clocks:.4g}",
                        f"{floor:.4g}" if floor else "", f"{rate:.4g}" if rate else "",
                        f"{rate / floor:.3f}" if rate and floor else ""]))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
