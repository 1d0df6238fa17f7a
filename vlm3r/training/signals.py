"""Stopping at the end of a step: Ctrl-C and SIGTERM ask for a checkpoint, a second one ends at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """While entered, remembers the first SIGTERM or SIGINT instead of dying of it.

    Where launchers pass signals on, a process gets the same one twice; `patient` then ignores all further ones.
    """

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.signal = 0
        """The signal that this process got, or 0."""
        self.agreed = 0
        """The signal that all processes know of, or 0."""
        self._before: dict[int, Any] = {}

    @property
    def exit_status(self) -> int:
        """What a shell reports for a program that the signal ended; 0 without one."""
        number = self.agreed or self.signal
        return 128 + number if number else 0

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in STOPPING}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if not self.patient:
            for each, handler in self._before.items():
                signal.signal(each, handler)
