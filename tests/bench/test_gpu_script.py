#!/usr/bin/env python3
"""bench/gpu.sh with programs that stand for those that need a GPU: they answer with made-up measurements and write down
that they were called."""
import csv
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MADE_UP = HERE / "made_up_measurements.csv"

STAND_INS = {
    "bin/nvidia-smi": """case "$*" in
      *-L*) echo "GPU 0: made up" ;;
      *name*) echo "Made Up 100" ;;
      *compute_cap*) echo 9.0 ;;
    esac""",
    # A program that lists its pieces and answers a piece with its lines of the made-up file; what the folder `orders` says
    # of the piece is run before.
    "built/slowsde_bench_gpu": """if [[ $1 == list ]]; then printf 'roofs\\nW1-f32-replicas\\nW1-f32-steps\\n'; exit; fi
      answer "$1" """,
    "built/slowsde_bench_gpu_training": """if [[ $1 == list ]]; then echo W3-fused-workers; exit; fi
      if [[ $1 == data ]]; then mkdir -p "$2"; echo data >>"$FOLDER/calls"; exit; fi
      answer "$1" """,
    "built/slowsde_bench_gpu_hessian": """if [[ $1 == list ]]; then echo W4-f32-directions; exit; fi
      if [[ $1 == data ]]; then mkdir -p "$2"; echo data >>"$FOLDER/calls"; exit; fi
      answer "$1" """,
    "bin/peers-python": """case "$*" in
      -c*) exit 0 ;;
      *gpu_ensembles.py\\ list) echo W1-jax-jit ;;
      *gpu_training.py\\ list) echo torch-bmm-by-hand ;;
      *gpu_hessian.py\\ list) echo jax-linearize ;;
      *gpu_ensembles.py*) answer "$2-$3-$4" ;;
      *gpu_training.py*) [[ -d $5 ]] || exit 9; answer "W3-$2-$3" ;;
      *gpu_hessian.py*) [[ -d $5 ]] || exit 9; answer "W4-$2-$3-directions" ;;
    esac""",
}
ANSWER = """#!/bin/bash
answer() {
  echo "$1" >>"$FOLDER/calls"
  if [[ -e $FOLDER/orders/$1 ]]; then source "$FOLDER/orders/$1"; fi
  sed -n "1s/^piece,//p;s/^$1,//p" "$MADE_UP"
}
"""
# W1-jax-jit's other sweeps and W4 in f64 have no made-up lines: they measure nothing.
MEASURED = ["roofs", "W1-f32-replicas", "W1-f32-steps", "W3-fused-workers", "W4-f32-directions",
            "W1-jax-jit-f32-replicas", "W3-torch-bmm-by-hand-workers", "W4-jax-linearize-f32-directions"]


class WithStandIns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "orders").mkdir()
        for name, text in STAND_INS.items():
            self.stand_in(self.folder / name, text)
        self.out = self.folder / "out"
        self.root, self.arguments = ROOT, ("--built", self.folder / "built")

    def stand_in(self, path, text):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(ANSWER + text + "\n", encoding="utf-8")
        path.chmod(0o755)

    def script(self, *arguments, path=None, figures=False, **environment):
        """(exit status, everything that it printed, the pieces that were called)"""
        if not figures:
            arguments += ("--no-figures",)
        calls = self.folder / "calls"
        calls.write_text("", encoding="utf-8")
        run = subprocess.run(
            [self.root / "bench" / "gpu.sh", "--out", self.out, *self.arguments, *arguments],
            env={**os.environ, "PATH": path or f"{self.folder / 'bin'}:/usr/bin:/bin", "FOLDER": str(self.folder),
                 "MADE_UP": str(MADE_UP), "SLOWSDE_PYTHON": str(self.folder / "bin" / "peers-python"),
                 "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return run.returncode, run.stdout, calls.read_text(encoding="utf-8").split()

    def order(self, piece, what):
        (self.folder / "orders" / piece).write_text(what + "\n", encoding="utf-8")


class Script(WithStandIns):
    def pieces(self):
        """{piece: number of lines} of the measurements."""
        counts = {}
        with open(self.out / "measurements.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                counts[row["piece"]] = counts.get(row["piece"], 0) + 1
        return counts

    def test_without_a_gpu_it_is_skipped(self):
        status, said, calls = self.script(path="/usr/bin:/bin")
        self.assertEqual((status, calls), (77, []))
        self.assertIn("no NVIDIA GPU", said)

    def test_a_list_of_gpus_of_which_only_the_beginning_is_looked_at_is_a_gpu(self):
        self.stand_in(self.folder / "bin" / "nvidia-smi", """case "$*" in
          *-L*) for k in {0..20000}; do echo "GPU $k: made up"; done ;;
          *name*) for k in {0..20000}; do echo "Made Up 100"; done ;;
        esac""")
        status, said, calls = self.script()
        self.assertEqual(status, 0, said)
        self.assertIn("roofs", calls)

    def test_all_is_measured_once_and_not_again(self):
        status, said, calls = self.script(figures=True)
        self.assertEqual(status, 0, said)
        for piece in MEASURED:
            self.assertIn(piece, calls)
        with open(MADE_UP, encoding="utf-8", newline="") as file:
            expected = [row for row in csv.DictReader(file) if row["piece"] in MEASURED]
        with open(self.out / "measurements.csv", encoding="utf-8", newline="") as file:
            self.assertCountEqual(map(str, csv.DictReader(file)), map(str, expected))
        self.assertTrue((self.out / "figures" / "gpu-W1-f32.png").is_file())
        self.assertTrue((self.out / "floors.csv").is_file())
        before = (self.out / "measurements.csv").read_bytes()
        status, _, calls = self.script()
        self.assertEqual(status, 0)
        self.assertFalse(set(calls) & set(MEASURED), calls)
        self.assertEqual((self.out / "measurements.csv").read_bytes(), before)

    def test_a_piece_that_fails_leaves_no_numbers_and_is_measured_the_next_time(self):
        self.order("W1-f32-steps", "sed -n '1s/^piece,//p;s/^W1-f32-steps,//p' \"$MADE_UP\" | head -n 2; exit 1")
        status, said, _ = self.script()
        self.assertEqual(status, 1)
        self.assertIn("W1-f32-steps failed with status 1", said)
        self.assertEqual(set(self.pieces()), set(MEASURED) - {"W1-f32-steps"})
        (self.folder / "orders" / "W1-f32-steps").unlink()
        status, _, calls = self.script()
        self.assertEqual(status, 0)
        self.assertIn("W1-f32-steps", calls)
        self.assertNotIn("W1-f32-replicas", calls)
        self.assertEqual(self.pieces()["W1-f32-steps"], 3)

    def test_a_piece_that_was_cut_off_between_its_numbers_and_its_mark_is_not_there_twice(self):
        self.script()
        marks = self.out / "pieces.txt"
        kept = [line for line in marks.read_text(encoding="utf-8").splitlines() if not line.startswith("W1-f32-steps ")]
        marks.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        status, said, calls = self.script()
        self.assertEqual(status, 0, said)
        self.assertIn("W1-f32-steps", calls)
        self.assertEqual(self.pieces()["W1-f32-steps"], 3)

    def test_a_library_that_is_missing_is_said_and_is_no_failure(self):
        self.order("W1-jax-jit-f32-replicas", "echo 'JAX sees no GPU' >&2; exit 77")
        status, said, _ = self.script()
        self.assertEqual(status, 0, said)
        self.assertNotIn("W1-jax-jit-f32-replicas", self.pieces())
        self.assertIn("W1-jax-jit-f32-replicas: JAX sees no GPU", (self.out / "notes.txt").read_text(encoding="utf-8"))

    def test_when_the_minutes_are_up_it_stops_and_goes_on_the_next_time(self):
        status, said, calls = self.script("--minutes", "1", SECONDS="57")
        self.assertEqual((status, calls), (75, []))
        self.assertIn("the 1 minutes are up", said)
        self.order("W1-f32-steps", "sleep 600")
        status, said, calls = self.script("--minutes", "1", SECONDS="45")
        self.assertEqual(status, 75)
        self.assertIn("up within W1-f32-steps" if "W1-f32-steps" in calls else "up before", said)
        self.assertEqual(set(self.pieces()), {"roofs", "W1-f32-replicas"})
        (self.folder / "orders" / "W1-f32-steps").unlink()
        status, said, _ = self.script()
        self.assertEqual(status, 0, said)
        self.assertEqual(set(self.pieces()), set(MEASURED))

    def test_measurements_with_other_columns_are_not_mixed(self):
        self.out.mkdir()
        (self.out / "measurements.csv").write_text("piece,seconds\nroofs,1\n", encoding="utf-8")
        status, said, _ = self.script()
        self.assertEqual(status, 1)
        self.assertIn("has other columns", said)

    def test_a_program_that_is_not_there_is_a_failure(self):
        (self.folder / "built" / "slowsde_bench_gpu").unlink()
        self.assertNotIn(self.script()[0], (0, 77))

    def test_the_list_needs_no_gpu(self):
        status, said, calls = self.script("--list", path=f"{self.folder / 'bin'}:/usr/bin:/bin")
        self.assertEqual((status, calls), (0, []))
        for piece in MEASURED:
            self.assertIn(piece, said.splitlines())

    def test_peers_can_be_left_out(self):
        status, _, calls = self.script("--no-peers")
        self.assertEqual(status, 0)
        self.assertEqual(set(calls), {"roofs", "W1-f32-replicas", "W1-f32-steps", "W3-fused-workers",
                                      "W4-f32-directions"})

    def test_the_peers_go_as_far_as_slowsde_does(self):
        self.stand_in(self.folder / "bin" / "peers-python",
                      'echo "$*" >>"$FOLDER/arguments"\n' + STAND_INS["bin/peers-python"])
        self.script()
        arguments = (self.folder / "arguments").read_text(encoding="utf-8")
        self.assertIn("gpu_ensembles.py W1-jax-jit f32 replicas --most 1e8\n", arguments)


LISTED = """if [[ $1 == --list-test-cases ]]; then
  echo '[doctest] listing all test case names'
  echo =====
  %s
  echo =====
  echo '[doctest] unskipped test cases passing the current filters: 2'
  exit
fi
exit 9"""
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")


class Sanitizer(WithStandIns):
    """On a copy of the scripts in a tree whose test programs are stand-ins, too."""

    def setUp(self):
        super().setUp()
        self.root, self.arguments = self.folder / "tree", ("--no-peers", "--longest", "3")
        shutil.copytree(ROOT / "bench", self.root / "bench")
        programs = self.root / "build" / "cuda"
        for name in ("", "_training", "_hessian"):
            self.stand_in(programs / f"slowsde_bench_gpu{name}", STAND_INS[f"built/slowsde_bench_gpu{name}"])
        self.stand_in(programs / "slowsde", ":")
        # A name with what a filter by name would take for something else.
        self.stand_in(programs / "tests" / "test_kernels", LISTED % "echo 'Φ, of *any* size'; echo 'one more'")
        self.stand_in(programs / "tests" / "test_device_sums", LISTED % "echo 'a sum<float>'")
        (self.root / "tests" / "gpu").mkdir(parents=True)
        for name in ("test_kernels.cu", "test_device_sums.cpp", "test_of_the_cpu.cpp"):
            (self.root / "tests" / "gpu" / name).touch()
        self.stand_in(self.folder / "bin" / "cmake", ":")
        self.stand_in(self.folder / "bin" / "ctest", """case "$*" in *-N*) echo '  Test  #1: test_kernels' ;; esac""")
        self.stand_in(self.folder / "bin" / "compute-sanitizer", """
          [[ $* == "--tool $2 --error-exitcode 1 --report-api-errors no build/cuda/tests/"*" --first="*" --last="* ]] || exit 9
          [[ ${8#--first=} == "${9#--last=}" ]] || exit 9
          case="$2:${7##*/}:${8#--first=}"
          echo "$case" >>"$FOLDER/calls"
          if [[ -e $FOLDER/orders/$case ]]; then source "$FOLDER/orders/$case"; fi""")
        self.cases = [f"{tool}:{case}" for tool in TOOLS
                      for case in ("test_kernels:1", "test_kernels:2", "test_device_sums:1")]

    def sanitized(self, *arguments):
        """(exit status, what was said, the cases that were run, in their order)"""
        status, said, calls = self.script(*arguments)
        return status, said, [call for call in calls if ":" in call]

    def test_every_case_is_a_piece_of_every_tool_and_is_run_once(self):
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (0, self.cases), said)
        self.assertIn("== racecheck-test_kernels-1-of-any-size\n", said)
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (0, []), said)

    def test_a_case_that_fails_is_named_and_run_again(self):
        self.order("racecheck:test_kernels:2", "exit 1")
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (1, self.cases))
        self.assertIn("== racecheck-test_kernels-2-one-more failed\n", said)
        (self.folder / "orders" / "racecheck:test_kernels:2").unlink()
        self.assertEqual(self.sanitized()[::2], (0, ["racecheck:test_kernels:2"]))

    def test_a_case_that_runs_out_of_time_is_said_and_comes_last_the_next_time(self):
        slow = "racecheck:test_kernels:1"
        self.order(slow, "exec sleep 60")
        self.order("initcheck:test_kernels:2", "exit 1")
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (1, self.cases))
        self.assertIn("== racecheck-test_kernels-1-of-any-size is unchecked: it ran out of its 3 s\n", said)
        self.assertEqual((self.out / "late.txt").read_text(encoding="utf-8"), "racecheck-test_kernels-1-of-any-size\n")
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (1, ["initcheck:test_kernels:2", slow]), said)
        for case in (slow, "initcheck:test_kernels:2"):
            (self.folder / "orders" / case).unlink()
        self.assertEqual(self.sanitized()[::2], (0, ["initcheck:test_kernels:2", slow]))
        self.assertEqual((self.out / "late.txt").read_text(encoding="utf-8"), "")

    def test_a_program_that_lists_no_cases_is_a_failure(self):
        self.stand_in(self.root / "build" / "cuda" / "tests" / "test_kernels", "exit 77")
        status, said, calls = self.sanitized()
        self.assertEqual((status, calls), (1, [case for case in self.cases if "sums" in case]))
        self.assertIn("test_kernels lists no cases", said)

    def test_without_tests_of_device_code_it_fails(self):
        self.stand_in(self.folder / "bin" / "ctest", ":")
        status, said, _ = self.sanitized("--no-sanitizer")
        self.assertEqual(status, 1)
        self.assertIn("there are no tests of device code", said)

    def test_the_list_names_the_tools_and_programs(self):
        status, said, calls = self.sanitized("--list")
        self.assertEqual((status, calls), (0, []))
        for tool in TOOLS:
            self.assertIn(f"{tool}-test_kernels-*", said.splitlines())


if __name__ == "__main__":
    sys.exit(unittest.main())
