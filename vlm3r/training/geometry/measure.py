"""Measurement of a trained CUT3R on scene folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cut3r import CUT3R, CheckpointError
from cut3r.evaluate import Constant, EvaluateConfig, evaluate, fit_constant

from vlm3r.errors import UserError
from vlm3r.files import replacing
from vlm3r.training.geometry.cache import CachedSequences, CacheSizes, prepare
from vlm3r.training.geometry.recipe import GeometryRecipe, read_geometry_recipe
from vlm3r.training.geometry.run import CONSTANT_FILE, RECIPE_FILE, open_device


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured, and on what."""

    folder: Path
    """Folder of a training run, or of a CUT3R model."""
    scenes: tuple[Path, ...]
    """Folders of scenes that training has not seen."""
    train_scenes: tuple[Path, ...] = ()
    """Scenes from which the constant answer is learnt; empty takes the one that the training run left."""
    cache: Path = Path("outputs/geometry-cache")
    """Folder for decoded sequences."""
    picture_size: int | None = None
    """Side of the pictures; None takes the training run's."""
    image_size: int | None = None
    """Side of the frames that the model reads; None takes the training run's."""
    frames: int | None = None
    """Only the first frames of each scene."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    workers: int | None = None
    """Processes that fill the cache; None takes one per core."""


@dataclass(frozen=True)
class Measured:
    """Numbers, and the scenes that could not be used."""

    report: dict[str, Any]
    """As `cut3r.evaluate.evaluate` gives it, with `settings` and `scenes`."""
    problems: tuple[str, ...]


def measure(options: MeasureOptions, progress: bool = True) -> Measured:
    """Errors of the model in a folder on some scenes, beside a constant answer where one can be had.

    Raises:
        UserError: no model, no scenes, or no sizes: a plain model's folder does not say at which sizes it was trained.
    """
    recipe_file = options.folder / RECIPE_FILE
    recipe = read_geometry_recipe(recipe_file) if recipe_file.is_file() else None
    sizes = _sizes(options, recipe)
    try:
        model = CUT3R.from_pretrained(options.folder / "model" if recipe else options.folder)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    patch = model.config.patch_size
    if sizes.depth % patch:
        raise UserError(f"--image-size {sizes.depth}: give a multiple of the patch size, {patch}")
    data = prepare(options.scenes, options.cache, sizes, options.workers)
    stride = recipe.training.pixel_stride if recipe else max(n for n in (1, 2, 4) if patch % n == 0)
    config = EvaluateConfig(sizes.depth, stride, options.frames)
    constant = _constant(options, sizes, config)
    report = evaluate(model.to(open_device(options.device)), data.sequences, constant, config, progress)
    settings = {"image_size": sizes.depth, "picture_size": sizes.picture, "pixel_stride": stride}
    names = [path.stem.rsplit("-", 1)[0] for path in data.sequences.files]
    return Measured({"settings": settings | {"frames": options.frames}, **report, "scenes": names}, data.problems)


def save_constant(sequences: CachedSequences, recipe: GeometryRecipe) -> None:
    """Writes the constant answer of a run's training sequences into its folder, unless it is there."""
    target = recipe.out / CONSTANT_FILE
    if not target.exists():
        config = EvaluateConfig(recipe.training.image_size, recipe.training.pixel_stride)
        with replacing(target) as building:
            fit_constant(sequences, config).save(building)


def _constant(options: MeasureOptions, sizes: CacheSizes, config: EvaluateConfig) -> Constant | None:
    if options.train_scenes:
        sequences = prepare(options.train_scenes, options.cache, sizes, options.workers).sequences
        return fit_constant(sequences, config)
    path = options.folder / CONSTANT_FILE
    if not path.is_file():
        return None
    try:
        constant = Constant.load(path)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    side = sizes.depth // config.pixel_stride
    if tuple(constant.depth.shape) != (side, side):
        raise UserError(f"{path}: is for another image size; give --train-scenes to learn the constant answer anew")
    return constant


def _sizes(options: MeasureOptions, recipe: GeometryRecipe | None) -> CacheSizes:
    picture = options.picture_size or (recipe.data.picture_size if recipe else None)
    image = options.image_size or (recipe.training.image_size if recipe else None)
    if picture is None or image is None:
        raise UserError(f"{options.folder}: has no {RECIPE_FILE}; give --picture-size and --image-size")
    return CacheSizes(picture, image)
