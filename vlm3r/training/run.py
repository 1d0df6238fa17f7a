"""A training run from its recipe to the files that it leaves."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from vlm3r.checkpoints.files import read_json
from vlm3r.errors import UserError
from vlm3r.files import first_line, write_text
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.training import checkpointing as disk
from vlm3r.training.callbacks import ProgressLine, StopCallback
from vlm3r.training.data import SKIPPED_FILE, Mixture, PackDataset, SkipList, read_mixture
from vlm3r.training.history import HISTORY, cut_back, plot_losses, read_lines
from vlm3r.training.objective import PackedObjective
from vlm3r.training.outcome import MODEL, write_outcome
from vlm3r.training.parts import build_trainable, count_parameters, set_towers_aside
from vlm3r.training.plan.table import comparison_text
from vlm3r.training.planned import comparison_record, measured_run, plan_of_run, side_by_side
from vlm3r.training.recipe import Recipe
from vlm3r.training.record import (
    RECORD,
    base_fingerprint,
    check_unchanged,
    git_commit,
    read_record,
    versions,
    write_record,
)
from vlm3r.training.settings import settings_record, write_settings
from vlm3r.training.setup import (
    Processes,
    choose_device,
    choose_precision,
    make_arguments,
    make_loader,
    open_dataset,
    peak_flops,
    step_shape,
    total_steps,
    zero_stage,
)
from vlm3r.training.signals import StopRequest
from vlm3r.training.start import Start, read_start
from vlm3r.training.steps import Shape, steps_per_epoch
from vlm3r.training.trainer import PackedTrainer, Session

RECIPE = "recipe.yaml"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train, on this process."""

    recipe: Recipe
    """The recipe."""
    processes: Processes
    """This process among the others."""
    start: Start
    """What training begins with."""
    model: VLM3RForConditionalGeneration
    """The model on its device."""
    processor: VLM3RProcessor
    """Its processor."""
    mixture: Mixture
    """The questions."""
    dataset: PackDataset
    """The packs."""
    shape: Shape
    """How a step is spread."""
    steps: int
    """Steps of the whole run."""
    device: torch.device
    """This process's device."""
    precision: torch.dtype
    """Arithmetic of the forward pass."""

    def facts(self) -> dict[str, Any]:
        """What can be said of the run before it begins; plain JSON values."""
        plan = self.dataset.plan_of(0)
        return {
            "data": self.mixture.record(),
            "packs_per_epoch": len(plan),
            "questions_per_epoch": plan.questions,
            "packs_per_step": self.shape.packs,
            "steps_per_epoch": steps_per_epoch(len(plan), self.shape),
            "steps": self.steps,
            "parameters": count_parameters(self.model),
            "device": str(self.device),
            "processes": self.processes.world,
            "precision": str(self.precision).removeprefix("torch."),
        }


def prepare(recipe: Recipe) -> Prepared:
    """Read the start and the data, and build the model; writes nothing.

    Raises:
        UserError: anything that the user can mend.
    """
    processes = Processes.from_environment()
    zero_stage(recipe)
    device = choose_device(recipe.model.device, processes)
    precision = choose_precision(recipe, device)
    mixture = read_mixture(recipe.data, recipe.optimiser.seed)
    start = read_start(recipe)
    model, processor = build_trainable(start, recipe, device, precision)
    dataset = open_dataset(recipe, mixture, model, processor)
    shape = step_shape(recipe, dataset, processes)
    steps = total_steps(recipe, dataset, shape)
    return Prepared(recipe, processes, start, model, processor, mixture, dataset, shape, steps, device, precision)


def train(recipe: Recipe) -> int:
    """Train, or continue where an earlier run in the same folder was cut off, and write what came of it.

    Returns:
        0, or 128 and the number of the signal that ended the run after a checkpoint.

    Raises:
        UserError: anything that the user can mend; the recipe, data or start of a run that continues has changed.
    """
    run = recipe.run.out
    record = read_record(run)
    if record is not None and record.get("finished") is not None:
        check_unchanged(run, recipe, record["data"], record["base"])
        print(f"{run / MODEL}: this run is finished", file=sys.stderr)
        return 0
    prepared = prepare(recipe)
    writes = prepared.processes.writes
    facts = prepared.facts()
    latest = _open_folder(prepared, facts) if writes else None
    with StopRequest(patient=prepared.processes.world > 1) as stop:
        trainer, latest = _make_trainer(prepared, stop)
        trainer.train(resume_from_checkpoint=None if latest is None else str(latest))
    if trainer.state.global_step < prepared.steps:
        return stop.exit_status
    trained = trainer.trained_state()
    if writes:
        write_outcome(prepared.start, trained, run)
        plot_losses(run)
        _finish_record(prepared, trainer)
        print(f"{run / MODEL}: written after {prepared.steps} steps", file=sys.stderr)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    return 0


def _open_folder(prepared: Prepared, facts: Mapping[str, Any]) -> None:
    """Make the run's folder, or check and tidy that of a run that continues."""
    recipe, run = prepared.recipe, prepared.recipe.run.out
    base = base_fingerprint(prepared.start.parts)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{run}: cannot be made ({first_line(error)}); choose another run.out") from error
    before = read_record(run)
    found = disk.checkpoints(run)
    if found and before is None:
        raise UserError(f"{run}: holds checkpoints without {RECORD}, so of an unknown run; choose another run.out")
    if found:
        check_unchanged(run, recipe, facts["data"], base)
    else:  # nothing is learnt yet that another recipe or mended data could contradict
        write_text(run / SKIPPED_FILE, "")
    disk.drop_stale(run)
    cut_back(run / HISTORY, disk.step_of(found[-1]) if found else 0)
    write_text(run / RECIPE, write_settings(recipe))
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    record = {
        "started": now if before is None else before.get("started", now),
        "versions": versions(),
        "git": git_commit(),
        "recipe": settings_record(recipe),
        "base": base,
        **facts,
    }
    write_record(run, record)


def _make_trainer(prepared: Prepared, stop: StopRequest) -> tuple[PackedTrainer, Path | None]:
    """The trainer, and the checkpoint that it is to continue from."""
    recipe, run, processes = prepared.recipe, prepared.recipe.run.out, prepared.processes
    if recipe.run.deepspeed is not None:
        set_towers_aside(prepared.model)
    arguments = make_arguments(recipe, run, prepared.steps, prepared.shape, prepared.device, prepared.precision)
    loader = make_loader(recipe, prepared.dataset, prepared.processor, prepared.shape, prepared.steps, prepared.device)
    skips = None
    if processes.writes:
        clips, rows = prepared.mixture.clip_sources(), prepared.mixture.rows
        skips = SkipList(run / SKIPPED_FILE, clips, rows, recipe.data.max_failed_share)
        for identity, fault in prepared.mixture.bad_rows:
            skips.add(identity, fault)
    per_epoch = steps_per_epoch(len(prepared.dataset.plan_of(0)), prepared.shape)
    peak = peak_flops(recipe, prepared.device, processes.world)
    session = Session(recipe, loader, skips, stop, prepared.precision, peak, per_epoch)
    callbacks = [StopCallback(stop, processes.world), ProgressLine()]
    found = disk.checkpoints(run)
    if found:
        loader.first_step = disk.step_of(found[-1])
    callbacks += _tensorboard(recipe, run, loader.first_step) if processes.writes else []
    trainer = PackedTrainer(PackedObjective(prepared.model), arguments, session, callbacks)
    return trainer, found[-1] if found else None


def _tensorboard(recipe: Recipe, run: Path, step: int) -> list[TrainerCallback]:
    if "tensorboard" not in recipe.run.report_to:
        return []
    if importlib.util.find_spec("tensorboard") is None:
        print("run.report_to: tensorboard is not installed; curves go to history.jsonl only", file=sys.stderr)
        return []
    from torch.utils.tensorboard.writer import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(log_dir=str(run / TENSORBOARD), purge_step=step + 1 if step else None))]


def _finish_record(prepared: Prepared, trainer: PackedTrainer) -> None:
    """Add to `run.json` what was measured, beside what was planned, and say it."""
    recipe, run, world = prepared.recipe, prepared.recipe.run.out, prepared.processes.world
    entries = read_lines(run / HISTORY)
    measured = measured_run(entries, prepared.device, world)
    frames = recipe.data.frames or prepared.processor.num_frames
    plan = plan_of_run(recipe, prepared.model.config, frames, prepared.device, world)
    compared = side_by_side(plan, measured)
    outcome = {
        "measured": asdict(measured)
        | {
            "final_loss": entries[-1]["loss"] if entries else None,
            "skipped": len(trainer.session.skips or ()),
        },
        "planned_and_measured": comparison_record(compared),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    write_record(run, read_json(run / RECORD) | outcome)
    if compared:
        print(comparison_text(compared), file=sys.stderr)
