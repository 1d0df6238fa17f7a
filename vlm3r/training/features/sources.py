"""Which videos to extract: files, folders of files, or the videos that rows of questions name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.training.features.content import absolute

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".gif")
FIELDS = ("video", "video_path")


def find_videos(places: Sequence[Path], files: Sequence[Path] = (), root: Path | None = None) -> list[str]:
    """Absolute paths of videos, each once, in the order in which they are named; whether they exist is not looked at.

    Args:
        places: video files, or folders of which every video file, at any depth, is taken in the order of names.
        files: JSON or JSON Lines files of training rows (`video`) or benchmark rows (`video_path`).
        root: folder that the rows' paths are relative to; None: each file's own folder.

    Raises:
        UserError: a folder has no video, a file cannot be read or names none, or nothing was given.
    """
    if not places and not files:
        raise UserError("no videos were named: give --videos or --data")
    named = [path for place in places for path in _in_place(place)]
    named += [path for file in files for path in _in_rows(file, root or file.parent)]
    return list(dict.fromkeys(absolute(path) for path in named))


def _in_place(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if not found:
        raise UserError(f"{place}: no video in this folder ({', '.join(VIDEO_SUFFIXES)}); give another --videos")
    return found


def _in_rows(file: Path, root: Path) -> list[Path]:
    found = [root / video for row in read_rows(file) for field in FIELDS for video in _paths(row.get(field), file)]
    if not found:
        raise UserError(f"{file}: no row names a video (field {' or '.join(FIELDS)}); is it a file of questions?")
    return found


def _paths(value: Any, file: Path) -> Iterable[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(path, str) and path for path in values):
        raise UserError(f"{file}: a row's video is {value!r}; it must be a path")
    return values


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The objects in a JSON file (a list of them) or JSON Lines file (one a line).

    Raises:
        UserError: the file is missing, or holds something else.
    """
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            if file.suffix == ".json":
                rows: Iterable[Any] = json.load(lines)
                if not isinstance(rows, list):
                    raise UserError(f"{file}: holds no list of rows; give JSON Lines, or a JSON list")
            else:
                rows = (json.loads(line) for line in lines if line.strip())
            for number, row in enumerate(rows, 1):
                if not isinstance(row, dict):
                    raise UserError(f"{file}: row {number} is no JSON object; correct it or take it out")
                yield row
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({first_line(error)}); give a file of questions") from error
    except (ValueError, RecursionError) as error:
        place = "" if file.suffix == ".json" else f" after row {number}"
        raise UserError(
            f"{file}: cannot be read as rows of questions{place} ({first_line(error)}); correct it, or write it again"
        ) from error
