"""Which files of a checkpoint folder may be published: a list of names, and nothing beside it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line

CARD = "README.md"
RECIPE, RUN, HISTORY, SCORES = "recipe.yaml", "run.json", "history.jsonl", "scores.json"
RECORDS = (RECIPE, RUN, HISTORY, SCORES)
"""What a training run says about itself."""

VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json")
"""Files whose entries are words of every kind, which are no paths or passwords of anyone."""

PROCESSOR = (
    *VOCABULARY,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
)
"""Tokenizer and processor."""

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
ADAPTER_PICKLE = "adapter_model.bin"
BESIDE = (*PROCESSOR, *RECORDS, "config.json", "LICENSE", CARD)
MODEL = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
"""Weights of a native folder."""

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".dill", ".t7")


def native_files(folder: Path, root: Path) -> dict[str, Path]:
    """Names inside a native checkpoint folder to paths; all of them may be published.

    Raises:
        UserError: see `list_folder`.
    """
    files = list_folder(folder, root, BESIDE, MODEL, subfolder="adapter")
    inside = folder / "adapter"
    if inside.exists():
        files |= {f"adapter/{name}": path for name, path in list_folder(inside, root, (*ADAPTER, CARD)).items()}
    return files


def lora_files(folder: Path, root: Path, pickles: tuple[str, ...]) -> dict[str, Path]:
    """Names inside a LoRA repository of the published layout to paths.

    Args:
        folder: the repository.
        root: what a symbolic link must not leave.
        pickles: weight files that are read safely and written anew as safetensors.

    Raises:
        UserError: see `list_folder`.
    """
    return list_folder(folder, root, (*BESIDE, *ADAPTER, "non_lora_trainables.safetensors", *pickles))


def list_folder(
    folder: Path, root: Path, names: tuple[str, ...], pattern: re.Pattern[str] | None = None, subfolder: str = ""
) -> dict[str, Path]:
    """The files of a folder by name.

    Args:
        folder: the folder, without its subfolders.
        root: what a symbolic link must not leave.
        names: names that may stand there.
        pattern: further names.
        subfolder: the one folder that may stand there.

    Raises:
        UserError: something else stands there: a pickle, a hidden or unknown file, a link that leads out of `root`.
    """
    found: dict[str, Path] = {}
    try:
        entries = sorted(folder.iterdir())
        for path in entries:
            refuse_link(path, root)
            if path.name == subfolder and path.is_dir():
                continue
            _refuse_name(path, path.name in names or (pattern is not None and pattern.fullmatch(path.name) is not None))
            if not stat.S_ISREG(path.stat().st_mode):
                raise UserError(f"{path}: is no plain file; replace it by one")
            found[path.name] = path
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({first_line(error)}); check its permissions") from error
    return found


def refuse_link(path: Path, root: Path) -> None:
    """Raise if a path is a symbolic link to nothing or out of `root`.

    Raises:
        UserError: names the link.
    """
    if not path.is_symlink():
        return
    if not path.exists():
        raise UserError(f"{path}: is a link to nothing; take it out of the folder")
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{path}: is a link that leaves {root}; put a copy of the file in its place")


def _refuse_name(path: Path, known: bool) -> None:
    if known:
        return
    if path.name.startswith("."):
        raise UserError(f"{path}: hidden files are not published; take it out of the folder")
    if path.suffix.lower() in PICKLES:
        raise UserError(
            f"{path}: is a pickle, which can run code when it is opened; take it out of the folder, or keep its "
            "tensors as safetensors"
        )
    kind = "folder" if path.is_dir() else "file"
    raise UserError(f"{path}: is no {kind} of a checkpoint; take it out of the folder")
