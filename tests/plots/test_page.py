#!/usr/bin/python3
"""The page of `slowsde report` in a browser: no error, no request, every figure, no overflow, both colour schemes.

Without Chromium the test is skipped (exit status 77).
"""
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "plots")]
sys.dont_write_bytecode = True

import browser  # noqa: E402
import figures  # noqa: E402
import loader  # noqa: E402
import report  # noqa: E402
import synthetic  # noqa: E402

SCREENS = [(360, 740), (1280, 900)]

# Everything is opened first: what is folded away can be too wide as well.
MEASURE = """(() => {
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  const visible = e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
  const scrolls = e => { for (; e && e !== document.body; e = e.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(e).overflowX)) return true; return false; };
  const width = document.documentElement.clientWidth;
  const rgb = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const figures = [...document.querySelectorAll("figure")].map(f => {
    const svg = f.querySelector("svg");
    const text = svg && svg.querySelector("[id*=text_] use");
    return { name: f.dataset.figure, caption: f.querySelector("figcaption")?.textContent.trim() ?? "",
      marks: svg && visible(svg) ? [...svg.querySelectorAll("path, use")].filter(visible).length : 0,
      height: svg ? svg.getBoundingClientRect().height : 0,
      ink: text ? rgb(getComputedStyle(text).fill) : null };
  });
  return { width: document.documentElement.scrollWidth, client: width,
    wide: [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg") && visible(e) && !scrolls(e)
      && (e.getBoundingClientRect().right > width + 1 || e.getBoundingClientRect().left < -1))
      .map(e => e.tagName.toLowerCase() + (e.className ? "." + e.className : "")),
    figures, page: rgb(getComputedStyle(document.body).backgroundColor), ink: rgb(getComputedStyle(document.body).color),
    card: rgb(getComputedStyle(document.querySelector("figure") ?? document.body).backgroundColor) };
})()"""


def luminance(rgb):
    """Relative luminance of sRGB values up to 255 (WCAG 2)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def complaints(chromium, file, expected):
    """What is wrong with a page that should hold the figures `expected`, in words, on every screen and in both schemes."""
    found = set()
    for width, height in SCREENS:
        grounds = {}
        for dark in (False, True):
            chromium.look(width, height, dark)
            where = f"{width} px, {'dark' if dark else 'light'}"
            for event in chromium.open(file.as_uri()):
                method, what = event.get("method"), event.get("params", {})
                if method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                    found.add(f"console: {what['args'][0].get('value')}")
                elif method == "Runtime.exceptionThrown":
                    found.add(f"exception: {what['exceptionDetails']['text']}")
                elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                    found.add(f"console: {what['entry']['text']}")
                elif method == "Network.requestWillBeSent" and what["request"]["url"].split(":")[0] != "data":
                    if what["request"]["url"] != file.as_uri():
                        found.add(f"request: {what['request']['url']}")
            page = chromium.evaluate(MEASURE)
            if page["width"] > page["client"] or page["wide"]:
                found.add(f"overflow at {where}: {page['width']} px, {', '.join(sorted(set(page['wide'])))}")
            names = [f["name"] for f in page["figures"]]
            if names != expected:
                found.add(f"figures: {names} for {expected}")
            for f in page["figures"]:
                if f["marks"] < 20 or f["height"] < 100:
                    found.add(f"figure {f['name']} is empty at {where}")
                elif f["ink"] is None or contrast(f["ink"], page["card"]) < 4.5:
                    found.add(f"figure {f['name']} can not be read at {where}")
                if len(f["caption"]) < 40:
                    found.add(f"figure {f['name']} has no caption")
            if contrast(page["ink"], page["page"]) < 7:
                found.add(f"the text can not be read at {where}")
            grounds[dark] = luminance(page["page"])
        if not grounds[True] < 0.05 < 0.6 < grounds[False]:
            found.add("one colour scheme for light and dark")
    return found


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.scratch = pathlib.Path(folder.name)
        suite = synthetic.suite(cls.scratch / "suite", {
            "a": lambda d: synthetic.digits(d, 0.05), "b": lambda d: synthetic.digits(d, 0.0125), "plan": synthetic.plan})
        runs = [synthetic.verification(cls.scratch / "verify"), suite, synthetic.training(cls.scratch / "training")]
        cls.expected = ["verification", "sharpness", "sharpness", "sharpness", "plan", "train"]
        # and one of every other figure
        for make in (synthetic.multiplier, synthetic.weak_order, synthetic.lr_limit, synthetic.decaying_lr, synthetic.worker_cloud,
                     synthetic.qsr_error, lambda d: synthetic.law(d, 500), synthetic.quantiles, synthetic.valley, synthetic.h_base, synthetic.mlmc,
                     synthetic.stepper_orders, synthetic.why, synthetic.sync_rules, synthetic.when, synthetic.workers):
            path = make(cls.scratch / f"run-{len(runs)}")
            runs.append(path)
            cls.expected.append(loader.open_run(path).figure)
        named_alone = {"spectrum", "sweep"}  # drawn only where they are asked for
        assert set(cls.expected) | named_alone == set(figures.FIGURES), set(figures.FIGURES) ^ set(cls.expected)
        cls.text = report.Page(runs).html()
        cls.chromium = cls.enterClassContext(browser.Browser())

    def complaints(self, before="", after="", count=1):
        """Of the page, with `before` changed to `after`."""
        self.assertIn(before, self.text)
        file = self.scratch / "page.html"
        file.write_text(self.text.replace(before, after, count) if before else self.text, encoding="utf-8")
        return sorted(complaints(self.chromium, file, self.expected))

    def test_the_page_has_every_figure_and_neither_errors_nor_requests_nor_overflow(self):
        self.assertEqual(self.complaints(), [])

    def test_the_button_changes_the_scheme(self):
        self.complaints()
        ground = "getComputedStyle(document.body).backgroundColor"
        before = self.chromium.evaluate(ground)
        self.chromium.evaluate("document.querySelector('button.scheme').click()")
        self.assertNotEqual(self.chromium.evaluate(ground), before)
        self.chromium.evaluate("document.querySelector('button.scheme').click()")
        self.assertEqual(self.chromium.evaluate(ground), before)

    def assert_noticed(self, words, before, after, count=1):
        found = self.complaints(before, after, count)
        self.assertTrue(any(words in f for f in found), found)

    def test_an_error_on_the_console_is_noticed(self):
        self.assertEqual(self.complaints("<script>", "<script>console.error('planted');"), ["console: planted"])

    def test_an_exception_is_noticed(self):
        self.assert_noticed("exception: Uncaught", "</body>", "<script>planted();</script></body>")

    def test_a_missing_figure_is_noticed(self):
        figure = self.text[self.text.index("<figure"):self.text.index("</figure>") + len("</figure>")]
        self.assert_noticed("figures: ['sharpness'", figure, "")

    def test_an_empty_figure_is_noticed(self):
        svg = self.text[self.text.index("<svg"):self.text.index("</svg>") + len("</svg>")]
        self.assert_noticed("figure verification is empty", svg, "<svg></svg>")

    def test_a_missing_caption_is_noticed(self):
        caption = self.text[self.text.index("<figcaption>"):self.text.index("</figcaption>")]
        self.assertEqual(self.complaints(caption, "<figcaption>"), ["figure verification has no caption"])

    def test_an_element_that_is_too_wide_is_noticed_on_the_screen_where_it_is(self):
        for width, screens in ((500, 2), (2000, 4)):
            found = self.complaints("<main>", f'<main><div class="planted" style="width:{width}px">x</div>')
            self.assertEqual(len(found), screens, found)
            for words in found:
                self.assertRegex(words, "overflow at .*div.planted")

    def test_a_table_without_a_box_of_its_own_is_noticed(self):
        self.assert_noticed("overflow at 360 px", '<div class="scroll" tabindex="0"><table', "<div><table")

    def test_a_request_is_noticed(self):
        self.assert_noticed("http://planted.invalid/x.png", "<main>", '<main><img alt="" src="http://planted.invalid/x.png">')

    def test_a_single_scheme_is_noticed(self):
        self.assert_noticed("one colour scheme", "prefers-color-scheme: dark)", "prefers-color-scheme: none)", -1)


if __name__ == "__main__":
    if browser.PROGRAM is None:
        print("skipped: there is no Chromium here (Debian package chromium)")
        sys.exit(77)
    unittest.main()
