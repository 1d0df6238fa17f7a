"""Reading tensors and JSON from checkpoint folders, and replacing folders in one step."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.files import expand_home, first_line

BESIDE_WEIGHTS = (
    "non_lora_trainables.bin",
    "non_lora_trainables.safetensors",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "training_args.bin",
    "optimizer.bin",
    "scheduler.bin",
)
"""Files that are no shards of the model although they end like shards."""

PART_FOLDERS = ("base", "lora", "adapter")
"""Folders inside a checkpoint's folder."""
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth")
CHECKPOINT_SUFFIXES = (*WEIGHT_SUFFIXES, ".json", ".jinja", ".txt", ".md", ".model")
CHECKPOINT_NAMES = ("LICENSE", ".gitattributes")


def resolve_folder(name: str | Path, what: str) -> Path:
    """A checkpoint folder: `name` itself if it exists, else a snapshot of the hub repository of that name.

    Raises:
        UserError: it is neither an existing folder nor a repository that can be reached.
    """
    path = expand_home(name)
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{path}: the {what} must be a folder, not a file")
    if str(name).count("/") != 1 or str(name).startswith((".", "/", "~")):
        raise UserError(f"{path}: no such folder; give the {what} as a folder or a hub id like owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "*.jinja"]
    try:
        return Path(snapshot_download(str(name), allow_patterns=patterns, ignore_patterns=["checkpoint-*/*"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{name}: no such folder, and the hub gave no repository of that name ({first_line(error)}); "
            "check the name and the connection, or download it and give the folder"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file is missing, unreadable, no JSON or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is {path.parent} a complete checkpoint folder?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({first_line(error)}); download or write it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds {type(value).__name__}, not a JSON object; download or write it again")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one `.safetensors` or `.bin` file, on the CPU, memory-mapped where possible.

    A `.bin` file is read by torch's weights-only reader, which builds tensors and plain containers and runs nothing.

    Raises:
        UserError: the file is missing, truncated, holds anything but tensors, or would run code.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; is {path.parent} a complete checkpoint folder?")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Files from before torch 1.6 are no zip files and cannot be mapped.
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: truncated, or holds something other than tensors; it was not loaded ({first_line(error)}); "
            "download it again, or get a safetensors copy from a source you trust"
        ) from error
    # A damaged or hostile file can fail anywhere in the reader, with any exception.
    except Exception as error:
        raise UserError(f"{path}: truncated or no checkpoint ({first_line(error)}); download it again") from error
    named = isinstance(tensors, dict) and all(isinstance(key, str) for key in tensors)
    if not named or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: is no dictionary of tensors; is this a trainer state instead of weights?")
    return tensors


def read_model_folder(folder: Path) -> dict[str, Tensor]:
    """The union of a folder's weight shards: those of its index if it has one, else all files of one kind.

    Raises:
        UserError: there are no weights, a shard of the index is missing, or two shards hold the same key.
    """
    shards = _shards(folder)
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        part = read_tensors(shard)
        twice = tensors.keys() & part.keys()
        if twice:
            raise UserError(f"{shard}: {len(twice)} tensors stand in another shard too, such as {min(twice)}")
        tensors |= part
    return tensors


def _shards(folder: Path) -> list[Path]:
    for index_name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index_name).exists():
            return _indexed_shards(folder / index_name)
    for pattern in ("*.safetensors", "*.bin"):
        found = sorted(path for path in folder.glob(pattern) if path.name not in BESIDE_WEIGHTS)
        if found:
            return found
    raise UserError(f"{folder}: no *.safetensors or *.bin weights in it; is this a model folder?")


def _indexed_shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise UserError(f"{index}: has no weight_map from weights to files; download it again")
    names = sorted(set(weight_map.values()))
    if any(Path(name).name != name for name in names):
        raise UserError(f"{index}: names a shard outside its folder; get the checkpoint from its source")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise UserError(f"{index}: its shards are missing: {', '.join(missing) or 'none is named'}; download again")
    return [index.parent / name for name in names]


def check_free_target(target: Path, overwrite: bool) -> None:
    """Raise `UserError` if something stands at `target`, unless it is an empty folder or may be overwritten.

    Only a checkpoint is ever overwritten, so that a mistyped path cannot cost anyone's other files.
    """
    try:
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            return
        replaceable = target.is_dir() and _is_only_checkpoint(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be read ({first_line(error)}); choose another folder") from error
    if not overwrite:
        raise UserError(f"{target}: exists already; choose another folder or pass --overwrite")
    if not replaceable:
        raise UserError(
            f"{target}: is no checkpoint folder, or holds other things too, and was not overwritten; "
            "choose another folder"
        )


def _is_only_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a checkpoint of either layout and nothing that is not part of one."""
    entries = list(folder.iterdir())
    inside = [path for path in entries if path.is_dir() and not path.is_symlink()]
    files = [path for path in entries if path not in inside]
    files += [path for part in inside if part.name in PART_FOLDERS for path in part.iterdir()]
    known = all(path.name in CHECKPOINT_NAMES or path.suffix in CHECKPOINT_SUFFIXES for path in files)
    configured = any((place / "config.json").is_file() for place in (folder, *inside))
    weights = any(path.suffix in WEIGHT_SUFFIXES for path in files)
    return known and configured and weights and all(part.name in PART_FOLDERS for part in inside)


@contextmanager
def atomic_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well, and vanishes otherwise.

    Raises:
        UserError: `target` exists and is not empty (unless `overwrite`), the disk is full, or the place is read-only.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 (`resolve` would follow a link at the target)
    check_free_target(target, overwrite)
    building = target.with_name(f".{target.name}.incomplete")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        yield building
        _share(building)
        _swap(building, target)
    except (OSError, SafetensorError, RuntimeError) as error:
        if _is_disk_full(error):
            raise UserError(f"{target}: no space left on the disk; free some and run again") from error
        if isinstance(error, OSError):
            raise UserError(f"{target}: cannot be written ({first_line(error)}); choose another place") from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _share(folder: Path) -> None:
    """Give every file the permissions of a plain write; safetensors creates private ones."""
    umask = os.umask(0)
    os.umask(umask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~umask)


def _swap(building: Path, target: Path) -> None:
    """Rename `building` to `target`; what stood there goes, but only once the new folder is in place."""
    replaced = target.with_name(f".{target.name}.replaced")
    if not target.exists():
        building.rename(target)
    else:
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
        try:
            building.rename(target)
        except OSError:
            replaced.rename(target)
            raise
    # Also clears what a run that was killed between the two renames left behind.
    if replaced.is_symlink():
        replaced.unlink()
    shutil.rmtree(replaced, ignore_errors=True)


def _is_disk_full(error: Exception) -> bool:
    # torch.save says no more of a failed write than where in its writer or C++ stream it was noticed.
    signs = ("No space left on device", "inline_container", "iostream error")
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(sign in str(error) for sign in signs)
