"""Published data sets as they lie on a disk: which questions are taken, and where their videos are."""

from __future__ import annotations

import json
import sys

import pytest

from tests.evaluation.run.small import OPTIONS
from vlm3r.errors import UserError
from vlm3r.evaluation.run.benchmark import find_video, read_benchmark
from vlm3r.evaluation.run.published import BENCHMARKS, check_unpacked, find_source, video_roots
from vlm3r.evaluation.run.rows import options_of, read_rows

IDS = range(1, 7)
REMOVED = {2, 5, 6}


def vsi_row(number: int) -> dict[str, object]:
    """A row as VSI-Bench has it: no path, the letter as ground truth."""
    kind = {"question_type": "object_counting", "options": None, "ground_truth": "3"}
    if number % 2:
        kind = {"question_type": "object_rel_direction_easy", "options": OPTIONS, "ground_truth": "A"}
    row = {"id": number, "dataset": "scannet", "scene_name": f"scene{number:04}_00", "question": "What?"}
    return row | kind


def vsti_row(number: int, **changes: object) -> dict[str, object]:
    row = vsi_row(1) | {"id": number, "video_path": f"ScanNet/videos/val/s{number}.mp4", "ground_truth": "left"}
    return row | {"question_type": "obj_obj_relative_pos_lr", "mc_answer": "A"} | changes


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_table(file, rows) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(list(rows)), file)


def ids(benchmark: str, data) -> list[int]:
    found = read_benchmark(find_source(benchmark, data))
    assert not found.bad_lines
    return sorted(question.row["id"] for group in found.videos for question in group.questions)


@pytest.fixture
def listed(tmp_path):
    """VSI-Bench as JSON Lines with the list of pruned ids."""
    (tmp_path / "test.jsonl").write_text(lines(map(vsi_row, IDS)))
    (tmp_path / "pruned_ids.txt").write_text("".join(f"{number}\n" for number in sorted(REMOVED)))
    return tmp_path


def test_the_debiased_and_the_pruned_questions_are_all_questions_once(listed):
    assert ids("vsibench", listed) == list(IDS)
    assert ids("vsibench-pruned", listed) == sorted(REMOVED)
    assert ids("vsibench-debiased", listed) == sorted(set(IDS) - REMOVED)


def test_rows_that_say_themselves_whether_they_are_pruned_are_believed(listed):
    (listed / "pruned_ids.txt").write_text("")
    (listed / "test.jsonl").write_text(lines(vsi_row(number) | {"pruned": number in REMOVED} for number in IDS))
    assert ids("vsibench-pruned", listed) == sorted(REMOVED)


def test_a_subset_keeps_the_line_numbers_of_the_file_and_is_another_benchmark(listed):
    whole, part = (read_benchmark(find_source(name, listed)) for name in ("vsibench", "vsibench-pruned"))
    assert [question.line for group in part.videos for question in group.questions] == sorted(REMOVED)
    assert whole.record()["sha256"] == part.record()["sha256"]
    assert (whole.record()["subset"], part.record()["subset"]) == (None, "pruned")


def test_the_repository_s_two_tables_are_the_whole_benchmark(tmp_path):
    write_table(tmp_path / "test_debiased.parquet", (vsi_row(n) for n in IDS if n not in REMOVED))
    write_table(tmp_path / "test_pruned.parquet", (vsi_row(n) for n in IDS if n in REMOVED))
    assert ids("vsibench", tmp_path) == list(IDS)
    assert ids("vsibench-debiased", tmp_path) == sorted(set(IDS) - REMOVED)
    found = read_benchmark(find_source("vsibench", tmp_path))
    assert sorted(question.line for group in found.videos for question in group.questions) == list(IDS)
    assert len(found.record()["sha256"]) == 2


def test_a_table_holds_what_the_same_lines_hold(tmp_path):
    write_table(tmp_path / "data" / "test-00000-of-00001.parquet", map(vsti_row, IDS))
    (tmp_path / "same.jsonl").write_text(lines(map(vsti_row, IDS)))
    table, text = read_benchmark(find_source("vstibench", tmp_path)), read_benchmark(tmp_path / "same.jsonl")
    assert table.videos == text.videos
    assert table.videos[0].questions[0].target == "A"


def test_a_torn_table_is_an_error_of_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(UserError, match=r"torn\.parquet: is no sound parquet table") as error:
        list(read_rows(tmp_path / "torn.parquet"))
    assert "\n" not in str(error.value)


def test_without_pyarrow_a_table_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"needs pyarrow: pip install -e '\.\[eval\]'"):
        read_benchmark(find_source("vstibench", tmp_path))


def test_a_list_of_rows_is_read_and_its_bad_entries_are_named(tmp_path):
    rows = [vsti_row(1), 5, vsti_row(2, options=str(OPTIONS)), vsti_row(3, question_type="colour")]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    found = read_benchmark(find_source("vstibench", tmp_path))
    assert [group.video for group in found.videos] == ["ScanNet/videos/val/s1.mp4", "ScanNet/videos/val/s2.mp4"]
    assert found.videos[1].questions[0].text == found.videos[0].questions[0].text
    assert [bad.line for bad in found.bad_lines] == [2, 4]
    assert "unknown question type 'colour'" in found.bad_lines[1].reason


@pytest.mark.parametrize("text", ["[1, 2", "[]", "", "[" * 50_000])
def test_a_list_without_questions_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "test.json").write_text(text)
    with pytest.raises(UserError) as error:
        read_benchmark(tmp_path / "test.json")
    assert "\n" not in str(error.value)


def test_options_written_as_text_run_no_code(tmp_path):
    assert options_of("['A. left', 'B. right']") == OPTIONS
    for text in ("[__import__('os').getcwd()]", "[", "A. left", "[" * 10_000):
        assert options_of(text) == text
    assert options_of(None) is None


def test_videos_lie_by_data_set_and_scene_also_below_videos_and_in_lower_case(tmp_path):
    for place in ("scannet/scene0001_00.mp4", "videos/scannetpp/abc.mp4"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    roots = video_roots(tmp_path)
    assert find_video("scannet/scene0001_00.mp4", roots) == tmp_path / "scannet" / "scene0001_00.mp4"
    assert find_video("ScanNetpp/abc.mp4", roots).samefile(tmp_path / "videos" / "scannetpp" / "abc.mp4")
    with pytest.raises(UserError, match="--data or --video-root"):
        find_video("arkitscenes/1.mp4", roots)


def test_archives_that_are_not_unpacked_are_named_before_anything_is_loaded(tmp_path):
    (tmp_path / "scannet.zip").touch()
    with pytest.raises(UserError, match=r"scannet\.zip: is not unpacked; unzip it in "):
        check_unpacked(["scannet/a.mp4"], tmp_path)
    check_unpacked(["arkitscenes/a.mp4", "a.mp4"], tmp_path)
    (tmp_path / "scannet").mkdir()
    check_unpacked(["scannet/a.mp4"], tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_is_missing_is_said_with_the_command_that_fetches_it(tmp_path, name):
    for data in (None, tmp_path):
        with pytest.raises(UserError, match=r"hf download \S+ --repo-type dataset --local-dir") as error:
            find_source(name, data)
        assert "\n" not in str(error.value)


def test_a_subset_without_its_list_is_refused(tmp_path):
    (tmp_path / "test.jsonl").write_text(lines(map(vsi_row, IDS)))
    with pytest.raises(UserError, match=r"pruned_ids\.txt: cannot be read"):
        find_source("vsibench-debiased", tmp_path)


def test_a_misspelt_name_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="did you mean vstibench"):
        find_source("vsti-bench", None)
    (tmp_path / "vsibench").write_text(lines([vsi_row(1)]))
    assert find_source(f"{tmp_path}/vsibench", None).files == (tmp_path / "vsibench",)
