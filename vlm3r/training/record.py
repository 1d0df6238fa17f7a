"""`run.json`: what a run rests on and came to, and whether a run that continues is still the same."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import vlm3r
from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.loading import REPOSITORY
from vlm3r.checkpoints.parts import Parts
from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.training.recipe import Recipe
from vlm3r.training.settings import settings_record

RECORD = "run.json"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "deepspeed", "bitsandbytes")
FREE = (
    "model.device",
    "data.workers",
    "optimiser.micro_batch",
    "optimiser.gradient_checkpointing",
    "optimiser.compile",
    "run.out",
    "run.save_every",
    "run.keep",
    "run.log_every",
    "run.report_to",
    "run.peak_tflops",
)
"""Keys that may differ when a run continues: they change no result beyond rounding."""


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that compute."""
    found = {"vlm3r": vlm3r.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the clone that runs, with `+` where files differ from it; None outside a clone."""
    try:
        command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def base_fingerprint(parts: Parts) -> dict[str, str]:
    """SHA-256 by part over names, types, shapes and bytes of the start's weights, in order of name."""
    digests: dict[str, Any] = {}
    for name in sorted(parts.tensors):
        tensor = parts.tensors[name]
        digest = digests.setdefault(name.split(".")[0], hashlib.sha256())
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())
    return {part: digest.hexdigest() for part, digest in digests.items()}


def read_record(run: Path) -> dict[str, Any] | None:
    """The `run.json` of a run that has begun; None where there is none.

    Raises:
        UserError: it is damaged, or is that of something else.
    """
    path = run / RECORD
    if not path.exists():
        return None
    record = read_json(path)
    parts = [record.get(name) for name in ("recipe", "data", "base")]
    if not all(isinstance(part, dict) for part in parts) or not isinstance(record["data"].get("files"), list):
        raise UserError(f"{path}: is not the record of a training run; choose another run.out")
    return record


def check_unchanged(run: Path, recipe: Recipe, data: Mapping[str, Any], base: Mapping[str, str]) -> None:
    """Raise `UserError` unless the run in the folder has the same recipe, data and start."""
    before = read_record(run)
    if before is None:
        return
    remedy = "put it back, or choose another run.out"
    then, now = flat(before["recipe"]), flat(settings_record(recipe))
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key) and not key.startswith(FREE):
            raise UserError(f"{run}: {key} was {then.get(key)!r} when this run began and is {now.get(key)!r}; {remedy}")
    files = [{file["path"]: file["sha256"] for file in record["files"]} for record in (before["data"], data)]
    for name in sorted(files[0].keys() | files[1].keys()):
        if files[0].get(name) != files[1].get(name):
            raise UserError(f"{run}: data.sources: {name} has changed since this run began; {remedy}")
    for part in sorted(before["base"].keys() | base.keys()):
        if before["base"].get(part) != base.get(part):
            raise UserError(f"{run}: model.source: the weights of {part} have changed since this run began; {remedy}")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys; lists stay whole unless they hold settings."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            for number, entry in enumerate(value):
                result |= flat(entry, f"{name}.{number}.")
        else:
            result[name] = value
    return result


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    """Write `run.json`."""
    write_text(run / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
