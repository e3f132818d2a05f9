#!/usr/bin/env python3
"""Figures of the measurements of bench/gpu.sh: for each workload and precision, steps (W4: products) a second and time to
solution against replicas, workers and steps (W4: directions), with the floor and a line of time proportional to what is swept.

usage: figure_gpu.py MEASUREMENTS.csv [--out DIR]
Writes DIR/gpu-<workload>-<precision>.png, .svg and .txt (the caption). Exit status 1 with one line where the file can not
be read or holds nothing to draw.
"""
import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "plots"))

import style  # noqa: E402
from gpu_csv import COUNTS, Malformed, floor_of, items, read, roofs_of, simulations  # noqa: E402
from style import plt  # noqa: E402

AXES = {"replicas": "replicas", "workers": "workers $K$", "steps": "steps"}
NAMES = {"W4": {"replicas": "directions", "steps": "calls"}}  # of the columns, where they are others
WORKLOADS = ("W1", "W2", "W3", "W4")
FLOOR = dict(color="#555555", ls=(0, (1.5, 1.2)), lw=0.9)
LINEAR = dict(color="0.6", lw=0.7)


def sweeps(rows):
    """{axis: rows}: those that differ in this count alone, of which slowsde has the most values; two at least."""
    found = {}
    for axis in AXES:
        others = [count for count in COUNTS if count != axis]
        groups = {}
        for row in rows:
            groups.setdefault(tuple(row[count] for count in others), []).append(row)
        best = max(groups.values(), key=lambda group: len({r[axis] for r in group if _own(r)}))
        if len({r[axis] for r in best if _own(r)}) > 1:
            found[axis] = best
    return found


def _own(row):
    return row["program"].startswith("slowsde")


def growth(rows, axis):
    """The exponent of the time in what is swept, between the largest value and the last that is eight times smaller at
    least, of slowsde's fastest program there; nothing where there is no such pair."""
    largest = max(r[axis] for r in rows if _own(r))
    end = min((r for r in rows if _own(r) and r[axis] == largest), key=lambda r: r["total_seconds"])
    before = [r for r in rows if r["program"] == end["program"] and 8 * r[axis] <= largest]
    if not before:
        return None
    begin = max(before, key=lambda r: r[axis])
    exponent = math.log(end["total_seconds"] / begin["total_seconds"]) / math.log(end[axis] / begin[axis])
    return exponent, begin[axis], end[axis]


def draw(rows, roofs):
    """(figure, caption) of the rows of one workload in one precision."""
    workload, precision = rows[0]["workload"], rows[0]["precision"]
    panels = sweeps(rows)
    if not panels:
        raise Malformed(f"{workload} {precision}: slowsde is measured at one size only")
    programs = sorted({r["program"] for r in rows}, key=lambda name: (not name.startswith("slowsde"), name))
    fig, axes = plt.subplots(2, len(panels), squeeze=False, sharex="col", sharey="row",
                             figsize=(style.SINGLE if len(panels) == 1 else style.DOUBLE, 4.2))
    bound = set()
    for column, (axis, of) in enumerate(panels.items()):
        rate, time = axes[:, column]
        for i, program in enumerate(programs):
            mine = _once(sorted((r for r in of if r["program"] == program), key=lambda r: r[axis]), axis)
            look = dict(color=style.cycle(style.COLOURS, i), ls=style.cycle(style.LINES, i // len(style.COLOURS)),
                        marker=style.cycle(style.MARKERS, i), ms=2.6, lw=0.9)
            rate.plot([r[axis] for r in mine], [r["per_second_total"] for r in mine], **look)
            time.plot([r[axis] for r in mine], [r["total_seconds"] for r in mine], **look)
            if mine and _own(mine[0]):
                known = [r for r in mine if r["kernel_seconds"] > 0]
                look.update(marker="", ls=":", lw=1.2)
                rate.plot([r[axis] for r in known], [r["per_second_kernel"] for r in known], **look)
                time.plot([r[axis] for r in known], [r["kernel_seconds"] for r in known], **look)
        sizes = _once(sorted(of, key=lambda r: r[axis]), axis)
        floors = [floor_of(r, roofs) for r in sizes]
        if all(floors):
            least = [min(floor, key=floor.get) for floor in floors]
            bound |= set(least)
            rates = [floor[name] for floor, name in zip(floors, least)]
            rate.plot([r[axis] for r in sizes], rates, **FLOOR)
            time.plot([r[axis] for r in sizes], [items(r) / floor for r, floor in zip(sizes, rates)], **FLOOR)
        end = max((r for r in of if _own(r)), key=lambda r: (r[axis], -r["total_seconds"]))
        low = min(r[axis] for r in of)
        time.plot([low, end[axis]], [end["total_seconds"] * low / end[axis], end["total_seconds"]], zorder=1, **LINEAR)
        for ax in (rate, time):
            ax.set_xscale("log")
            ax.set_yscale("log")
        time.set_xlabel(NAMES.get(workload, AXES).get(axis, AXES[axis]))
    axes[0, 0].set_ylabel("products a second" if workload == "W4" else "steps of workers a second")
    axes[1, 0].set_ylabel("time to solution (s)")
    handles = [style.line_handle(name, color=style.cycle(style.COLOURS, i), marker=style.cycle(style.MARKERS, i), ms=2.6,
                                 ls=style.cycle(style.LINES, i // len(style.COLOURS)), lw=0.9)
               for i, name in enumerate(programs)]
    handles.append(style.line_handle("slowsde, kernels alone", color=style.COLOURS[0], ls=":", lw=1.2))
    if bound:
        handles.append(style.line_handle("floor", **FLOOR))
    handles.append(style.line_handle("time ∝ what is swept", **LINEAR))
    style.legends_above(fig, [(None, handles)])
    return fig, _caption(rows, panels, bound)


def _once(rows, axis):
    """The first row of each value: a size may be measured in several sweeps."""
    return list({r[axis]: r for r in reversed(rows)}.values())[::-1]


def _caption(rows, panels, bound):
    gpus = " and ".join(dict.fromkeys(r["gpu"] for r in rows))
    days = sorted({r["date"][:10] for r in rows})
    names = {c: c.replace("_", " ") for c in COUNTS} | NAMES.get(rows[0]["workload"], {})
    text = (f"{rows[0]['workload']} in {rows[0]['precision']} on {gpus}, {days[0]}"
            + (f" to {days[-1]}" if len(days) > 1 else "") + ": rate and time to solution, end to end")
    for axis, of in panels.items():
        fixed = next(r for r in of if _own(r))
        text += f"; over {names[axis]}: " + ", ".join(f"{fixed[c]} {names[c]}" for c in COUNTS if c != axis)
        grown = growth(of, axis)
        if grown:
            exponent, begin, end = grown
            text += f", slowsde's time grows with the power {exponent:.2f} from {begin} to {end}"
    if bound:
        text += "; the floor is that of " + " or ".join(sorted(bound))
    return text + "."


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measurements", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, help="default: where the measurements are")
    options = parser.parse_args(arguments)
    try:
        rows = read(options.measurements)
        roofs, drawn = roofs_of(rows), 0
        for workload in WORKLOADS:
            for precision in ("f32", "f64"):
                of = [r for r in simulations(rows) if (r["workload"], r["precision"]) == (workload, precision)]
                if not any(map(_own, of)):
                    continue
                with style.context():
                    fig, caption = draw(of, roofs)
                    for path in style.save(fig, options.out or options.measurements.parent,
                                           f"gpu-{workload}-{precision}", caption):
                        print(path)
                drawn += 1
        if not drawn:
            raise Malformed(f"{options.measurements}: holds nothing of slowsde's on {', '.join(WORKLOADS)}")
    except (Malformed, OSError) as error:
        print(f"figure_gpu.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
