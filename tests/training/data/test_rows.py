"""Reading rows: both file forms, every malformed field, and places that lead back to the same row."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.training.data.material import recipe, row, write_rows
from vlm3r.errors import UserError
from vlm3r.processing.prompts import Turn
from vlm3r.training.data import BadRow, parse_row, read_mixture, row_files, scan_rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def parse(record):
    return parse_row(record, "a.json:1", Path("a.json"), Path("/data"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, max_size=6), st.booleans())
def test_elements_are_those_of_the_json_module_and_stand_where_they_say(tmp_path, monkeypatch, chunk, records, indent):
    monkeypatch.setattr(row_files, "CHUNK", chunk)
    path = tmp_path / "a.json"
    text = json.dumps(records, ensure_ascii=False, indent=1 if indent else None)
    path.write_bytes(text.encode())
    found = list(scan_rows(path))
    assert [one.record for one in found] == records
    data = path.read_bytes()
    assert [json.loads(data[one.offset : one.offset + one.length]) for one in found] == records
    assert [one.position for one in found] == list(range(1, len(records) + 1))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_both_forms_and_a_byte_order_mark_give_the_same_rows(tmp_path, name, mark):
    rows = [row(f"<image>\nWie groß ist {i}? 房间", video=f"v{i}.mp4", task=f"t{i}") for i in range(5)]
    path = write_rows(tmp_path / name, rows)
    path.write_bytes(mark + path.read_bytes())
    mixture = read_mixture(recipe(path), 0)
    for i, read in enumerate(mixture.read(range(5))):
        assert read.turns == (Turn("user", f"<image>\nWie groß ist {i}? 房间"), Turn("assistant", "4"))
        assert (read.video, read.task, read.identity) == (tmp_path / f"v{i}.mp4", f"t{i}", f"{path}:{i + 1}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"a": 1},\n{"b": }\n]', "line 3 "),
        ('[\n{"a": 1}\n{"b": 2}]', "line 3 .*comma"),
        ('[{"a": 1},\n]', "line 2 .*comma"),
        ('[\n{"a": 1},\n', "line 3 "),
        ('[{"a": "x', "line 1 "),
    ],
)
def test_a_broken_list_is_one_line_that_names_the_line_of_the_file(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        list(scan_rows(tmp_path / "a.json"))
    assert str(tmp_path / "a.json") in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read_at_all_say_so(tmp_path):
    (tmp_path / "latin.json").write_bytes('[{"a": "größe"}]'.encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_mixture(recipe(tmp_path / "latin.json"), 0)
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(UserError, match=r"cannot be read .*data\.sources"):
            read_mixture(recipe(path), 0)
    (tmp_path / "empty.json").write_text("")
    with pytest.raises(UserError, match="no row can be learnt from"):
        read_mixture(recipe(tmp_path / "empty.json"), 0)
    with pytest.raises(UserError, match=r"data\.sources is empty"):
        read_mixture(recipe(), 0)


GOOD = row("<image>\nHow many?", video="v.mp4")
BAD = {
    "not an object": (3, "is a number, not an object"),
    "no conversations": ({"video": "v.mp4"}, "conversations is missing"),
    "conversations as text": (GOOD | {"conversations": "hello"}, "conversations is text, not a list"),
    "turn as text": (GOOD | {"conversations": ["hello"]}, r"conversations\[0\] is text"),
    "unknown speaker": (GOOD | {"conversations": [{"from": "dog", "value": "w"}]}, r"conversations\[0\].from is 'dog'"),
    "number as answer": (row("q", 4), r"conversations\[1\].value is a number, not text"),  # pyright: ignore
    "no value": (GOOD | {"conversations": [{"from": "human"}]}, r"conversations\[0\].value is missing"),
    "empty answer": (row("q", " "), r"conversations\[1\].value is empty"),
    "no answer": (GOOD | {"conversations": GOOD["conversations"][:1]}, "needs a human turn and a gpt turn"),
    "only an answer": (GOOD | {"conversations": GOOD["conversations"][1:]}, "needs a human turn and a gpt turn"),
    "late system turn": (
        GOOD | {"conversations": [*GOOD["conversations"], {"from": "system", "value": "x"}]},
        "system turn after",
    ),
    "two kinds of clip": (GOOD | {"image": "a.png"}, "both video and image"),
    "video as number": (GOOD | {"video": 3}, "video is a number, not a path"),
    "empty video": (GOOD | {"video": ""}, "video is empty text"),
    "no images": (row("q", image=[]), "image is an empty list"),
    "images of numbers": (row("q", image=[1]), "image is a list, not a path or a list of paths"),
    "null character in a path": (GOOD | {"video": "a\0.mp4"}, "video holds a null character"),
    "half a character in a path": (row("q", image=["a.png", "\ud800.png"]), "image holds half a character"),
    "half a character in a turn": (row("q", "\udc00"), r"conversations\[1\].value holds half a character \(\\udc00\)"),
    "half a character in a task": (GOOD | {"task": "\ud800"}, "task holds half a character"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_row_names_its_field(case):
    record, message = BAD[case]
    with pytest.raises(BadRow, match=message):
        parse(record)


def test_bad_rows_are_listed_and_the_others_kept(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [GOOD, BAD["empty video"][0], GOOD])
    path.write_text(path.read_text() + "{broken\n\n")
    mixture = read_mixture(recipe(path), 0)
    assert len(mixture) == 2 and mixture.rows == 4
    assert [(name, reason.split(" (")[0]) for name, reason in mixture.bad_rows] == [
        (f"{path}:2", "video is empty text, not a path"),
        (f"{path}:4", "is no valid JSON"),
    ]


@pytest.mark.parametrize("element", ["[" * 100_000, '{"id": ' + "9" * 5000 + "}"])
def test_what_the_decoder_gives_up_on_is_a_bad_line_or_a_broken_list(tmp_path, element):
    good = json.dumps(GOOD)
    (tmp_path / "a.jsonl").write_text(f"{good}\n{element}\n")
    mixture = read_mixture(recipe(tmp_path / "a.jsonl"), 0)
    assert len(mixture) == 1
    assert [reason.split(" (")[0] for _, reason in mixture.bad_rows] == ["is no usable JSON"]
    (tmp_path / "a.json").write_text(f"[{good},\n{element}]")
    with pytest.raises(UserError, match="no valid JSON at line"):
        read_mixture(recipe(tmp_path / "a.json"), 0)


def test_speakers_have_two_names_and_an_opening_answer_is_dropped():
    said = [("assistant", "Hello!"), ("user", "q"), ("assistant", "a"), ("user", "q2"), ("assistant", "b")]
    record = {"conversations": [{"role": who, "content": what} for who, what in said]}
    assert [(turn.role, turn.text) for turn in parse(record).turns] == said[1:]


def test_pictures_are_one_path_or_several_and_absolute_paths_stay():
    assert parse(row("q", image="a.png")).images == (Path("/data/a.png"),)
    assert parse(row("q", image=["a.png", "/x/b.png"])).images == (Path("/data/a.png"), Path("/x/b.png"))
    assert parse(row("q", video="/x/v.mp4")).video == Path("/x/v.mp4")
    nothing = parse(row("q", video=None))
    assert nothing.video is None and nothing.images == ()


def test_the_task_is_the_first_field_that_names_one():
    fields = {"question_type": "count", "task": "t", "data_source": "scannet"}
    for name, expected in [(None, "count"), ("question_type", "t"), ("task", "scannet"), ("data_source", "a")]:
        fields.pop(name, None)
        assert parse(row("q", **fields)).task == expected


def test_a_changed_file_is_an_error_and_not_another_row(tmp_path):
    path = write_rows(tmp_path / "a.json", [GOOD, GOOD])
    mixture = read_mixture(recipe(path), 0)
    path.write_text(" " + path.read_text())
    with pytest.raises(UserError, match="has changed"):
        mixture.read([1])


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_memory_grows_by_a_small_part_of_the_file(tmp_path, name):
    long = "word " * 400
    path = write_rows(tmp_path / name, [row(f"<image>\n{long}{i}", video=f"v{i % 20}.mp4") for i in range(5000)])
    size = path.stat().st_size
    tracemalloc.start()
    mixture = read_mixture(recipe(path), 0)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mixture) == 5000 and size > 10e6
    assert held < 5000 * 100 and peak < 0.7 * size
