"""The report of a file of data as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from modelship_lab.learning.data.findings import MOST_OF_A_GROUP, Findings
from modelship_lab.records.base import utc_now
from modelship_lab.records.data_check import DataCheck

__all__ = ["page"]

_MOST_CLASSES = 20
_COLUMNS = 30
_RARE_LANGUAGE = 0.005
_TRUSTED = 0.9
"""A comparison model that is right less often is not believed against a label."""
_PREVIEW = 240
_BAR, _GAP, _LEFT, _RIGHT, _WIDTH = 20, 8, 150, 90, 720
_PLOT_HEIGHT = 150

_STYLE = """
:root { color-scheme: light dark; --ink:#1d2433; --soft:#5c6678; --line:#dfe3ea; --paper:#ffffff; --card:#f6f7f9;
  --main:#2f6fdb; --good:#1f8a5b; --warn:#b26a00; --bad:#c2363f; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ef; --soft:#9aa4b5; --line:#333b49; --paper:#14181f;
  --card:#1c222c; --main:#6ea2f5; --good:#4cc38a; --warn:#f0a94a; --bad:#f2777e; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif; }
main { max-width:860px; margin:0 auto; padding:40px 24px 80px; }
h1 { font-size:26px; line-height:1.25; margin:0 0 4px; overflow-wrap:anywhere; }
h2 { font-size:18px; margin:44px 0 10px; padding-top:14px; border-top:1px solid var(--line); }
p { margin:6px 0; } .soft { color:var(--soft); }
.verdict { display:inline-block; margin:14px 0 4px; padding:6px 12px; border-radius:6px; font-weight:600; color:#fff; background:var(--good); }
.verdict.bad { background:var(--bad); } .verdict.warn { background:var(--warn); }
@media (prefers-color-scheme: dark) { .verdict { color:#10141a; } }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(118px,1fr)); gap:12px; margin:18px 0 8px; }
.tile { background:var(--card); border:1px solid var(--line); border-radius:8px; padding:12px 14px; }
.tile b { display:block; font-size:22px; line-height:1.2; font-variant-numeric:tabular-nums; }
.tile span { color:var(--soft); font-size:13px; }
ul.problems { list-style:none; padding:0; margin:10px 0; }
ul.problems li { border-left:4px solid var(--warn); background:var(--card); padding:8px 12px; margin:8px 0; border-radius:0 6px 6px 0; overflow-wrap:anywhere; }
ul.problems li.bad { border-color:var(--bad); }
svg { display:block; width:100%; height:auto; margin:10px 0; font:12px system-ui,sans-serif; }
svg text { fill:var(--ink); } svg .soft { fill:var(--soft); } svg .bar { fill:var(--main); } svg .bar.warn { fill:var(--warn); }
svg .axis { stroke:var(--line); stroke-width:1; } svg .mark { stroke:var(--bad); stroke-width:1.5; stroke-dasharray:4 3; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:14px; margin:10px 0; }
th,td { text-align:left; vertical-align:top; padding:6px 12px 6px 0; border-bottom:1px solid var(--line); }
th { color:var(--soft); font-weight:600; font-size:13px; white-space:nowrap; }
td.number, th.number { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; }
td.text { overflow-wrap:anywhere; min-width:220px; }
.tag { display:inline-block; border:1px solid var(--line); border-radius:10px; padding:0 8px; font-size:13px; background:var(--card); white-space:nowrap; }
details { margin:8px 0; } summary { cursor:pointer; color:var(--main); }
footer { margin-top:56px; color:var(--soft); font-size:13px; }
@media print { main { max-width:none; padding:0; } h2 { break-after:avoid; } table,svg { break-inside:avoid; } }
"""


def page(check: DataCheck, found: Findings | None) -> str:
    """The whole page.

    Args:
        check: of the file.
        found: what is in it; None: there is nothing that could be looked through.
    """
    title = f"Data report: {check.path}"
    parts = [_head(check, found)]
    if found is not None:
        parts += [
            _classes(check, found),
            _lengths(found),
            _repetitions(found),
            _leakage(found),
            _languages(found),
            _label_errors(found),
            _worst(found),
        ]
    body = "\n".join(parts)
    made = utc_now().strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # The texts are anybody's: nothing in them is ever loaded or executed.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>Made by ModelShip Lab on {made}. Rows are counted from 1.</footer>\n</main>\n</body>\n</html>\n"
    )


def _head(check: DataCheck, found: Findings | None) -> str:
    errors = [problem for problem in check.problems if problem.is_error]
    warnings = len(check.problems) - len(errors)
    if errors:
        verdict = '<p class="verdict bad">Nothing can be learned from this file yet</p>'
    elif warnings:
        verdict = '<p class="verdict warn">Can be learned from; look at the notes first</p>'
    else:
        verdict = '<p class="verdict">Can be learned from</p>'
    tiles = [(f"{check.rows:,}", "rows"), (f"{len(check.classes):,}", "classes")]
    if found is not None:
        tiles += [
            (f"{found.duplicates:,}", "exact repetitions"),
            (f"{found.near_duplicates:,}", "near repetitions"),
            ("–" if found.leaking is None else f"{found.leaking:,}", "rows that leak"),
            ("–" if found.error_count is None else f"{found.error_count:,}", "labels to look at"),
        ]
    listed = "".join(
        f'<li class="{"bad" if problem.is_error else ""}">{escape(problem.message)}{_rows(problem.rows)}</li>'
        for problem in check.problems
    )
    return (
        f"<h1>{escape(check.path)}</h1>\n"
        f'<p class="soft">{check.format.upper()} · text in <b>{escape(check.text_column)}</b>, '
        f"label in <b>{escape(check.label_column)}</b></p>\n{verdict}\n"
        f'<div class="tiles">{"".join(f"<div class=tile><b>{one}</b><span>{what}</span></div>" for one, what in tiles)}</div>'
        + (f'\n<ul class="problems">{listed}</ul>' if listed else "")
    )


def _rows(rows: Sequence[int]) -> str:
    return (
        f' <span class="soft">Rows {", ".join(map(str, rows))}{" …" if len(rows) > 4 else "."}</span>'
        if rows
        else ""
    )


def _classes(check: DataCheck, found: Findings) -> str:
    counts = check.classes
    commonest, rarest = max(counts.values()), min(counts.values())
    told = f"The commonest class has {commonest / sum(counts.values()):.0%} of the labels: "
    told += "a model that always says it is right as often. "
    if commonest >= 3 * rarest:
        told += (
            f"It has {commonest / rarest:,.0f} times as many rows as the rarest one: train with "
            "<code>class_weights=balanced</code>, and look at F1 rather than at accuracy."
        )
    return f"<h2>Class balance</h2>\n<p>{told}</p>\n{_bars(counts, warn_below=commonest / 10)}"


def _lengths(found: Findings) -> str:
    words = found.words
    median, long = int(np.median(words)), int(np.percentile(words, 95))
    medians = {
        name: float(np.median(words[np.asarray([label == name for label in found.labels])]))
        for name in sorted(set(found.labels))[:_MOST_CLASSES]
    }
    told = f"Half of the texts have {median:,} words or fewer; 19 of 20 have at most {long:,}. "
    if medians and max(medians.values()) > 2 * max(min(medians.values()), 1):
        told += "The classes differ much in length: a model may learn that instead of what is said."
    rows = "".join(
        f'<tr><td>{_tag(name)}</td><td class="number">{median:,.0f}</td></tr>'
        for name, median in medians.items()
    )
    return (
        f"<h2>Lengths</h2>\n<p>{told}</p>\n{_histogram(words, median)}\n"
        f'<table><tr><th>class</th><th class="number">words in the middle</th></tr>{rows}</table>'
    )


def _repetitions(found: Findings) -> str:
    parts = ["<h2>Repetitions</h2>"]
    if not found.groups:
        parts.append("<p>No two texts are the same or nearly the same.</p>")
    else:
        parts.append(
            f"<p>{found.duplicates:,} rows repeat an earlier text word for word, {found.near_duplicates:,} nearly "
            "(four of five of their word triples). Each group counts as one in what a model learns.</p>"
        )
        parts.append(_groups("Largest groups", found.groups))
    if found.contradictions:
        parts.append(
            f"<p>Texts that stand there with several classes, of which at most one is right: {len(found.contradictions):,}.</p>"
        )
        parts.append(_groups("Contradictions", found.contradictions))
    return "\n".join(parts)


def _groups(title: str, groups: Sequence[Sequence[tuple[int, str, str]]]) -> str:
    listed = []
    for number, group in enumerate(groups):
        rows = "".join(
            f'<tr><td class="number">{row}</td><td>{_tag(label)}</td><td class="text">{_preview(text)}</td></tr>'
            for row, label, text in group
        )
        is_open = " open" if number == 0 else ""
        classes = "" if len({label for _, label, _ in group}) == 1 else ", several classes"
        size = f"{len(group)}{' or more' if len(group) >= MOST_OF_A_GROUP else ''} rows{classes}"
        listed.append(
            f"<details{is_open}><summary>{_preview(group[0][2], 70)} <span class=soft>{size}</span></summary>"
            f'<div class="scroll"><table><tr><th class="number">row</th><th>class</th><th>text</th></tr>{rows}</table></div></details>'
        )
    return f"<h3>{title}</h3>\n" + "\n".join(listed)


def _leakage(found: Findings) -> str:
    crossing = (
        f"If rows were split at random, {found.crossing:.1%} of those that are held out would have a near copy among "
        "those that train. The lab keeps near copies in one part when samples have their groups "
        "(<code>%mlship duplicates</code>)."
    )
    if found.leaking is None:
        return f"<h2>Leakage between parts</h2>\n<p>The file does not say which part a row belongs to. {crossing}</p>"
    parts = ", ".join(f"{count:,} {escape(name) or 'without'}" for name, count in found.parts.items())
    if not found.leaking:
        return (
            f"<h2>Leakage between parts</h2>\n<p>{parts}. No row that is held out is (nearly) in the training "
            "part, too.</p>"
        )
    rows = "".join(
        f'<tr><td class="number">{one.row}</td><td>{_tag(one.part)}</td><td class="number">{one.training_row}</td>'
        f'<td class="text">{_preview(one.text)}</td></tr>'
        for one in found.leaks
    )
    return (
        f"<h2>Leakage between parts</h2>\n<p>{parts}. <b>{found.leaking:,}</b> of those that are held out are (nearly) in "
        "the training part, too: figures on them are too good. Take them out of one of the parts.</p>\n"
        f'<div class="scroll"><table><tr><th class="number">row</th><th>part</th><th class="number">same as</th>'
        f"<th>text</th></tr>{rows}</table></div>"
    )


def _languages(found: Findings) -> str:
    least = _RARE_LANGUAGE * sum(found.languages.values())
    common = {name: count for name, count in found.languages.items() if count >= least}
    others = sum(found.languages.values()) - sum(common.values())
    plot = _bars(common | ({"others": others} if others else {})) if common else ""
    return f'<h2>Languages</h2>\n<p class="soft">{escape(found.language_method)}</p>\n{plot}'


def _label_errors(found: Findings) -> str:
    parts = ["<h2>Labels that may be wrong</h2>", f'<p class="soft">{escape(found.error_method)}</p>']
    if found.accuracy is not None:
        told = (
            f"The comparison model is right for {found.accuracy:.1%} of the rows. "
            f"{found.error_count or 0:,} labels are worth a look; those it doubts most come first."
        )
        if found.error_count and found.accuracy < _TRUSTED:
            told += (
                " As it is often wrong itself, most of them may well be right: read from the top, and stop where the "
                "labels are better than it."
            )
        parts.append(f"<p>{told}</p>")
    if found.errors:
        rows = "".join(
            f'<tr><td class="number">{one.row}</td><td>{_tag(one.label)}</td><td>{_tag(one.likely)}</td>'
            f'<td class="number">{one.confidence:.0%}</td><td class="text">{_preview(one.text)}</td></tr>'
            for one in found.errors
        )
        parts.append(
            '<div class="scroll"><table><tr><th class="number">row</th><th>label</th><th>likelier</th>'
            f'<th class="number">belief</th><th>text</th></tr>{rows}</table></div>'
        )
    return "\n".join(parts)


def _worst(found: Findings) -> str:
    strange = "".join(
        f'<tr><td class="number">{row}</td><td>{escape(reason)}</td><td class="text">{_preview(text)}</td></tr>'
        for row, reason, text in found.strange
    )
    long = "".join(
        f'<tr><td class="number">{row}</td><td>{words:,} words</td><td class="text">{_preview(text)}</td></tr>'
        for row, words, text in found.longest
    )
    return (
        '<h2>Rows to look at</h2>\n<div class="scroll"><table><tr><th class="number">row</th><th>why</th><th>text</th></tr>'
        f"{strange}{long}</table></div>"
    )


def _bars(counts: Mapping[str, int], warn_below: float = 0.0) -> str:
    """Horizontal bars, one for each name."""
    shown = list(counts.items())[:_MOST_CLASSES]
    most, total = max(counts.values()), sum(counts.values())
    height = len(shown) * (_BAR + _GAP) + _GAP
    marks = []
    for place, (name, count) in enumerate(shown):
        top = _GAP + place * (_BAR + _GAP)
        width = max((_WIDTH - _LEFT - _RIGHT) * count / most, 1.0)
        middle = top + _BAR / 2 + 4
        marks.append(
            f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(_cut(name, 20))}<title>{escape(name)}</title></text>'
            f'<rect class="bar{" warn" if count < warn_below else ""}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
            f'<text class="soft" x="{_LEFT + width + 8:.1f}" y="{middle}">{count:,} · {_share(count / total)}</text>'
        )
    more = len(counts) - len(shown)
    note = f'<p class="soft">and {more:,} more</p>' if more else ""
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_said(shown)}">{"".join(marks)}</svg>{note}'


def _histogram(words: np.ndarray, median: int) -> str:
    """How many texts have how many words; the longest of a hundred stand in the last column."""
    step = -(-max(int(np.percentile(words, 99)), 10) // _COLUMNS)
    bins = -(-max(int(np.percentile(words, 99)), 10) // step)
    longest = bins * step
    counts, edges = np.histogram(np.minimum(words, longest - 1), bins=bins, range=(0, longest))
    # Above the columns there is room for the median's name.
    left, bottom, top = 46, _PLOT_HEIGHT, 24
    width = (_WIDTH - left - 10) / bins
    most = max(int(counts.max()), 1)
    columns = "".join(
        f'<rect class="bar" x="{left + place * width + 0.5:.1f}" y="{bottom - (bottom - top) * count / most:.1f}" '
        f'width="{width - 1:.1f}" height="{(bottom - top) * count / most:.1f}"><title>{edges[place]:.0f} to '
        f"{edges[place + 1] - 1:.0f} words: {count:,}</title></rect>"
        for place, count in enumerate(counts.tolist())
    )
    ticks = "".join(
        f'<text class="soft" x="{left + (_WIDTH - left - 10) * part:.0f}" y="{bottom + 18}" '
        f'text-anchor="{"end" if part == 1 else "middle"}">'
        f"{longest * part:,.0f}</text>"
        for part in (0, 0.25, 0.5, 0.75, 1)
    )
    middle = left + (_WIDTH - left - 10) * min(median, longest) / longest
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 28}" role="img" aria-label="Texts by their number of words; the median is {median}">'
        f'<line class="axis" x1="{left}" x2="{_WIDTH - 10}" y1="{bottom}" y2="{bottom}"/>{columns}'
        f'<line class="mark" x1="{middle:.1f}" x2="{middle:.1f}" y1="{top - 6}" y2="{bottom}"/>'
        f'<text class="soft" x="{middle:.1f}" y="{top - 10}" text-anchor="{"end" if middle > 0.8 * _WIDTH else "middle"}">median {median:,}</text>'
        f'<text class="soft" x="{left - 8}" y="{top + 8}" text-anchor="end">{most:,}</text>{ticks}</svg>'
        f'<p class="soft">Words in a text; what has {longest:,} or more stands in the last column.</p>'
    )


def _share(part: float) -> str:
    return "under 1%" if 0 < part < 0.01 else f"{part:.0%}"


def _said(counts: Iterable[tuple[str, int]]) -> str:
    return escape(", ".join(f"{name} {count:,}" for name, count in counts), quote=True)


def _tag(name: str) -> str:
    return f'<span class="tag">{escape(_cut(name, 40))}</span>'


def _preview(text: str, length: int = _PREVIEW) -> str:
    return escape(_cut(" ".join(text.split()), length)) or "<i>nothing</i>"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
