"""What happens between steps: stopping when asked to, and one line that says how far the run is."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vlm3r.training.signals import StopRequest


class StopCallback(TrainerCallback):
    """Saves and stops at the end of a step after a signal, and logs the last step."""

    def __init__(self, stop: StopRequest, world: int):
        self.stop = stop
        self.world = world

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask the trainer to save and stop."""
        # Several processes stop after the step in which all of them have heard of it.
        if self.stop.agreed if self.world > 1 else self.stop.signal:
            control.should_save = control.should_training_stop = True
        elif state.global_step >= state.max_steps:
            control.should_log = True


class ProgressLine(TrainerCallback):
    """One line on standard error: redrawn on a terminal, printed anew elsewhere."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest entry."""
        if state.is_world_process_zero and logs:
            end = "" if sys.stderr.isatty() else "\n"
            start = "\r\033[K" if sys.stderr.isatty() else ""
            print(start + progress_text(logs, state.max_steps), end=end, file=sys.stderr, flush=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the line."""
        if state.is_world_process_zero and sys.stderr.isatty():
            print(file=sys.stderr)


def progress_text(logs: dict[str, float], steps: int) -> str:
    """The line for one log entry."""
    texts = [f"step {logs['step']}/{steps}"]
    if "loss" in logs:
        texts.append(f"loss {logs['loss']:.4f}")
    texts.append(f"lr {logs.get('learning_rate', 0):.2e}")
    texts.append(f"{logs['tokens_per_second']:,.0f} tokens/s, {logs['questions_per_second']:.3g} questions/s")
    if "mfu" in logs:
        texts.append(f"MFU {logs['mfu']:.1%}")
    texts.append(f"memory {logs['peak_memory'] / 2**30:.1f} GiB")
    if "seconds_left" in logs:
        texts.append(f"{timedelta(seconds=round(logs['seconds_left']))} left")
    return " | ".join(texts)
