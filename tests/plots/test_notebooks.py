#!/usr/bin/python3
"""The notebooks as they are stored: one question each, no outputs, code that compiles. scripts/test executes them."""
import json
import pathlib
import unittest

NOTEBOOKS = sorted((pathlib.Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def complaints(name, notebook):
    """What is wrong with a notebook, in words."""
    found, cells = [], notebook["cells"]
    text = "".join(cells[0]["source"])
    if cells[0]["cell_type"] != "markdown" or not text.startswith(f"# {name[:2]} ") or not text.splitlines()[0].endswith("?"):
        found.append("does not begin with its number and its question")
    for i, cell in enumerate(c for c in cells if c["cell_type"] == "code"):
        if cell["outputs"] or cell["execution_count"] is not None:
            found.append(f"code cell {i} keeps outputs")
        try:
            compile("".join(cell["source"]), name, "exec")
        except SyntaxError as error:
            found.append(f"code cell {i}: {error}")
    if len({cell["id"] for cell in cells}) != len(cells):
        found.append("two cells have one id")
    return found


class Notebooks(unittest.TestCase):
    def test_there_are_six_and_nothing_is_wrong_with_them(self):
        self.assertEqual([n.name[:2] for n in NOTEBOOKS], ["01", "02", "03", "04", "05", "06"])
        for path in NOTEBOOKS:
            self.assertEqual(complaints(path.name, json.loads(path.read_text(encoding="utf-8"))), [], path.name)

    def test_an_output_a_statement_for_a_question_and_broken_code_are_noticed(self):
        text = NOTEBOOKS[0].read_text(encoding="utf-8")
        for old, new, words in [('"outputs": []', '"outputs": [{}]', "keeps outputs"),
                                ('"execution_count": null', '"execution_count": 3', "keeps outputs"),
                                ("SDE?", "SDE.", "its question"), ("import numpy as np", "import numpy as", "invalid syntax")]:
            found = complaints(NOTEBOOKS[0].name, json.loads(text.replace(old, new, 1)))
            self.assertTrue(any(words in f for f in found), (words, found))


if __name__ == "__main__":
    unittest.main()
