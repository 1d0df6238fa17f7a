"""The trainer: packed batches, one divisor for the loss of a whole step, checkpoints that are whole or not there."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from cut3r.optimiser import linear_weights, make_optimiser
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from vlm3r.errors import UserError
from vlm3r.training import checkpointing as disk
from vlm3r.training.data.skips import SkipList
from vlm3r.training.history import HISTORY, append_line
from vlm3r.training.lockstep import kinds_of, with_empty_clips
from vlm3r.training.meters import LossMeter, mean_losses, merge_states
from vlm3r.training.objective import PackedObjective
from vlm3r.training.parts import TOWERS, parameter_groups
from vlm3r.training.recipe import Recipe
from vlm3r.training.signals import StopRequest
from vlm3r.training.steps import Batch, StepLoader
from vlm3r.training.throughput import StepCounts, Stopwatch, count_step

ADAM_EPSILON = 1e-8
OUTPUT_LAYERS = ("lm_head",)
"""Linear layers whose weights are rows for words, which Muon's common scale does not suit."""
STOP = len(fields(StepCounts)) - 1
"""Place of the signal number among the counts."""
NOT_FOR_THE_MODEL = ("tasks", "identities", "failures", "lengths", "rows", "question_count", "padding")


@dataclass(frozen=True)
class Session:
    """What a trainer works with beside the model."""

    recipe: Recipe
    """The run's recipe."""
    loader: StepLoader
    """Micro-batches by step."""
    skips: SkipList | None
    """Where failures are noted; only on the process that writes."""
    stop: StopRequest
    """Whether a signal asks for the end."""
    precision: torch.dtype
    """Arithmetic of the forward pass."""
    peak: float | None
    """FLOP/s of all devices together."""
    steps_per_epoch: int
    """Steps of the first epoch, for the epoch that is logged."""


class PackedTrainer(Trainer):
    """`transformers.Trainer` on packed batches.

    To Trainer a "batch" is the list of a whole step's micro-batches, and the run is one long epoch: order, epochs and
    the place to continue are the loader's. Dropout is seeded by step and process, so nothing of a random state needs
    saving. The loss of a step is the sum over all its questions (or tokens) by their actual number, whatever the split
    into micro-batches and processes.
    """

    def __init__(
        self,
        objective: PackedObjective,
        arguments: TrainingArguments,
        session: Session,
        callbacks: list[TrainerCallback] | None = None,
    ):
        super().__init__(model=objective, args=arguments, train_dataset=None, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self.objective = objective
        self.session = session
        self.meter = LossMeter(arguments.device)
        self.watch = Stopwatch(arguments.device)
        self.losses: dict[int, float] = {}
        self._towers_trained = any(
            parameter.requires_grad for name, parameter in objective.model.named_parameters() if name.startswith(TOWERS)
        )

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.args.world_size

    # ---- a step

    def get_train_dataloader(self) -> Any:
        """The session's loader."""
        return self.session.loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], None]:
        """The micro-batches of the next step, as the only element of a list."""
        with self.watch.waiting():
            step = next(epoch_iterator, None)
        return ([] if step is None else [step]), None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Gradients of one step; returns this process's part of its loss, scaled so that the mean is the loss."""
        batches: list[Batch] = inputs
        counts, kinds = self._agree(batches)
        self.watch.add(counts)
        recipe = self.session.recipe.optimiser
        torch.manual_seed(_seed(recipe.seed, self.state.global_step, self.args.process_index))
        divisor = max(counts.questions if recipe.loss_per == "question" else counts.targets, 1.0)
        total = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            ready = self._ready(batch, kinds[number])
            delayed = not last and not self.is_deepspeed_enabled
            with self.accelerator.no_sync(model) if delayed else nullcontext():
                with self._autocast():
                    losses = model({name: value for name, value in ready.items() if name not in NOT_FOR_THE_MODEL})
                share = losses.weighted_sum * (self.world / divisor)
                # The step's own divisor already spans its micro-batches.
                self.accelerator.backward(share, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))
            total += share.detach()
            if not batch.get("padding"):
                self.meter.add(ready, losses.per_target)
        self.session.stop.agreed = int(counts.stop)
        return total

    def _autocast(self) -> Any:
        # DeepSpeed computes in the type that it has given to the weights.
        enabled = self.session.precision != torch.float32 and not self.is_deepspeed_enabled
        return torch.autocast(self.args.device.type, self.session.precision) if enabled else nullcontext()

    def _agree(self, batches: list[Batch]) -> tuple[StepCounts, list[set[Any]]]:
        """The step's counts over all processes, and the kinds of clips that each micro-batch must hold."""
        config = self.objective.model.config
        own = count_step(batches, config, self.session.recipe, self.session.stop.signal)
        images = [float("image" in kinds_of(batch)) for batch in batches]
        if self.world > 1:
            both = torch.tensor([*astuple(own), *images], dtype=torch.float64, device=self.args.device)
            sums = both.clone()
            dist.all_reduce(sums)
            if sums[STOP] > 0:
                dist.all_reduce(both, dist.ReduceOp.MAX)
                sums[STOP] = both[STOP]
            values = sums.tolist()
            own, images = StepCounts(*values[: STOP + 1]), values[STOP + 1 :]
        if own.failures:
            self._note_failures(batches)
        return own, [{"video", "image"} if image else {"video"} for image in images]

    def _note_failures(self, batches: list[Batch]) -> None:
        found = [failure for batch in batches for failure in batch["failures"]]
        for item, reason in (pair for own in self._everyones(found) for pair in own):
            if self.session.skips is not None:
                self.session.skips.add(item, reason)

    def _everyones(self, value: Any) -> list[Any]:
        """A value of every process, on every process."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def _ready(self, batch: Batch, kinds: set[Any]) -> Batch:
        """The micro-batch on the device, with something for every trained module to do."""
        batch = with_empty_clips(batch, self.objective.model.config, kinds, self._towers_trained)
        device = self.args.device
        return {n: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for n, v in batch.items()}

    def floating_point_ops(self, inputs: Any) -> int:
        """Nothing: the stopwatch counts FLOPs."""
        return 0

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The recipe's optimiser over the trained weights."""
        recipe = self.session.recipe.optimiser
        named = ((n, p) for n, p in self.objective.model.named_parameters() if p.requires_grad)
        fused = not self.is_deepspeed_enabled and self.args.device.type in ("cpu", "cuda")
        self.optimizer = make_optimiser(
            recipe.method,
            parameter_groups(named, recipe),
            linear_weights([self.objective.model], without=OUTPUT_LAYERS),
            recipe.learning_rate,
            recipe.betas,
            ADAM_EPSILON,
            fused,
        )
        return self.optimizer

    # ---- the log

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the means since the last entry to the history and to everyone who listens.

        Raises:
            UserError: the loss is no number any more.
        """
        if "loss" not in logs:
            return
        seconds_left = self.watch.seconds_left(self.state.global_step, self.state.max_steps)
        rates, memory = self.watch.rates(self.session.peak), self.watch.peak_memory()
        everyone = self._everyones((self.meter.state(), memory))
        loss, tasks = mean_losses(merge_states(state for state, _ in everyone))
        self.meter.reset()
        entry: dict[str, Any] = {
            "step": self.state.global_step,
            "epoch": round(self.state.global_step / self.session.steps_per_epoch, 4),
            "loss": loss,
            "tasks": tasks,
            "learning_rate": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            "questions": int(self.watch.questions),
            "tokens": int(self.watch.tokens),
            "flops": self.watch.flops,
            "seconds": round(self.watch.seconds, 3),
            **rates,
            "peak_memory": max(memory for _, memory in everyone),
            "seconds_left": seconds_left,
        }
        self.watch.reset()
        if self.is_world_process_zero():
            append_line(Path(str(self.args.output_dir)) / HISTORY, entry)
        flat = {key: value for key, value in entry.items() if isinstance(value, int | float)}
        flat |= {f"task/{task}": value for task, value in tasks.items()}
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, flat)
        if loss is not None and loss != loss:
            raise UserError(
                f"step {self.state.global_step}: the loss is no number any more; lower optimiser.learning_rate and "
                "start anew in another run.out"
            )

    # ---- checkpoints

    def trained_state(self) -> dict[str, Tensor]:
        """The trained weights in full, float32, on the CPU; every process must ask."""
        named = [(n, p) for n, p in self.objective.model.named_parameters() if p.requires_grad]
        if not self.is_deepspeed_enabled:
            return {name: parameter.detach().cpu() for name, parameter in named}
        from deepspeed.utils import safe_get_full_fp32_param

        gathered = {}
        for name, parameter in named:
            whole = safe_get_full_fp32_param(parameter)
            assert whole is not None
            gathered[name] = whole.detach().cpu()
        return gathered

    def _save_checkpoint(self, model: nn.Module, trial: Any = None) -> None:
        run, step = Path(str(self.args.output_dir)), self.state.global_step
        building = disk.building_folder(run, step)
        if self.is_world_process_zero():
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        weights = self.trained_state()
        states = self._everyones(self.meter.state())
        if self.is_deepspeed_enabled:
            engine: Any = self.model_wrapped
            engine.save_checkpoint(str(building / disk.ENGINE), exclude_frozen_parameters=True)
        if self.is_world_process_zero():
            disk.write_weights(weights, building)
            if not self.is_deepspeed_enabled:
                assert self.optimizer is not None
                disk.write_state(self.optimizer.state_dict(), building / disk.OPTIMISER)
            disk.write_state(self._scheduler().state_dict(), building / disk.SCHEDULER)
            self.state.save_to_json(str(building / disk.TRAINER_STATE))
            disk.write_progress({"step": step, "losses": merge_states(states), "work": self.watch.state()}, building)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            disk.publish(building, run, step)
            disk.drop_old(run, self.session.recipe.run.keep)
        self.accelerator.wait_for_everyone()

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        # Trainer would load weights and states in several places and ways; here all is loaded at once, afterwards.
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        if self.is_deepspeed_enabled:
            self.objective.register_forward_pre_hook(_reach_newline)
        self.watch.reset()
        if resume_from_checkpoint is not None:
            self._restore(Path(str(resume_from_checkpoint)))
        return prepared

    def _restore(self, checkpoint: Path) -> None:
        named = {n: p for n, p in self.objective.model.named_parameters() if p.requires_grad}
        if self.is_deepspeed_enabled:
            engine: Any = self.model_wrapped
            engine.load_checkpoint(str(checkpoint / disk.ENGINE), load_module_strict=False)
        else:
            assert self.optimizer is not None
            weights = disk.read_weights(checkpoint, {name: parameter.shape for name, parameter in named.items()})
            with torch.no_grad():
                for name, parameter in named.items():
                    parameter.copy_(weights[name])
            self.optimizer.load_state_dict(disk.read_state(checkpoint / disk.OPTIMISER))
        self._scheduler().load_state_dict(disk.read_state(checkpoint / disk.SCHEDULER))
        progress = disk.read_progress(checkpoint)
        self.watch.restore(progress["work"])
        # The sums are those of all processes, so one of them goes on with them.
        if self.is_world_process_zero():
            self.meter.restore(progress["losses"])

    def _scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        # Not DeepSpeed's own: its configurations here hold no scheduler.
        assert isinstance(self.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)
        return self.lr_scheduler

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Nothing yet: see `_prepare_for_training`."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing: every step seeds anew."""


def _reach_newline(objective: nn.Module, inputs: Any) -> None:
    """Ask for the newline before anything else.

    ZeRO-3 gathers it where it is first asked for, as no module of its own holds it, and in the model that place depends
    on the kind of clip: processes with different clips would wait for each other for ever.
    """
    assert isinstance(objective, PackedObjective)
    _ = objective.model.image_newline.dtype


def _seed(seed: int, step: int, process: int) -> int:
    return ((seed * 1_000_003 + step) * 4_099 + process) % 2**63
