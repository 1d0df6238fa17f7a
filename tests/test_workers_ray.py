"""The same runs, scenes and questions on a real Ray cluster of two nodes with one core each."""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlm3r.commands.scenes import generate as generate_rooms
from vlm3r.errors import UserError
from vlm3r.qa.engine import GenerateOptions
from vlm3r.qa.engine import generate as generate_questions
from vlm3r.qa.sources import find_sources
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.scenes.synthetic.walk import WalkSettings
from vlm3r.workers import WINDOW, Engine, run

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'vlm3r[ray]'")

ENGINES: tuple[Engine, ...] = ("local", "ray")


def square_and_node(number: int, meeting: Path) -> tuple[int, str | None]:
    """The square, and which of the cluster's nodes computed it; items 0 and 1 wait until both are being worked on."""
    if number < 2:
        (meeting / str(number)).touch()
        deadline = time.monotonic() + 60
        while not (meeting / str(1 - number)).exists():
            assert time.monotonic() < deadline, "nothing else runs at the same time"
            time.sleep(0.02)
    node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else None
    return number * number, node


def faulty(number: int) -> int:
    if number == 1:
        raise UserError("scene 1: no camera pose")
    if number == 2:
        raise ValueError("wrong")
    if number == 3:
        os._exit(1)
    return number


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes(timeout=60)
        before = os.environ.get("RAY_ADDRESS")
        os.environ["RAY_ADDRESS"] = cluster.address
        try:
            yield
        finally:
            os.environ.pop("RAY_ADDRESS")
            if before is not None:
                os.environ["RAY_ADDRESS"] = before
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_an_address_where_no_cluster_answers_is_named(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=f"RAY_ADDRESS={address}"):
            list(run(faulty, [0], workers=2, engine="ray"))


@pytest.mark.usefixtures("cluster")
def test_tasks_run_on_both_nodes_and_give_what_local_processes_give(tmp_path: Path):
    found = {}
    for engine in ("local", "ray"):
        (meeting := tmp_path / engine).mkdir()
        function = functools.partial(square_and_node, meeting=meeting)
        found[engine] = [(o.item, o.value or (), o.error) for o in run(function, range(12), workers=2, engine=engine)]
    squares = [[(item, value[:1], error) for item, value, error in rows] for rows in found.values()]
    assert squares[0] == squares[1] == [(number, (number * number,), None) for number in range(12)]
    nodes = {value[1] for _, value, _ in found["ray"]}
    assert nodes == {node["NodeID"] for node in nodes_of_the_cluster()} and len(nodes) == 2
    assert {value[1] for _, value, _ in found["local"]} == {None}


def nodes_of_the_cluster() -> list[dict]:
    ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    try:
        return ray.nodes()
    finally:
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_errors_and_dead_workers_are_outcomes_on_a_cluster_too():
    outcomes = list(run(faulty, [0, 1, 2, 3, 4], workers=2, engine="ray"))
    assert outcomes[:3] == list(run(faulty, [0, 1, 2], workers=1))
    assert outcomes[3].error is not None and outcomes[3].error.startswith("its Ray task failed: WorkerCrashedError")
    assert outcomes[4].value == 4


@pytest.mark.usefixtures("cluster")
def test_a_cluster_takes_items_only_as_they_are_needed_and_a_connection_of_ours_stays():
    ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    taken: list[int] = []
    outcomes = run(faulty, (taken.append(n) or n for n in range(10, 1000)), workers=2, engine="ray")
    assert [next(outcomes).value for _ in range(20)] == list(range(10, 30))
    assert len(taken) <= 20 + WINDOW * 2
    outcomes.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert ray.is_initialized()
    ray.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(900)  # cores that also run other tests start Ray's processes slowly
def test_a_cluster_makes_the_same_rooms_and_questions(cluster: None, tmp_path: Path):
    quick = SceneSettings(fps=1.0, sampled_frames=6, walk=WalkSettings(shortest=6.0, pause=1.5))
    for engine in ENGINES:
        assert generate_rooms(2, 8, tmp_path / engine, quick, workers=2, engine=engine) == 0
        sources = find_sources([tmp_path / engine])
        generate_questions(sources, tmp_path / f"{engine}.jsonl", GenerateOptions(), workers=2, engine=engine)
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
    assert (tmp_path / "local.jsonl").read_bytes() == (tmp_path / "ray.jsonl").read_bytes()
    assert (tmp_path / "local.jsonl").stat().st_size > 0
