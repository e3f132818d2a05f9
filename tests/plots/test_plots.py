#!/usr/bin/python3
"""The figures: made from run directories in the schema of slowsde, complete, readable, reproducible."""
import contextlib
import io
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import warnings

HERE = pathlib.Path(__file__).resolve().parent
PLOTS = HERE.parent.parent / "plots"
sys.path[:0] = [str(HERE), str(PLOTS)]
sys.dont_write_bytecode = True

import netCDF4  # noqa: E402
import numpy as np  # noqa: E402

import drift_multiplier  # noqa: E402
import ensemble  # noqa: E402
import figures  # noqa: E402
import intervals  # noqa: E402
import loader  # noqa: E402
import lr_limit  # noqa: E402
import plot  # noqa: E402
import style  # noqa: E402
import sync_rules  # noqa: E402
import synthetic  # noqa: E402
import workers  # noqa: E402


def texts(fig):
    """(text, box in pixels) of everything written in the figure that is seen."""
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    artists = []
    for ax in fig.axes:
        if ax.axison:
            artists += [ax.title, ax.xaxis.label, ax.yaxis.label, ax.xaxis.offsetText, ax.yaxis.offsetText, *ax.texts]
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                slack = 1e-9 * (high - low)
                for tick in axis.get_major_ticks():
                    if low - slack <= tick.get_loc() <= high + slack:
                        artists += [tick.label1]
        if ax.get_legend():
            artists += ax.get_legend().get_texts()
    for legend in fig.legends:
        artists += [*legend.get_texts(), legend.get_title()]
    return [(a.get_text(), a.get_window_extent(renderer)) for a in artists if a.get_visible() and a.get_text().strip()]


def collisions(fig):
    """Pairs of texts that overlap by more than a pixel, and texts that leave the figure."""
    found, all_texts = [], texts(fig)
    for (a, p), (b, q) in itertools.combinations(all_texts, 2):
        if min(p.x1, q.x1) - max(p.x0, q.x0) > 1 and min(p.y1, q.y1) - max(p.y0, q.y0) > 1:
            found.append((a, b))
    frame = fig.bbox
    found += [(a, "the edge") for a, p in all_texts
              if p.x0 < -1 or p.y0 < -1 or p.x1 > frame.x1 + 1 or p.y1 > frame.y1 + 1]
    # legends stand above the axes and must not cover them
    renderer = fig.canvas.get_renderer()
    for legend in fig.legends:
        box = legend.get_window_extent(renderer)
        found += [("legend", "axes") for ax in fig.axes if ax.axison and box.y0 < ax.get_window_extent(renderer).y1]
    return found


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.scratch = pathlib.Path(folder.name)

    def draw(self, *paths, figure=None, observable=None):
        """Draws with warnings as errors and nothing written over anything; returns figure and caption."""
        runs = [loader.open_run(p) for p in paths]
        with warnings.catch_warnings(), style.context():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", module="pyparsing")  # of its own, in matplotlib's mathtext
            fig, caption = figures.draw(figure or runs[0].figure, runs, observable)
            self.addCleanup(style.plt.close, fig)
            self.assertEqual(collisions(fig), [])
        return fig, caption

    def program(self, *arguments):
        """The script's exit status and what it wrote, without the seconds that a new process imports."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = plot.main([str(a) for a in arguments])
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def process(self, *arguments):
        return subprocess.run([sys.executable, "-B", PLOTS / "plot.py", *map(str, arguments)], text=True,
                              capture_output=True)

    def assert_one_line_error(self, result, words, status=plot.CANNOT_READ):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, rf"\Aslowsde: .*{words}.*\n\Z")

    def assert_not_drawn(self, result, words):
        self.assert_one_line_error(result, words, plot.CANNOT_DRAW)


class Files(Scratch):
    def test_a_suite_gets_the_figures_of_its_parts_and_the_combined_ones(self):
        suite = synthetic.suite(self.scratch / "headline", {
            "digits": lambda d: synthetic.digits(d, 0.05), "digits-small": lambda d: synthetic.digits(d, 0.0125),
            "multiplier": lambda d: synthetic.multiplier(d, (2, 8)), "law": lambda d: synthetic.law(d, 2000),
            "valley": synthetic.valley})
        result = self.process(suite)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        names = ["digits/figures/sharpness", "digits-small/figures/sharpness", "multiplier/figures/drift-multiplier",
                 "law/figures/law", "valley/figures/ensemble", "figures/sharpness", "figures/drift-multiplier",
                 "figures/law"]
        expected = {str(suite / f"{name}.{ending}") for name in names for ending in ("png", "svg", "txt")}
        self.assertEqual(set(result.stdout.split("\n")[:-1]), expected)
        for path in map(pathlib.Path, expected):
            self.assertGreater(path.stat().st_size, 100 if path.suffix == ".txt" else 5000, path)
        for path in suite.glob("**/*.png"):
            self.assertEqual(path.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        for path in suite.glob("**/*.txt"):
            if path.parent.name == "figures":
                self.assertEqual(path.read_text(encoding="utf-8").count("\n"), 1)

    def test_parts_are_found_without_a_result_of_the_suite(self):
        synthetic.valley(self.scratch / "all" / "b")
        synthetic.valley(self.scratch / "all" / "a" / "deep")
        self.assertEqual(loader.open_run(self.scratch / "all").parts, ["a", "b"])
        result = self.program(self.scratch / "all")
        self.assertEqual((result.returncode, len(result.stdout.splitlines())), (0, 6), result.stderr)

    def test_equal_results_give_equal_bytes(self):
        first, second = (synthetic.valley(self.scratch / name / "run") for name in "ab")
        self.assertEqual(self.program(first).returncode, 0)
        self.assertEqual(self.process(second).returncode, 0)
        for ending in ("png", "svg", "txt"):
            same = [(p / "figures" / f"ensemble.{ending}").read_bytes() for p in (first, second)]
            self.assertEqual(*same)

    def test_a_figure_can_be_asked_for(self):
        path = synthetic.digits(self.scratch / "run", 0.05)
        self.assertEqual(self.program(path, "--figure", "ensemble").returncode, 0)
        self.assertTrue((path / "figures/ensemble.svg").is_file())


class Errors(Scratch):
    def test_a_missing_directory(self):
        self.assert_one_line_error(self.program(self.scratch / "none"), "none: is no directory")

    def test_a_directory_without_results(self):
        self.assert_one_line_error(self.program(self.scratch), "has no result.nc")

    def test_a_truncated_result(self):
        path = synthetic.valley(self.scratch / "run")
        whole = (path / "result.nc").read_bytes()
        for length in (0, 100, len(whole) // 2, len(whole) - 1):
            (path / "result.nc").write_bytes(whole[:length])
            self.assert_one_line_error(self.program(path), "result.nc: can not be read")
        self.assert_one_line_error(self.process(path), "result.nc: can not be read")

    def test_a_file_that_is_no_result(self):
        path = synthetic.valley(self.scratch / "run")
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data.delncattr("schema_version")
        self.assert_one_line_error(self.program(path), "has no schema_version")

    def test_a_later_schema(self):
        path = synthetic.valley(self.scratch / "run")
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data.schema_version = np.int32(2)
        self.assert_one_line_error(self.program(path), "schema version 2 is later")

    def test_a_broken_configuration(self):
        path = synthetic.valley(self.scratch / "run")
        (path / "config.toml").write_text("kind = \n")
        self.assert_one_line_error(self.program(path), "config.toml: can not be read")

    def test_a_missing_variable(self):
        path = synthetic.valley(self.scratch / "run")
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data.renameVariable("mean", "average")
        self.assert_one_line_error(self.program(path), "has no variable 'mean'")

    def test_a_figure_that_the_run_can_not_fill(self):
        path = synthetic.valley(self.scratch / "run", ["x0"])
        for figure, words in [("sharpness", "no observable 'trace', only x0"), ("law", "no samples")]:
            self.assert_not_drawn(self.program(path, "--figure", figure), words)
        self.assert_not_drawn(self.program(path, "--observable", "trace"), "no observable 'trace', only x0")
        (path / "config.toml").write_text('figure = "histogram"\n')
        self.assert_not_drawn(self.program(path), "figure 'histogram' is none of")

    def test_a_figure_of_the_wrong_kind_of_run(self):
        path = synthetic.multiplier(self.scratch / "run", (2,))
        self.assert_not_drawn(self.program(path, "--figure", "ensemble"), "is a sweep")
        path = synthetic.valley(self.scratch / "other")
        self.assert_not_drawn(self.program(path, "--figure", "sweep"), "is no sweep")
        self.assert_not_drawn(self.program(path, "--figure", "plan"), "is no plan")
        plan = synthetic.plan(self.scratch / "plan")
        self.assert_not_drawn(self.program(plan, "--observable", "trace"), "a plan has no observables")

    def test_a_broken_part_does_not_stop_the_others(self):
        suite = synthetic.suite(self.scratch / "suite", {"a": synthetic.valley, "b": synthetic.valley})
        (suite / "a/result.nc").write_bytes(b"nothing")
        self.assert_one_line_error(self.program(suite), "a/result.nc: can not be read")
        self.assertTrue((suite / "b/figures/ensemble.png").is_file())

    def test_a_folder_that_can_not_be_written(self):
        path = synthetic.valley(self.scratch / "run")
        (path / "figures").write_text("in the way")
        self.assert_one_line_error(self.program(path), "figures")


class Look(Scratch):
    """Each draw checks that no text overlaps another and that matplotlib has nothing to warn of."""

    def test_sharpness_alone_and_side_by_side(self):
        paths = [synthetic.digits(self.scratch / f"{i}", eta) for i, eta in enumerate((0.05, 0.0125, 0.1, 0.025))]
        for n in (1, 2, 4):
            fig, _ = self.draw(*paths[:n])
            self.assertEqual(sum(ax.axison for ax in fig.axes), 2 * n)

    def test_sharpness_of_a_single_seed_has_no_intervals(self):
        _, caption = self.draw(synthetic.digits(self.scratch / "run", 0.05, seeds=1))
        self.assertIn("single seed has no interval", caption)

    def test_ensembles_of_one_to_five_observables(self):
        names = ["x0", "x1", "trace", "norm", "some_other_name"]
        for n in (1, 2, 4, 5):
            self.draw(synthetic.valley(self.scratch / f"{n}", names[:n]))

    def test_an_ensemble_of_twelve_series_with_long_names(self):
        path = synthetic.digits(self.scratch / "run", 0.05)
        self.draw(path, figure="ensemble")

    def test_an_ensemble_far_from_its_model(self):
        _, caption = self.draw(synthetic.valley(self.scratch / "run", off=0.2))
        self.assertIn("slow SDE of SGD", caption)

    def test_an_ensemble_that_diverged(self):
        path = synthetic.valley(self.scratch / "run")
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data["diverged"][0, 4:] = 1000
            data["count"][0, 4:] = 0
            for name in ("mean", "se"):
                data[name][0, 4:] = np.nan
        _, caption = self.draw(path)
        self.assertIn("left out as diverged: 1000 of SGD", caption)

    def test_drift_multiplier_of_one_sweep_and_of_one_for_each_K(self):
        self.draw(synthetic.multiplier(self.scratch / "all"))
        self.draw(*[synthetic.multiplier(self.scratch / f"{K}", (K,)) for K in (2, 8, 32)])

    def test_law(self):
        path = synthetic.law(self.scratch / "run", 3000)
        self.draw(path)
        self.draw(path, observable="x1")
        self.draw(path, path)

    def test_quantiles(self):
        fig, caption = self.draw(synthetic.quantiles(self.scratch / "run"))
        self.assertEqual(len(fig.axes), 2)
        # Of three quantiles at eight times after the start and two observables none is off, or all are.
        self.assertIn("; 0 of 48 intervals do not meet", caption)
        _, caption = self.draw(synthetic.quantiles(self.scratch / "off", off=2.0))
        self.assertIn("; 48 of 48 intervals do not meet", caption)
        self.draw(synthetic.quantiles(self.scratch / "one", probabilities=(0.5,)), observable="x1")
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "none"), "--figure", "quantiles"), "has no quantiles")
        self.assert_not_drawn(self.program(synthetic.sync_rules(self.scratch / "rules"), "--figure", "quantiles"),
                              "has 2 ensembles; the figure 'quantiles' shows a single ensemble")
        # Far out in few values an interval may end before the value.
        far = synthetic.quantiles(self.scratch / "far")
        with netCDF4.Dataset(far / "result.nc", "a") as data:
            data["quantile_upper"][:] = data["quantile_value"][:] - 0.1
        self.draw(far)

    def test_sweep(self):
        path = synthetic.multiplier(self.scratch / "run", figure="")
        self.assertEqual(loader.open_run(path).figure, "sweep")
        self.draw(path)

    def test_plans_with_and_without_eigenvalues_and_times(self):
        for i, (predicted, timed) in enumerate(itertools.product((True, False), repeat=2)):
            fig, caption = self.draw(synthetic.plan(self.scratch / f"{i}", predicted=predicted, timed=timed))
            self.assertEqual(sum(ax.get_visible() for ax in fig.axes), 1 + 2 * predicted + timed)
            self.assertEqual("is the least that gives 50.0 % of the possible extra drift" in caption, predicted)
            self.assertEqual("0.28 s an average at 25 Gbit/s" in caption, timed)
        _, caption = self.draw(synthetic.plan(self.scratch / "none", feasible=False))
        self.assertIn("no alpha meets the targets", caption)
        self.draw(synthetic.plan(self.scratch / "many", rules=12, length=4))
        self.draw(synthetic.plan(self.scratch / "one", rules=1, length=40))

    def test_trainings_of_one_to_nine_runs(self):
        for n in (1, 3, 9):
            path = synthetic.training(self.scratch / f"{n}", [f"a run with the number {i}" for i in range(n)])
            self.assertEqual(loader.open_run(path).figure, "train")
            fig, caption = self.draw(path)
            self.assertEqual(sum(ax.axison for ax in fig.axes), 6 if n > 1 else 5)  # a lone parallel run has no divergence
            self.assertIn("5 seeds", caption)
        self.draw(path, observable="test_accuracy")
        self.draw(path, observable="bytes")
        self.draw(path, figure="ensemble", observable="train_loss")

    def test_the_spectra_of_a_training(self):
        # run a: 1 eigenvalue of 8 and 3 of 2 in both seeds; run b: its second seed has diverged
        values, counts = np.full((2, 2, 1, 3), np.nan), np.full((2, 2, 1, 3), np.nan)
        values[0, :, 0], counts[0, :, 0] = [8, 2, -1], [1, 3, 5]
        values[1, 0, 0], counts[1, 0, 0] = [4, 0.5, 0.1], [1, 1, 2]
        dims = ("series", "sample", "spectrum", "node")
        path = synthetic.training(self.scratch / "run", ["a", "b"], seeds=2, spectra={
            "ritz_value": (dims, values), "ritz_weight": (dims, counts), "spectrum_at": (("spectrum",), [1.0])})
        fig, caption = self.draw(path, figure="spectrum")
        a, b = fig.axes[0].lines
        above = lambda line, x: float(np.interp(x, line.get_xdata(), line.get_ydata()))
        self.assertEqual([above(a, x) for x in (9, 5, 1)], [0, 1, 4])
        self.assertEqual([above(b, x) for x in (5, 2, 0.3)], [0, 1, 2])
        self.assertIn("largest eigenvalue after 100 %: a 8, b 4", caption)
        self.assert_not_drawn(self.program(synthetic.training(self.scratch / "none"), "--figure", "spectrum"),
                              "holds no spectra")

    def test_a_training_of_a_single_seed(self):
        _, caption = self.draw(synthetic.training(self.scratch / "run", seeds=1))
        self.assertIn("a single seed has no interval", caption)

    def test_h_base(self):
        fig, _ = self.draw(synthetic.h_base(self.scratch / "run"))
        self.assertEqual(len(fig.axes), 4)
        fig, _ = self.draw(synthetic.h_base(self.scratch / "one", alphas=(0.1,)), observable="lambda_max")
        self.assertEqual(len(fig.axes), 2)

    def test_rules(self):
        self.draw(synthetic.sync_rules(self.scratch / "all"))
        self.draw(synthetic.sync_rules(self.scratch / "one", schedules=["cosine"], tested=False))

    def test_when(self):
        self.draw(synthetic.when(self.scratch / "run"))

    def test_ratios_as_the_learning_rate_falls(self):
        path = synthetic.lr_limit(self.scratch / "all")
        self.assertEqual(loader.open_run(path).figure, "lr-limit")
        fig, caption = self.draw(path)
        self.assertEqual(len(fig.axes), 2)
        self.assertRegex(caption, r"'slow SDE of the papers': 1\.00\d+ ± 0\.00\d+ \(η = 0\.003125\)")
        self.draw(synthetic.lr_limit(self.scratch / "two", (0.05, 0.0125)))
        _, caption = self.draw(synthetic.lr_limit(self.scratch / "one", (0.05,)))
        self.assertNotIn("at η = 0,", caption)
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "lr-limit"),
                              "is no sweep over iterates")

    def test_verification(self):
        _, caption = self.draw(synthetic.verification(self.scratch / "run"))
        self.assertIn("Of 4 claims 2 confirmed, 1 refuted, 1 inconclusive", caption)
        self.assertIn("8 wrong theories, of which the nearest that has a finite distance is 12.5", caption)
        self.draw(synthetic.verification(self.scratch / "long", ["confirmed"] * 30))
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "verification"),
                              "is no verification")

    def test_worker_cloud(self):
        for steps in (1, 16, 100):
            self.draw(synthetic.worker_cloud(self.scratch / f"{steps}", steps))
        fig, caption = self.draw(synthetic.worker_cloud(self.scratch / "off", off=0.5))
        self.assertRegex(caption, r"own moment 5[01]\.\d %, without sampling (8[78]|9\d) %")
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "worker-cloud"),
                              "no workers inside a round")

    def test_qsr_error(self):
        self.draw(synthetic.qsr_error(self.scratch / "run"))
        self.draw(synthetic.qsr_error(self.scratch / "two", (0.3, 0.1), sign=1))
        # intervals that hold zero, and an exponent of means that differ in sign
        path = synthetic.qsr_error(self.scratch / "noisy", noise=0.8)
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data["error"][2] *= -1
            data["exponent"][1:3] = np.nan
        self.draw(path)
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "qsr-error"),
                              "no errors against alpha")
        self.assert_not_drawn(self.program(path, "--observable", "x0"), "no observable 'x0', only trace")

    def test_error_against_cost(self):
        fig, caption = self.draw(synthetic.mlmc(self.scratch / "run"))
        slopes = [float(s) for s in re.findall(r"error\^\((-?[\d.]+) ±", caption)]
        self.assertEqual(len(slopes), 2)
        self.assertLess(abs(slopes[0] + 2), 0.6)
        self.assertLess(abs(slopes[1] + 3), 0.9)
        self.assertIn("at 3 of 3 targets, and 48 of 48 estimates", caption)
        marks = [line for line in fig.axes[0].lines if line.get_marker() == "o"]
        self.assertEqual(list(marks[0].get_xdata()), [0.04**-2.0, 0.02**-2.0, 0.01**-2.0])
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "mlmc"), "no multilevel")

    def test_orders_of_steppers(self):
        fig, caption = self.draw(synthetic.stepper_orders(self.scratch / "run"))
        self.assertEqual([ax.get_title() for ax in fig.axes[:2]], ["additive", "general"])
        self.assertIn("2 of 3 pairs of scheme and noise are confirmed, 0 refuted, 1 inconclusive", caption)
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "stepper-orders"), "no orders")

    def test_weak_order_and_decaying_rates(self):
        self.draw(synthetic.weak_order(self.scratch / "run"))
        self.draw(synthetic.decaying_lr(self.scratch / "other"))
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "weak-order"), "is no sweep")
        self.assert_not_drawn(self.program(self.scratch / "run", "--figure", "decaying-lr"), "is a sweep")

    def test_workers_alone_and_of_two_runs(self):
        path = synthetic.workers(self.scratch / "run")
        self.draw(path)
        self.draw(path, synthetic.workers(self.scratch / "other", "log_x0"))

    def test_the_check_of_overlaps_sees_one(self):
        fig, ax = style.plt.subplots()
        self.addCleanup(style.plt.close, fig)
        self.assertEqual(collisions(fig), [])
        ax.text(0.5, 0.5, "one")
        ax.text(0.51, 0.5, "two")
        ax.text(0.9, 0.2, "a text that runs over the edge of the figure")
        self.assertEqual(collisions(fig), [("one", "two"), ("a text that runs over the edge of the figure", "the edge")])


class Content(Scratch):
    """What is drawn is what the results say."""

    def test_the_ratio_of_falls_and_its_interval(self):
        path = synthetic.digits(self.scratch / "run", 0.05, seeds=8)
        (point,) = loader.open_run(path).points
        sgd = point.iterates[0]
        model = next(m for m in point.models_of(sgd) if m.theory == "sampling")
        ratio = intervals.fall(sgd, 0) / intervals.fall(model, 0)
        self.assertAlmostEqual(ratio.value, (sgd.mean[0, 0] - sgd.mean[-1, 0]) / 15.9, places=12)
        self.assertAlmostEqual(ratio.half, 2.364624 * sgd.se[-1, 0] / 15.9, places=6)  # t quantile, 7 degrees of freedom
        fig, _ = self.draw(path)
        bottom = fig.axes[1]
        drawn = sorted(c.lines[0].get_ydata()[0] for c in bottom.containers)
        expected = sorted((intervals.fall(s, 0) / intervals.fall(m, 0)).value
                          for s in point.iterates for m in point.models_of(s))
        np.testing.assert_allclose(drawn, expected, rtol=1e-12)
        self.assertEqual(len(drawn), 9)

    def test_a_training_is_drawn_against_its_steps_with_its_error(self):
        path = synthetic.training(self.scratch / "run")
        (point,) = loader.open_run(path).points
        fig, caption = self.draw(path)
        s = point.series[1]
        line = fig.axes[0].lines[1]
        np.testing.assert_array_equal(line.get_xdata(), np.linspace(0, 1000, 9))
        np.testing.assert_allclose(line.get_ydata(), 100 * (1 - s.mean[:, 1]), rtol=1e-12)
        np.testing.assert_allclose(fig.axes[2].lines[0].get_xdata(), np.linspace(0, 1000, 5))  # every other record
        self.assertIn(f"{100 * s.mean[-1, 1]:.2f} ± {100 * intervals.half_width(s, 1)[-1]:.2f} %", caption)

    def test_the_theory_of_the_workers_covariance_is_drawn_beside_it(self):
        path = synthetic.training(self.scratch / "run")
        (point,) = loader.open_run(path).points
        fig, caption = self.draw(path)
        s = point.series[1]
        measured, theory = (synthetic.TRAINING.index(n) for n in ("worker_divergence", "predicted_divergence"))
        lines = [line for line in fig.axes[5].lines if line.get_color() == style.COLOURS[1]]
        np.testing.assert_allclose(lines[0].get_ydata(), s.mean[1:, measured], rtol=1e-12)
        np.testing.assert_allclose(lines[1].get_ydata(), s.mean[1:, theory], rtol=1e-12)
        self.assertIn(f"{s.name} {s.mean[1:, measured].sum() / s.mean[1:, theory].sum():.2f}", caption)
        _, caption = self.draw(path, observable="train_loss")
        self.assertIn("predicted", caption)
        self.assertNotIn("predicted", self.draw(synthetic.training(self.scratch / "alone", ["parallel"]))[1])

    def test_what_h_base_cost_is_on_its_axes(self):
        path = synthetic.h_base(self.scratch / "run")
        run = loader.open_run(path)
        fig, _ = self.draw(path)
        first = sorted((p for p in run.points if p.coordinates["alpha"] == 0.01), key=lambda p: p.coordinates["H_base"])
        drawn = fig.axes[0].containers[0].lines[0]
        np.testing.assert_allclose(drawn.get_xdata(False), [1e-6 * p.series[0].mean[-1, 6] for p in first], rtol=1e-12)
        np.testing.assert_allclose(drawn.get_ydata(False), [100 * p.series[0].mean[-1, 1] for p in first], rtol=1e-12)

    def test_the_delta_method_agrees_with_simulation(self):
        rng = np.random.default_rng(7)
        a, b = rng.normal(2.0, 0.02, 200000), rng.normal(0.5, 0.01, 200000)
        ratio = intervals.Estimate(2.0, 0.02) / intervals.Estimate(0.5, 0.01)
        spread = np.std(a / b)
        self.assertLess(abs(ratio.se - spread) / spread, 0.01)
        self.assertGreater(abs(0.02 / 0.5 - spread) / spread, 0.2)  # without the denominator's error

    def test_models_are_known_by_their_moment_and_else_by_name(self):
        path = synthetic.digits(self.scratch / "run", 0.05)
        for _ in range(2):
            (point,) = loader.open_run(path).points
            self.assertEqual([m.theory for m in point.models_of(point.iterates[1])], ["papers", "finite-step", "sampling"])
            (path / "config.toml").unlink(missing_ok=True)

    def test_the_drift_multiplier_is_the_ratio_of_falls_at_each_point(self):
        path = synthetic.multiplier(self.scratch / "run", (2, 8))
        run = loader.open_run(path)
        self.assertEqual((len(run.points), run.axes), (26, ["K", "H"]))
        groups = drift_multiplier._collect([run], None)
        self.assertEqual(sorted(groups), [(2.0, 0.02), (8.0, 0.02)])
        x, measured, theories = groups[8.0, 0.02][-1]
        self.assertAlmostEqual(x, 0.02 * 1000)
        sgd, local = run.points[-1].iterates
        self.assertEqual(measured.value, (local.mean[0, 0] - local.mean[-1, 0]) / (sgd.mean[0, 0] - sgd.mean[-1, 0]))
        self.assertAlmostEqual(theories["papers"], 1 + 7 * float(synthetic.psi(2 * x * 3.25)), places=10)

    def test_errors_against_alpha_and_their_exponents_are_those_of_the_results(self):
        path = synthetic.qsr_error(self.scratch / "run")
        fig, caption = self.draw(path)
        v = {name: variable.data for name, variable in loader.open_run(path).variables.items()}
        left, right = (ax.containers[0] for ax in fig.axes)
        np.testing.assert_allclose(left.lines[0].get_xdata(), v["alpha2"], rtol=1e-12)
        np.testing.assert_allclose(left.lines[0].get_ydata(), np.abs(v["error"]), rtol=1e-12)
        np.testing.assert_allclose(right.lines[0].get_xdata(), v["alpha2"][1:] * np.sqrt(2), rtol=1e-12)
        np.testing.assert_allclose(right.lines[0].get_ydata(), v["exponent"], rtol=1e-12)
        low, high = np.array([segment[:, 1] for segment in right.lines[2][0].get_segments()]).T
        np.testing.assert_allclose(high - low, 2 * 1.959964 * v["exponent_se"], rtol=1e-6)
        second, first = (line.get_ydata() for line in fig.axes[0].lines[-3:-1])  # through the least error
        np.testing.assert_allclose(second / second[-1], v["alpha2"] * 32, rtol=1e-12)
        np.testing.assert_allclose(first / first[-1], np.sqrt(v["alpha2"] * 32), rtol=1e-12)
        self.assertEqual((first[-1], second[-1]), (abs(v["error"][-1]), abs(v["error"][-1])))
        self.assertIn(f"to {v['exponent'][-1]:.3f} ± {1.959964 * v['exponent_se'][-1]:.3f}", caption)
        self.assertIn("(drift 8 times SGD's)", caption)

    def test_rules_stand_at_their_communication_and_their_final_values(self):
        path = synthetic.sync_rules(self.scratch / "run")
        fig, caption = self.draw(path)
        variables = loader.open_run(path).variables
        marks = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in fig.axes[0].containers]
        expected = np.stack([100 * variables["total_communication"].data[0], variables["final_measured"].data[0]], axis=1)
        np.testing.assert_allclose(marks, expected, rtol=1e-12)
        predicted = [line.get_ydata()[0] for line in fig.axes[0].lines if line.get_marker() == "_" and line.get_markersize() > 10]
        np.testing.assert_allclose(predicted, variables["final_predicted"].data[0], rtol=1e-12)
        self.assertIn("of 90 pairs of rules 88 have a predicted gap beyond 5 standard errors, 88 of them ordered as "
                      "predicted and 0 not; 2 are ties and 0 have a gap that is not predicted; 14 pairs", caption)

    def test_the_limit_of_the_ratios_is_the_one_they_go_to_and_no_other(self):
        for limit in (1.0, 0.98):
            _, caption = self.draw(synthetic.lr_limit(self.scratch / f"{limit}", limit=limit))
            found = [(float(v), float(w)) for v, w in re.findall(r"to (\d\.\d+) ± (\d\.\d+) at η = 0", caption)]
            self.assertEqual(len(found), 4)
            for value, width in found:
                self.assertLess(abs(value - limit), 1.5 * width)
                self.assertGreater(abs(value - (1.98 - limit)), 5 / 1.96 * width)
        # without noise the parabola is met whatever the weights, and two learning rates give a line
        eta, se = np.array([0.01, 0.02, 0.04, 0.08]), np.array([1, 2, 3, 4]) * 1e-3
        curve, at_zero, width = lr_limit.extrapolated(eta, 1 + eta - 3 * eta**2, se)
        np.testing.assert_allclose(curve, [-3, 1, 1], rtol=1e-9)
        _, at_zero, width = lr_limit.extrapolated(eta[:2], 1 + eta[:2], se[:2])
        self.assertAlmostEqual(at_zero, 1, 12)
        self.assertAlmostEqual(width, 1.959963984540054 * np.hypot(2e-3, 2e-3), 12)
        self.assertIsNone(lr_limit.extrapolated(eta, 1 + eta, se * np.nan))
        self.assertIsNone(lr_limit.extrapolated(eta[:1], 1 + eta[:1], se[:1]))

    def test_the_order_is_that_of_the_error(self):
        for order in (1.0, 0.5):
            _, caption = self.draw(synthetic.weak_order(self.scratch / f"{order}", order))
            found = re.findall(r"slow SDE of the papers' for [A-Za-z ]* is of order ([0-9.]+) ± ([0-9.]+)", caption)
            self.assertEqual(len(found), 2)
            for value, half in found:
                self.assertLess(abs(float(value) - order), 2 * float(half))

    def test_the_drift_below_is_the_ratio_of_speeds(self):
        fig, caption = self.draw(synthetic.decaying_lr(self.scratch / "run"))
        lines = [line.get_ydata() for line in fig.axes[1].lines if line.get_linestyle() == ":" and len(line.get_ydata()) == 8]
        np.testing.assert_allclose(lines[0], 2, rtol=1e-12)
        np.testing.assert_allclose(lines[1], np.linspace(0.25, 3.75, 8), rtol=1e-12)
        self.assertIn("K being 8", caption)

    def test_drift_and_diffusion_stand_apart(self):
        fig, caption = self.draw(synthetic.why(self.scratch / "run"))
        self.assertEqual([ax.get_title() for ax in fig.axes[:3]], ["the slow SDEs", "the drift alone", "the diffusion alone"])
        for words in ("it is the drift that sets Local SGD apart from SGD", "is 0.200 ± ", "0.200 with their drift alone",
                      "0.000 ± 0.008 with their diffusion alone"):
            self.assertIn(words, caption)
        self.assert_not_drawn(self.program(synthetic.why(self.scratch / "part", ("full", "drift-only")), "--figure", "why"),
                              "the diffusion alone")
        self.assert_not_drawn(self.program(synthetic.weak_order(self.scratch / "sweep"), "--figure", "why"), "is a sweep")

    def test_no_two_rules_look_alike(self):
        looks = [sync_rules._look(i) for i in range(14)]
        self.assertEqual(len({(d["marker"], d["color"], d["mfc"]) for d in looks}), 14)
        self.assertEqual(len({(d["color"], str(sync_rules._line(i))) for i, d in enumerate(looks)}), 14)

    def test_the_gap_is_drawn_for_each_length_of_training(self):
        path = synthetic.when(self.scratch / "run")
        fig, caption = self.draw(path)
        gaps = loader.open_run(path).variables["measured_gap"].data[:, 0]
        drawn = [c.lines[0].get_ydata() for c in fig.axes[0].containers]
        np.testing.assert_allclose(drawn, [gaps[3::-1], gaps[:3:-1]], rtol=1e-12)
        self.assertIn("after 4/eta^2 steps", caption)
        half = loader.open_run(path).variables["gap_half_width"].data[:, 0]
        self.assertIn(f"told from zero at {(np.abs(gaps) > half).sum()} of {len(gaps)}", caption)
        self.assert_not_drawn(self.program(synthetic.sync_rules(self.scratch / "other"), "--figure", "when"),
                              "does not compare two rules")
        self.assert_not_drawn(self.program(synthetic.valley(self.scratch / "valley"), "--figure", "sync-rules"),
                              "no run of sync-rules")

    def test_workers_are_grouped_by_the_batch_that_stays(self):
        path = synthetic.workers(self.scratch / "run")
        run = loader.open_run(path)
        _, caption = self.draw(path)
        self.assertRegex(caption, r"lies within the 95 % interval at \d+ of 16 points: .*global batch 8, Local SGD: from K = 1 to 8 "
                                  r"the fall changes by a factor of 5\.[0-4],")
        K = lambda points: sorted(e.coordinates["K"] for e in points)
        batch, points = workers._fixed(run, "global")
        self.assertEqual((batch, K(points)), (8, [1, 2, 4, 8]))
        batch, points = workers._fixed(run, "local")
        self.assertEqual((batch, K(points)), (2, [1, 2, 4, 8]))

    def test_different_batches_have_no_drift_multiplier(self):
        path = synthetic.multiplier(self.scratch / "run", (2,))
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            data["local_batch"][:, 0] = 3
        self.assert_not_drawn(self.program(path), "'Local SGD' has batch 2 and 'SGD' 6")

    def test_the_law_accepts_equal_samples_and_rejects_others(self):
        rng = np.random.default_rng(5)
        p = [intervals.kolmogorov_smirnov(*rng.normal(size=(2, 400)))[1] for _ in range(400)]
        self.assertLess(abs(np.mean(np.array(p) < 0.05) - 0.05), 5 * np.sqrt(0.05 * 0.95 / 400))
        self.assertLess(intervals.kolmogorov_smirnov(rng.normal(size=4000), rng.normal(0.15, 1, 4000))[1], 1e-6)
        D, _ = intervals.kolmogorov_smirnov(np.array([1.0, 2, 3, 4]), np.array([2.5, 3.5, 4.5, 5.5]))
        self.assertEqual(D, 0.5)

    def test_points_of_a_sweep_may_differ_in_series_and_times(self):
        path = synthetic.multiplier(self.scratch / "run", (2,), figure="")
        with netCDF4.Dataset(path / "result.nc", "a") as data:
            shape = data["mean"].shape
            names = np.array([data["series"][:]] * shape[0], dtype=object)
            names[0, -1] = ""
            data.renameVariable("series", "unused")
            data.createVariable("series", str, ("point", "series"))[:] = names
            data["t"][0, :, -1] = np.nan
        run = loader.open_run(path)
        self.assertEqual([len(p.series) for p in run.points[:2]], [5, 6])
        self.assertEqual([len(p.series[0].t) for p in run.points[:2]], [2, 3])
        self.draw(path)

    def test_a_model_at_other_times_is_interpolated(self):
        path = synthetic.valley(self.scratch / "run")
        (point,) = loader.open_run(path).points
        model = point.models_of(point.iterates[0])[0]
        mean, _ = intervals.at(np.array([0.25]), model, 0)
        self.assertAlmostEqual(mean[0], model.mean[:2, 0].mean(), places=12)


if __name__ == "__main__":
    outcome = unittest.main(exit=False).result
    sys.exit(0 if outcome.wasSuccessful() and outcome.testsRun > 0 else 1)
