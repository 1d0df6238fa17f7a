"""One function applied to many items in parallel: by local processes or by a Ray cluster, in order, in bounded memory.

    for outcome in run(render_room, seeds, workers=default_workers()):
        if outcome.error is not None:
            report(outcome.item, outcome.error)

Local workers are spawned, not forked, because the parent may hold OpenGL contexts or threads. As with every spawned
process, a script that calls `run` must do so below `if __name__ == "__main__":`.

On a Ray cluster every node needs the same installation of this package: functions travel by name, not by source. What a
function reads or writes must lie where all nodes see it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from vlm3r.errors import UserError

Item = TypeVar("Item")
Value = TypeVar("Value")
Engine = Literal["local", "ray"]

WINDOW = 4
"""Items per worker that are in flight or wait for an earlier one to be yielded."""

READY = b"ready"
NO_MORE: Any = object()
PACKAGE = Path(__file__).resolve().parent
SINGLE_THREADED: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item: its value, or one line that says why there is none."""

    item: Item
    value: Value | None
    error: str | None


def default_workers() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[Item], Value], items: Iterable[Item], *, workers: int, engine: Engine = "local"
) -> Iterator[Outcome[Item, Value]]:
    """Outcomes of `function(item)`, in the order of the items, whatever the number of workers.

    Items are taken from the iterable as workers become free, at most `WINDOW * workers` ahead of the consumer. An item
    whose function raises, or whose worker process dies, gives an outcome with an error and the others go on. Closing
    the iterator, Ctrl-C, or the end of the parent process stops the workers at once.

    Args:
        function: A function at the top level of an importable module, or a `functools.partial` of one.
        items: Arguments, picklable; may be a generator.
        workers: Number of items that are worked on at once. One local worker runs in this process.
        engine: "local" processes, or "ray": one task of one core per item on the running Ray cluster (`RAY_ADDRESS`, or
            the one started on this machine), or on a local one of `workers` cores where there is none.

    Raises:
        UserError: Fewer than one worker; an unknown engine; Ray not installed, or `RAY_ADDRESS` not answering.
        RuntimeError: Worker processes end before they can take an item.
    """
    if workers < 1:
        raise UserError(f"{workers} workers: give 1 or more")
    if engine == "ray":
        return _in_order(partial(_RayCrew, function, workers), items, WINDOW * workers)
    if engine != "local":
        raise UserError(f"unknown engine {engine!r}: give local or ray")
    if workers == 1:
        return (Outcome(item, *_attempt(function, item)) for item in items)
    return _in_order(partial(_LocalCrew, function, workers), items, WINDOW * workers)


@dataclass
class _Task:
    item: Any
    outcome: Outcome[Any, Any] | None = None

    def finish(self, value: Any, error: str | None) -> None:
        self.outcome = Outcome(self.item, value, error)


class _Crew(Protocol):
    """Workers that hold at most one task each."""

    def has_room(self) -> bool: ...
    def start(self, task: _Task) -> None: ...
    def finish_some(self) -> None:
        """Block until at least one started task has its outcome."""
        ...

    def close(self) -> None: ...


def _in_order(make_crew: Callable[[], _Crew], items: Iterable[Any], window: int) -> Iterator[Outcome[Any, Any]]:
    waiting: deque[_Task] = deque()
    source = iter(items)
    crew = make_crew()
    try:
        while True:
            while crew.has_room() and len(waiting) < window and (item := next(source, NO_MORE)) is not NO_MORE:
                waiting.append(_Task(item))
                crew.start(waiting[-1])
            if not waiting:
                return
            if waiting[0].outcome is None:
                crew.finish_some()
            else:
                yield waiting.popleft().outcome  # pyright: ignore[reportReturnType]
    finally:
        crew.close()


def _attempt(function: Callable[[Any], Any], item: Any) -> tuple[Any, str | None]:
    try:
        return function(item), None
    except UserError as error:
        return None, str(error)
    except Exception as error:
        return None, _describe(error)


def _describe(error: Exception) -> str:
    """One line: type, message and place of an exception, the place being the innermost one in this package."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    ours = [frame for frame in frames if PACKAGE in Path(frame.filename).resolve().parents]
    name = type(error).__name__
    text = f"{name}: {message}" if (message := " ".join(str(error).split())) else name
    if place := (ours or frames)[-1:]:
        path = Path(place[0].filename)
        text += f" ({path.parent.name}/{path.name}:{place[0].lineno} in {place[0].name})"
    return text


class _LocalWorker:
    """A spawned process, the pipe to it, and the task that it holds."""

    def __init__(self, function: Callable[[Any], Any]):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.ready = False
        self.task: _Task | None = None
        with _environment_of_workers():
            self.process.start()
        theirs.close()

    def send(self, task: _Task) -> None:
        self.task = task
        try:
            self.connection.send(task.item)
        except OSError:
            pass  # it died: `receive` finds the pipe closed
        except Exception as error:
            self.finish(None, f"the item cannot be sent to a worker: {_describe(error)}")

    def receive(self) -> bool:
        """Take one message; False when the process has died."""
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            return False
        if not self.ready:
            self.ready = message == READY
            return True
        try:
            self.finish(*pickle.loads(message))
        except Exception as error:
            self.finish(None, f"the value cannot be read: {_describe(error)}")
        return True

    def finish(self, value: Any, error: str | None) -> None:
        if self.task is not None:
            self.task.finish(value, error)
            self.task = None

    def how_it_ended(self) -> str:
        self.process.join(timeout=5)
        status = self.process.exitcode
        if status is not None and status < 0:
            cause = "; use fewer workers if memory ran out" if -status == signal.SIGKILL else ""
            return f"its worker process ended by signal {-status} ({signal.strsignal(-status)}){cause}"
        return f"its worker process ended with status {status}"

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _LocalCrew:
    """Spawned processes on this machine, started as tasks come; a dead one is replaced."""

    def __init__(self, function: Callable[[Any], Any], workers: int):
        self._function = function
        self._limit = workers
        self._workers: list[_LocalWorker] = []

    def has_room(self) -> bool:
        return len(self._workers) < self._limit or any(worker.task is None for worker in self._workers)

    def start(self, task: _Task) -> None:
        self._drop_the_dead()
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = _LocalWorker(self._function)
            self._workers.append(worker)
        worker.send(task)

    def finish_some(self) -> None:
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        while busy and all(worker.task is not None for worker in busy.values()):
            for connection in wait(list(busy)):
                worker = busy[connection]  # pyright: ignore[reportArgumentType]
                if not worker.receive():
                    if not worker.ready:
                        raise RuntimeError(f"workers cannot start: {worker.how_it_ended()} (see its message above)")
                    worker.finish(None, worker.how_it_ended())
                    self._drop(worker)

    def close(self) -> None:
        for worker in list(self._workers):
            self._drop(worker)

    def _drop_the_dead(self) -> None:
        for worker in [worker for worker in self._workers if worker.task is None and not worker.process.is_alive()]:
            self._drop(worker)

    def _drop(self, worker: _LocalWorker) -> None:
        self._workers.remove(worker)
        worker.close()


@contextlib.contextmanager
def _environment_of_workers() -> Iterator[None]:
    """One thread per worker in numerical libraries, and Ctrl-C left to the parent: both are inherited at the start."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    os.environ.update(SINGLE_THREADED)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection.send_bytes(READY)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        except Exception as error:
            connection.send((None, f"the item cannot be read: {_describe(error)}"))
            continue
        value, error = _attempt(function, item)
        try:
            connection.send((value, error))
        except OSError:
            return
        except Exception as problem:
            connection.send((None, f"the value cannot be sent back: {_describe(problem)}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _RayCrew:
    """Tasks of one core each on a Ray cluster; a task whose node is lost is tried once more."""

    def __init__(self, function: Callable[[Any], Any], workers: int):
        self._ray = _import_ray()
        self._limit = workers
        self._connected = not self._ray.is_initialized()
        if self._connected:
            _connect(self._ray, workers)
        self._function = self._ray.put(function)
        self._remote = self._ray.remote(num_cpus=1, max_retries=1)(_attempt)
        self._tasks: dict[Any, _Task] = {}

    def has_room(self) -> bool:
        return len(self._tasks) < self._limit

    def start(self, task: _Task) -> None:
        try:
            self._tasks[self._remote.remote(self._function, task.item)] = task
        except Exception as error:
            task.finish(None, f"the item cannot be sent to a worker: {_describe(error)}")

    def finish_some(self) -> None:
        if not self._tasks:
            return
        for reference in self._ray.wait(list(self._tasks), num_returns=1)[0]:
            task = self._tasks.pop(reference)
            try:
                task.finish(*self._ray.get(reference))
            except Exception as error:
                reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
                task.finish(None, f"its Ray task failed: {type(error).__name__}: {reason.strip()}")

    def close(self) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        if self._connected:
            self._ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("engine ray: Ray is not installed; pip install 'vlm3r[ray]'") from None
    return ray


def _connect(ray: Any, workers: int) -> None:
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    if address := os.environ.get("RAY_ADDRESS"):
        _require_answer(address)
        ray.init(address=address, **quiet)
        return
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)


def _require_answer(address: str) -> None:
    """Fail in seconds where nothing listens: Ray itself goes on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(f"no Ray cluster answers at RAY_ADDRESS={address}: {error}; start it, or unset it") from error
