#!/usr/bin/env python3
"""The checks of the build reject what they are there to reject.

usage: test_checks.py ROOT EMPTY_TEST_PROGRAM COMPILER
"""
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = EMPTY_PROGRAM = COMPILER = None
HERE = pathlib.Path(__file__).resolve().parent


def run(*command):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True)


class Layers(unittest.TestCase):
    def check(self, file="problems/host_device.hpp", line=None):
        """Runs the check on a copy of the library's folders with `line` added to the end of `file`."""
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch)
            for folder in ["problems", "sde", "optim", "gpu", "experiments", "tests"]:
                if (ROOT / folder).is_dir():
                    shutil.copytree(ROOT / folder, copy / folder)
            if line:
                (copy / file).parent.mkdir(exist_ok=True)
                with open(copy / file, "a", encoding="utf-8") as stream:
                    stream.write(f"\n{line}\n")
            return run(sys.executable, HERE / "check_layers.py", copy)

    def assert_rejected(self, file, line, message):
        result = self.check(file, line)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stdout, re.escape(file) + r":\d+: " + message)
        self.assertEqual(result.stdout.count(file), 1, result.stdout)

    def test_an_unchanged_copy_passes(self):
        result = self.check()
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_a_lower_folder_that_includes_a_higher_one_fails(self):
        self.assert_rejected("problems/planted.hpp", '#include "slowsde/sde/second_moment.hpp"', "problems includes")

    def test_an_include_without_the_prefix_fails(self):
        self.assert_rejected("sde/planted.cpp", '#include "problems/host_device.hpp"', "problems/host_device.hpp is")
        self.assert_rejected("tests/sde/planted.cpp", '#include "sde/second_moment.hpp"', "sde/second_moment.hpp is")

    def test_an_include_by_bare_file_name_fails(self):
        self.assert_rejected("sde/planted.cpp", '#include "second_moment.hpp"', '"second_moment.hpp" is not')

    def test_a_generated_header_is_for_cpp_files_only(self):
        self.assert_rejected("sde/planted.hpp", '#include "slowsde_generated.hpp"', '"slowsde_generated.hpp" is not')
        result = self.check("sde/planted.cpp", '#include "slowsde_generated.hpp"')
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_the_library_does_not_include_the_tests(self):
        self.assert_rejected("sde/planted.cpp", '#include "tests/support/tolerance.hpp"', '"tests/support')

    def test_an_angle_bracketed_own_header_fails(self):
        self.assert_rejected("sde/planted.cpp", "#include <slowsde/sde/second_moment.hpp>", "<slowsde/sde")

    def test_a_header_that_does_not_exist_fails(self):
        self.assert_rejected("sde/planted.cpp", '#include "slowsde/problems/no_such.hpp"', "slowsde/problems/no_such")

    def test_a_cuda_header_below_gpu_fails(self):
        for header in ["cuda_runtime.h", "curand_kernel.h", "thrust/reduce.h", "nccl.h", "cooperative_groups.h"]:
            self.assert_rejected("optim/planted.hpp", f"#include <{header}>", "CUDA's")

    def test_a_cuda_header_in_gpu_passes(self):
        result = self.check("gpu/planted.cu", "#include <cuda_runtime.h>")
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_a_tree_without_sources_fails(self):
        with tempfile.TemporaryDirectory() as scratch:
            self.assertNotEqual(run(sys.executable, HERE / "check_layers.py", scratch).returncode, 0)


class Launches(unittest.TestCase):
    def check(self, text=None, file="gpu/planted.cu"):
        """Runs the check on a copy of the folders that it reads, with a file of this text."""
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch)
            for folder in ["gpu", "bench", "tests"]:
                shutil.copytree(ROOT / folder, copy / folder)
            if text:
                (copy / file).write_text(f"#include <cuda_runtime.h>\nnamespace a {{\n{text}\n}}\n", encoding="utf-8")
            return run(sys.executable, HERE / "check_launches.py", copy)

    def assert_rejected(self, text, message, line=None, file="gpu/planted.cu"):
        result = self.check(text, file)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stdout, rf"{re.escape(file)}:{line or '[0-9]+'}: {message}")
        self.assertEqual(result.stdout.count(file), 1, result.stdout)

    def assert_accepted(self, text, file="gpu/planted.cu"):
        result = self.check(text, file)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_an_unchanged_copy_passes(self):
        self.assert_accepted(None)

    def test_a_launch_that_is_not_checked_fails(self):
        for file in ("gpu/planted.cuh", "bench/planted.cu", "tests/gpu/test_planted.cu"):
            self.assert_rejected("void f() {\n  k<<<1, 2>>>(3);\n}", "this launch is not checked", 4, file)

    def test_a_launch_whose_check_is_behind_another_launch_or_elsewhere_fails(self):
        message = "this launch is not checked"
        self.assert_rejected('void f() {\n  k<<<1, 2>>>();\n  k<<<1, 2>>>();\n  check_launch("k");\n}', message, 4)
        self.assert_rejected('void f() { k<<<1, 2>>>(); }\nvoid g() { check_launch("k"); }', message, 3)
        self.assert_rejected('struct A {\n  void f() { k<<<1, 2>>>(); }\n  void g() { check_launch("k"); }\n};', message, 4)
        self.assert_rejected('int f() { k<<<1, 2>>>(); return 0; check_launch("k"); }', message)
        self.assert_rejected('void f(bool a) { k<<<1, 2>>>(); if (a) { check_launch("k"); } }', message)
        self.assert_rejected('void f(bool a) { if (a) { k<<<1, 2>>>(); } else { check_launch("k"); } }', message)
        self.assert_rejected('void f() { check_launch("k"); k<<<1, 2>>>(); }', message)
        self.assert_rejected('void f() { k<<<1, 2>>>();  // check_launch("k");\n}', message)

    def test_a_launch_that_is_checked_passes(self):
        self.assert_accepted('void f() { k<T><<<g(1), (2 + 3), 0, s>>>(a(), b); check_launch("k"); }')
        self.assert_accepted('void f() { k<<<1, 2>>>(); check_cuda(cudaGetLastError(), "k"); }')
        self.assert_accepted("void f() { k<<<1, 2>>>(); REQUIRE(cudaGetLastError() == cudaSuccess); }", "tests/gpu/test_planted.cu")
        self.assert_accepted('void f() { use([&] { k<<<1, 2>>>(); }); check_launch("k"); }')
        self.assert_accepted('void f(int a) { if (a == 1) { k<<<1, 2>>>(); } else if (a == 2) { k<<<3, 4>>>(); } else '
                             'k<<<5, 6>>>(); check_launch("k"); }')
        self.assert_accepted('void f() { const char* text = "k<<<1, 2>>>();"; }')

    def test_a_status_that_is_dropped_fails(self):
        for call, name in (("cudaMemset(p, 0, 1)", "cudaMemset"), ("cublasSetStream(h, s)", "cublasSetStream"),
                           ("ncclGroupEnd()", "ncclGroupEnd"), ("cudaMalloc<int>(&p, 1)", "cudaMalloc<int>")):
            self.assert_rejected(f"void f() {{ {call}; }}", f"the status of {name} is not used", 3)
        message = "the status of cudaFree is not used"
        self.assert_rejected("void f() {\n  if (p) cudaFree(p);\n}", message, 4)
        self.assert_rejected("void f() { (void)cudaFree(p); }", message)
        self.assert_rejected("void f() { use(p, cudaFree(p)); }", message)
        self.assert_rejected("struct A {\n  ~A() { cudaFree(p); }\n  void f() { cudaFree(p); }\n};", message, 5)

    def test_a_status_that_is_used_passes(self):
        for text in ('check_cuda(cudaFree(p), "p");', "const cudaError_t status = cudaFree(p);", "if (cudaFree(p)) g();",
                     "g(cudaFree(p) != cudaSuccess);", "return cudaFree(p);", "static_cast<void>(cudaFree(p));",
                     'c.finish(ncclGroupEnd(), "all");', "std::puts(cudaGetErrorString(status));", "cudaStream_t(s);"):
            self.assert_accepted(f"int f() {{ {text} }}")
        self.assert_accepted("struct A {\n  ~A() {\n    if (p) cudaFree(p);\n  }\n};")

    def test_a_tree_without_launches_fails(self):
        with tempfile.TemporaryDirectory() as scratch:
            self.assertNotEqual(run(sys.executable, HERE / "check_launches.py", scratch).returncode, 0)


class Headers(unittest.TestCase):
    def check(self, text):
        with tempfile.TemporaryDirectory() as scratch:
            root = pathlib.Path(scratch)
            (root / "problems").mkdir()
            (root / "slowsde").symlink_to(root)
            if text:
                (root / "problems" / "planted.hpp").write_text(text)
            command = f"{shlex.quote(COMPILER)} -std=c++20 -I{shlex.quote(scratch)} -o user.o -c user.cpp"
            database = root / "compile_commands.json"
            database.write_text(json.dumps([{"directory": scratch, "command": command, "file": "user.cpp"}]))
            return run(sys.executable, HERE / "check_headers.py", root, 1, database, "user.cpp")

    def test_a_complete_header_passes(self):
        self.assertEqual(self.check("#pragma once\n#include <vector>\nstruct A { std::vector<int> a; };\n").returncode, 0)

    def test_a_header_that_leans_on_its_includer_fails(self):
        self.assertEqual(self.check("#pragma once\nstruct A { std::vector<int> a; };\n").returncode, 1)

    def test_a_header_without_a_guard_fails(self):
        self.assertEqual(self.check("struct A {};\n").returncode, 1)

    def test_no_header_at_all_fails(self):
        self.assertNotEqual(self.check("").returncode, 0)


class TestPrograms(unittest.TestCase):
    def test_a_test_program_without_cases_fails(self):
        result = run(EMPTY_PROGRAM)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no test case was run", result.stderr)


class Version(unittest.TestCase):
    def test_the_citation_has_the_version_of_the_build(self):
        build = re.search(r"project\(slowsde VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
        citation = re.search(r'^version: "?([^"\n]+)"?$', (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
        self.assertIsNotNone(build)
        self.assertIsNotNone(citation)
        self.assertEqual(build[1], citation[1])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    ROOT, EMPTY_PROGRAM, COMPILER = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    result = unittest.main(argv=sys.argv[:1], exit=False).result
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
