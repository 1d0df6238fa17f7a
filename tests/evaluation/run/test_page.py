"""The report as a page: whole in itself, escaped, and with everything that the numbers have to be compared with."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.evaluation.run.small import OPTIONS, rows_about
from vlm3r.errors import UserError
from vlm3r.evaluation.references import reference_tables
from vlm3r.evaluation.run.benchmark import read_benchmark
from vlm3r.evaluation.run.control import read_blind
from vlm3r.evaluation.run.journal import ANSWERS, RUN
from vlm3r.evaluation.run.markdown import report_markdown
from vlm3r.evaluation.run.page import report_page
from vlm3r.evaluation.run.published import BENCHMARKS, Published, find_source
from vlm3r.evaluation.run.report import make_report
from vlm3r.evaluation.run.runner import RunState, score_answer

EVIL = '<script src="https://example.org/x.js">alert(1)</script> $\\frac{ & "\'\x00'
MARK = {"probe": "none", "seed": 0, "untrained": False}


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.cells and self.cells[-1]:
            self.cells[-1][-1] += data

    def row(self, first: str) -> dict[str, str]:
        """The first row of that name, under the head of the first table."""
        return dict(zip(self.cells[0], next(cells for cells in self.cells if cells[0] == first), strict=False))


def answered(benchmark, said, keep=lambda _: True):
    return {
        group.video: [
            score_answer(group.video, question, "p", text)
            for question, text in zip(group.questions, said, strict=True)
            if keep(question)
        ]
        for group in benchmark.videos
    }


def report_of(benchmark, answers, mark=None, **more):
    records = [record for group in answers.values() for record in group]
    state = RunState(len(records), len(records), len(records), answers, more.pop("failures", {}))
    report = make_report(benchmark, state, mark or MARK, resamples=50, **more)
    return json.loads(json.dumps(report)), records


@pytest.fixture
def write(tmp_path):
    def write(rows, name="bench.jsonl"):
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        (tmp_path / name).write_text(text)
        return read_benchmark(tmp_path / name)

    return write


SAID = ["3", "2.5", "A", "A", "3"]
ROWS = [row for scene in ("one", "two") for row in rows_about(scene)]


def test_the_page_needs_nothing_but_itself_and_its_pictures_can_be_seen(write):
    benchmark = write(ROWS)
    page = Page(report_page(*report_of(benchmark, answered(benchmark, SAID))))
    pictures = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4  # scores of two benchmarks, letters, numbers
    for source in pictures:
        kind, _, data = source.partition("base64,")
        assert kind == "data:image/png;"
        assert min(Image.open(io.BytesIO(base64.b64decode(data))).size) > 100
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for tag, attributes in page.tags:
        assert set(attributes) <= {"lang", "charset", "class", "alt", "src", "open"}, tag
    assert page.row("object_counting")["published"].startswith("100.0")


def test_everything_that_a_file_can_say_is_escaped(write):
    rows = [row | {"scene_name": EVIL, "video_path": EVIL, "id": EVIL} for row in rows_about("one")]
    benchmark = write([*rows, json.dumps(rows[0] | {"question_type": EVIL}), *rows_about("two")], "a<b&$c.jsonl")
    answers = answered(benchmark, [EVIL] * 5, lambda question: question.row["scene_name"] != EVIL)
    report, records = report_of(benchmark, {"two/video": answers["two/video"]}, failures={EVIL: EVIL})
    text = report_page(report, records)
    assert "<script" not in text
    assert "\x00" not in text
    page = Page(text)
    assert EVIL.replace("\x00", "\ufffd") in page.text.replace("\xa0", " ")
    assert "a<b&$c.jsonl" in page.text
    assert len(report_markdown(report).splitlines()) > 20


def test_what_is_wrong_is_counted_and_named_on_both_pages(write):
    zero = rows_about("one", 7)[4] | {"ground_truth": "0"}
    unknown = [json.dumps(rows_about("one")[0] | {"question_type": "colour"})] * 20
    benchmark = write([*ROWS, zero, *unknown, "{torn", *rows_about("gone")])
    answers = {}
    for group in benchmark.videos[:2]:
        said = ["", "2.5", "A", "A", "3", "1"][: len(group.questions)]
        answers[group.video] = [
            score_answer(group.video, q, "p", t) for q, t in zip(group.questions, said, strict=True)
        ]
    missing = {"gone/video": "gone/video: is in none of /here"}
    report, records = report_of(benchmark, answers, failures=missing)
    assert report["problems"]["empty_answers"] == 2
    assert report["problems"]["empty_lines"] == [1, 6]
    assert report["problems"]["zero_targets"] == [11]
    expected = [
        "Lines that hold no question: 21",
        "lines 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 and 8 more: unknown question type 'colour'",
        "line 32: no row of questions",
        "Videos that could not be asked about: 1",
        "gone/video (5 questions): gone/video: is in none of /here",
        "Answers without text: 2",
        "lines 1, 6",
        "Right answers of 0, for which the published protocol has no score: 1",
        "1: the target is 0: the published scorer raises",
    ]
    for text in (report_markdown(report), Page(report_page(report, records)).text):
        for sentence in expected:
            assert sentence in text


def write_run(folder, mark, answers):
    folder.mkdir()
    (folder / RUN).write_text(json.dumps({"fingerprint": mark}))
    records = [record for group in answers.values() for record in group]
    (folder / ANSWERS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_a_blind_run_stands_beside_with_the_questions_that_both_have(write, tmp_path):
    benchmark = write(ROWS)
    half = answered(benchmark, ["3", "", "B", "B", ""], lambda question: question.row["scene_name"] == "one")
    folder = write_run(tmp_path / "blind", MARK | {"probe": "blind"}, {"one/video": half["one/video"]})
    report, records = report_of(benchmark, answered(benchmark, SAID), blind=read_blind(folder))
    scores = {(row["benchmark"], row["name"]): row["blind"] for row in report["scores"]}
    assert scores["vsibench", "object_counting"] == 1.0
    assert scores["vsibench", "object_rel_direction_easy"] == 0.0
    assert scores["", "micro"] == pytest.approx(2 / 5)
    assert report["blind"]["questions"] == 5
    for text in (report_markdown(report), Page(report_page(report, records)).text):
        assert "which has 5 of these 10 questions" in text
    assert Page(report_page(report, records)).row("object_counting")["blind"] == "100.0"
    assert "blind" not in Page(report_page(*report_of(benchmark, answered(benchmark, SAID)))).cells[0]


def test_a_run_that_saw_the_videos_is_no_blind_run(write, tmp_path):
    benchmark = write(ROWS)
    for probe in ("none", "zero"):
        folder = write_run(tmp_path / probe, MARK | {"probe": probe}, answered(benchmark, SAID))
        with pytest.raises(UserError, match="whose model saw the videos"):
            read_blind(folder)
    with pytest.raises(UserError, match="no record of a run"):
        read_blind(tmp_path)


@pytest.fixture
def vsi(tmp_path):
    rows = [row | {"video_path": None, "dataset": "scannet"} for row in ROWS if "options" not in row or row["options"]]
    rows = [
        row | {"ground_truth": row.get("ground_truth", "B")} for row in rows if "rel_direction" in row["question_type"]
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_benchmark(find_source("vsibench", tmp_path)), rows


def test_published_scores_stand_beside_the_release_that_they_are_of_and_no_other(vsi, monkeypatch):
    benchmark, rows = vsi
    answers = answered(benchmark, ["A"])
    report, records = report_of(benchmark, answers)
    assert all(row["reference"] is None for row in report["scores"])
    assert "The file has 2 questions and vsibench has 5,130" in report_markdown(report)
    monkeypatch.setitem(BENCHMARKS, "vsibench", Published("x", (len(rows),)))
    report, records = report_of(benchmark, answers)
    scores = {row["name"]: row["reference"] for row in report["scores"]}
    assert (scores["object_rel_direction"], scores["overall"], scores["micro"]) == (0.805, 0.609, None)
    assert "| VLM-3R-7B, published |" in report_markdown(report)
    page = Page(report_page(report, records))
    assert page.row("object_rel_direction")["VLM-3R-7B, published"] == "80.5"
    monkeypatch.setitem(BENCHMARKS, "vsibench", Published("x", (9, len(rows))))
    assert "not comparable" in report_markdown(report_of(benchmark, answers)[0])


def test_the_page_holds_every_published_row_with_its_source(vsi):
    benchmark, _ = vsi
    page = Page(report_page(*report_of(benchmark, answered(benchmark, ["A"]))))
    shown = {cells[0]: cells for cells in page.cells}
    for row in reference_tables()["vsibench"].rows:
        assert shown[row.system][-1].startswith(row.source)
        assert shown[row.system][-2] == ("-" if row.mean is None else f"{100 * row.mean:.1f}")
    assert [attributes for tag, attributes in page.tags if tag == "details"] == [{"open": None}]


def test_for_a_file_of_our_own_published_rows_are_folded_away_and_said_to_be_of_other_questions(write):
    benchmark = write(ROWS)
    page = Page(report_page(*report_of(benchmark, answered(benchmark, SAID))))
    assert [attributes for tag, attributes in page.tags if tag == "details"] == [{}, {}]
    assert "The questions of this file are others than those of the published scores." in page.text


def test_with_permuted_options_the_baselines_are_those_of_the_options_shown(write):
    rows = [rows_about("one", number)[2] | {"options": OPTIONS, "ground_truth": "A"} for number in range(20)]
    benchmark = write(rows)
    plain, _ = report_of(benchmark, answered(benchmark, ["A"] * 20))
    mark = MARK | {"probe": "permute-options"}
    permuted, _ = report_of(benchmark, answered(benchmark, ["A"] * 20), mark)
    assert [report["scores"][0]["most_frequent"] for report in (plain, permuted)] == [1.0, 0.5]
    assert "Options were put in another order" in report_markdown(permuted)
