"""From a recipe to everything that a trainer needs: device, precision, data, steps and Trainer's arguments."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import TrainingArguments

from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.loading import resolve_device
from vlm3r.errors import UserError
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.training.data import Mixture, PackDataset, collate
from vlm3r.training.features import FeatureStore, expectation_of
from vlm3r.training.parts import TOWERS
from vlm3r.training.plan.hardware import recognise
from vlm3r.training.recipe import Recipe
from vlm3r.training.steps import Shape, StepLoader, steps_per_epoch

TERA = 1e12
CUDA = "cuda"


@dataclass(frozen=True)
class Processes:
    """This process among those of the run, as torchrun and DeepSpeed's launcher number them."""

    world: int = 1
    """Number of processes."""
    rank: int = 0
    """Number of this one."""
    local_rank: int = 0
    """Its number on this machine."""

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    @classmethod
    def from_environment(cls) -> Processes:
        """What the launcher says; one process without a launcher."""
        names = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
        return cls(*(int(os.environ.get(name, default)) for name, default in zip(names, (1, 0, 0), strict=True)))


def choose_device(name: str, processes: Processes) -> torch.device:
    """The device of this process.

    Raises:
        UserError: there is none such, or it is one of several GPUs by its number.
    """
    device = resolve_device(name)
    if device.type != CUDA:
        return device
    if device.index:
        raise UserError(f"model.device: give cuda and choose the GPU by CUDA_VISIBLE_DEVICES={device.index}")
    if processes.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"{processes.local_rank + 1} processes on this machine, but {torch.cuda.device_count()} GPUs: start fewer"
        )
    torch.cuda.set_device(processes.local_rank)
    return torch.device(CUDA, processes.local_rank)


def choose_precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Arithmetic of the forward pass."""
    name = recipe.optimiser.precision
    if name == "auto":
        name = "bfloat16" if device.type == CUDA and torch.cuda.is_bf16_supported() else "float32"
    return getattr(torch, name)


def peak_flops(recipe: Recipe, device: torch.device, world: int) -> float | None:
    """FLOP/s of all devices together, None where the device is unknown."""
    if recipe.run.peak_tflops is not None:
        return recipe.run.peak_tflops * TERA * world
    known = recognise(torch.cuda.get_device_name(device)) if device.type == CUDA else None  # a CPU's peak is a guess
    return known.peak_tflops * TERA * world if known else None


def open_dataset(
    recipe: Recipe, mixture: Mixture, model: VLM3RForConditionalGeneration, processor: VLM3RProcessor
) -> PackDataset:
    """The packs, with stored features where the recipe names a store.

    Raises:
        UserError: the store was made by other encoders or frames, or holds what this recipe trains.
    """
    folder, needed = recipe.data.features, ["vision_tokens"]
    if model.config.geometry != "none":
        needed += ["camera_tokens", "patch_tokens"]
    if folder is None:
        return PackDataset(mixture, processor, recipe.data, None, needed)
    for tower in TOWERS:
        if getattr(recipe.parts, tower) == "full":
            raise UserError(f"data.features: stored features cannot train parts.{tower}; freeze it or leave them out")
    store = FeatureStore.open(folder, expectation_of(model, processor))
    return PackDataset(mixture, processor, recipe.data, store, needed)


def step_shape(recipe: Recipe, dataset: PackDataset, processes: Processes) -> Shape:
    """Packs of a step: the whole number whose questions come nearest to the batch size."""
    plan = dataset.plan_of(0)
    questions_a_pack = plan.questions / max(len(plan), 1)
    packs = max(1, round(recipe.optimiser.batch_size / questions_a_pack)) if len(plan) else 1
    return Shape(packs, recipe.optimiser.micro_batch, processes.world, processes.rank)


def total_steps(recipe: Recipe, dataset: PackDataset, shape: Shape) -> int:
    """Steps of the run."""
    if recipe.optimiser.steps is not None:
        return recipe.optimiser.steps
    whole, share = divmod(recipe.optimiser.epochs, 1)
    steps = sum(steps_per_epoch(len(dataset.plan_of(epoch)), shape) for epoch in range(int(whole)))
    return steps + math.ceil(share * steps_per_epoch(len(dataset.plan_of(int(whole))), shape))


def make_loader(
    recipe: Recipe, dataset: PackDataset, processor: VLM3RProcessor, shape: Shape, steps: int, device: torch.device
) -> StepLoader:
    """The micro-batches of this process."""
    joined = functools.partial(collate, pad_id=processor.tokenizer.pad_token_id, loss_per=recipe.optimiser.loss_per)
    return StepLoader(dataset, joined, shape, steps, recipe.data.workers, pin_memory=device.type == CUDA)


def zero_stage(recipe: Recipe) -> int:
    """Stage of DeepSpeed's ZeRO that the recipe asks for; 0 without DeepSpeed.

    Raises:
        UserError: DeepSpeed is not installed, or its configuration cannot be read or does not fit.
    """
    path = recipe.run.deepspeed
    if path is None:
        return 0
    if importlib.util.find_spec("deepspeed") is None:
        raise UserError("run.deepspeed needs DeepSpeed: pip install -e '.[train]' in the clone, or leave it out")
    stage = read_json(path).get("zero_optimization", {}).get("stage", 0)
    if stage == 3:
        for tower in TOWERS:
            if getattr(recipe.parts, tower) == "full":
                raise UserError(f"{path}: ZeRO-3 cannot train parts.{tower}; use configs/deepspeed/zero2.json")
        if recipe.model.quantization is not None:
            raise UserError(f"{path}: ZeRO-3 cannot shard a quantised model; use configs/deepspeed/zero2.json")
    return stage


def make_arguments(
    recipe: Recipe, run: Path, steps: int, shape: Shape, device: torch.device, precision: torch.dtype
) -> TrainingArguments:
    """Trainer's arguments. With DeepSpeed this also fills in what its configuration calls `auto`."""
    optimiser = recipe.optimiser
    rounds = math.ceil(shape.packs / (shape.world * shape.micro_batch))
    arguments = TrainingArguments(
        output_dir=str(run),
        max_steps=steps,
        per_device_train_batch_size=shape.micro_batch,
        gradient_accumulation_steps=rounds,
        learning_rate=optimiser.learning_rate,
        weight_decay=optimiser.weight_decay,
        max_grad_norm=optimiser.max_grad_norm,
        lr_scheduler_type=optimiser.schedule,
        warmup_steps=optimiser.warmup,
        logging_steps=recipe.run.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.run.save_every,
        report_to=["wandb"] if "wandb" in recipe.run.report_to else [],
        seed=optimiser.seed,
        bf16=recipe.run.deepspeed is not None and precision == torch.bfloat16,
        use_cpu=device.type == "cpu",
        ddp_backend="gloo" if device.type == "cpu" and shape.world > 1 else None,
        # Trained encoders keep weights that no token depends on; everything else takes part in every batch.
        ddp_find_unused_parameters="full" in (recipe.parts.vision_tower, recipe.parts.geometry_encoder),
        deepspeed=None if recipe.run.deepspeed is None else str(recipe.run.deepspeed),
        disable_tqdm=True,
        ignore_data_skip=True,
        remove_unused_columns=False,
        log_level="warning",
    )
    # The trainer itself goes through the micro-batches of a step, and through one GPU a process.
    arguments.gradient_accumulation_steps = 1
    if arguments.device.type == CUDA:
        arguments._n_gpu = 1
    return arguments
