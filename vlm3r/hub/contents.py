"""What `vlm3r publish` uploads of a checkpoint: chosen, checked and laid out in a folder."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlm3r.checkpoints.files import read_json, read_tensors
from vlm3r.checkpoints.native import read_native
from vlm3r.checkpoints.parts import Parts
from vlm3r.checkpoints.published import (
    NON_LORA_FILE,
    NON_LORA_SAFE,
    non_lora_file,
    published_config_dict,
    read_non_lora,
    write_lora_repository,
    write_tensors,
)
from vlm3r.errors import UserError
from vlm3r.hub.card import CardFacts, model_card
from vlm3r.hub.evaluation import read_scores
from vlm3r.hub.listing import (
    ADAPTER,
    ADAPTER_PICKLE,
    CARD,
    MODEL,
    PROCESSOR,
    RECORDS,
    SCORES,
    lora_files,
    native_files,
    refuse_link,
)
from vlm3r.hub.records import Record, Records, read_records
from vlm3r.hub.redaction import clear_text
from vlm3r.hub.source import Source, find_source
from vlm3r.hub.stage import Entry, Stage
from vlm3r.hub.terms import default_licence, describe_geometry, is_untrained
from vlm3r.hub.weights import check_weights, read_adapter_alone

SMALL = 1_000_000_000
"""Bytes of weights below which the complete model is uploaded without being asked for."""

LORA_FOLDER = "lora"
"""Where the LoRA repository stands beside a complete model, as `vlm3r convert --to published` has it."""

UNNAMED_BASE = "base"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class PublishOptions:
    """What the caller of `vlm3r publish` decides."""

    repo: str
    """Repository on the hub, `owner/name`."""
    base: str | None = None
    """Hub id of the base model; None for what the run or the adapter names."""
    licence: str | None = None
    """Licence identifier of the hub; None follows from what is uploaded."""
    datasets: tuple[str, ...] = ()
    """Hub ids of the data sets that the model was trained on."""
    whole: bool = False
    """Whether to upload the complete model however large it is."""
    scores: Path | None = None
    """Folder of a finished `vlm3r eval`, whose scores replace those of the run; None takes the run's own."""
    published_bin: bool = False
    """Whether to add `non_lora_trainables.bin`, which is a pickle, for tools that read nothing else."""


@dataclass(frozen=True)
class Contents:
    """A folder ready for upload."""

    folder: Path
    """Where it is."""
    entries: tuple[Entry, ...]
    """Its files, by path."""
    card: str
    """Text of the model card among them."""
    notices: tuple[str, ...]
    """What was changed or left out, one line each."""


def collect(checkpoint: Path, options: PublishOptions, folder: Path) -> Contents:
    """Fill an empty folder with everything that is uploaded of a checkpoint; the network is not touched.

    Raises:
        UserError: something in the checkpoint is broken, or must not be published.
    """
    source = find_source(checkpoint)
    for path in (source.native, source.lora, *source.records.values()):
        if path is not None and path != source.root:
            refuse_link(path, path.parent)
    stage = Stage(folder)
    own = {name: path for name, path in source.records.items() if options.scores is None or name != SCORES}
    records = read_records(own)
    if options.scores is not None:
        scores = read_scores(options.scores)
        records = replace(records, files={**records.files, SCORES: Record(scores, None)})
        stage.write(SCORES, json.dumps(scores, indent=2, ensure_ascii=False) + "\n", options.scores)
    native = {} if source.native is None else native_files(source.native, source.root)
    lora = {} if source.lora is None else lora_files(source.lora, source.root, (NON_LORA_FILE, ADAPTER_PICKLE))
    adapted = bool(lora) or "adapter/adapter_config.json" in native
    whole = _is_whole(source, native, adapted, options)
    base = _base_name(options, source, records)
    if whole:
        for name in (name for name in native if name not in (CARD, f"adapter/{CARD}", *RECORDS)):
            stage.add(name, native[name])
    # Also shows that the folder is complete and fits together.
    parts = read_native(source.native) if source.native is not None and (whole or not lora) else None
    prefix = f"{LORA_FOLDER}/" if whole else ""
    if source.lora is not None:
        _add_lora(stage, source.lora, lora, prefix, base)
    elif adapted and parts is not None:
        _write_lora(stage, parts, prefix, base)
    if not whole:
        for name in (name for name in PROCESSOR if name in native and name not in lora):
            stage.add(name, native[name])
    for name, path in own.items():
        stage.add(name, path)
    if adapted and options.published_bin:
        write_tensors(read_tensors(folder / prefix / NON_LORA_SAFE), stage.place(prefix + NON_LORA_FILE))
    if CARD in native or CARD in lora:
        stage.notices.append(f"{source.root}: its {CARD} is not uploaded, the card is written anew")
    card = model_card(_facts(stage, options, records, (base, _is_hub_id(base, source.root)), whole, adapted))
    stage.write(CARD, card, "the model card")
    return Contents(folder, stage.entries(), card, tuple(stage.notices))


def _is_whole(source: Source, native: dict[str, Path], adapted: bool, options: PublishOptions) -> bool:
    """Whether the complete model is uploaded."""
    if source.native is None:
        if options.whole:
            raise UserError(
                f"{source.root}: holds no complete model; make one with vlm3r convert and publish that, or leave out "
                "--whole"
            )
        return False
    size = sum(path.stat().st_size for name, path in native.items() if MODEL.fullmatch(name))
    if options.whole or size < SMALL:
        return True
    if not adapted:
        raise UserError(f"{source.root}: is {size / 1e9:.1f} GB without an adapter; pass --whole to upload all of it")
    return False


def _base_name(options: PublishOptions, source: Source, records: Records) -> str | None:
    """What the base model is called, without folders of this machine; None where nobody says."""
    named: list[Any] = [options.base]
    if source.lora is not None:
        named.append(read_json(source.lora / "adapter_config.json").get("base_model_name_or_path"))
    named += records.base_models
    return next((clear_text(name) for name in named if isinstance(name, str) and name.strip(". ")), None)


def _is_hub_id(name: str | None, root: Path) -> bool:
    """Whether a base model's name is a repository on the hub, and not a relative path here."""
    if name is None or not HUB_ID.fullmatch(name):
        return False
    return not any((place / name).exists() for place in (Path(), root, root.parent))


def _add_lora(stage: Stage, folder: Path, files: dict[str, Path], prefix: str, base: str | None) -> None:
    """Take a LoRA repository over, with its pickles turned into safetensors."""
    adapter, non_lora = read_adapter_alone(folder), non_lora_file(folder)
    read_non_lora(non_lora)
    kept = (*ADAPTER, "config.json", NON_LORA_SAFE) if prefix else tuple(files)
    for name in (name for name in kept if name in files):
        if name == "adapter_config.json":
            stage.add_fields(prefix + name, files[name], {"base_model_name_or_path": base} if base else None)
        elif name not in (CARD, NON_LORA_FILE, ADAPTER_PICKLE, *RECORDS):
            stage.add(prefix + name, files[name])
    if ADAPTER[1] not in files:
        stage.add_tensors(prefix + ADAPTER[1], adapter, files[ADAPTER_PICKLE])
    if NON_LORA_SAFE not in files:
        stage.add_tensors(prefix + NON_LORA_SAFE, read_tensors(non_lora), non_lora)
    for name in (name for name in (NON_LORA_FILE, ADAPTER_PICKLE) if name in files):
        stage.notices.append(f"{files[name]}: is a pickle; its tensors are uploaded as safetensors")


def _write_lora(stage: Stage, parts: Parts, prefix: str, base: str | None) -> None:
    """Write the LoRA repository of a native folder that keeps its adapter apart."""
    folder = stage.place(f"{prefix}config.json").parent
    write_lora_repository(parts, folder, base or UNNAMED_BASE, published_config_dict(parts), NON_LORA_SAFE)
    for name in (ADAPTER[1], NON_LORA_SAFE):
        stage.weights[prefix + name] = check_weights(folder / name, f"{name} of the checkpoint")


def _facts(
    stage: Stage, options: PublishOptions, records: Records, base: tuple[str | None, bool], whole: bool, adapted: bool
) -> CardFacts:
    """What the card says; `base` is the base model's name and whether that is a hub id."""
    config = json.loads((stage.folder / "config.json").read_text(encoding="utf-8"))
    geometry = describe_geometry(config)
    counted = [name for name in stage.weights if MODEL.fullmatch(name) or not whole]
    return CardFacts(
        repo=options.repo,
        base=base[0],
        base_on_hub=options.base is not None or base[1],
        licence=options.licence or default_licence(geometry, whole),
        datasets=options.datasets,
        records=records,
        whole=whole,
        adapted=adapted,
        weights=sum(stage.weights[name] for name in counted),
        geometry=geometry,
        untrained=is_untrained(config),
    )
