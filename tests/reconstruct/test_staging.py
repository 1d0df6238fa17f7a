from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vlm3r.errors import UserError
from vlm3r.reconstruct.staging import staged_folder, write_file

OWNED = ("a.txt", "b.txt", "maps")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_all_files_appear_when_the_block_ends(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged_folder(out, OWNED, False) as folder:
        write_file(folder / "a.txt", "1")
        write_file(folder / "maps" / "0", b"2")
        assert not (out / "a.txt").exists()
    assert names(out) == {"a.txt", "maps", "maps/0"}


def test_a_failure_leaves_no_trace(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "deep" / "out", OWNED, False) as folder:
        write_file(folder / "a.txt", "1")
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_a_failure_leaves_earlier_results_alone(tmp_path):
    write_file(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path, OWNED, True) as folder:
        write_file(folder / "a.txt", "new")
        raise ZeroDivisionError
    assert names(tmp_path) == {"a.txt"}
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_with_files_is_refused_unless_overwriting(tmp_path):
    write_file(tmp_path / "mine.txt", "keep")
    with pytest.raises(UserError, match=r"not empty \(holds mine.txt\)"), staged_folder(tmp_path, OWNED, False):
        pass
    write_file(tmp_path / "a.txt", "old")
    write_file(tmp_path / "maps" / "stale", "old")
    with staged_folder(tmp_path, OWNED, True) as folder:
        write_file(folder / "a.txt", "new")
    assert names(tmp_path) == {"mine.txt", "a.txt"}
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_failed_swap_is_undone(tmp_path, monkeypatch):
    write_file(tmp_path / "a.txt", "old a")
    write_file(tmp_path / "b.txt", "old b")
    rename = Path.rename

    def failing(self, target):
        if self.name == "b.txt" and self.parent.name == "new":
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="broken disk"), staged_folder(tmp_path, OWNED, True) as folder:
        write_file(folder / "a.txt", "new a")
        write_file(folder / "b.txt", "new b")
    assert names(tmp_path) == {"a.txt", "b.txt"}
    assert (tmp_path / "a.txt").read_text() == "old a"
    assert (tmp_path / "b.txt").read_text() == "old b"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_for_the_user(tmp_path, code):
    with pytest.raises(UserError, match="no space left"), staged_folder(tmp_path / "out", OWNED, False):
        raise OSError(code, "full")
    assert names(tmp_path) == set()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    write_file(tmp_path / "out", "")
    with pytest.raises(UserError, match="is a file"), staged_folder(tmp_path / "out", OWNED, True):
        pass
    with pytest.raises(UserError, match="can't be used"), staged_folder(tmp_path / "out" / "in", OWNED, True):
        pass


def test_an_undeclared_file_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="not declared"), staged_folder(tmp_path / "out", OWNED, False) as folder:
        write_file(folder / "c.txt", "")
    assert names(tmp_path) == set()
