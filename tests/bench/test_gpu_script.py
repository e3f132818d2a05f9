#!/usr/bin/env python3
"""bench/gpu.sh with programs that stand for those that need a GPU: they answer with made-up measurements and write down
that they were called."""
import csv
import os
import pathlib
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


class Script(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "orders").mkdir()
        for name, text in STAND_INS.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(ANSWER + text + "\n", encoding="utf-8")
            path.chmod(0o755)
        self.out = self.folder / "out"

    def script(self, *arguments, path=None, figures=False, **environment):
        """(exit status, everything that it printed, the pieces that were called)"""
        if not figures:
            arguments += ("--no-figures",)
        calls = self.folder / "calls"
        calls.write_text("", encoding="utf-8")
        run = subprocess.run(
            [ROOT / "bench" / "gpu.sh", "--out", self.out, "--built", self.folder / "built", *arguments],
            env={**os.environ, "PATH": path or f"{self.folder / 'bin'}:/usr/bin:/bin", "FOLDER": str(self.folder),
                 "MADE_UP": str(MADE_UP), "SLOWSDE_PYTHON": str(self.folder / "bin" / "peers-python"),
                 "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return run.returncode, run.stdout, calls.read_text(encoding="utf-8").split()

    def order(self, piece, what):
        (self.folder / "orders" / piece).write_text(what + "\n", encoding="utf-8")

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


if __name__ == "__main__":
    sys.exit(unittest.main())
