"""Parallel runs: order, errors, bounded memory, dead workers, and a Ray cluster of two nodes."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlm3r import workers as module
from vlm3r.errors import UserError
from vlm3r.workers import Outcome, default_workers, run


def square(number: int) -> int:
    return number * number


def later_items_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0.0)
    return number


def process(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def faulty(number: int) -> int:
    if number == 1:
        raise UserError("scene 1: no camera pose")
    if number == 2:
        raise ValueError("a message\nof two lines")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        os._exit(7)
    return number


def unsendable(number: int) -> object:
    return (lambda: number) if number == 1 else number


def power(number: int, exponent: int) -> int:
    return number**exponent


def ray_node(number: int) -> tuple[int, str]:
    import ray

    time.sleep(0.2)
    return number * number, ray.get_runtime_context().get_node_id()


def mark_and_sleep(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(60)


def values(outcomes: Iterator[Outcome]) -> list:
    collected = list(outcomes)
    assert [outcome.error for outcome in collected] == [None] * len(collected)
    return [outcome.value for outcome in collected]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_outcomes_come_in_the_order_of_the_items(workers: int):
    outcomes = list(run(later_items_first, range(12), workers=workers))
    assert [outcome.item for outcome in outcomes] == [outcome.value for outcome in outcomes] == list(range(12))


@pytest.mark.parametrize("workers", [1, 2])
def test_no_items_give_no_outcomes(workers: int):
    assert list(run(square, [], workers=workers)) == []


def test_one_worker_runs_in_this_process_and_two_do_not():
    assert {value[0] for value in values(run(process, range(3), workers=1))} == {os.getpid()}
    assert os.getpid() not in {value[0] for value in values(run(process, range(6), workers=2))}


def test_workers_have_one_thread_and_this_process_keeps_its_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert {value[1] for value in values(run(process, range(4), workers=2))} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_a_partial_of_a_function_is_a_function():
    assert values(run(functools.partial(power, exponent=3), range(4), workers=2)) == [0, 1, 8, 27]


def test_errors_are_the_same_in_process_and_in_workers():
    inside = list(run(faulty, [0, 1, 2], workers=1))
    assert inside == list(run(faulty, [0, 1, 2], workers=2))
    assert [outcome.value for outcome in inside] == [0, None, None]
    assert inside[1].error == "scene 1: no camera pose"
    line = faulty.__code__.co_firstlineno + 4
    assert inside[2].error == f"ValueError: a message of two lines (tests/test_workers.py:{line} in faulty)"


def test_a_dead_worker_costs_exactly_its_own_item():
    outcomes = list(run(faulty, [0, 3, 5, 6, 4, 7, 8, 3, 9], workers=2))
    assert [outcome.value for outcome in outcomes] == [0, None, 5, 6, None, 7, 8, None, 9]
    killed, ended = outcomes[1].error, outcomes[4].error
    assert killed is not None and "signal 9" in killed and "fewer workers" in killed and "\n" not in killed
    assert ended == "its worker process ended with status 7"


def test_what_cannot_be_sent_is_an_error_of_its_item():
    outcomes = list(run(unsendable, [0, 1, 2], workers=2))
    assert [outcome.value for outcome in outcomes] == [0, None, 2]
    assert outcomes[1].error is not None and outcomes[1].error.startswith("the value cannot be sent back: ")
    outcomes = list(run(type, [0, lambda: 1, 2], workers=2))
    assert [outcome.value for outcome in outcomes] == [int, None, int]
    assert outcomes[1].error is not None and outcomes[1].error.startswith("the item cannot be sent to a worker: ")


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_from_a_generator_only_as_they_are_needed(workers: int):
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    outcomes = run(square, endless(), workers=workers)
    for seen in range(1, 60):
        assert next(outcomes).value == seen * seen
        assert taken <= seen + module.WINDOW * workers
    outcomes.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_slow_first_item_does_not_let_the_others_pile_up():
    taken: list[int] = []
    outcomes = run(later_items_first, (taken.append(number) or number for number in range(100)), workers=2)
    next(outcomes)
    assert len(taken) <= 1 + module.WINDOW * 2
    outcomes.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_closing_the_run_ends_its_workers_at_once(tmp_path: Path):
    started = time.monotonic()
    outcomes = run(later_or_sleep, [None, tmp_path / "pid", None], workers=2)
    assert next(outcomes).value is None
    pid = wait_for_pid(tmp_path / "pid")
    outcomes.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert gone(pid) and time.monotonic() - started < 30


def later_or_sleep(path: Path | None) -> None:
    if path is not None:
        mark_and_sleep(path)


SCRIPT = """
import sys
from pathlib import Path
from tests.test_workers import mark_and_sleep
from vlm3r.workers import run

if __name__ == "__main__":
    for outcome in run(mark_and_sleep, [Path(name) for name in sys.argv[1:]], workers=2):
        print(outcome)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(how: signal.Signals, tmp_path: Path):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    files = [tmp_path / "a", tmp_path / "b"]
    root = Path(__file__).resolve().parents[1]
    parent = subprocess.Popen(
        [sys.executable, script, *files], env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True
    )
    try:
        pids = [wait_for_pid(path) for path in files]
        parent.send_signal(how)
        errors = parent.communicate(timeout=20)[1]
    finally:
        parent.kill()
    assert all(gone(pid) for pid in pids)
    assert errors.count("Traceback") == (1 if how == signal.SIGINT else 0)


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "the worker did not start"
        time.sleep(0.05)
    return int(path.read_text())


def gone(pid: int) -> bool:
    """Whether the process ends within a few seconds (one that has ended but is not yet reaped counts as ended)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").exists():
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
            else:
                os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


UNGUARDED = """
from vlm3r.workers import run

for outcome in run(abs, [1, 2, 3], workers=2):
    print(outcome)
"""


def test_workers_that_cannot_start_are_an_error_of_the_run(tmp_path: Path):
    script = tmp_path / "main.py"
    script.write_text(UNGUARDED)
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "workers cannot start" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("workers", "engine", "words"), [(0, "local", "give 1 or more"), (2, "dask", "local or ray")])
def test_wrong_settings_are_named_before_anything_runs(workers: int, engine: str, words: str):
    with pytest.raises(UserError, match=words):
        run(square, [1], workers=workers, engine=engine)  # pyright: ignore[reportArgumentType]


def test_ray_that_is_not_installed_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'vlm3r\[ray\]'"):
        list(run(square, [1], workers=2, engine="ray"))


def test_default_workers_are_the_cores_of_this_process():
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    assert default_workers() == len(available)
