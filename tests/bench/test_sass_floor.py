#!/usr/bin/env python3
"""The floors that bench/sass_floor.py counts, on short machine code whose instructions per step are counted by hand. A script
stands for cuobjdump."""
import csv
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
W1 = "_ZN7slowsde6detail15rounds_in_warpsINS_13IterateWorkerINS_6ValleyEfLNS_9NoiseKindE1EEEEEvT_"
W2_F64 = "_ZN7slowsde6detail16run_trajectoriesINS_14LaneTrajectoryINS_13EulerMaruyamaENS_13ValleySlowSdeEdLi1ELi1EEEEEvT_"
W3 = "_ZN7slowsde6detail11fused_stepsILb1ENS_10SgdFormulaEfEEvT_"
DRAW = ["IMAD.WIDE.U32 R2, R2, -0x326172a9, RZ"] * 20


def kernel(name, lines, architecture="sm_90"):
    """What cuobjdump prints of a function. `a: TEXT` is an instruction that branches name as {a}."""
    labels, texts = {}, []
    for line in lines:
        label, colon, rest = line.partition(": ")
        if colon:
            labels[label] = f"0x{16 * len(texts):x}"
        texts.append(rest if colon else line)
    body = "".join(f"        /*{16 * k:04x}*/                   {text.format(**labels)} ;  /* 0x0000000000007918 */\n"
                   f"{' ' * 80}/* 0x000fc00000000000 */\n" for k, text in enumerate(texts))
    return f"\nFatbin elf code:\n================\narch = {architecture}\n\n\t\tFunction : {name}\n{body}"


def drawn(name):
    """A block of normals that may be there already, with the slow path of a division."""
    return [f"@!P0 BRA {{{name}_drawn}}", *DRAW, "MUFU.RCP R3, R2", "FCHK P0, R0, R3", f"@P0 BRA {{{name}_slowly}}",
            *["FFMA R3, R3, R2, R1"] * 3, f"BRA {{{name}_divided}}", f"{name}_slowly: CALL.REL.NOINC 0x0",
            f"{name}_divided: FMUL R3, R3, R4", f"{name}_drawn: FADD R5, R3, R4"]


def w1_loop(name, of_step):
    """The loop of whole blocks: a block and four steps, each with a load that constant rates do without."""
    steps = []
    for k in range(4):
        steps += [f"@P1 BRA {{{name}_{k}}}", "LDG.E.64 R14, desc[UR10][R16.64]", f"{name}_{k}: FFMA R7, R6, R5, R7", *of_step]
    return [f"{name}_block: UIADD3 UR4, UR4, 0x1, URZ", *drawn(name), *steps, f"@!P2 BRA {{{name}_block}}"]


def single_steps(name):
    """The loop of the steps before and after whole blocks: shorter, with a block for each."""
    return [f"{name}_step: UIADD3 UR4, UR4, 0x1, URZ", *drawn(name), "FFMA R7, R6, R5, R7", f"@!P2 BRA {{{name}_step}}"]


# Issued for four steps: UIADD3, BRA, 20 IMAD.WIDE, MUFU, FCHK, BRA, three FFMA, BRA, FMUL, FADD, four times BRA and FFMA, BRA.
W1_PER_STEP = {"issue": 40 / 4, "fma": 29 / 4, "imad": 20 / 4, "alu": 0, "fp64": 0, "xu": 1 / 4, "conversion": 0, "memory": 0}


class SassFloor(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        tool = self.folder / "cuobjdump"
        tool.write_text('#!/bin/sh\n[ "$1" = -sass ] && cat "$2"\n', encoding="utf-8")
        tool.chmod(0o755)

    def floors(self, *texts, options=("--clock", "1000", "--multiprocessors", "100")):
        """(exit status, {(workload, precision): row}, standard error) for programs of this machine code."""
        programs = []
        for k, text in enumerate(texts):
            programs.append(self.folder / f"program-{k}")
            programs[-1].write_text(text, encoding="utf-8")
        run = subprocess.run([sys.executable, ROOT / "bench" / "sass_floor.py", *programs, *options], text=True,
                             env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"},
                             capture_output=True, check=False)
        rows = {(row["workload"], row["precision"]): row for row in csv.DictReader(io.StringIO(run.stdout))}
        return run.returncode, rows, run.stderr

    def assert_per_step(self, row, expected):
        for pipe, count in expected.items():
            self.assertAlmostEqual(float(row[f"{pipe}_per_step"]), count, delta=2e-3 * max(count, 1), msg=pipe)

    def test_a_step_is_its_share_of_a_block_on_the_shortest_way(self):
        status, rows, err = self.floors(kernel(W1, w1_loop("only", [])))
        self.assertEqual((status, err), (0, ""))
        row = rows["W1", "f32"]
        self.assert_per_step(row, W1_PER_STEP)
        self.assertEqual(row["binding_pipe"], "issue")
        # 128 issued for each clock: 10/128 clocks a step, 1e11 clocks a second on 100 multiprocessors
        self.assertAlmostEqual(float(row["floor_per_second"]), 1e11 * 128 / 10, delta=1e9)

    def test_the_loops_of_single_steps_are_not_the_one_that_is_counted(self):
        before, after = single_steps("before"), single_steps("after")
        blocks = w1_loop("blocks", [])
        for lines in (before + blocks + after, blocks + after, before + blocks):
            rounds = ["rounds: S2R R0, SR_TID.X", *lines, "@!P4 BRA {rounds}"]
            status, rows, _ = self.floors(kernel(W1, rounds))
            self.assertEqual(status, 0)
            self.assert_per_step(rows["W1", "f32"], W1_PER_STEP)

    def test_the_pipe_that_binds_is_the_one_that_needs_most_clocks(self):
        step = ["step: DFMA R2, R2, R4, R6", *["DFMA R2, R2, R4, R6"] * 19, "@!P0 BRA {drawn}", *DRAW,
                "drawn: DADD R2, R2, R4", "@!P2 BRA {step}"]
        status, rows, _ = self.floors(kernel(W2_F64, step))
        self.assertEqual(status, 0)
        row = rows["W2", "f64"]
        # In f64 a block has two normals, for two steps: half of 43 issued, of 21 on the pipe of doubles and of 20 wide ones.
        self.assert_per_step(row, {"issue": 21.5, "fp64": 10.5, "imad": 10, "fma": 10})
        self.assertEqual(row["binding_pipe"], "issue")  # 21.5/128 > 10.5/64
        more = [*step[:1], *["DFMA R2, R2, R4, R6"] * 20, *step[1:]]
        _, rows, _ = self.floors(kernel(W2_F64, more))
        self.assertEqual(rows["W2", "f64"]["binding_pipe"], "fp64")  # 20.5/64 > 31.5/128
        self.assertAlmostEqual(float(rows["W2", "f64"]["floor_per_second"]), 1e11 * 64 / 20.5, delta=1e9)

    def test_the_pipes_of_opcodes(self):
        sys.path.insert(0, str(ROOT / "bench"))
        sys.dont_write_bytecode = True
        import sass_floor

        for opcode, pipes in (("FFMA", ["fma"]), ("HFMA2.MMA", ["fma"]), ("IMAD.MOV.U32", ["fma", "imad"]),
                              ("VIADDMNMX", ["alu"]), ("IADD3.X", ["alu"]), ("FSETP.GEU.AND", ["alu"]), ("UIADD3.X", []),
                              ("R2UR", []), ("CS2R", []), ("I2FP.F32.U32", ["conversion"]), ("F2F.F32.F64", ["xu"]),
                              ("I2F.F64", ["xu"]), ("F2I.TRUNC.NTZ", ["conversion"]), ("MUFU.RSQ64H", ["xu"]),
                              ("LDS.128", ["memory"]), ("LDC.64", []), ("DSETP.NEU.AND", ["fp64"]), ("HGMMA.64x8x16", None),
                              ("FADDX", None)):
            self.assertEqual(sass_floor.pipes_of(opcode), pipes, opcode)

    def test_an_opcode_that_no_pipe_knows_is_said_and_issued(self):
        status, rows, err = self.floors(kernel(W1, w1_loop("only", ["QUUX.RZ R1, R2"])))
        self.assertEqual(status, 0)
        self.assertIn("QUUX.RZ: on no pipe that is known", err)
        self.assert_per_step(rows["W1", "f32"], {**W1_PER_STEP, "issue": W1_PER_STEP["issue"] + 1})

    def products(self, loops=3):
        def loop(name, loads):
            return [f"{name}: LDS.128 R4, [R2]", *["LDS.128 R4, [R2+0x10]"] * (loads - 1), *["FFMA R8, R4, R5, R8"] * 64,
                    f"@P0 BRA {{{name}}}"]

        lines = [line for name, loads in (("forward", 12), ("backward", 8), ("gradients", 8))[:loops]
                 for line in loop(name, loads)]
        # What is done once for a tile holds no product.
        return kernel(W3, ["steps: S2R R0, SR_TID.X", "sum: LDS R1, [R2]", "FADD R3, R3, R1", "@P1 BRA {sum}", *lines,
                           "@P2 BRA {steps}"])

    def test_a_step_of_w3_runs_its_products_as_often_as_the_network_needs(self):
        status, rows, _ = self.floors(self.products())
        self.assertEqual(status, 0)
        row = rows["W3", "f32"]
        # Sixteen samples; forward and gradients 2·64² + 640 products each, backward 64² + 640; 64 of them in a loop, with
        # 77 and 73 instructions, of whose loads each takes two passes.
        runs = {"forward": 16 * 8832 / 64, "backward": 16 * 4736 / 64, "gradients": 16 * 8832 / 64}
        self.assert_per_step(row, {
            "issue": 77 * runs["forward"] + 73 * (runs["backward"] + runs["gradients"]),
            "fma": 64 * sum(runs.values()),
            "memory": 24 * runs["forward"] + 16 * (runs["backward"] + runs["gradients"])})
        loaded = 16 * (12 * runs["forward"] + 8 * (runs["backward"] + runs["gradients"]))
        self.assertAlmostEqual(float(row["multiply_adds_per_loaded_byte"]), 64 * sum(runs.values()) / loaded, delta=1e-3)
        self.assertEqual(row["binding_pipe"], "memory")
        self.assertAlmostEqual(float(row["fp32_peak_at_floor"]),
                               64 * sum(runs.values()) / 128 / (float(row["memory_per_step"]) / 32), delta=1e-3)

    def test_several_programs_and_the_measured_share(self):
        measured = self.folder / "measured.csv"
        measured.write_text("program,workload,precision,per_second_kernel\nslowsde,W1,f32,1e11\nslowsde,W1,f32,2e11\n"
                            "torch-compile,W1,f32,9e11\nslowsde-layered,W3,f32,9e9\nslowsde-fused,W3,f32,1e7\n",
                            encoding="utf-8")
        status, rows, _ = self.floors(kernel(W1, w1_loop("only", [])), self.products(),
                                      options=("--clock", "1000", "--multiprocessors", "100", "--measured", measured))
        self.assertEqual((status, set(rows)), (0, {("W1", "f32"), ("W3", "f32")}))
        self.assertAlmostEqual(float(rows["W1", "f32"]["share_of_floor"]), 2e11 / (1e11 * 128 / 10), delta=1e-3)
        self.assertEqual(float(rows["W3", "f32"]["measured_per_second"]), 1e7)

    def test_a_kernel_whose_loop_is_not_found_is_a_failure(self):
        straight = [line for line in w1_loop("only", []) if not line.endswith("{only_block}")]
        for text, words in ((kernel(W1, straight), "the loop of a step is not found"),
                            (self.products(loops=2), "the loop of a step is not found"),
                            (kernel("_Z9something", ["EXIT"]), "none of the kernels")):
            status, rows, err = self.floors(text)
            self.assertEqual((status, rows), (1, {}))
            self.assertIn(words, err)
        status, rows, _ = self.floors(kernel(W1, straight), self.products())
        self.assertEqual((status, set(rows)), (1, {("W3", "f32")}))

    def test_code_for_another_architecture_is_left_out(self):
        other = kernel(W1, w1_loop("only", ["FADD R1, R1, R1"] * 9), architecture="sm_80")
        status, rows, err = self.floors(other)
        self.assertEqual((status, rows), (77, {}))
        self.assertIn("no code for sm_90", err)
        status, rows, _ = self.floors(other + kernel(W1, w1_loop("only", [])))
        self.assertEqual(status, 0)
        self.assert_per_step(rows["W1", "f32"], W1_PER_STEP)


if __name__ == "__main__":
    unittest.main()
