"""The measurements of bench/gpu.sh: reading them, and the floors that they give. Columns: bench/gpu_row.hpp; bench/gpu.sh
puts the piece before them.

Floors are per second, of the workload and not of a program, from the roofs that slowsde_bench_gpu measures on the device
(program "roof"): what a copy reads and writes, chains of multiply-adds, normals alone. Counted for a step of a worker: W1
and W2, the operations of the formula without the draw, a function counting as one, and the state through memory once; W3,
the products of the passes (two operations a term) and a worker's parameters into memory and out of it at every average;
W4, for a product, the products of the passes along a direction, the direction and its product through memory once and, for
all directions of a call together, the samples and the parameters; diagonal networks, the measurements out of memory twice.
The floor is the least of these rates. The roof of multiply-adds is one of ordinary cores: what a library does on tensor cores,
as cuBLAS may in f64, can be above it.
"""
import csv
import math

TEXTS = ("date", "gpu", "program", "workload", "precision")
COUNTS = ("replicas", "workers", "local_steps", "steps")
NUMBERS = ("kernel_seconds", "total_seconds", "per_second_kernel", "per_second_total", "mean", "standard_error", "loss")
COUNTED = ("slowsde", "slowsde-fused")  # programs whose instructions sass_floor.py counts
ROOFS = ("copy", "multiply-adds", "normals")
SIZE = {"f32": 4, "f64": 8}
NETWORK_SAMPLES = 40  # network_samples of bench/gpu_ensembles.cu
WIDTHS, W3_BATCH, W4_SAMPLES = (64, 64, 64, 10), 16, 2048


class Malformed(Exception):
    """Says in one line what is wrong with the file, and where."""


def read(path):
    """The rows as dictionaries: counts are integers, numbers floats, NaN where nothing was measured."""
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.reader(file)
        header = next(table, None)
        if not header:
            raise Malformed(f"{path}: is empty")
        missing = [name for name in (*TEXTS, *COUNTS, *NUMBERS) if name not in header]
        if missing:
            raise Malformed(f"{path}: has no column {', '.join(missing)}")
        rows, seen = [], {}
        try:
            for fields in table:
                where = f"{path}:{table.line_num}"
                if len(fields) != len(header):
                    raise Malformed(f"{where}: has {len(fields)} fields, the header {len(header)}")
                row = _typed(dict(zip(header, fields)), where)
                key = tuple(row[name] for name in ("gpu", "program", "workload", "precision", *COUNTS))
                # Sweeps meet in a point, so that it may be measured in several pieces, but in each only once.
                key += (row.get("piece"),)
                if key in seen:
                    raise Malformed(f"{where}: measures what line {seen[key]} does")
                seen[key] = table.line_num
                rows.append(row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise Malformed(f"{path}: {error}") from error
    if not rows:
        raise Malformed(f"{path}: holds no measurements")
    return rows


def _typed(row, where):
    for name in TEXTS:
        if not row[name]:
            raise Malformed(f"{where}: {name} is empty")
    for name, kind in [*((n, int) for n in COUNTS), *((n, float) for n in NUMBERS)]:
        try:
            row[name] = math.nan if kind is float and row[name] == "" else kind(row[name])
        except ValueError:
            raise Malformed(f"{where}: {name} is '{row[name]}', not a number") from None
        if kind is int and row[name] < 1 or row[name] in (math.inf, -math.inf):
            raise Malformed(f"{where}: {name} is {row[name]}")
    measured = "kernel_seconds" if row["program"] == "roof" else "total_seconds"
    if not row[measured] > 0:
        raise Malformed(f"{where}: {measured} is {row[measured]}, not positive")
    if row["program"] != "roof" and row["precision"] not in SIZE:
        raise Malformed(f"{where}: precision is '{row['precision']}', not f32 or f64")
    return row


def items(row):
    """Steps of workers; of W4 products, whose directions are in the column of replicas and whose calls in that of steps."""
    return row["replicas"] * row["workers"] * row["steps"]


def simulations(rows):
    """Those rows that are no roofs."""
    return [row for row in rows if row["workload"] not in ROOFS]


def roofs_of(rows):
    """{(roof, precision): per second}"""
    return {(r["workload"], r["precision"]): r["per_second_kernel"] for r in rows
            if r["workload"] in ROOFS and r["program"] in ("roof", "slowsde")}


def w3_terms():
    """Products of a weight and a number, for a sample of W3: (forward, backward, gradients)."""
    terms = [i * o for i, o in zip(WIDTHS, WIDTHS[1:])]
    return sum(terms), sum(terms[1:]), sum(terms)


def per_step(row):
    """(bytes, operations, normals) of a step of a worker, or of a product."""
    size = SIZE[row["precision"]]
    if row["workload"] == "W1":
        return 2 * 2 * size / row["steps"] / row["workers"], 14, 1
    if row["workload"] == "W2":
        return 2 * size / row["steps"], 14, 1
    pairs = list(zip(WIDTHS, WIDTHS[1:]))
    parameters = sum((i + 1) * o for i, o in pairs)
    if row["workload"] == "W3":
        return 2 * parameters * size / row["local_steps"], 2 * sum(w3_terms()) * W3_BATCH, 0
    if row["workload"] == "W4":
        terms = sum((6 if layer else 2) * i * o for layer, (i, o) in enumerate(pairs))
        shared = W4_SAMPLES * WIDTHS[0] + parameters
        return (2 * parameters + shared / row["replicas"]) * size, 2 * terms * W4_SAMPLES, 0
    features = int(row["workload"].rpartition("-")[2]) // 2  # of a diagonal network
    return 2 * NETWORK_SAMPLES * features * size, 2 * 2 * NETWORK_SAMPLES * features, 0


def floor_of(row, roofs):
    """{what is counted: steps per second}, by each roof that is known."""
    roof = {
        "bytes": roofs.get(("copy", "bytes")),
        "operations": roofs.get(("multiply-adds", row["precision"])),
        "normals": roofs.get(("normals", row["precision"])),
    }
    needs = dict(zip(roof, per_step(row)))
    return {name: roof[name] / need for name, need in needs.items() if need and roof[name]}
