"""An output folder that receives all of its files or none."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlm3r.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def staged_folder(out_dir: Path, owned: tuple[str, ...], overwrite: bool) -> Iterator[Path]:
    """A temporary folder within `out_dir` whose contents move up into it when the block ends well.

    On any exception the temporary folder is removed, and so is `out_dir` if it was created here. The folder lies inside
    `out_dir` so that moving is a rename even if `out_dir` is a mount point of its own.

    Args:
        out_dir: the folder that shall hold the results.
        owned: names that a run may write; with `overwrite` those present are replaced or removed, all others stay.
        overwrite: without it, `out_dir` must be missing or empty.
    """
    created = _create(out_dir, overwrite)
    stage: Path | None = None
    try:
        stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=out_dir))
        fresh = stage / "new"
        fresh.mkdir()
        yield fresh
        _publish(fresh, stage / "old", out_dir, owned)
        created = []
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(f"{out_dir}: no space left; free some or give another output folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"{error.filename or out_dir}: no permission to write; give another output folder"
            ) from error
        raise
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for folder in created:
            _remove_if_empty(folder)


def write_file(path: Path, data: bytes | str) -> None:
    """Writes a whole file, creating its folder; encoders hand over bytes so that every write error surfaces here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _create(out_dir: Path, overwrite: bool) -> list[Path]:
    """The folders made for `out_dir`, innermost first; a `UserError` if it can't be used."""
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir}: is a file; give a folder to write into")
    missing = [folder for folder in (out_dir, *out_dir.parents) if not folder.exists()]
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        occupied = next(out_dir.iterdir(), None)
    except OSError as error:
        raise UserError(f"{out_dir}: can't be used as output folder ({error.strerror})") from error
    if occupied is not None and not overwrite:
        raise UserError(f"{out_dir}: is not empty (holds {occupied.name}); choose another folder or allow overwriting")
    return missing


def _publish(fresh: Path, old: Path, out_dir: Path, owned: tuple[str, ...]) -> None:
    """Swaps the staged entries in, by renames; puts everything back if one of them fails."""
    stray = {entry.name for entry in fresh.iterdir()} - set(owned)
    if stray:
        raise ValueError(f"staged files that are not declared as outputs: {sorted(stray)}")
    old.mkdir()
    moves: list[tuple[Path, Path]] = []
    try:
        for name in owned:
            target = out_dir / name
            if target.exists() or target.is_symlink():
                target.rename(old / name)
                moves.append((target, old / name))
            if (fresh / name).exists():
                (fresh / name).rename(target)
                moves.append((fresh / name, target))
    except BaseException:
        for source, target in reversed(moves):
            target.rename(source)
        raise


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and next(folder.iterdir(), None) is None:
        folder.rmdir()
