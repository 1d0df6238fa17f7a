"""Reading of `torch.save` files whose pickled classes are not trusted.

Every class and function that a file names, beyond those with which torch stores tensors, is replaced by an inert
stand-in: its instances only remember the state that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

DEEPEST_NODE = 4
_ZIP_MAGIC = b"PK\x03\x04"
# Modules that torch's reader refuses, stand-in or not.
_NEVER = ("os", "posix", "nt", "sys")
# What is found at the start of files that are mistaken for checkpoints, and what to do about it.
_MISTAKEN = (
    (b"version https://git-lfs", "is a git-lfs pointer; run `git lfs pull`"),
    (b"<", "is a web page, not a checkpoint; download the file itself"),
)


class InertLoadError(Exception):
    """The file cannot be read; the message says why and what to do, without naming the file."""


class Inert:
    """Stand-in for an object of a class that is not trusted."""

    state: dict[Any, Any]

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        """An instance without state; the arguments are dropped. (Unpickling may skip `__init__`.)"""
        instance = super().__new__(cls)
        instance.state = {}
        return instance

    def __setstate__(self, state: object) -> None:
        """Keeps `state`: attributes, or a pair of attributes and slots."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Mapping):
                self.state.update(part)


def load_inert(path: Path) -> Any:
    """The content of the `torch.save` file at `path`, tensors on the CPU and mapped from the file.

    Classes that torch does not allow by itself come back as `Inert`. Raises InertLoadError.
    """
    _check_start(path)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        for name in names:
            if name.partition(".")[0] in _NEVER:
                raise InertLoadError(f"asks for {name}, which no checkpoint needs: do not trust this file")
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in names]):
            return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except InertLoadError:
        raise
    # A hostile or damaged file can fail anywhere in the reader, with any exception.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InertLoadError(f"cannot be read as a checkpoint ({reason}); download or export it again") from error


def _check_start(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_ZIP_MAGIC):
        return
    if not start:
        raise InertLoadError("is empty; download the file again")
    for prefix, explanation in _MISTAKEN:
        if start.lstrip().startswith(prefix):
            raise InertLoadError(explanation)
    raise InertLoadError("is not a zip file as torch.save writes it; download the file again")


def _stand_in(name: str) -> Callable[..., object]:
    if name == "collections.defaultdict":
        # The reader fills dictionaries item by item, which it does for plain ones only.
        return lambda *args: {}
    return type(name.rpartition(".")[2], (Inert,), {})


def member(container: object, name: str) -> Any:
    """`container[name]` or `container.name`, whatever `container` was pickled from; None if it has none.

    Understands dictionaries, attributes, and omegaconf's nodes (`_content` of a container, `_val` of a value).
    """
    return _unwrapped(_attributes(container).get(name))


def _attributes(container: object) -> Mapping[Any, Any]:
    container = _unwrapped(container)
    if isinstance(container, Inert):
        return container.state
    return container if isinstance(container, Mapping) else {}


def _unwrapped(node: object) -> object:
    for _ in range(DEEPEST_NODE):  # a hostile node may contain itself
        if not isinstance(node, Inert) or not {"_content", "_val"} & node.state.keys():
            break
        node = node.state.get("_content", node.state.get("_val"))
    return node
