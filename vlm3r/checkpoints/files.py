"""Reading tensors and JSON from checkpoint folders, and replacing folders in one step."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vlm3r.errors import UserError


def resolve_folder(name: str | Path, what: str) -> Path:
    """A checkpoint folder: `name` itself if it exists, else a snapshot of the hub repository of that name.

    Raises:
        UserError: it is neither an existing folder nor a repository that can be reached.
    """
    path = Path(name).expanduser()
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
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{name}: no such folder, and the hub gave no repository of that name ({reason}); "
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
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); download or write it again") from error
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
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(f"{path}: truncated or no checkpoint ({_first_line(error)}); download it again") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: holds something other than tensors and was not loaded ({_first_line(error)}); "
            "get a safetensors copy from a source you trust"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
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
        index = folder / index_name
        if index.exists():
            names = sorted(set(read_json(index).get("weight_map", {}).values()))
            if any(Path(name).name != name for name in names):
                raise UserError(f"{index}: names a shard outside its folder; get the checkpoint from its source")
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise UserError(f"{folder}: shards of {index_name} are missing: {', '.join(missing)}; download again")
            return [folder / name for name in names]
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    raise UserError(f"{folder}: no model*.safetensors or pytorch_model*.bin in it; is this a model folder?")


@contextmanager
def atomic_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well, and vanishes otherwise.

    Raises:
        UserError: `target` exists and is not empty (unless `overwrite`), or the disk is full.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())) and not overwrite:
        raise UserError(f"{target}: exists already; choose another folder or pass --overwrite")
    building = target.with_name(f".{target.name}.incomplete")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        yield building
        replaced = target.with_name(f".{target.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if target.exists():
            target.rename(replaced)
        building.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        if _is_disk_full(error):
            raise UserError(f"{target}: no space left on the disk; free some and run again") from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _is_disk_full(error: Exception) -> bool:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
