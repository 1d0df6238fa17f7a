"""A report as one self-contained page: no scripts, nothing fetched, every text escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm3r.evaluation.run.journal import Record
from vlm3r.evaluation.run.markdown import CHANCE, TITLES, by_benchmark, remarks, row_name, score_table
from vlm3r.evaluation.run.plots import letters_plot, numbers_plot, scores_plot
from vlm3r.evaluation.run.problems import listed

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1150px; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #e3e0d8; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
tr.overall { font-weight: bold; } tr.type td:first-child { padding-left: 1.2rem; color: #555; }
img { max-width: 100%; } .note { color: #555; } li { overflow-wrap: anywhere; }
"""
SHOWN = 200
"""Entries of one kind of problem that are listed; report.json has all."""
CONTROL = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127], "\ufffd")


def report_page(report: Mapping[str, Any], records: Sequence[Record]) -> str:
    """The report as HTML, with plots.

    Args:
        report: as `vlm3r.evaluation.run.report.make_report` gives it.
        records: the run's answers.
    """
    asked, videos, title = report["questions"], report["videos"], _text(f"{report['benchmark']}: report")
    parts = [
        f"<h1>{_text(report['benchmark'])}</h1>",
        _tag(
            "p",
            f"{asked['scored']:,} of {asked['in_file']:,} questions, {videos['scored']:,} of {videos['in_file']:,} "
            f"videos, {report['scenes']:,} scenes; probe: {report['probe']}; fingerprint {report['fingerprint']}.",
        ),
        _list(remarks(report)),
        _tag("p", CHANCE, "note"),
    ]
    for benchmark, rows in by_benchmark(report["scores"]):
        head, cells = score_table(rows)
        names = [row_name(row) for row in rows]
        table = _table(head, [[name, *row[1:]] for name, row in zip(names, cells, strict=True)], _classes(rows))
        picture = [_picture(scores_plot(rows, names), "scores")] if benchmark else []
        parts += [_tag("h2", TITLES[benchmark]), *picture, table]
    pictures = {"letters": letters_plot(records), "numbers": numbers_plot(records)}
    parts += ["<h2>Answers</h2>", *(_picture(png, name) for name, png in pictures.items() if png is not None)]
    parts += [_references(name, table, report) for name, table in report["references"].items()]
    for name, count, entries in listed(report["problems"]):
        more = [f"... and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
        parts += [_tag("h2", f"{name}: {count:,}"), _list([*entries[:SHOWN], *more])]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _references(benchmark: str, table: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Published results in a fold, open where the questions are those of the published benchmark."""
    own = report["published"] is not None
    tasks = list(dict.fromkeys(task for row in table["rows"] for task in row["tasks"]))
    cells = [
        [
            row["system"],
            *(_points(row["tasks"].get(task)) for task in tasks),
            _points(row["mean"]),
            row["source"] if row["checked"] else f"{row['source']} (unchecked)",
        ]
        for row in table["rows"]
    ]
    notes = [*table["notes"]]
    if not own:
        notes.insert(0, "The questions of this file are others than those of the published scores.")
    summary = _tag("summary", f"Published results on {TITLES.get(benchmark, benchmark)}: {table['mean']}, per cent")
    head = ["", *tasks, "mean", "source (arXiv)"]
    return f"<details{' open' if own else ''}>{summary}{_table(head, cells)}{_list(notes)}</details>"


def _classes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["level"]) for row in rows]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] | None = None) -> str:
    lines = [f"<tr>{''.join(_tag('th', cell) for cell in head)}</tr>"]
    for number, cells in enumerate(rows):
        kind = f' class="{_text(classes[number])}"' if classes else ""
        lines.append(f"<tr{kind}>{''.join(_tag('td', cell) for cell in cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _list(entries: Iterable[str]) -> str:
    items = "".join(_tag("li", entry) for entry in entries)
    return f"<ul>{items}</ul>" if items else ""


def _picture(png: bytes, what: str) -> str:
    return f'<img alt="{_text(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _tag(name: str, text: str, kind: str = "") -> str:
    return f"<{name}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{_text(text)}</{name}>"


def _text(text: object) -> str:
    """Escaped, with what no page can hold (halves of characters, control characters) replaced."""
    return html.escape(str(text).encode("utf-8", "replace").decode().translate(CONTROL))
