#!/usr/bin/python3
"""One self-contained HTML page from run directories and verifications.

It holds figures, verdicts, configurations and provenance, and needs no network: its own policy forbids it.
"""
import argparse
import colorsys
import html
import json
import math
import os
import pathlib
import re
import sys
import tempfile

import figures
import loader
import style
from figures import CANNOT_DRAW, CANNOT_READ

HERE = pathlib.Path(__file__).resolve().parent
DARK = {"page": "#111214", "card": "#1b1c1f", "ink": "#e9e9e6", "faint": "#a5a5a0", "rule": "#37383c", "link": "#8ab8ef",
        "good": "#6cc799", "bad": "#ee8d9d", "open": "#dfb35f"}
PAPERS = {"Gu et al. 2023": "2303.01215", "Gu et al. 2024": "2310.14423", "Li, Wang & Arora 2022": "2110.06914",
          "Li, Tai & E 2019": "1811.01558", "Wang et al. 2024": "2307.15196"}
MARKS = {"confirmed": "✓", "refuted": "✗", "inconclusive": "?"}


class CannotDraw(loader.Unreadable):
    """A run that was read and has no figure."""


def escape(value):
    return html.escape(str(value), quote=True)


class Page:
    """The page of the runs at `paths`; everything is read and drawn before a byte of it is written."""

    def __init__(self, paths):
        self.names, self.colours, self.contents, self.drawn = set(), set(), [], 0
        self.of_config = {}  # configuration file: id of the run that it made
        self.verdicts = dict.fromkeys(MARKS, 0)
        roots = [loader.open_run(path) for path in dict.fromkeys(path.resolve() for path in paths)]
        self.title = roots[0].title or roots[0].path.name if len(roots) == 1 else "slowsde: results"
        body = "".join(self.part(root, 2)[0] for root in roots)
        self.body = re.sub(r"\0([^\0]*)\0", lambda m: self.shown_by(m[1]), body)

    def name(self, text):
        """An id that is used once."""
        plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        name, n = plain, 1
        while name in self.names:
            n += 1
            name = f"{plain}-{n}"
        self.names.add(name)
        return name

    def shown_by(self, config):
        """The run of a configuration if it is on the page, wherever that is; else its name."""
        name = self.of_config.get(config)
        return f'<a href="#{name}">{escape(config)}</a>' if name else escape(config)

    def part(self, run, level):
        """(section, runs in it) of a run, a verification or a suite with everything in it."""
        name, title = self.name(run.path.name), run.title or run.path.name
        self.contents.append((level, name, title))
        named = [pathlib.PurePath(word).name for word in run.record.get("command") or []]
        for config in [run.path.name + ".toml"] + [word for word in named if word.endswith(".toml") and level == 2]:
            self.of_config.setdefault(config, name)
        below, runs, judged = "", [], None
        if run.kind == "suite":
            for part in run.parts:
                text, inner = self.part(loader.open_run(run.path / part), level + 1)
                below += text
                runs += inner
            shown = "".join(self.figure(figure, same) for figure, same in figures.joint(runs).items() if len(same) > 1)
        else:
            runs = [run]
            judged = loader.verification(run) if run.kind == "verification" else None
            shown = self.figure(run.figure, runs)
        heading = min(level, 6)
        text = f'<section id="{name}"{" class=part" if level > 2 else ""}><h{heading}>{escape(title)}</h{heading}>\n'
        text += f'<p class="faint">{escape(run.kind)}, directory {escape(run.path.name)}</p>\n'
        text += _warnings(run) + shown
        if judged:
            text += self.verification(judged, heading + 1)
        return text + _papers(run) + below + "</section>\n", runs

    def figure(self, name, runs):
        try:
            with style.context():
                fig, caption = figures.draw(name, runs)
                style.settle(fig)
                text = style.svg(fig)
                inches = fig.get_size_inches()[0]
                style.plt.close(fig)
        except loader.Unreadable as error:
            raise CannotDraw(str(error)) from None
        self.drawn += 1
        drawing, colours = inline(text, f"f{self.drawn}-", f"figure {name}", inches)
        self.colours |= colours
        return (f'<figure id="{self.name("figure-" + name)}" data-figure="{escape(name)}">'
                f'<div class="scroll" tabindex="0">{drawing}</div>'
                f"<figcaption>{escape(' '.join(caption.replace('$', '').split()))}</figcaption></figure>\n")

    def verification(self, judged, heading):
        """A table of the verdicts, and below it every claim with its comparisons."""
        rows, claims = "", ""
        for claim in judged["claims"]:
            name, verdict, comparisons = self.name("claim-" + claim["name"]), claim["verdict"], claim["comparisons"]
            self.verdicts[verdict] += 1
            rivals = [w["z"] for c in comparisons for w in c["wrong_theories"]]
            rows += (f'<tr><td><a href="#{name}">{escape(claim["name"])}</a></td><td>{_verdict(verdict)}</td>'
                     + "".join(f'<td class="number">{value}</td>' for value in (
                         len(comparisons), _distance([c["z"] for c in comparisons], max), f"{min(c['measured']['n'] for c in comparisons):,}",
                         len(rivals), _distance(rivals, min)))
                     + '<td>' + (f'\0{claim["config"]}\0' if claim.get("config") else f'<a href="#{name}">its command</a>')
                     + f'</td><td>{_papers_of(claim["source"])}</td></tr>\n')
            claims += (f'<article class="claim" id="{name}"><div class="bar"><h{heading}>{escape(claim["name"])}</h{heading}>'
                       f'{_verdict(verdict)}</div><p>{escape(_sentence(claim["statement"]))}</p><p class="faint">{_papers_of(claim["source"])}</p>'
                       f'<p class="faint">{_again(judged, claim)}</p>'
                       + "".join(map(_comparison, comparisons)) + "</article>\n")
        counts = ", ".join(f"{judged[v]} {v}" for v in MARKS)
        return (f'<p>{len(judged["claims"])} claims: {counts}. Suite {escape(judged["suite"])}, seed {judged["seed"]}; distances are '
                f'in standard errors (SE) of the difference. A prediction is refuted beyond {judged["critical_z"]:.2f} SE, which '
                f'keeps the false alarms of the whole suite below {judged["false_alarm_budget"]:g}; a wrong theory is rejected from '
                f'{judged["rejection_z"]:g} SE on.</p>\n'
                '<div class="scroll" tabindex="0"><table class="verdicts"><thead><tr><th>claim</th><th>verdict</th>'
                '<th class="number">comparisons</th><th class="number">farthest (SE)</th><th class="number">least n</th>'
                '<th class="number">wrong theories</th><th class="number">nearest (SE)</th><th>shown by</th><th>source</th></tr></thead>'
                f"<tbody>\n{rows}</tbody></table></div>\n{claims}")

    def html(self):
        counts = ", ".join(f'<span class="{v}">{n} {v}</span>' for v, n in self.verdicts.items() if n)
        contents = "".join(f'<li style="margin-left:{level - 2}rem"><a href="#{name}">{escape(title)}</a></li>'
                           for level, name, title in self.contents)
        light = "".join(f"--c{c}:#{c};" for c in sorted(self.colours))
        dark = ("color-scheme:dark;" + "".join(f"--{k}:{v};" for k, v in DARK.items())
                + "".join(f"--c{c}:{on_dark(c)};" for c in sorted(self.colours)))
        return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
                "script-src 'unsafe-inline'; img-src data:\">\n"
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f"<title>{escape(self.title)}</title>\n<style>\n{(HERE / 'report.css').read_text(encoding='utf-8')}"
                f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root:not([data-scheme=light]){{{dark}}}}}\n"
                f":root[data-scheme=dark]{{{dark}}}\n</style></head>\n<body>"
                f'<header><div class="bar"><h1>{escape(self.title)}</h1><button class="scheme" type="button" hidden></button></div>'
                f"<p>{self.drawn} figure{'s' * (self.drawn != 1)}{'; claims: ' + counts if counts else ''}</p>"
                f"<nav aria-label=\"contents\"><ol>{contents}</ol></nav></header>\n<main>\n{self.body}</main>\n"
                f"<script>\n{(HERE / 'report.js').read_text(encoding='utf-8')}</script></body></html>\n")


def inline(text, prefix, label, inches):
    """(element, colours) of an SVG file's text for use within a page: ids of its own, colours by name."""
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = text.replace('xlink:href="#', f'xlink:href="#{prefix}').replace("url(#", f"url(#{prefix}")
    colours = {"000000"}  # of what names none

    def named(match):
        colours.add(match[1].lower())
        return f"var(--c{match[1].lower()})"

    text = re.sub(r'style="[^"]*"', lambda m: re.sub(r"#([0-9a-fA-F]{6})\b", named, m[0]), text)
    box = re.search(r'viewBox="[^"]*"', text)[0]
    # wide figures scroll on a narrow screen rather than shrink to what nobody can read
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" aria-label="{label}" style="min-width:{5.5 * inches:.1f}rem;max-width:{9 * inches:.1f}rem">'
    return re.sub(r"<svg[^>]*>", head, text, count=1).strip(), colours


def on_dark(colour):
    """The counterpart of a colour on dark ground: its hue, with lightness turned round; of white the ground itself."""
    if colour == "ffffff":
        return DARK["card"]
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(colour[i:i + 2], 16) / 255 for i in (0, 2, 4)))
    lightness = 0.93 - 0.75 * lightness
    rgb = colorsys.hls_to_rgb(hue, max(lightness, 0.47) if saturation > 0.2 else lightness, saturation)
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)


def _papers_of(source):
    """A claim's source with links to the papers that it names."""
    text = escape(source)
    for paper, number in PAPERS.items():
        text = text.replace(escape(paper), f'<a href="https://arxiv.org/abs/{number}">{escape(paper)}</a>')
    return text


def _verdict(verdict):
    return f'<span class="verdict {verdict}">{MARKS[verdict]} {verdict}</span>'


def _again(judged, claim):
    """The commands that measure this claim, with the same numbers as its seeds are its own, and that make its figure."""
    alone = f'slowsde verify --suite {judged["suite"]} --seed {judged["seed"]} --filter ^{claim["name"]}$'
    text = f"alone: <code>{escape(alone)}</code>"
    if claim.get("config"):
        text += f'; its figure: <code>slowsde run experiments/configs/{escape(claim["config"])}</code>'
    return text


def _sentence(text):
    return text[:1].upper() + text[1:] + "." if re.match("[a-zA-Z]", text) else text + "."


def _number(m):
    """mean ± SE with the digits that the error allows."""
    if m["mean"] is None:
        return "not finite"
    if not m["se"]:
        text = f"{m['mean']:.5g}"
    else:
        digits = min(max(math.ceil(-math.log10(m["se"])) + 1, 0), 12)
        text = f"{m['mean']:.{digits}f} ± {m['se']:.1g}"
    return text.replace("-", "−")


def _distance(values, which):
    if not values:
        return "–"
    if None in values:  # JSON has no infinity
        known = [z for z in values if z is not None]
        return f"{min(known):.1f}" if which is min and known else "∞"
    return f"{which(values):.1f}"


def _comparison(c):
    cells = [("measured ± SE", _number(c["measured"])), ("predicted", _number(c["predicted"])),
             ("distance", _distance([c["z"]], max) + " SE"), ("n", f"{c['measured']['n']:,}")]
    if c["margin"]:
        cells.append(("to agree within", f"± {c['margin']:.3g}"))
    text = (f'<div class="comparison"><p>{escape(c["quantity"])}</p><dl class="numbers">'
            + "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in cells) + "</dl>"
            f'<p class="faint">prediction: {escape(c["prediction_by"])}</p>')
    if c["reason"]:
        text += f'<p class="{c["verdict"]}">{c["verdict"]}: {escape(c["reason"])}</p>'
    wrong = c["wrong_theories"]
    if wrong:
        rows = "".join(f'<tr><td>{escape(w["name"])}</td><td class="number">{_number(w["predicted"])}</td>'
                       f'<td class="number">{_distance([w["z"]], min)}</td></tr>' for w in wrong)
        text += (f'<details><summary>{len(wrong)} wrong {"theory" if len(wrong) == 1 else "theories"}, the nearest '
                 f'{_distance([w["z"] for w in wrong], min)} SE away</summary><div class="scroll" tabindex="0"><table><thead><tr>'
                 '<th>wrong theory</th><th class="number">predicted</th><th class="number">away (SE)</th></tr></thead>'
                 f"<tbody>{rows}</tbody></table></div></details>")
    return text + "</div>\n"


def _warnings(run):
    return "".join(f'<p class="warning">warning: {escape(w)}</p>\n' for w in run.record.get("warnings") or [])


def _papers(run):
    """Configuration, numbers in words, provenance, as they are in the directory."""
    text = ""
    for file, title in (("summary.txt", "numbers"), ("config.toml", "configuration, every effective value")):
        content = _text(run.path / file)
        if content:
            text += f'<details><summary>{title}</summary><pre tabindex="0">{escape(content)}</pre></details>\n'
    record = run.record
    if not record:
        return text
    build, machine = record.get("build") or {}, record.get("hardware") or {}
    seconds = record.get("wall_seconds")
    pairs = [("version", f"{record.get('version', '')} {record.get('git_hash', '')}".strip()),
             ("command", " ".join(record.get("command") or [])), ("seed", record.get("seed")),
             ("started", record.get("started")), ("took", f"{seconds:.1f} s" if seconds is not None else None),
             ("exit status", record.get("exit_status")),
             ("ran on", f"{record.get('backend', '')}, {record.get('threads', '')} threads" if record.get("backend") else None),
             ("processor", machine.get("cpu")), ("GPUs", ", ".join(machine.get("gpus") or []) or None),
             ("compiler", " ".join(filter(None, (build.get("compiler"), build.get("build_type"), build.get("flags")))))]
    rows = "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in pairs if v not in (None, ""))
    return (text + f'<details><summary>provenance</summary><dl class="pairs">{rows}</dl>'
            f'<pre tabindex="0">{escape(json.dumps(record, indent=2, ensure_ascii=False))}</pre></details>\n')


def _text(file):
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise loader.Unreadable(f"{file}: can not be read ({loader.one_line(error)})") from None


def write(file, text):
    """Under another name first: what has the name `file` is whole."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="slowsde report", description=__doc__.splitlines()[0])
    parser.add_argument("dir", nargs="+", type=pathlib.Path, metavar="DIR",
                        help="run directory, suite or result of slowsde verify --out")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the page; default: report.html in the first DIR")
    options = parser.parse_args(arguments)
    out = options.out or options.dir[0] / "report.html"
    status = 0
    try:
        write(out, Page(options.dir).html())
    except CannotDraw as error:
        status = CANNOT_DRAW
        message = error
    except (loader.Unreadable, OSError) as error:
        status = CANNOT_READ
        message = error
    if status:
        print(f"slowsde: {loader.one_line(message)}", file=sys.stderr)
    else:
        print(out)
    return status


if __name__ == "__main__":
    sys.exit(main())
