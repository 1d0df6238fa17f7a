"""Reading and writing of weights: the published `.pth`, and a folder of safetensors. Nothing read is ever executed."""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from torch import Tensor

from cut3r.config import CUT3RConfig
from cut3r.inert import InertLoadError, load_inert, member

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODEL_TYPE = "cut3r"
LISTED_KEYS = 10
LONGEST_CONSTRUCTOR = 20_000
# The published model registers four convolutions of each DPT under a second name.
_ALIAS = re.compile(r"(.*\.scratch)\.layer_rn\.([0-3])\.weight")
_ALIAS_TARGET = re.compile(r"(.*\.scratch)\.layer([1-4])_rn\.weight")


class CheckpointError(ValueError):
    """Weights that cannot be used; the message is one line that names the file and the remedy."""


def read(source: str | Path) -> tuple[CUT3RConfig, dict[str, Tensor], str]:
    """Configuration, weights under native names (on the CPU, mapped from the file), and the file's name.

    `source` is a published `.pth`, a folder that `write_folder` wrote or that holds one `.pth`, or a hub repository.
    """
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_published(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and path.suffix not in (".pth", ".pt", ".safetensors"):
        return _read_folder(_download(str(source)))
    raise CheckpointError(f"{source}: no such file or folder, and no hub repository name (owner/name)")


def _download(repository: str) -> Path:
    try:
        folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns=[CONFIG_FILE, "*.safetensors"]))
        if not (folder / WEIGHTS_FILE).is_file():
            folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns=["*.pth"]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{repository}: neither a local path nor a readable hub repository: {reason}") from error
    return folder


def _read_folder(folder: Path) -> tuple[CUT3RConfig, dict[str, Tensor], str]:
    config_file, weights_file = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    if not weights_file.is_file():
        published = sorted(folder.glob("*.pth"))
        if len(published) == 1:
            return _read_published(published[0])
        found = f"{len(published)} .pth files" if published else "no .pth file"
        raise CheckpointError(f"{folder}: has no {WEIGHTS_FILE} and {found}; name one file, or save the model again")
    try:
        values = json.loads(config_file.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.pop("model_type", None) != MODEL_TYPE:
            raise ValueError(f"model_type is not {MODEL_TYPE!r}")
        config = CUT3RConfig.from_dict(values)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{config_file}: not a CUT3R configuration ({error}); save the model again") from error
    try:
        weights = safetensors.torch.load_file(weights_file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights_file}: damaged or cut short ({error}); copy the file again") from error
    return config, weights, str(weights_file)


def _read_published(path: Path) -> tuple[CUT3RConfig, dict[str, Tensor], str]:
    try:
        content = load_inert(path)
    except InertLoadError as error:
        raise CheckpointError(f"{path}: {error}") from error
    weights, training = member(content, "model"), member(content, "args")
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"{path}: has no state dict under 'model'; a published CUT3R checkpoint has one")
    constructor = member(training, "model")
    if not isinstance(constructor, str):
        raise CheckpointError(f"{path}: has no constructor string under 'args.model'; a published checkpoint has one")
    config = config_from_constructor(parse_constructor(constructor, str(path)), str(path))
    return config, drop_aliases(weights, str(path)), str(path)


def config_from_constructor(constructor: Mapping[str, Any], where: str) -> CUT3RConfig:
    """The configuration for published constructor arguments; `where` names their source in a CheckpointError."""
    try:
        return CUT3RConfig.from_constructor(constructor)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: {error}") from error


def parse_constructor(text: str, where: str) -> dict[str, Any]:
    """The keyword arguments in `ARCroco3DStereo(ARCroco3DStereoConfig(key=literal, ...))`, read as data.

    Anything but literals, `inf` and signs is a CheckpointError; nothing is evaluated.
    """
    try:
        if len(text) > LONGEST_CONSTRUCTOR:
            raise ValueError("too long")
        call = ast.parse(text.strip(), mode="eval").body
        inner = _only_argument(call, "ARCroco3DStereo")
        if not isinstance(inner, ast.Call) or _callee(inner) != "ARCroco3DStereoConfig" or inner.args:
            raise ValueError("expected ARCroco3DStereoConfig(key=value, ...)")
        arguments: dict[str, Any] = {}
        for keyword in inner.keywords:
            if keyword.arg is None:
                raise ValueError("** is not a literal")
            arguments[keyword.arg] = _literal(keyword.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise CheckpointError(
            f"{where}: args.model is not a CUT3R constructor ({error}): {shown!r}; is this another model's checkpoint?"
        ) from error
    return arguments


def _callee(call: ast.Call) -> str | None:
    return call.func.id if isinstance(call.func, ast.Name) else None


def _only_argument(node: ast.expr, name: str) -> ast.expr:
    if not isinstance(node, ast.Call) or _callee(node) != name or len(node.args) != 1 or node.keywords:
        raise ValueError(f"expected {name}(...)")
    return node.args[0]


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(element) for element in node.elts)
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.Call) and _callee(node) == "float" and len(node.args) == 1 and not node.keywords:
        text = _literal(node.args[0])
        if text in ("inf", "-inf"):
            return float(text)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, int | float):
            return -value
    raise ValueError(f"{ast.unparse(node)[:40]!r} is not a literal")


def drop_aliases(published: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """Native names of published weights: without the prefix of a parallel wrapper and without second names.

    A second name whose tensor differs from its target's is a CheckpointError, and so is anything but float tensors.
    """
    wrapped = bool(published) and all(str(key).startswith("module.") for key in published)
    weights: dict[str, Tensor] = {}
    for key, value in published.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise CheckpointError(f"{where}: {key!r} is not a float tensor; this is not a CUT3R model")
        weights[str(key).removeprefix("module.") if wrapped else str(key)] = value
    for key in list(weights):
        match = _ALIAS.fullmatch(key)
        if match is None:
            continue
        target = f"{match[1]}.layer{int(match[2]) + 1}_rn.weight"
        if target in weights and not torch.equal(weights[key], weights[target]):
            raise CheckpointError(f"{where}: {key} differs from {target}, whose second name it is; the file is damaged")
        # With only the second name present, that tensor is the weight.
        weights.setdefault(target, weights[key])
        del weights[key]
    return weights


def add_aliases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names of native weights, second names included."""
    published = dict(weights)
    for key, value in weights.items():
        match = _ALIAS_TARGET.fullmatch(key)
        if match is not None:
            published[f"{match[1]}.layer_rn.{int(match[2]) - 1}.weight"] = value
    return published


def check_keys(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], where: str) -> None:
    """Raises a CheckpointError that lists missing, unexpected and mis-shaped keys, if there are any."""
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in given and given[key].shape != value.shape
    ]
    problems = [
        _listed(kind, keys)
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", shapes))
        if keys
    ]
    if not problems:
        return
    remedy = "use the checkpoint and the constructor arguments of one and the same model"
    if any(key.startswith("dec_blocks_state.") for key in missing) and not any("dec_blocks_state" in k for k in given):
        remedy = "it is older than the two-branch decoder; use a released CUT3R checkpoint"
    raise CheckpointError(f"{where}: weights do not fit the model: {'; '.join(problems)}; {remedy}")


def _listed(kind: str, keys: list[str]) -> str:
    more = ", ..." if len(keys) > LISTED_KEYS else ""
    return f"{len(keys)} {kind} ({', '.join(keys[:LISTED_KEYS])}{more})"


def write_folder(config: CUT3RConfig, weights: Mapping[str, Tensor], folder: str | Path) -> None:
    """Writes `model.safetensors` and `config.json`, each under a temporary name that is then renamed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    _write_atomically(
        folder / WEIGHTS_FILE, lambda path: safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    )
    text = json.dumps({"model_type": MODEL_TYPE, **config.to_dict()}, indent=2) + "\n"
    _write_atomically(folder / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def write_published(config: CUT3RConfig, published: Mapping[str, Tensor], path: str | Path) -> None:
    """Writes `{'model': published weights, 'args': Namespace(model=constructor string)}`, atomically."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in config.to_constructor().items())
    constructor = f"ARCroco3DStereo(ARCroco3DStereoConfig({arguments}))"
    tensors = {key: value.detach().cpu() for key, value in published.items()}
    content = {"model": tensors, "args": argparse.Namespace(model=constructor)}
    _write_atomically(Path(path), lambda temporary: torch.save(content, temporary))


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        # mkstemp's files are private; the result gets what a plain open would have given.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
