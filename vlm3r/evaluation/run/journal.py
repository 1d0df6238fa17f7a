"""The answers of a run on disk, appended video by video, so that a run can be killed anywhere and continued.

Where several processes share a run, the main one keeps the journal and each other one a part, a file of the same form;
the journal takes in the parts at the end, or when the run is continued, by however many processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vlm3r.errors import UserError
from vlm3r.evaluation.metrics import PROTOCOLS
from vlm3r.evaluation.run.fingerprints import differences
from vlm3r.files import first_line, write_text
from vlm3r.qa.types import question_type

ANSWERS = "answers.jsonl"
PART, PARTS = "answers.{}.jsonl", "answers.*.jsonl"
RUN = "run.json"
SHOWN = 6
Record = dict[str, Any]
READ: Mapping[str, type | tuple[type, ...]] = {
    "question_type": str,
    "scene": str,
    "target": str,
    "answer": str,
    **dict.fromkeys(PROTOCOLS, (int, float)),
    **dict.fromkeys((f"{protocol}_problem" for protocol in PROTOCOLS), (str, type(None))),
}
"""Fields of an answer that reports and comparisons read."""


class Journal:
    """The finished videos of a run, or of one of its processes; made by `open_journal` and `open_part`."""

    def __init__(self, file: IO[bytes], folder: Path, expected: Mapping[str, Sequence[int]]):
        """`file` is locked and of this run; what a kill left unfinished in it is cut off."""
        self._file, self._folder, self._expected = file, folder, expected
        self.done = _recover(file, Path(file.name), expected)
        """Finished videos and their answers, in the order of the file."""

    def append(self, video: str, records: Sequence[Record]) -> None:
        """Write a finished video's answers, one line each, and see them to the disk.

        Raises:
            UserError: the disk is full.
        """
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        try:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(f"{self._file.name}: cannot be written ({first_line(error)}); free some space") from error
        self.done[video] = list(records)

    def take_in_parts(self) -> None:
        """Append what other processes finished, and remove their files; what a kill left unfinished is left out.

        Killed between the two, the journal has it twice, and the next call leaves out what is there already.

        Raises:
            UserError: a part is damaged or being written to, or the disk is full.
        """
        for path in sorted(self._folder.glob(PARTS)):
            with _locked(path) as file:
                part = Journal(file, self._folder, self._expected)
            for video, records in part.done.items():
                if video not in self.done:
                    self.append(video, records)
            path.unlink()


@contextmanager
def open_journal(
    folder: Path, fingerprint: Mapping[str, Any], expected: Mapping[str, Sequence[int]]
) -> Iterator[Journal]:
    """The journal of a new run, or of one that is continued, with what further processes of it left behind.

    Args:
        folder: where the run keeps its files; made if need be.
        fingerprint: what its answers depend on.
        expected: by video, the lines of its questions: a video is finished when all of them are answered.

    Raises:
        UserError: the folder holds another run, cannot be written, or is being written to by another process.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({first_line(error)}); choose another folder") from error
    with _locked(folder / ANSWERS) as file:
        _check_run(folder, fingerprint, file.tell() > 0)
        journal = Journal(file, folder, expected)
        journal.take_in_parts()
        yield journal


@contextmanager
def open_part(
    folder: Path, index: int, fingerprint: Mapping[str, Any], expected: Mapping[str, Sequence[int]]
) -> Iterator[Journal]:
    """The part of a further process, while the main one has the journal open.

    Args:
        folder: the run's.
        index: the process's number, from 1.
        fingerprint: what this process's answers depend on.
        expected: as for `open_journal`.

    Raises:
        UserError: the run is not there, is another one, or the part cannot be written.
    """
    if not (folder / RUN).exists():
        raise UserError(f"{folder}: does not hold the run for process {index}; choose a folder that all processes see")
    _check_run(folder, fingerprint, begun=True)
    with _locked(folder / PART.format(index)) as file:
        yield Journal(file, folder, expected)


def read_run(folder: Path) -> tuple[Record, list[Record]]:
    """The fingerprint of a run and its answers.

    Raises:
        UserError: there is no run, or its files are damaged.
    """
    fingerprint = _read_fingerprint(folder)
    try:
        lines = (folder / ANSWERS).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"{folder / ANSWERS}: cannot be read ({first_line(error)}); name a run's folder") from None
    records = [_parse(line) for line in lines]
    whole = [record for record in records if record is not None]
    if len(whole) < len(records) and (len(whole) < len(records) - 1 or records[-1] is not None):
        raise UserError(f"{folder / ANSWERS}: line {records.index(None) + 1} is damaged; run the evaluation again")
    return fingerprint, whole


def check_answers(answers: Iterable[Record], folder: Path) -> None:
    """Raise unless each answer, from the first line of the run's file on, has what reports and comparisons read of it.

    Raises:
        UserError: names the line, and the field that is missing or holds something impossible.
    """
    for number, record in enumerate(answers, 1):
        wrong = next((name for name, kind in READ.items() if not isinstance(record.get(name), kind)), None)
        wrong = wrong or next((name for name in PROTOCOLS if not 0 <= record[name] <= 1), None)
        if wrong is None:
            try:
                question_type(record["question_type"])
            except UserError:
                wrong = "question_type"
        if wrong is not None:
            raise UserError(
                f"{folder / ANSWERS}: line {number} has no valid {wrong}; run the evaluation again in another folder"
            )


def _check_run(folder: Path, fingerprint: Mapping[str, Any], begun: bool) -> None:
    if not (folder / RUN).exists():
        if begun:
            raise UserError(f"{folder}: has answers but no {RUN} to tell whose; choose another folder")
        write_text(folder / RUN, json.dumps({"fingerprint": fingerprint}, indent=2) + "\n")
        return
    found = differences(_read_fingerprint(folder), fingerprint)
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UserError(
            f"{folder}: holds a run that differs from this one in {'; '.join(found[:SHOWN])}{more} "
            "(there and here); choose another folder"
        )


def _read_fingerprint(folder: Path) -> Record:
    try:
        found = json.loads((folder / RUN).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / RUN}: is no record of a run ({first_line(error)}); name a run's folder") from None
    if not isinstance(found, dict):
        raise UserError(f"{folder / RUN}: is no record of a run; name a run's folder")
    return found


def _recover(file: IO[bytes], path: Path, expected: Mapping[str, Sequence[int]]) -> dict[str, list[Record]]:
    """The finished videos of the file; an unfinished one at its end is cut off.

    Raises:
        UserError: something else than its end is damaged.
    """
    file.seek(0)
    done: dict[str, list[Record]] = {}
    block: list[Record] = []
    end = finished = 0
    lines = file.readlines()
    for number, line in enumerate(lines, 1):
        end += len(line)
        record = _parse(line)
        sound = record is not None and record["video"] in expected and record["video"] not in done
        if not sound or (block and record is not None and block[0]["video"] != record["video"]):
            if number < len(lines) or record is not None:
                raise UserError(f"{path}: line {number} is damaged; choose another folder, or remove the file")
            break
        assert record is not None
        block.append(record)
        if len(block) == len(expected[record["video"]]):
            if [answer["line"] for answer in block] != list(expected[record["video"]]):
                raise UserError(f"{path}: line {number} is of another benchmark; choose another folder")
            done[record["video"]], block, finished = block, [], end
    file.truncate(finished)
    file.seek(0, os.SEEK_END)
    return done


def _parse(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    named = isinstance(record, dict) and isinstance(record.get("video"), str) and isinstance(record.get("line"), int)
    return record if named else None


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """A file to read and to append to, made if need be, which no other process has open in this way."""
    try:
        file = path.open("ab+")
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({first_line(error)}); choose another folder") from error
    with file:
        _lock(file, path.parent)
        yield file


def _lock(file: IO[bytes], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{folder}: another process is writing to it; wait for it, or choose another folder") from None
