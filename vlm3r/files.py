"""Paths as users write them, and files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vlm3r.errors import UserError


def expand_home(path: str | Path) -> Path:
    """The path with the home folder in place of `~` or `~name`; unchanged where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def write_text(target: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it.

    Halves of characters, as names of files may hold, are written as JSON spells them, such as `\\udcff`.

    Raises:
        UserError: the folder is missing or not writable, or the disk is full.
    """
    with replacing(target) as building:
        building.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` to write to; it takes the name `target` when the block ends well.

    Raises:
        UserError: the folder is missing or not writable, or the disk is full.
    """
    building = target.with_name(f".{target.name}.{os.getpid()}.incomplete")
    try:
        yield building
        building.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({first_line(error)}); choose another place") from error
    finally:
        with suppress(OSError):
            building.unlink()


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type's name when it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
