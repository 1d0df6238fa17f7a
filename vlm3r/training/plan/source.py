"""What a plan rests on, read from small files only: the configuration, the data's counts, the store's parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from cut3r import CUT3RConfig

from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.checkpoints.parts import make_config
from vlm3r.checkpoints.published import is_published, published_config
from vlm3r.errors import UserError
from vlm3r.files import expand_home
from vlm3r.model import VLM3RConfig
from vlm3r.training.features.manifest import MANIFEST, PARTS, read_manifest
from vlm3r.training.plan.workload import DataCounts
from vlm3r.training.recipe import ModelRecipe, Recipe

PUBLISHED_FRAMES = 32
CHOICES = ("geometry_features", "pool_mode", "newline_position")
BYTES_A_TOKEN = 4.0
"""Assumed bytes of English text to a token of Qwen2."""


@dataclass(frozen=True)
class PlannedModel:
    """The model that a recipe would train."""

    config: VLM3RConfig
    """Its configuration."""
    frames: int
    """Frames that it takes from a video."""
    note: str
    """Where this is known from."""


class Packs(Protocol):
    """The packs of an epoch."""

    def __len__(self) -> int: ...

    @property
    def questions(self) -> int:
        """Questions in the epoch."""
        ...


class CountedData(Protocol):
    """What of a mixture the plan reads."""

    @property
    def text_bytes(self) -> Any:
        """`(question,)` size of each conversation."""
        ...

    def packs(self, epoch: int) -> Packs:
        """The packs of an epoch."""
        ...


def planned_model(recipe: Recipe) -> PlannedModel:
    """The configuration of the recipe's model, without its weights.

    Raises:
        UserError: the source is not here and is no published 7B model.
    """
    source = recipe.model.source
    folder = EMBEDDED_MODEL if source is None else expand_home(source)
    if (folder / "config.json").is_file():
        found = _local(folder, recipe.model)
    elif source is not None and _is_published_name(source):
        found = _published(recipe.model, source)
    else:
        raise UserError(
            f"model.source: {folder} is no folder with a config.json; a plan downloads nothing, so name one"
        )
    choices = {name: getattr(recipe.model, name) for name in CHOICES if getattr(recipe.model, name) is not None}
    config = make_config(found.config.to_dict() | choices, "model") if choices else found.config
    return replace(found, config=config, frames=recipe.data.frames or found.frames)


def _local(folder: Path, model: ModelRecipe) -> PlannedModel:
    path = folder / "config.json"
    raw = read_json(path)
    if raw.get("model_type") == VLM3RConfig.model_type:
        config = make_config({name: value for name, value in raw.items() if name != "model_type"}, str(path))
        config = _with_geometry(config, model, config.geometry != "none", str(path))
        settings = folder / "processor_config.json"
        frames = read_json(settings).get("num_frames", PUBLISHED_FRAMES) if settings.is_file() else PUBLISHED_FRAMES
        return PlannedModel(config, frames, f"Sizes from {path}.")
    if not is_published(raw):
        raise UserError(f"{path}: describes {raw.get('model_type')!r}, no VLM-3R and no LLaVA-Qwen model")
    config = published_config(raw, VLM3RConfig().num_output_tokens, None, {}, str(path))
    own = raw.get("vlm3r")
    frames = own.get("num_frames", PUBLISHED_FRAMES) if isinstance(own, Mapping) else PUBLISHED_FRAMES
    config = _with_geometry(config, model, bool(raw.get("spatial_tower")), str(path))
    return PlannedModel(config, frames, f"Sizes from {path}.")


def _published(model: ModelRecipe, source: str) -> PlannedModel:
    config = VLM3RConfig(geometry="none")
    config = _with_geometry(config, model, "vlm-3r" in source.lower(), "model")
    return PlannedModel(config, PUBLISHED_FRAMES, f"{source} is not here: sizes of the published 7B model.")


def _is_published_name(source: str) -> bool:
    name = source.lower()
    return "7b" in name and "qwen2" in name and ("llava" in name or "vlm-3r" in name)


def _with_geometry(config: VLM3RConfig, model: ModelRecipe, has_geometry: bool, source: str) -> VLM3RConfig:
    """The configuration with the recipe's geometry; an encoder whose sizes are unknown is the published one."""
    if model.geometry == "none" or (model.geometry is None and not has_geometry):
        return make_config(config.to_dict() | {"geometry": "none", "geometry_config": None}, source)
    if model.geometry is None and config.geometry == "cut3r":
        return config
    encoder = _encoder_config(model.geometry)
    return make_config(config.to_dict() | {"geometry": "cut3r", "geometry_config": encoder.to_dict()}, source)


def _encoder_config(geometry: str | None) -> CUT3RConfig:
    path = expand_home(geometry or "") / "config.json"
    if geometry is None or not path.is_file():
        return CUT3RConfig()
    known = {field.name for field in fields(CUT3RConfig)}
    try:
        return CUT3RConfig.from_dict({name: value for name, value in read_json(path).items() if name in known})
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: no CUT3R configuration ({error})") from error


def counts_of(data: CountedData, answer_tokens: float) -> DataCounts:
    """Counts of one pass over data that are here; tokens are estimated from bytes of text.

    Args:
        data: the mixture, made with all questions of a clip in a pack.
        answer_tokens: mean supervised tokens of a question.
    """
    packs = data.packs(0)
    mean = float(data.text_bytes.mean()) / BYTES_A_TOKEN if len(data.text_bytes) else 1.0
    return DataCounts(packs.questions, max(1, min(len(packs), packs.questions)), max(1.0, mean), answer_tokens)


def counted_data(recipe: Recipe, answer_tokens: float) -> tuple[DataCounts, str] | None:
    """Counts of the recipe's own data and where they come from, or None where a file is not here."""
    sources = recipe.data.sources
    if not sources or not all(source.path.is_file() for source in sources):
        return None
    from vlm3r.training.data import read_mixture

    mixture = read_mixture(replace(recipe.data, questions_per_pack=0), recipe.optimiser.seed)
    return counts_of(mixture, answer_tokens), f"Data counted in {', '.join(str(source.path) for source in sources)}."


def stored_parts(recipe: Recipe) -> frozenset[str]:
    """Parts whose tokens the recipe's feature store holds; geometry where the store is still to be made."""
    folder = recipe.data.features
    if folder is None or not recipe.data.with_video:
        return frozenset()
    if not (folder / MANIFEST).is_file():
        return frozenset({"geometry"})
    return frozenset(part for part in PARTS if part in read_manifest(folder).parts)
