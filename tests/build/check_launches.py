#!/usr/bin/env python3
"""Checks that no failure of the GPU goes unseen: usage check_launches.py ROOT; exit status 1 if a rule is broken.

Launches  in gpu, bench and tests, every <<<...>>> is followed by check_launch(...) or by a look at cudaGetLastError()
          before the next launch, a return or the function's end. The branches of one `if` may share it.
Statuses  in gpu, what a function of CUDA, cuBLAS or NCCL returns is handed to a check, assigned, compared or returned,
          except in destructors, which have nobody to tell. What is passed over knowingly is static_cast<void>(...).
"""
import pathlib
import re
import sys

FOLDERS = ["gpu", "bench", "tests"]
SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh"}
IGNORED = re.compile(r"""^[ \t]*\#(?:[^\n\\]|\\.)*  # for the preprocessor
                         |//[^\n]*|/\*.*?\*/
                         |R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])+'""",
                     re.DOTALL | re.MULTILINE | re.VERBOSE)
SCOPE = re.compile(r"\s*(template\s*<.*>\s*)?((inline|typedef)\s+)?(namespace|class|struct|union|enum|extern)\b", re.DOTALL)
TOKEN = re.compile(r"<<<|\bcheck_launch\s*\(|\bcudaGetLastError\s*\(|\breturn\b|\belse\b|[{}]")
STATUS = re.compile(r"(?<![\w.>])(?:cuda|cublas|nccl)[A-Z]\w*(?<!_t)(?:<[^;(){}]*>)?\s*\(")
NO_STATUS = re.compile(r"(cudaGetErrorString|cudaGetErrorName|cublasGetStatusString|ncclGetErrorString)\b")
TAKES_STATUS = re.compile(r"(\bcheck_\w+|\bfinish|\bif|\bwhile|\bswitch|\bstatic_cast\s*<\s*void\s*>)\s*$")


def code_of(text):
    """The text with spaces for comments, literals and what the preprocessor reads."""
    return IGNORED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def closing(code, at):
    """Where the bracket that opens at `at` is closed."""
    pairs = {"(": ")", "{": "}"}
    depth = 0
    for k in range(at, len(code)):
        depth += (code[k] == code[at]) - (code[k] == pairs[code[at]])
        if depth == 0:
            return k
    raise ValueError(f"a {code[at]} is not closed")


def functions(code):
    """[(header, begin, end)] of the outermost blocks that are no namespaces, classes or the like."""
    found, at = [], 0
    while (begin := code.find("{", at)) >= 0:
        header = code[max(code.rfind(mark, 0, begin) for mark in ";{}") + 1:begin]
        if SCOPE.match(header) and "(" not in re.sub(r"template\s*<.*>", "", header, flags=re.DOTALL):
            at = begin + 1
            continue
        end = closing(code, begin)
        found.append((header, begin, end))
        at = end + 1
    return found


def after_statement(code, at):
    """Behind the statement that begins at `at`: a block, an if with its own, or what ends with a semicolon."""
    at += len(code[at:]) - len(code[at:].lstrip())
    condition = re.compile(r"if\s*(constexpr\s*)?\(").match(code, at)
    if condition:
        return after_statement(code, closing(code, condition.end() - 1) + 1)
    return closing(code, at) + 1 if code[at] == "{" else code.index(";", at) + 1


def is_checked(code, at, end):
    """Whether what is launched before `at` is checked in a function that ends at `end`."""
    depth = least = 0
    while token := TOKEN.search(code, at, end):
        at = token.end()
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            least = min(least, depth)
        elif token[0] == "else":
            if depth == least:
                at = after_statement(code, at)
        elif token[0].startswith("c"):
            if depth == least:
                return True
        else:
            return False
    return False


def unused_status(code, call):
    before, behind = code[:call.start()].rstrip(), code[closing(code, call.end() - 1) + 1:].lstrip()
    if behind.startswith(("==", "!=")) or before.endswith("=") or re.search(r"\breturn$", before):
        return False
    depth = 0
    for k in range(len(before) - 1, -1, -1) if before.endswith(("(", ",")) else ():
        depth += (before[k] == "(") - (before[k] == ")")
        if depth == 1:
            return not TAKES_STATUS.search(before[:k])
    return True


def violations_in(path, folder):
    """Yields (line number, message) for one file."""
    code = code_of(path.read_text(encoding="utf-8"))

    def line(at):
        return code.count("\n", 0, at) + 1

    for header, begin, end in functions(code):
        for launch in re.finditer("<<<", code[begin:end]):
            at = begin + launch.start()
            arguments = code.index("(", code.index(">>>", at))
            if not is_checked(code, closing(code, arguments) + 1, end):
                yield line(at), "this launch is not checked"
        if folder != "gpu" or re.search(r"~\w+\s*\(\s*\)", header):
            continue
        for call in STATUS.finditer(code, begin, end):
            if not NO_STATUS.match(call[0]) and unused_status(code, call):
                yield line(call.start()), f"the status of {call[0].rstrip('( ')} is not used"


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    root = pathlib.Path(arguments[0]).resolve()
    files = [(path, folder) for folder in FOLDERS for path in sorted((root / folder).rglob("*")) if path.suffix in SUFFIXES]
    launches = broken = 0
    for path, folder in files:
        launches += code_of(path.read_text(encoding="utf-8")).count("<<<")
        for number, message in violations_in(path, folder):
            print(f"{path.relative_to(root)}:{number}: {message}")
            broken += 1
    if not launches:
        sys.exit(f"no launch under {root}")
    print(f"{len(files)} files, {launches} launches, {broken} violations")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
