#!/usr/bin/env python3
"""Figures, floors and checks of a GPU's measurements, on a made-up file (made_up_measurements.csv; no machine measured it)."""
import contextlib
import csv
import io
import math
import pathlib
import sys
import tempfile
import unittest
import warnings

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "plots"), str(ROOT / "tests" / "plots")]
sys.dont_write_bytecode = True

import figure_gpu  # noqa: E402
import gpu_csv  # noqa: E402
import gpu_summary  # noqa: E402
import style  # noqa: E402
from test_plots import collisions, texts  # noqa: E402

MADE_UP = HERE / "made_up_measurements.csv"


def called(module, *arguments):
    """(exit status, standard output, standard error) of a program's main."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = module.main([str(a) for a in arguments])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


class OnMadeUp(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.scratch = pathlib.Path(folder.name)
        self.lines = MADE_UP.read_text(encoding="utf-8").splitlines()

    def written(self, lines):
        path = self.scratch / "measurements.csv"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    def changed(self, change, where=lambda row: True):
        """The made-up file with the first row that fits changed."""
        table = list(csv.DictReader(self.lines))
        change(next(row for row in table if where(row)))
        return self.written([self.lines[0], *(",".join(row.values()) for row in table)])


class Figures(OnMadeUp):
    def drawn(self, workload, precision="f32"):
        rows = gpu_csv.read(MADE_UP)
        of = [r for r in gpu_csv.simulations(rows) if (r["workload"], r["precision"]) == (workload, precision)]
        return figure_gpu.draw(of, gpu_csv.roofs_of(rows))

    def test_there_is_a_figure_for_every_workload_and_precision_that_is_measured(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            status, out, err = called(figure_gpu, MADE_UP, "--out", self.scratch)
        self.assertEqual((status, err), (0, ""))
        names = {pathlib.Path(line).name for line in out.splitlines()}
        self.assertEqual(names, {f"gpu-{w}-f32.{e}" for w in ("W1", "W2", "W3", "W4") for e in ("png", "svg", "txt")})
        self.assertIn("made up; not measured", (self.scratch / "gpu-W1-f32.txt").read_text(encoding="utf-8"))

    def test_every_axis_that_is_swept_has_a_panel_and_no_text_covers_another_one(self):
        for workload, swept in (("W1", ["replicas", "workers $K$", "steps"]), ("W2", ["replicas"]),
                                ("W3", ["workers $K$", "steps"]), ("W4", ["directions"])):
            with style.context():
                fig, _ = self.drawn(workload)
                self.assertEqual([ax.get_xlabel() for ax in fig.axes if ax.get_xlabel()], swept)
                self.assertEqual(collisions(fig), [], workload)
                labels = [text for text, _ in texts(fig)]
                style.plt.close(fig)
            self.assertIn("floor", labels)
            self.assertIn("time to solution (s)", labels)

    def test_the_line_of_proportional_time_ends_in_slowsdes_largest_measurement(self):
        with style.context():
            fig, _ = self.drawn("W1")
            time = fig.axes[3]
            grey = next(line for line in time.lines if line.get_color() == figure_gpu.LINEAR["color"])
            style.plt.close(fig)
        (x0, x1), (y0, y1) = grey.get_data()
        self.assertAlmostEqual(y1 / y0, x1 / x0)
        self.assertAlmostEqual(y1, 1e-3 + 1e7 * 8 * 2000 / 1e11)

    def test_time_that_is_made_to_grow_linearly_grows_with_the_power_one(self):
        rows = [r for r in gpu_csv.read(MADE_UP) if r["workload"] == "W1"]
        exponent, begin, end = figure_gpu.growth(figure_gpu.sweeps(rows)["replicas"], "replicas")
        self.assertEqual((begin, end), (10**6, 10**7))
        self.assertAlmostEqual(exponent, math.log10(1.601 / 0.161), places=6)
        for row in rows:
            row["total_seconds"] **= 0.5
        exponent, _, _ = figure_gpu.growth(figure_gpu.sweeps(rows)["replicas"], "replicas")
        self.assertLess(exponent, 0.6)


class Refusals(OnMadeUp):
    def refused(self, path, words):
        status, out, err = called(figure_gpu, path, "--out", self.scratch / "figures")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err.count("\n"), 1)
        self.assertIn(words, err)
        self.assertFalse((self.scratch / "figures").exists())

    def test_a_file_that_is_not_there(self):
        self.refused(self.scratch / "nothing.csv", "nothing.csv")

    def test_an_empty_file(self):
        self.refused(self.written([]), "is empty")

    def test_a_header_alone(self):
        self.refused(self.written(self.lines[:1]), "holds no measurements")

    def test_roofs_alone(self):
        self.refused(self.written(self.lines[:4]), "holds nothing of slowsde's")

    def test_a_missing_column(self):
        self.refused(self.written([line.replace("total_seconds", "seconds") for line in self.lines]),
                     "has no column total_seconds")

    def test_a_line_that_is_cut_off(self):
        self.refused(self.written([*self.lines, self.lines[-1][:40]]), "fields, the header")

    def test_a_word_for_a_number(self):
        self.refused(self.changed(lambda row: row.update(steps="many")), "steps is 'many', not a number")

    def test_a_time_that_is_missing_or_not_positive(self):
        def is_w1(row):
            return row["workload"] == "W1"

        for value in ("", "0", "-1", "nan"):
            self.refused(self.changed(lambda row, v=value: row.update(total_seconds=v), is_w1), "not positive")
        self.refused(self.changed(lambda row: row.update(total_seconds="inf"), is_w1), "total_seconds is inf")

    def test_a_measurement_that_is_there_twice(self):
        self.refused(self.written([*self.lines, self.lines[-1]]), f"measures what line {len(self.lines)} does")


class Summary(OnMadeUp):
    def summary(self, path):
        return called(gpu_summary, path, "--floors", self.scratch / "floors.csv")

    def test_the_floor_is_the_least_of_what_is_counted(self):
        status, out, err = self.summary(MADE_UP)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("W3 f32 torch-bmm-by-hand: at best", out)
        with open(self.scratch / "floors.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        w3 = next(r for r in rows if r["workload"] == "W3" and r["program"] == "slowsde-fused")
        # 2·16·(2·64² + 3·64² + 3·640) operations of 2e13 a second; 2·4·8970/10 bytes of 2e12 a second
        self.assertAlmostEqual(float(w3["operations_floor"]), 2e13 / 716800, delta=1e4)
        self.assertAlmostEqual(float(w3["bytes_floor"]), 2e12 / 7176, delta=1e5)
        self.assertEqual(w3["binding"], "operations")
        w4 = next(r for r in rows if r["workload"] == "W4" and r["replicas"] == "8")
        # 2·2048·(2·64² + 6·64² + 6·640) operations of 2e13 a second; 4·(2·8970 + (2048·64 + 8970)/8) bytes of 2e12 a second
        self.assertAlmostEqual(float(w4["operations_floor"]), 2e13 / 149946368, delta=20)
        self.assertAlmostEqual(float(w4["bytes_floor"]), 2e12 / 141781, delta=2e4)
        w1 = next(r for r in rows if r["workload"] == "W1" and r["replicas"] == "10000000" and r["program"] == "slowsde")
        self.assertEqual(w1["binding"], "normals")
        self.assertAlmostEqual(float(w1["share_of_floor"]), 1e11 / 4e11, delta=1e-3)

    def test_ratios_are_taken_at_one_size_too(self):
        found = gpu_summary.at_one_size(gpu_csv.simulations(gpu_csv.read(MADE_UP)))
        self.assertNotIn(("W2", "f32"), found)  # no peer
        (workers, replicas, steps), own, peer, rate = found["W3", "f32"]
        of_size = {row["program"]: row["per_second_total"] for row in gpu_csv.simulations(gpu_csv.read(MADE_UP))
                   if (row["workload"], row["workers"], row["replicas"], row["steps"]) == ("W3", workers, replicas, steps)}
        self.assertEqual(own, max(r for name, r in of_size.items() if name.startswith("slowsde")))
        self.assertEqual(rate, of_size[peer])
        self.assertIn("W3 f32 at one size, K = 4096", self.summary(MADE_UP)[1])

    def test_w3_is_compared_at_the_workers_of_its_target_too(self):
        out = self.summary(MADE_UP)[1]
        rows = gpu_csv.simulations(gpu_csv.read(MADE_UP))
        for workers in (1024, 4096):
            of_size = {row["program"]: row["per_second_total"] for row in rows
                       if (row["workload"], row["workers"], row["steps"]) == ("W3", workers, 100)}
            ratio = max(of_size["slowsde-fused"], of_size["slowsde-layered"]) / of_size["torch-bmm-by-hand"]
            self.assertIn(f"W3 f32 at one size, K = {workers}, replicas 1, steps 100: slowsde is {ratio:.3g} times", out)
        self.assertEqual(out.count("W3 f32 at one size"), 2)

    def targets(self, path, *options):
        """{what: what is said of it}"""
        lines = called(gpu_summary, path, *options)[1].splitlines()
        return dict(line.removeprefix("target: ").split(": ", 1) for line in lines if line.startswith("target: "))

    def counted(self, floor):
        """FLOOR.csv with this floor of W1 and W2, and W3's."""
        path = self.scratch / "instructions.csv"
        path.write_text("workload,precision,binding_pipe,floor_per_second,fp32_peak_at_floor,multiply_adds_per_loaded_byte\n"
                        f"W1,f32,issue,{floor},,\nW2,f32,issue,{floor},,\nW3,f32,issue,6.5e7,0.7,0.42\n", encoding="utf-8")
        return path

    def test_each_target_is_said_to_be_met_or_not(self):
        rows = gpu_csv.simulations(gpu_csv.read(MADE_UP))
        # 25 % of 4.2e11 lies between the made-up rates of W1 and W2.
        found = self.targets(MADE_UP, "--instructions", self.counted(4.2e11))
        self.assertEqual(found.pop("W1 f32 worker-steps/s, at least 1e+11"), "9.99e+10, not met")
        own, peer = (max(r["per_second_total"] for r in rows if (r["program"], r["workload"], r["workers"], r["replicas"],
                                                                  r["steps"]) == (name, "W1", 8, 1000000, 2000))
                     for name in ("slowsde", "jax-jit"))
        self.assertEqual(found.pop("W1 f32 at K = 8 over the best peer, at least 10"),
                         f"{own / peer:.3g} (jax-jit; replicas 1000000, steps 2000), met")
        self.assertEqual(found.pop("W2 f32 at K = 1 over the best peer, at least 10"), "not measured")
        w1, w2 = (max(r["per_second_kernel"] for r in rows if (r["program"], r["workload"]) == ("slowsde", workload))
                  for workload in ("W1", "W2"))
        self.assertEqual(found.pop("W1 f32 share of the floor by instructions, at least 0.25"),
                         f"{w1 / 4.2e11:.3g} (issue binds), not met")
        self.assertEqual(found.pop("W2 f32 share of the floor by instructions, at least 0.25"),
                         f"{w2 / 4.2e11:.3g} (issue binds), met")
        fused = max(r["per_second_kernel"] for r in rows if r["program"] == "slowsde-fused")
        share = fused * 716800 / 2e13
        self.assertEqual(found.pop("W3 f32 fused, share of the peak of multiply-adds, at least 0.25"),
                         f"{share:.3g} (its products' instructions allow 0.7, with 0.42 multiply-adds for a byte from shared "
                         f"memory), {'met' if share >= 0.25 else 'not met'}")
        what, said = found.popitem()
        self.assertEqual((what, found), ("W3 f32 at K = 1024 over the best peer, at least 10", {}))
        self.assertRegex(said, r"^\d\S* \(torch-bmm-by-hand; replicas 1, steps 100\), (not )?met$")

    def test_the_floor_by_instructions_is_that_of_the_kernels_that_were_counted(self):
        status, _, err = called(gpu_summary, MADE_UP, "--floors", self.scratch / "floors.csv", "--instructions",
                                self.counted(4.2e11))
        self.assertEqual((status, err), (0, ""))
        with open(self.scratch / "floors.csv", encoding="utf-8", newline="") as file:
            floors = {(row["program"], row["workload"]): row["instructions_floor"] for row in csv.DictReader(file)}
        self.assertEqual({key: floor for key, floor in floors.items() if floor},
                         {("slowsde", "W1"): "4.2e+11", ("slowsde", "W2"): "4.2e+11", ("slowsde-fused", "W3"): "6.5e+07"})

    def test_a_target_changes_with_the_measurement(self):
        w1 = "W1 f32 worker-steps/s, at least 1e+11"
        faster = self.changed(lambda row: row.update(per_second_total="1.01e11"), lambda row: row["workload"] == "W1")
        self.assertEqual(self.targets(faster)[w1], "1.01e+11, met")
        slower = self.changed(lambda row: row.update(per_second_total="9e10"),
                              lambda row: row["program"] == "jax-jit" and row["replicas"] == "1000000")
        self.assertTrue(self.targets(slower)["W1 f32 at K = 8 over the best peer, at least 10"].endswith(", not met"))

    def test_what_is_not_measured_is_not_met(self):
        own = [line for line in self.lines if ",torch-" not in line and ",jax-" not in line]
        kept = self.written([line for line in own if ",W3," not in line and ",multiply-adds," not in line])
        found = self.targets(kept)
        self.assertEqual(len(found), 7)
        self.assertEqual({what for what, said in found.items() if said != "not measured"},
                         {"W1 f32 worker-steps/s, at least 1e+11"})

    def test_a_peer_with_another_mean_is_found(self):
        def is_jax(row):
            return row["program"] == "jax-jit"

        for errors, expected in ((4, 0), (8, 1)):
            def shift(row, count=errors):
                row["mean"] = str(1.2 + count * math.sqrt(2) * float(row["standard_error"]))

            status, _, err = self.summary(self.changed(shift, is_jax))
            self.assertEqual(status, expected)
            self.assertEqual("disagreement: jax-jit W1" in err, expected == 1)
        status, _, _ = self.summary(self.changed(lambda row: row.update(mean=""), is_jax))
        self.assertEqual(status, 1)

    def test_a_peer_with_another_loss_is_found(self):
        status, _, err = self.summary(self.changed(lambda row: row.update(loss="1.6"),
                                                   lambda row: row["program"] == "torch-bmm-by-hand"))
        self.assertEqual(status, 1)
        self.assertIn("loss 1.6", err)

    def test_without_a_measurement_of_slowsde_there_is_no_summary(self):
        peers = [line for line in self.lines if ",torch-" in line]
        self.assertEqual(self.summary(self.written([self.lines[0], *peers]))[0], 77)


if __name__ == "__main__":
    unittest.main()
