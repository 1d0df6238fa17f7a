"""Videos known by what is in them: content hashes, computed once for each size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import expand_home, first_line, write_text
from vlm3r.processing.image_frames import list_images

FILES = "files.json"
HASH_BYTES = 16
CHUNK = 1 << 22


@dataclass(frozen=True)
class Stamp:
    """What changes when a file, or a folder of frames, is written to."""

    size: int
    """Bytes, over all frames of a folder."""
    changed: int
    """Time of the last change in nanoseconds, the latest over all frames of a folder."""


def absolute(path: str | Path) -> str:
    """The path by which a store knows a video; links are kept as they are."""
    return os.path.abspath(expand_home(path))  # noqa: PTH100 (`resolve` would follow links)


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of a video file or a folder of frames; None where there is none.

    Raises:
        UserError: it cannot be read.
    """
    try:
        found = [file.stat() for file in _files_of(Path(path))]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); check its permissions") from error
    if not all(stat.S_ISREG(entry.st_mode) for entry in found):
        raise UserError(f"{path}: is no plain file; give a video file or a folder of frames")
    return Stamp(sum(entry.st_size for entry in found), max(entry.st_mtime_ns for entry in found))


def content_hash(path: str | Path) -> str:
    """Hash of a video's size and bytes; for a folder of frames of their names, sizes and bytes in order.

    Raises:
        UserError: it is missing or cannot be read.
    """
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    video = Path(path)
    try:
        is_folder = video.is_dir()
        for file in _files_of(video):
            digest.update(f"{file.name if is_folder else ''} {file.stat().st_size}\n".encode())
            for chunk in _chunks(file):
                digest.update(chunk)
    except FileNotFoundError:
        raise UserError(f"{path}: no such video; check the path and --video-root") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); check its permissions") from error
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    return list_images(path) if path.is_dir() else [path]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


class FileTable:
    """Content hashes of the videos that a store has seen, by path, with the stamps under which they hold."""

    def __init__(self, folder: Path, known: dict[str, tuple[Stamp, str]] | None = None):
        self._path = folder / FILES
        self._known = known or {}
        self._recorded = {name: content for name, (_, content) in self._known.items()}

    @classmethod
    def read(cls, folder: Path) -> FileTable:
        """The table of a store; empty where there is none yet.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / FILES
        if not path.is_file():
            return cls(folder)
        try:
            rows = json.loads(path.read_text(encoding="utf-8")).items()
            return cls(folder, {name: (Stamp(int(row[0]), int(row[1])), str(row[2])) for name, row in rows})
        except (OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: damaged ({first_line(error)}); delete it, the next extraction makes it"
            ) from error

    def write(self) -> None:
        """Write the table in one step."""
        rows = {name: [stamp.size, stamp.changed, content] for name, (stamp, content) in self._known.items()}
        write_text(self._path, json.dumps(rows, indent=0, ensure_ascii=False) + "\n")

    def recorded(self, path: str | Path) -> str | None:
        """The hash that stands in the store's file for a path, whether or not it still holds."""
        return self._recorded.get(absolute(path))

    def current(self, path: str | Path) -> str:
        """The hash of what a path holds now, from the table where size and time are as recorded.

        Raises:
            UserError: the video is missing or cannot be read.
        """
        name, stamp = absolute(path), stamp_of(path)
        known = self._known.get(name)
        if stamp is not None and known is not None and known[0] == stamp:
            return known[1]
        content = content_hash(path)
        if stamp is not None:
            self._known[name] = (stamp, content)
        return content

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path in the store's file."""
        return tuple(self._recorded)
