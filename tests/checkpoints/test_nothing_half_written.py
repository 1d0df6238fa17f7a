"""A conversion that fails, however it fails, leaves the target absent or whole, and nothing beside it."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlm3r.checkpoints import native as native_module
from vlm3r.checkpoints import published as published_module
from vlm3r.checkpoints.files import atomic_folder
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, read_checkpoint
from vlm3r.checkpoints.native import read_native, write_native
from vlm3r.checkpoints.published import write_published
from vlm3r.errors import UserError
from vlm3r.files import write_text

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def parts():
    return read_checkpoint(EMBEDDED_MODEL)[0]


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def power_cut(*args, **kwargs):
    raise KeyboardInterrupt


WRITERS = [
    (write_native, native_module, "save_torch_state_dict"),
    (write_native, native_module.VLM3RProcessor, "save_pretrained"),
    (write_published, published_module, "save_file"),
    (write_published, published_module.torch, "save"),
    (write_published, published_module, "export_published"),
]


@pytest.mark.parametrize("failure", [full_disk, power_cut])
@pytest.mark.parametrize(("write", "owner", "name"), WRITERS)
def test_a_failing_write_leaves_nothing(tmp_path, monkeypatch, parts, write, owner, name, failure):
    monkeypatch.setattr(owner, name, failure)
    with pytest.raises((UserError, KeyboardInterrupt)) as error:
        write(parts, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    if failure is full_disk:
        assert "no space left on the disk" in str(error.value)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_failing_write_leaves_an_existing_folder_as_it_was(tmp_path, monkeypatch, parts, overwrite):
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "out")
    before = listing(tmp_path)
    monkeypatch.setattr(native_module, "save_torch_state_dict", full_disk)
    with pytest.raises(UserError):
        write_native(parts, tmp_path / "out", overwrite=overwrite)
    assert listing(tmp_path) == before


def test_a_failing_last_rename_puts_the_old_folder_back(tmp_path, monkeypatch, parts):
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "out")
    before, rename = listing(tmp_path), Path.rename

    def failing(self, target):
        if self.name.endswith(".incomplete"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="cannot be written"):
        write_native(parts, tmp_path / "out", overwrite=True)
    assert listing(tmp_path) == before


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path, parts):
    out = shutil.copytree(EMBEDDED_MODEL, tmp_path / "out")
    (out / "stale.txt").write_text("old")
    before = listing(out)
    with pytest.raises(UserError, match="exists already; choose another folder or pass --overwrite"):
        write_native(parts, out)
    assert listing(out) == before
    write_native(parts, out, overwrite=True)
    assert not (out / "stale.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert read_native(out).tensors.keys() == parts.tensors.keys()


def test_an_empty_folder_is_filled(tmp_path, parts):
    (tmp_path / "out").mkdir()
    write_native(parts, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_checkpoint_is_never_replaced(tmp_path, parts, overwrite):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("dear")
    (tmp_path / "file").write_text("dear")
    before = listing(tmp_path)
    for target in ("photos", "file"):
        with pytest.raises(UserError, match=r"choose another folder"):
            write_native(parts, tmp_path / target, overwrite=overwrite)
    assert listing(tmp_path) == before


def test_a_folder_that_holds_checkpoints_among_other_things_is_never_replaced(tmp_path, parts):
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "desk" / "model")
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "mixed")
    (tmp_path / "mixed" / "holiday.jpg").write_text("dear")
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "deep")
    (tmp_path / "deep" / "photos").mkdir()
    (tmp_path / "deep" / "photos" / "config.json").write_text("{}")
    before = listing(tmp_path)
    for target in ("desk", "mixed", "deep"):
        with pytest.raises(UserError, match="was not overwritten; choose another folder"):
            write_native(parts, tmp_path / target, overwrite=True)
    assert listing(tmp_path) == before


def test_a_published_layout_is_replaced_when_asked(tmp_path, parts):
    write_published(parts, tmp_path / "out")
    write_published(parts, tmp_path / "out", overwrite=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["base", "lora"]


def test_a_place_that_cannot_be_written_is_named(tmp_path, parts):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be (written|read)"):
        write_native(parts, tmp_path / "file" / "out")


def test_a_relative_target_without_a_name_works(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_folder(Path()) as building:
        (building / "x").write_text("1")
    assert (tmp_path / "here" / "x").read_text() == "1"


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "answers.json"
    write_text(target, "old")
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(UserError, match=r"answers\.json: cannot be written"):
        write_text(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["answers.json"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("place", ["absent/x.json", "file/x.json", ""])
def test_text_for_an_impossible_place_names_it(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / place, "text")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if not done or done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("write", [write_native, write_published])
def test_a_disk_that_is_really_full_is_reported_and_left_clean(small_disk, parts, write):
    with pytest.raises(UserError, match="no space left on the disk"):
        write(parts, small_disk / "out")
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_while_pickles_are_written_is_reported(small_disk, parts, monkeypatch):
    monkeypatch.setattr(published_module, "_write_base", lambda parts, base: {})
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    with pytest.raises(UserError, match="no space left on the disk"):
        write_published(parts, small_disk / "out")
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


KILLED = """
import sys, time
from pathlib import Path
from vlm3r.checkpoints import native
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
parts = native.read_native(EMBEDDED_MODEL)
save = native.VLM3RProcessor.save_pretrained
def slow(*args, **kwargs):
    print("half", flush=True)
    time.sleep(60)
native.VLM3RProcessor.save_pretrained = slow
native.write_native(parts, Path(sys.argv[1]), overwrite=True)
"""


@pytest.mark.parametrize("existing", [True, False])
def test_a_killed_conversion_leaves_the_target_absent_or_whole_and_the_next_run_works(tmp_path, parts, existing):
    out = tmp_path / "out"
    if existing:
        shutil.copytree(EMBEDDED_MODEL, out)
    before = listing(tmp_path)
    command = [sys.executable, "-c", KILLED, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "half"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".out.incomplete" / "model.safetensors").exists()
    shutil.copytree(tmp_path / ".out.incomplete", tmp_path / "kept")
    assert out.exists() == existing
    assert {k: v for k, v in listing(tmp_path).items() if k in before} == before
    shutil.rmtree(tmp_path / "kept")
    write_native(parts, out, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert read_native(out).tensors.keys() == parts.tensors.keys()


def test_a_run_killed_between_the_two_renames_is_cleared_by_the_next(tmp_path, parts):
    shutil.copytree(EMBEDDED_MODEL, tmp_path / ".out.replaced")
    write_native(parts, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
