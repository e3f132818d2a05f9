#!/usr/bin/env python3
"""What the measurements of bench/gpu.sh say: whether all programs computed the same, the floor of each measurement by
bytes, operations, normal draws and instructions, the ratios to the peers, and which targets are met.

usage: gpu_summary.py MEASUREMENTS.csv [--instructions FLOOR.csv] [--floors OUT.csv]
FLOOR.csv is what sass_floor.py prints. Exit status 1 where programs disagree or the file is malformed, 77 where nothing of
slowsde's is measured.

The floors are those of gpu_csv.py and, apart from them, the instructions of slowsde's own kernels.

Targets, a line each: rates and ratios are end to end, ratios at the largest size of the workload's K that slowsde and a peer
were both measured at; shares are of the best kernel time, of the floor by instructions (FLOOR.csv) or of the peak that chains
of multiply-adds reach. What was not measured is said to be so, never met.
"""
import argparse
import csv
import math
import sys

from gpu_csv import COUNTED, COUNTS, Malformed, floor_of, per_step, read, roofs_of, simulations

TOLERANCE = 1e-4
RATE, RATIO, SHARE = 1e11, 10, 0.25  # the targets
WORKERS = {"W1": 8, "W2": 1, "W3": 1024}  # K of the ratios' targets


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
    """{(workload, precision): the row of FLOOR.csv}"""
    if not path:
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {(r["workload"], r["precision"]): r for r in csv.DictReader(file) if r["floor_per_second"]}


def write_floors(path, rows, roofs, instructions):
    names = ["bytes", "operations", "normals", "instructions"]
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["program", "workload", "precision", "replicas", "workers", "steps", "per_second_kernel",
                      "per_second_total", *(f"{n}_floor" for n in names), "binding", "share_of_floor"])
        for row in rows:
            floors = floor_of(row, roofs)
            if row["program"] in COUNTED and (row["workload"], row["precision"]) in instructions:
                floors["instructions"] = float(instructions[row["workload"], row["precision"]]["floor_per_second"])
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


def at_one_size(rows, workers=None):
    """For each workload and precision the largest size (workers, then replicas, then steps; with `workers` of this K) that
    slowsde and a peer were both measured at: (size, slowsde's end-to-end rate, the best peer, its rate)."""
    rates = {}
    for row in rows:
        if workers is not None and row["workers"] != workers:
            continue
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


def one_size_each(rows):
    """[((workload, precision), what at_one_size finds)]: at the largest size, and at the K of the workload's target."""
    found = list(at_one_size(rows).items())
    for workload, workers in WORKERS.items():
        found += [item for item in at_one_size(rows, workers).items() if item[0][0] == workload and item not in found]
    return sorted(found)


def best_kernel_rate(rows, program, workload):
    """In f32; None where no kernel was timed."""
    return max((row["per_second_kernel"] for row in rows
                if (row["program"], row["workload"], row["precision"]) == (program, workload, "f32")
                and not math.isnan(row["per_second_kernel"])), default=None)


def target(what, least, measured, remark=""):
    if measured is None:
        return f"target: {what}, at least {least:g}: not measured"
    return f"target: {what}, at least {least:g}: {measured:.3g}{remark}, {'met' if measured >= least else 'not met'}"


def targets(rows, roofs, instructions):
    """A line for each of the targets."""
    own = max((row["per_second_total"] for row in rows
               if (row["program"], row["workload"], row["precision"]) == ("slowsde", "W1", "f32")), default=None)
    yield target("W1 f32 worker-steps/s", RATE, own)
    for workload, workers in WORKERS.items():
        what = f"{workload} f32 at K = {workers} over the best peer"
        found = at_one_size(rows, workers).get((workload, "f32"))
        if found is None:
            yield target(what, RATIO, None)
        else:
            (_, replicas, steps), own, peer, rate = found
            yield target(what, RATIO, own / rate, f" ({peer}; replicas {replicas}, steps {steps})")
    for workload in ("W1", "W2"):
        rate, floor = best_kernel_rate(rows, "slowsde", workload), instructions.get((workload, "f32"))
        known = rate is not None and floor is not None
        yield target(f"{workload} f32 share of the floor by instructions", SHARE,
                     rate / float(floor["floor_per_second"]) if known else None,
                     f" ({floor['binding_pipe']} binds)" if known else "")
    rate, peak = best_kernel_rate(rows, "slowsde-fused", "W3"), roofs.get(("multiply-adds", "f32"))
    share, remark = None, ""
    if rate is not None and peak is not None:
        row = next(r for r in rows if (r["program"], r["precision"]) == ("slowsde-fused", "f32"))
        share = rate * per_step(row)[1] / peak
        floor = instructions.get(("W3", "f32"))
        if floor:
            remark = (f" (its products' instructions allow {floor['fp32_peak_at_floor']}, with "
                      f"{floor['multiply_adds_per_loaded_byte']} multiply-adds for a byte from shared memory)")
    yield target("W3 f32 fused, share of the peak of multiply-adds", SHARE, share, remark)


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
    instructions = instructions_of(options.instructions)
    if options.floors:
        write_floors(options.floors, measured, roofs, instructions)
    for (workload, precision), programs in sorted(best_rates(measured).items()):
        own = max((rate for name, rate in programs.items() if name.startswith("slowsde")), default=None)
        for program, rate in sorted(programs.items(), key=lambda item: -item[1]):
            ratio = f", slowsde is {own / rate:.3g} times as fast" if own and not program.startswith("slowsde") else ""
            unit = "products" if workload == "W4" else "steps"
            print(f"{workload} {precision} {program}: at best {rate:.3g} {unit}/s end to end{ratio}")
    for (workload, precision), ((workers, replicas, steps), own, peer, rate) in one_size_each(measured):
        print(f"{workload} {precision} at one size, K = {workers}, replicas {replicas}, steps {steps}: slowsde is "
              f"{own / rate:.3g} times as fast as the best peer, {peer}")
    for line in targets(measured, roofs, instructions):
        print(line)
    found = disagreements(measured)
    for line in found:
        print(f"gpu_summary.py: disagreement: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
