"""Files of questions."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlm3r.errors import UserError
from vlm3r.inference.questions import read_questions

texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


def test_a_line_is_a_question_and_blank_lines_are_none(tmp_path):
    file = tmp_path / "q.txt"
    file.write_bytes("\ufeffHow many chairs?\r\n\n  Wo ist die Tür? \n\t\n{Where}?".encode())
    questions = read_questions(file)
    assert [question.text for question in questions] == ["How many chairs?", "Wo ist die Tür?", "{Where}?"]
    assert [question.origin for question in questions] == [f"{file}, line {number}" for number in (1, 3, 5)]
    assert {question.id for question in questions} == {None}


@pytest.mark.parametrize("name", ["q.jsonl", "q.txt"])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(texts, st.none() | texts | st.integers()), min_size=1, unique_by=lambda row: row[1]))
def test_json_lines_of_any_text_are_read_as_they_were_written(tmp_path, name, asked):
    rows = [{"question": text} | ({} if name is None else {"id": name, "more": [1]}) for text, name in asked]
    (tmp_path / name).write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert [(question.text, question.id) for question in read_questions(tmp_path / name)] == asked


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("How many?", "no JSON"),
        ('["How many?"]', "`question`"),
        ('{"Question": "How many?"}', "`question`"),
        ('{"question": ["How many?"]}', "`question`"),
        ('{"question": " "}', "`question`"),
        ('{"question": "a", "id": 1.5}', "1.5"),
        ('{"question": "a", "id": true}', "True"),
        ('{"question": "a", "id": "x"}', "line 1"),
        ('{"question": "a\\ud800?"}', "half a character"),
        ('{"question": "a", "id": "\\udfff"}', "half a character"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, expected):
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "Why?", "id": "x"}\n\n' + line + "\n")
    with pytest.raises(UserError) as refusal:
        read_questions(file)
    message = str(refusal.value)
    assert message.startswith(f"{file}, line 3: ")
    assert expected in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "no question"), (b" \n\n", "no question"), (b"\xff\xfe\x00", "decode"), (None, "read")],
)
def test_a_file_that_holds_no_questions_is_named(tmp_path, content, expected):
    file = tmp_path / "q.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=f"{file}: .*{expected}.*; "):
        read_questions(file)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_questions(tmp_path)
