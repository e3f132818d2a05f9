#!/usr/bin/python3
"""The page of `slowsde report`: what is in it, that it is whole or not there, and that it asks for nothing else."""
import contextlib
import html.parser
import io
import json
import pathlib
import re
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "plots")]
sys.dont_write_bytecode = True

import report  # noqa: E402
import synthetic  # noqa: E402

VOID = {"meta", "br", "img", "hr", "input", "link"}


class Reader(html.parser.HTMLParser):
    """Elements of a page, and what is wrong with their nesting."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong = [], [], []
        self.feed(text)
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def values(self, attribute):
        return [a[attribute] for _, a in self.elements if attribute in a]


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.scratch = pathlib.Path(folder.name)

    def program(self, *arguments):
        """(exit status, standard output, standard error)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = report.main([str(a) for a in arguments])
        return status, out.getvalue(), err.getvalue()

    def page(self, *paths):
        file = self.scratch / "page.html"
        self.assertEqual(self.program(*paths, "--out", file), (0, f"{file}\n", ""))
        return file.read_text(encoding="utf-8")

    def assert_refused(self, words, *arguments, status=report.CANNOT_READ):
        """One line, the status, and nothing new in the scratch directory."""
        before = sorted(self.scratch.rglob("*"))
        code, out, err = self.program(*arguments)
        self.assertEqual((code, out), (status, ""), err)
        self.assertRegex(err, rf"\Aslowsde: .*{words}.*\n\Z")
        self.assertEqual(sorted(self.scratch.rglob("*")), before)

    def test_every_kind_of_run_gives_well_formed_html_with_names_used_once_and_links_that_lead_somewhere(self):
        suite = synthetic.suite(self.scratch / "suite", {
            "digits": lambda d: synthetic.digits(d, 0.05), "digits-small": lambda d: synthetic.digits(d, 0.0125),
            "inner": lambda d: synthetic.suite(d, {"digits": synthetic.valley, "plan": synthetic.plan})})
        text = self.page(synthetic.verification(self.scratch / "verify"), synthetic.verification(self.scratch / "more/verify"), suite,
                         synthetic.training(self.scratch / "training"), synthetic.h_base(self.scratch / "h"),
                         synthetic.sync_rules(self.scratch / "rules"), synthetic.law(self.scratch / "law", 500))
        reader = Reader(text)
        self.assertEqual(reader.wrong, [])
        names = reader.values("id")
        self.assertEqual(len(names), len(set(names)))
        targets = [v for v in reader.values("href") + reader.values("xlink:href") if v.startswith("#")]
        targets += re.findall(r"url\((#[^)]*)\)", text)
        self.assertGreater(len(targets), 100)
        self.assertEqual({t[1:] for t in targets} - set(names), set())
        self.assertEqual(reader.values("data-figure"),
                         ["verification", "verification", "sharpness", "sharpness", "sharpness", "ensemble", "plan", "train", "h-base",
                          "sync-rules", "law"])
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, flags=re.S)
        self.assertEqual(len(captions), 11)
        for caption in captions:
            self.assertGreater(len(caption), 60)
            self.assertNotIn("\\", caption)
            self.assertRegex(caption, r"\.\Z")
            self.assertNotRegex(caption.replace("vs. ", ""), r"\. [A-Z]")  # one sentence

    def test_the_page_names_no_other_place(self):
        text = self.page(synthetic.valley(self.scratch / "run"))
        self.assertEqual(Reader(text).values("src"), [])
        addresses = set(re.findall(r"https?://[^\"' <)]*", text))
        self.assertEqual(addresses, {"http://www.w3.org/1999/xlink"})  # a name, not a place
        self.assertNotRegex(text, r"@import|<link|<iframe")
        self.assertIn("default-src 'none'", text)

    def test_the_verdicts_stand_in_a_table_that_leads_to_the_claims(self):
        text = self.page(synthetic.verification(self.scratch / "verify"))
        rows = re.findall(r"<tr><td>.*?</tr>", text[:text.index("</table>")], flags=re.S)
        self.assertEqual([re.search(r'href="#(.*?)".*?class="verdict (.*?)"', row).groups() for row in rows],
                         [("claim-claim-number-0", "confirmed"), ("claim-claim-number-1", "confirmed"),
                          ("claim-claim-number-2", "refuted"), ("claim-claim-number-3", "inconclusive")])
        claim = re.search(r'id="claim-claim-number-1".*?</article>', text, flags=re.S)[0]
        for words in ("Local SGD drifts 1 + (K−1)ψ(2ηHλ) times as fast as SGD.", "Gu et al. 2023</a>, Theorem 3.3",
                      "−1.16738 ± 0.0005", "−1.168<", "0.7 SE", "3,200", "ODE with 1 + (K−1)ψ(2ηHλ)", "± 0.01",
                      "K for K − 1 &amp; &lt;no&gt; &quot;cross&quot; term", ">13.5<", ">∞<",
                      "2 wrong theories, the nearest 13.5 SE away"):
            self.assertIn(words, claim)
        self.assertIn("not finite", re.search(r'id="claim-claim-number-2".*?</article>', text, flags=re.S)[0])
        self.assertIn("inconclusive: the standard error is above a fifth", text)
        self.assertIn('<span class="confirmed">2 confirmed</span>, <span class="refuted">1 refuted</span>', text)

    def test_a_claim_leads_to_its_paper_and_to_the_run_that_shows_it(self):
        judged = synthetic.verification(self.scratch / "verify")
        alone = self.page(judged)
        self.assertIn('<td>law.toml</td>', alone)
        self.assertIn('<a href="https://arxiv.org/abs/2303.01215">Gu et al. 2023</a>, Theorem 3.3', alone)
        beside = self.page(judged, synthetic.law(self.scratch / "law"))
        self.assertIn('<td><a href="#law">law.toml</a></td>', beside)
        self.assertIn('id="law"', beside)
        # and one that no figure shows, to the command that measures it alone
        self.assertIn('<td><a href="#claim-claim-number-1">its command</a></td>', alone)
        self.assertIn("<code>slowsde verify --suite quick --seed 1 --filter ^claim-number-1$</code></p>", alone)
        self.assertIn("its figure: <code>slowsde run experiments/configs/law.toml</code></p>", alone)

    def test_configuration_numbers_provenance_and_warnings_are_in_it(self):
        path = synthetic.valley(self.scratch / "run")
        (path / "run.json").write_text(json.dumps({
            "schema_version": 1, "version": "9.8.7", "git_hash": "abc123", "command": ["slowsde", "run", "<x>"], "seed": 41,
            "wall_seconds": 2.25, "warnings": ["3 replicas diverged"], "hardware": {"cpu": "a processor", "gpus": []}}))
        text = self.page(path)
        for words in ("9.8.7 abc123", "slowsde run &lt;x&gt;", "<dd>41</dd>", "2.2 s", "a processor", "warning: 3 replicas diverged",
                      report.escape((path / "config.toml").read_text()), "made up"):
            self.assertIn(words, text)

    def test_equal_results_give_equal_pages_wherever_they_are_and_a_directory_counts_once(self):
        pages = [self.page(synthetic.valley(self.scratch / name / "run")) for name in "ab"]
        self.assertEqual(*pages)
        self.assertEqual(self.page(self.scratch / "a/run", self.scratch / "b/../a/run"), pages[0])

    def test_the_default_place_is_the_first_directory_and_a_page_there_is_replaced(self):
        path = synthetic.valley(self.scratch / "run")
        (path / "report.html").write_text("old")
        self.assertEqual(self.program(path), (0, f"{path / 'report.html'}\n", ""))
        self.assertTrue((path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>"))

    def test_what_can_not_be_read_or_drawn_leaves_no_page(self):
        good = synthetic.valley(self.scratch / "good")
        bad = synthetic.suite(self.scratch / "suite", {"a": synthetic.valley, "b": synthetic.valley})
        self.assert_refused("none: is no directory", good, self.scratch / "none")
        (bad / "b/result.nc").write_bytes(b"nothing")
        self.assert_refused("b/result.nc: can not be read", good, bad)
        other = synthetic.valley(self.scratch / "other")
        (other / "config.toml").write_text('figure = "law"\n')
        self.assert_refused("no samples", good, other, status=report.CANNOT_DRAW)
        self.assert_refused("No such file", good, "--out", self.scratch / "nowhere/page.html")
        (self.scratch / "folder").mkdir()
        self.assert_refused("directory", good, "--out", self.scratch / "folder")
        (other / "config.toml").write_text("")
        (other / "summary.txt").write_bytes(b"\xff\xfe\xff")
        self.assert_refused("summary.txt: can not be read", other)

    def test_a_broken_verification_is_one_line(self):
        path = synthetic.verification(self.scratch / "verify")
        whole = (path / "verification.json").read_text(encoding="utf-8")
        for text, words in [("{", "verification.json: can not be read"), ("{}", "holds no claims"), ("[]", "holds no claims"),
                            (whole.replace('"schema_version": 1', '"schema_version": 2'), "is later than 1"),
                            (whole.replace('"critical_z"', '"critical"'), "lacks 'critical_z'"),
                            (whole.replace('"verdict": "refuted"', '"verdict": "perhaps"'), "'perhaps'")]:
            (path / "verification.json").write_text(text, encoding="utf-8")
            self.assert_refused(words, path)

    def test_colours_on_dark_ground_are_told_apart_from_it(self):
        luminance = lambda c: sum(w * (int(c[i:i + 2], 16) / 255) ** 2.2 for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))
        ground = luminance(report.on_dark("ffffff"))
        for colour in report.style.COLOURS:
            contrast = (luminance(report.on_dark(colour[1:].lower())) + 0.05) / (ground + 0.05)
            self.assertGreater(contrast, 3, colour)  # what WCAG asks of graphics


if __name__ == "__main__":
    unittest.main()
