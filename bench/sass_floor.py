#!/usr/bin/env python3
"""The floor of a step of the CUDA kernels, counted from their machine code.

usage: sass_floor.py PROGRAM... [--clock MHZ] [--multiprocessors N] [--measured CSV]
The PROGRAMs hold the kernels (slowsde_bench_gpu: W1 and W2; slowsde_bench_gpu_training: the fused path of W3). Prints one
CSV line per kernel: instructions per step by pipe, the pipe that binds, and steps per second at the clock; with --measured
the best measured rate and its share of the floor; of W3 also the share of the peak of multiply-adds that the floor is, and
the multiply-adds for a byte from shared memory. Exit status 77 without code of compute capability 9.0, whose rates these
are; 1 without any of the kernels, or where the loop of one is not found.

A floor leaves out what may not be run. Of all ways through a step's loop the shortest is counted, without calls, which are
the slow paths of divisions and roots; what is predicated counts as issued and nothing more.
 W1, W2  Steps that share a block of normals (4 in f32, 2 in f64) are one turn of an unrolled loop, that of whole blocks: of
         the innermost loops that hold a Philox block (12 wide multiplications at least) the one with the longest way around
         it. The others take a step a turn, before and after whole blocks, or are those with momentum.
 W3      The innermost loops of the fused kernel with 128-bit loads from shared memory are its products, forward, backward
         and gradients. A step runs each as often as its multiply-adds need; nothing else of the step is counted. A warp's
         128-bit load counts as the two passes that it takes at least, where neighbours load the same; it may take four.

Rates are results per clock and multiprocessor (CUDA C++ Programming Guide, "Arithmetic Instructions"); where the guide does
not tell which kind of an instruction is meant, the higher one. Integer multiply-adds run on one of the two halves of the
pipe of multiply-adds. The uniform datapath, branches, barriers and constants have no rate there: they are issued.
"""
import argparse
import collections
import csv
import dataclasses
import math
import re
import subprocess
import sys

from gpu_csv import COUNTED, W3_BATCH, w3_terms

ARCHITECTURE = "sm_90"
RATES = {"issue": 128, "fma": 128, "imad": 64, "alu": 64, "fp64": 64, "xu": 16, "conversion": 64, "memory": 32}
PIPES = [(pipes.split(), re.compile(f"({opcodes})(\\.|$)")) for pipes, opcodes in [
    ("fma", "FADD|FMUL|FFMA|FADD32I|FMUL32I|FFMA32I|HADD2|HMUL2|HFMA2"),
    ("fma imad", "IMAD|IMUL|IDP"),
    ("fp64", "DADD|DMUL|DFMA|DSETP|DMNMX"),
    ("xu", r"MUFU|POPC|FLO|BREV|(F2F|F2I|I2F|FRND)\.(.*\.)?[FSU]64"),
    ("conversion", "F2F|F2I|I2F|FRND|F2FP|I2FP|F2IP|I2I"),
    ("memory", "LD|LDG|LDS|LDL|ST|STG|STS|STL|SHFL|ATOM|ATOMG|ATOMS|RED"),
    ("alu", "LOP3|IADD3|IADD|VIADD|VIADDMNMX|VIMNMX|IMNMX|SHF|SHL|SHR|ISETP|FSETP|FSET|SEL|FSEL|FMNMX|LEA|PRMT|MOV|IABS|"
            "PLOP3|SGXT|BMSK|P2R|R2P|VOTE|VABSDIFF"),
    # Issued, on what the guide gives no rate for.
    ("", r"U[A-Z0-9]+|VOTEU|R2UR|S2UR|S2R|CS2R|LDC|BRA|BRX|BSSY|BSYNC|BREAK|CALL|RET|EXIT|WARPSYNC|BAR|DEPBAR|MEMBAR|"
         "ERRBAR|YIELD|FCHK"),
]]
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")
TARGET = re.compile(r"0x([0-9a-f]+)")


@dataclasses.dataclass
class Instruction:
    address: int
    predicated: bool
    opcode: str
    target: int = None  # of a branch
    goes_on: bool = True  # to the next instruction, at times at least


def instruction_of(match):
    predicated, opcode, operands = bool(match[2]), match[3], match[4].strip()
    one = Instruction(int(match[1], 16), predicated, opcode)
    if opcode.startswith("BRA"):
        target = TARGET.search(operands)
        one.target = int(target[1], 16) if target else None
        one.goes_on = predicated or not operands.startswith("0x")
    elif opcode.startswith(("EXIT", "RET", "BRX")):
        one.goes_on = predicated
    return one


def kernels(program):
    """Yields (name, [Instruction]) of the program's functions for the architecture."""
    name, body, architecture = None, [], None
    with subprocess.Popen(["cuobjdump", "-sass", program], stdout=subprocess.PIPE, text=True) as dump:
        for line in dump.stdout:
            if line.startswith("arch ="):
                architecture = line.split("=")[1].strip()
            elif "Function :" in line:
                if name:
                    yield name, body
                name, body = line.split(":", 1)[1].strip() if architecture == ARCHITECTURE else None, []
            elif name and workload_of(name):
                match = INSTRUCTION.match(line)
                if match and match[3] != "NOP":
                    body.append(instruction_of(match))
    if dump.returncode != 0:
        raise subprocess.CalledProcessError(dump.returncode, "cuobjdump")
    if name:
        yield name, body


def pipes_of(opcode):
    """None where no pipe knows the opcode."""
    return next((pipes for pipes, pattern in PIPES if pattern.match(opcode)), None)


def is_wide(one):
    return one.opcode.startswith(("IMAD.WIDE", "IMAD.HI"))


def loops_of(body):
    """{(first address, last address): the instructions}, by the branches that go back."""
    spans = {(one.target, one.address) for one in body if one.target is not None and one.target < one.address}
    return {span: [one for one in body if span[0] <= one.address <= span[1]] for span in spans}


def inside(a, b):
    return a != b and b[0] <= a[0] and a[1] <= b[1]


def shortest_path(loop, through):
    """The instructions of the shortest way from the first to the last that passes the addresses `through` (ascending) and
    calls nothing, or None."""
    at = {one.address: k for k, one in enumerate(loop)}
    stops = [0, *(at[address] for address in through), len(loop) - 1]
    path = []
    for begin, end in zip(stops, stops[1:]):
        before = {begin: None}
        length = {begin: 0}
        for k in range(begin, end):
            one = loop[k]
            if k not in length or one.opcode.startswith("CALL"):
                continue
            following = [k + 1] if one.goes_on else []
            if one.target is not None and one.target > one.address and one.target in at:
                following.append(at[one.target])
            for to in following:
                if length[k] + 1 < length.get(to, math.inf):
                    before[to], length[to] = k, length[k] + 1
        if end not in before:
            return None
        way, k = [], end
        while k is not None:
            way.append(loop[k])
            k = before[k]
        path += way[::-1] if not path else way[-2::-1]
    return path


def counts(path):
    """Instructions by pipe."""
    result = collections.Counter()
    for one in path:
        result["issue"] += 1
        if not one.predicated:
            passes = 2 if one.opcode.startswith("LDS") and ".128" in one.opcode else 1
            for pipe in pipes_of(one.opcode) or []:
                result[pipe] += passes if pipe == "memory" else 1
    return result


def weighted(parts):
    """Σ weight·counts over (weight, path)."""
    result = collections.Counter()
    for weight, path in parts:
        for pipe, count in counts(path).items():
            result[pipe] += weight * count
    return result


def step_parts(body, per_block):
    """[(weight, path)] of a step of the loop of whole blocks of normals, or None."""
    loops = {span: loop for span, loop in loops_of(body).items() if sum(map(is_wide, loop)) >= 12}
    found = []
    for span, loop in loops.items():
        if any(inside(other, span) for other in loops):
            continue
        wide = [one.address for one in loop if is_wide(one)]
        drawing, around = shortest_path(loop, [wide[len(wide) // 2]]), shortest_path(loop, [])
        if drawing and around:
            found.append((len(around), [(1 / per_block, drawing)]))
    return max(found, key=lambda one: one[0], default=(0, None))[1]


def product_parts(body):
    """[(weight, path)] of a worker's step, from the loops of the three products, or None."""
    loops = loops_of(body)
    loops = {span: loop for span, loop in loops.items() if not any(inside(other, span) for other in loops)}
    products = []
    for _, loop in sorted(loops.items()):
        opcodes = collections.Counter(one.opcode for one in loop)
        if opcodes["LDS.128"] and opcodes["FFMA"] >= 4 * opcodes["LDS.128"]:
            products.append((shortest_path(loop, []), opcodes["FFMA"]))
    if len(products) != 3 or not all(path for path, _ in products):
        return None
    return [(terms * W3_BATCH / multiply_adds, path) for terms, (path, multiply_adds) in zip(w3_terms(), products)]


def workload_of(name):
    """("W1" | "W2" | "W3", "f32" | "f64") of a mangled kernel name, or None."""
    if "rounds_in_warps" in name and "IterateWorker" in name and "_6ValleyE" in name and "NoiseKindE1" in name:
        return "W1", "f32" if "_6ValleyEf" in name else "f64"
    if "run_trajectories" in name and "ValleySlowSde" in name:
        return "W2", "f32" if "ValleySlowSdeEf" in name else "f64"
    if "fused_stepsILb1E" in name and "SgdFormulaEf" in name:
        return "W3", "f32"
    return None


def best_measured(path):
    """{(workload, precision): the best rate} of the kernels that are counted."""
    best = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["program"] in COUNTED and row["per_second_kernel"]:
                key = row["workload"], row["precision"]
                best[key] = max(best.get(key, 0.0), float(row["per_second_kernel"]))
    return best


def loaded_bytes(path):
    sizes = (re.match(r"LDS(?:\.U)?(?:\.(64|128))?$", one.opcode) for one in path)
    return sum(int(size[1] or 32) // 8 for size in sizes if size)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--clock", type=float, default=0, help="MHz")
    parser.add_argument("--multiprocessors", type=int, default=0)
    parser.add_argument("--measured", help="CSV of the measurements")
    options = parser.parse_args(arguments)
    measured = best_measured(options.measured) if options.measured else {}
    print("workload,precision," + ",".join(f"{pipe}_per_step" for pipe in RATES) +
          ",binding_pipe,cycles_per_32_steps,floor_per_second,measured_per_second,share_of_floor"
          ",fp32_peak_at_floor,multiply_adds_per_loaded_byte")
    functions, missed, found, unknown = 0, set(), set(), set()
    for program in options.programs:
        for name, body in kernels(program):
            functions += 1
            key = workload_of(name)
            if key is None or key in found:
                continue
            if key[0] == "W3":
                parts = product_parts(body)
            else:
                parts = step_parts(body, 4 if key[1] == "f32" else 2)
            if parts is None:
                print(f"{name}: the loop of a step is not found", file=sys.stderr)
                missed.add(key)
                continue
            found.add(key)
            unknown.update(one.opcode for _, path in parts for one in path if pipes_of(one.opcode) is None)
            per_step = weighted(parts)
            binding = max(RATES, key=lambda pipe: per_step[pipe] / RATES[pipe])
            clocks = per_step[binding] / RATES[binding]  # of a multiprocessor, for one step
            floor = options.multiprocessors * options.clock * 1e6 / clocks
            rate = measured.get(key)
            loaded = sum(weight * loaded_bytes(path) for weight, path in parts)
            multiply_adds = sum(weight * sum(one.opcode == "FFMA" for one in path) for weight, path in parts)
            print(",".join([*key, *(f"{per_step[pipe]:.4g}" for pipe in RATES), binding, f"{32 * clocks:.4g}",
                            f"{floor:.4g}" if floor else "", f"{rate:.4g}" if rate else "",
                            f"{rate / floor:.3f}" if rate and floor else "",
                            f"{multiply_adds / RATES['fma'] / clocks:.3f}" if loaded else "",
                            f"{multiply_adds / loaded:.3f}" if loaded else ""]))
    for opcode in sorted(unknown):
        print(f"{opcode}: on no pipe that is known; counted as issued", file=sys.stderr)
    if not functions:
        print(f"no code for {ARCHITECTURE} in {' '.join(options.programs)}", file=sys.stderr)
        return 77
    if not found and not missed:
        print(f"none of the kernels is in {' '.join(options.programs)}", file=sys.stderr)
    return 1 if missed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
