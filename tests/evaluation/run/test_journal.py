"""A run's answers survive being killed at any byte."""

from __future__ import annotations

import pytest

from vlm3r.errors import UserError
from vlm3r.evaluation.run.fingerprints import differences, short_hash
from vlm3r.evaluation.run.journal import ANSWERS, RUN, open_journal, read_run

EXPECTED = {"one": [1, 4], "twö": [2], "three": [3, 5]}
FINGERPRINT = {"weights": {"fusion": "ab"}, "probe": "none"}


def records(video):
    return [{"line": line, "video": video, "answer": f"ü{line}"} for line in EXPECTED[video]]


def run_all(folder):
    """Answer what is not answered; the videos that were asked about."""
    with open_journal(folder, FINGERPRINT, EXPECTED) as journal:
        asked = [video for video in EXPECTED if video not in journal.done]
        for video in asked:
            journal.append(video, records(video))
        assert {video: journal.done[video] for video in EXPECTED} == {video: records(video) for video in EXPECTED}
    return asked


def test_a_run_cut_off_at_any_byte_is_continued_to_the_same_file(tmp_path):
    run_all(tmp_path)
    whole = (tmp_path / ANSWERS).read_bytes()
    ends = {video: whole.rindex(f'"{video}"'.encode() if video.isascii() else b'"tw\xc3\xb6"') for video in EXPECTED}
    for cut in range(len(whole) + 1):
        (tmp_path / ANSWERS).write_bytes(whole[:cut])
        asked = run_all(tmp_path)
        assert (tmp_path / ANSWERS).read_bytes() == whole
        # A video is asked again exactly if its last line was not all there.
        assert asked == [video for video in EXPECTED if cut <= whole.index(b"\n", ends[video])]


def test_zeros_that_a_power_cut_leaves_at_the_end_are_cut_off(tmp_path):
    run_all(tmp_path)
    whole = (tmp_path / ANSWERS).read_bytes()
    (tmp_path / ANSWERS).write_bytes(whole[:-20] + b"\0" * 20)
    assert run_all(tmp_path) == ["three"]
    assert (tmp_path / ANSWERS).read_bytes() == whole


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "damage", [b"{}\n", b'{"line": 1, "video": [1]}\n', b'{"line": "1", "video": "one"}\n', b"[" * 100_000 + b"\n"]
)
def test_damage_before_the_end_is_no_kill_and_is_refused(tmp_path, place, damage):
    run_all(tmp_path)
    lines = (tmp_path / ANSWERS).read_bytes().splitlines(keepends=True)
    lines[place] = damage
    (tmp_path / ANSWERS).write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=rf"line {place + 1} is damaged"):
        run_all(tmp_path)
    assert (tmp_path / ANSWERS).read_bytes() == b"".join(lines)


def test_answers_of_another_grouping_are_refused(tmp_path):
    run_all(tmp_path)
    with (
        pytest.raises(UserError, match="another benchmark"),
        open_journal(tmp_path, FINGERPRINT, EXPECTED | {"one": [1, 9]}),
    ):
        pass


def test_another_fingerprint_is_refused_by_what_differs(tmp_path):
    run_all(tmp_path)
    other = {"weights": {"fusion": "cd"}, "probe": "none", "seed": 1}
    with (
        pytest.raises(UserError, match=r"weights.fusion: ab and cd; seed: \(absent\) and 1.*choose another folder"),
        open_journal(tmp_path, other, EXPECTED),
    ):
        pass


def test_answers_without_the_record_of_their_run_are_refused(tmp_path):
    run_all(tmp_path)
    (tmp_path / RUN).unlink()
    with pytest.raises(UserError, match=r"no run\.json"):
        run_all(tmp_path)


def test_two_processes_cannot_write_the_same_run(tmp_path):
    with (
        open_journal(tmp_path, FINGERPRINT, EXPECTED),
        pytest.raises(UserError, match="another process is writing"),
        open_journal(tmp_path, FINGERPRINT, EXPECTED),
    ):
        pass
    assert run_all(tmp_path) == list(EXPECTED)


def test_an_error_while_answering_is_not_taken_for_one_of_the_disk(tmp_path):
    with pytest.raises(OSError, match="mine"), open_journal(tmp_path, FINGERPRINT, EXPECTED):
        raise OSError("mine")


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), open_journal(tmp_path / "file" / "run", {}, {}):
        pass


def test_a_run_is_read_without_its_torn_end_and_not_with_other_damage(tmp_path):
    run_all(tmp_path)
    whole = (tmp_path / ANSWERS).read_bytes()
    (tmp_path / ANSWERS).write_bytes(whole[:-3])
    fingerprint, found = read_run(tmp_path)
    assert fingerprint == FINGERPRINT
    assert [record["line"] for record in found] == [1, 4, 2, 3]
    (tmp_path / ANSWERS).write_bytes(b"x" + whole)
    with pytest.raises(UserError, match="line 1 is damaged"):
        read_run(tmp_path)
    for text in ("[]", "[" * 100_000):
        (tmp_path / RUN).write_text(text)
        with pytest.raises(UserError, match="no record of a run"):
            read_run(tmp_path)


def test_differences_name_nested_values_and_cut_long_ones():
    first, second = {"a": {"b": 1, "c": "x" * 99}, "same": [1]}, {"a": {"b": 2, "c": "y"}, "same": [1], "new": None}
    assert differences(first, second) == ["a.b: 1 and 2", f"a.c: {'x' * 21}... and y", "new: (absent) and null"]
    assert differences(first, first) == []
    assert short_hash(first) == short_hash(dict(reversed(first.items()))) != short_hash(second)
