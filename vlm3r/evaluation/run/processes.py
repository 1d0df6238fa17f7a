"""The processes that share one run: as many as `torchrun` or `accelerate launch` started, else one alone.

They agree twice: at the beginning on what is left to do, at the end on what came of it. Between, each works for itself.
Which device a process computes on has nothing to do with it, so that all of this goes over the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from vlm3r.errors import UserError

Item = TypeVar("Item")
Value = TypeVar("Value")

LONGEST_WAIT = timedelta(days=30)
"""How long a process that is done waits for the others: their shares may take hours longer."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    index: int = 0
    """Its number, from 0, over all machines."""
    count: int = 1
    """How many there are."""
    local_index: int = 0
    """Its number on this machine."""
    local_count: int = 1
    """How many there are on this machine."""

    @property
    def is_main(self) -> bool:
        """Whether this process keeps the run's journal and reports."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item: those of this process."""
        return list(items[self.index :: self.count])

    def from_main(self, value: Value) -> Value:
        """The value that the main process gives; that of the others is not looked at.

        Raises:
            UserError: another process has ended.
        """
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        try:
            return broadcast_object_list([value])[0]
        except RuntimeError:
            raise _ended() from None

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by number; each waits for all.

        Raises:
            UserError: another process has ended.
        """
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        try:
            return gather_object([value])
        except RuntimeError:
            raise _ended() from None

    def take_device(self, name: str) -> str:
        """The device for a name such as `auto`: of several processes on a machine with GPUs, each takes one in turn.

        It is made CUDA's current one, too, which some kernels run on wherever their inputs are.
        """
        import torch

        if self.count == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        taken = self.local_index % torch.cuda.device_count()
        torch.cuda.set_device(taken)
        return f"cuda:{taken}"


def join_processes() -> Processes:
    """This process among those that a launcher started; waits until all of them are there."""
    if "LOCAL_RANK" not in os.environ:
        return Processes()
    from accelerate import PartialState

    state = PartialState(cpu=True, backend="gloo", timeout=LONGEST_WAIT)
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes))
    return Processes(state.process_index, state.num_processes, state.local_process_index, local_count)


def _ended() -> UserError:
    return UserError(
        "another process of the run has ended; what is wrong stands in its message, and started again the run goes on"
    )
