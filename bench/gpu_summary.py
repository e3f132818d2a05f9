#!/usr/bin/env python3
"""What the measurements of bench/gpu.sh say: whether all programs computed the same, the floor of each measurement by
bytes, operations, normal draws and instructions, and the ratios to the peers.

usage: gpu_summary.py MEASUREMENTS.csv [--instructions FLOOR.csv] [--floors OUT.csv]
FLOOR.csv is what sass_floor.py prints. Exit status 1 where programs disagree or the file is malformed, 77 where nothing of
slowsde's is measured.

The floors are those of gpu_csv.py and, apart from them, the instructions of slowsde's own kernels.
"""
import argparse
import csv
import math
import sys

from gpu_csv import COUNTS, Malformed, floor_of, read, roofs_of, simulations

TOLERANCE = 1e-4


def disagreements(rows):
    """Where a peer's mean is five standard errors from slowsde's, or its loss another. Single precision rounds, so that
    means of very many replicas may differ by 1e-5."""
    found, own = [], {}
    key = ("workload", "precision", *COUNTS)
    for row in rows:
        if row["program"].startswith("slowsde"):
            own.setdefault(tuple(row[k] for k in key), row)
    for row in rows:
        ours = own.get(tuple(row[k] for k in key))
        if ours is None or ours is row:
            continue
        what = " ".join(str(row[k]) for k in ("program", *key))
        if not math.isnan(ours["mean"]):
            error = math.hypot(ours["standard_error"], row["standard_error"])
            if not abs(row["mean"] - ours["mean"]) <= 5 * error + 1e-5 * abs(ours["mean"]):
                found.append(f"{what}: mean {row['mean']:.9g}, slowsde's {ours['mean']:.9g}, standard error {error:.3g}")
        if not math.isnan(ours["loss"]) and not abs(row["loss"] - ours["loss"]) <= TOLERANCE * ours["loss"]:
            found.append(f"{what}: loss {row['loss']:.9g}, slowsde's {ours['loss']:.9g}")
    return found


def instructions_of(path):
    if not path:
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {(r["workload"], r["precision"]): float(r["floor_per_second"]) for r in csv.DictReader(file)
                if r["floor_per_second"]}


def write_floors(path, rows, roofs, instructions):
    names = ["bytes", "operations", "normals", "instructions"]
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["program", "workload", "precision", "replicas", "workers", "steps", "per_second_kernel",
                      "per_second_total", *(f"{n}_floor" for n in names), "binding", "share_of_floor"])
        for row in rows:
            floors = floor_of(row, roofs)
            if (row["workload"], row["precision"]) in instructions:
                floors["instructions"] = instructions[row["workload"], row["precision"]]
            if not floors:
                continue
            inherent = {n: rate for n, rate in floors.items() if n != "instructions"} or floors
            binding = min(inherent, key=inherent.get)
            rates = [row["per_second_kernel"], row["per_second_total"]]
            best = rates[0] if not math.isnan(rates[0]) else rates[1]
            out.writerow([row["program"], row["workload"], row["precision"], row["replicas"], row["workers"], row["steps"],
                          *("" if math.isnan(r) else f"{r:.6g}" for r in rates),
                          *(f"{floors[n]:.4g}" if n in floors else "" for n in names), binding,
                          f"{best / inherent[binding]:.4f}"])


def best_rates(rows):
    """{(workload, precision): {program: the best end-to-end rate}}"""
    best = {}
    for row in rows:
        of = best.setdefault((row["workload"], row["precision"]), {})
        of[row["program"]] = max(of.get(row["program"], 0.0), row["per_second_total"])
    return best


def at_one_size(rows):
    """For each workload and precision the largest size (workers, then replicas, then steps) that slowsde and a peer were
    both measured at: (size, slowsde's end-to-end rate, the best peer, its rate)."""
    rates = {}
    for row in rows:
        sizes = rates.setdefault((row["workload"], row["precision"]), {})
        programs = sizes.setdefault((row["workers"], row["replicas"], row["steps"]), {})
        name = "slowsde" if row["program"].startswith("slowsde") else row["program"]
        programs[name] = max(programs.get(name, 0.0), row["per_second_total"])
    found = {}
    for key, sizes in rates.items():
        common = [size for size, programs in sizes.items() if "slowsde" in programs and len(programs) > 1]
        if not common:
            continue
        size = max(common)
        peers = {name: rate for name, rate in sizes[size].items() if name != "slowsde"}
        peer = max(peers, key=peers.get)
        found[key] = size, sizes[size]["slowsde"], peer, peers[peer]
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measurements")
    parser.add_argument("--instructions")
    parser.add_argument("--floors")
    options = parser.parse_args(arguments)
    try:
        rows = read(options.measurements)
    except (Malformed, OSError) as error:
        print(f"gpu_summary.py: {error}", file=sys.stderr)
        return 1
    roofs = roofs_of(rows)
    measured = simulations(rows)
    if not any(r["program"].startswith("slowsde") for r in measured):
        print("gpu_summary.py: nothing of slowsde's is measured", file=sys.stderr)
        return 77
    if options.floors:
        write_floors(options.floors, measured, roofs, instructions_of(options.instructions))
    for (workload, precision), programs in sorted(best_rates(measured).items()):
        own = max((rate for name, rate in programs.items() if name.startswith("slowsde")), default=None)
        for program, rate in sorted(programs.items(), key=lambda item: -item[1]):
            ratio = f", slowsde is {own / rate:.3g} times as fast" if own and not program.startswith("slowsde") else ""
            unit = "products" if workload == "W4" else "steps"
            print(f"{workload} {precision} {program}: at best {rate:.3g} {unit}/s end to end{ratio}")
    for (workload, precision), ((workers, replicas, steps), own, peer, rate) in sorted(at_one_size(measured).items()):
        print(f"{workload} {precision} at one size, K = {workers}, replicas {replicas}, steps {steps}: slowsde is "
              f"{own / rate:.3g} times as fast as the best peer, {peer}")
    found = disagreements(measured)
    for line in found:
        print(f"gpu_summary.py: disagreement: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
