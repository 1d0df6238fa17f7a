"""VLM-3R as a model of lmms-eval: the same answers and scores as `vlm3r eval`, each video opened once."""

from __future__ import annotations

import json
import random
import shutil

import pytest

lmms_eval = pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: pip install -e '.[lmms]'")

from accelerate.state import AcceleratorState  # noqa: E402
from lmms_eval import evaluator  # noqa: E402  # pyright: ignore[reportMissingImports]
from lmms_eval.api.instance import Instance  # noqa: E402  # pyright: ignore[reportMissingImports]
from lmms_eval.models import get_model_manifest  # noqa: E402  # pyright: ignore[reportMissingImports]
from lmms_eval.tasks import TaskManager  # noqa: E402  # pyright: ignore[reportMissingImports]

from tests.evaluation.run.small import rows_about, write_benchmark  # noqa: E402
from vlm3r.errors import UserError  # noqa: E402
from vlm3r.evaluation.lmms import TASKS, model  # noqa: E402
from vlm3r.evaluation.lmms.task import read_documents  # noqa: E402
from vlm3r.evaluation.metrics import PROTOCOLS  # noqa: E402
from vlm3r.evaluation.run.benchmark import read_benchmark  # noqa: E402
from vlm3r.evaluation.run.journal import read_run  # noqa: E402
from vlm3r.evaluation.run.report import make_report  # noqa: E402
from vlm3r.evaluation.run.runner import RunOptions, evaluate  # noqa: E402

GREEDY = {"max_new_tokens": 16, "do_sample": False, "temperature": 0.0, "until": []}
OVERALL = {
    ("", "micro"): "micro",
    ("vsibench", "overall"): "vsibench",
    ("vstibench", "overall"): "vstibench",
    ("vstibench", "overall_five_tasks"): "vstibench_five_tasks",
}
"""By benchmark and name of a row of our report, the metric that is the same."""


@pytest.fixture
def plugged(loaded, monkeypatch):
    """lmms-eval with the small model in place of the embedded one."""
    monkeypatch.setattr(model, "load", lambda *_, **__: loaded)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def ours(loaded, bench, tmp_path_factory):
    """What `vlm3r eval` makes of it: the answers by line, and the report."""
    out = tmp_path_factory.mktemp("ours")
    benchmark = read_benchmark(bench)
    state = evaluate(*loaded, benchmark, [bench.parent], out, RunOptions())
    fingerprint, answers = read_run(out)
    return {answer["line"]: answer for answer in answers}, make_report(benchmark, state, fingerprint, resamples=20)


def run_task(name, **more):
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, model_name="vlm3r")
    return evaluator.simple_evaluate(
        model="vlm3r",
        model_args="workers=1,device=cpu",
        tasks=[name],
        task_manager=manager,
        batch_size="4",
        bootstrap_iters=0,
        **more,
    )


def test_lmms_eval_gets_the_raw_answers_and_scores_of_our_own_evaluation(plugged, bench, ours, monkeypatch):
    monkeypatch.setenv("VLM3R_BENCHMARK", str(bench))
    found = run_task("vlm3r_questions")
    answers, report = ours
    samples = found["samples"]["vlm3r_questions"]
    assert {sample["doc"]["line"]: sample["filtered_resps"][0] for sample in samples} == {
        line: answer["answer"] for line, answer in answers.items()
    }
    assert len({sample["filtered_resps"][0] for sample in samples}) > 5
    scores, compared = found["results"]["vlm3r_questions"], 0
    for row in report["scores"]:
        metric = row["name"] if row["level"] == "task" else OVERALL.get((row["benchmark"], row["name"]))
        for protocol in PROTOCOLS if metric else ():
            name = metric if protocol == "published" else f"{metric}_{protocol}"
            assert scores[f"{name},none"] == pytest.approx(row[protocol]["score"], abs=1e-12)
            compared += 1
    assert compared == 18  # five tasks and four means, under two protocols


def test_a_published_benchmark_is_run_from_its_folder(plugged, monkeypatch, tmp_path):
    scene = write_benchmark(tmp_path / "data" / "videos", 1).parent / "scene0"
    (scene / "video").rename(scene / "video.mp4")
    rows = [row | {"dataset": "scene0", "scene_name": "video", "video_path": None} for row in rows_about("scene0")[:3]]
    (tmp_path / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("VLM3R_DATA", str(tmp_path / "data"))
    found = run_task("vlm3r_vsibench", limit=2)
    assert found["n-samples"]["vlm3r_vsibench"] == {"original": 3, "effective": 2}
    assert "vsibench,none" in found["results"]["vlm3r_vsibench"]


def requests_of(documents, settings=GREEDY):
    """A request about each document, numbered as they stand."""
    return [
        Instance(
            request_type="generate_until",
            arguments=(document["text"], dict(settings), lambda d: [d["video"]], number, "t", "test"),
            idx=0,
            metadata={"task": "t", "doc_id": number, "repeats": 1},
        )
        for number, document in enumerate(documents)
    ]


@pytest.fixture
def plugin(plugged, bench, monkeypatch):
    """The model, the benchmark's documents, and the videos that were opened so far."""
    opened, original = [], model.open_clip
    monkeypatch.setattr(model, "open_clip", lambda *a: opened.append(a[2] and str(a[2].task.path)) or original(*a))
    documents = read_documents(read_benchmark(bench), [bench.parent])
    found = model.VLM3R(device="cpu", batch_size=3, workers=1)
    found.task_dict["t"] = {"test": documents}
    return found, documents, opened


def test_requests_in_any_order_open_each_video_once_and_are_answered_in_their_order(plugin, ours):
    found, documents, opened = plugin
    random.Random(3).shuffle(documents)
    answers = found.generate_until(requests_of(documents))
    assert answers == [ours[0][document["line"]]["answer"] for document in documents]
    assert sorted(opened) == sorted({document["video"] for document in documents})


def test_padding_is_not_asked_and_text_needs_no_video(plugin):
    found, documents, opened = plugin
    padding, text = requests_of(documents[:2])
    padding.metadata["__padding_only__"] = True
    text.arguments = (text.args[0], text.args[1], lambda _: None, *text.args[3:])
    answers = found.generate_until([padding, text])
    assert answers[0] == "" != answers[1]
    assert opened == [None]


def test_an_answer_ends_at_the_texts_that_the_task_names_and_at_its_longest(plugin, ours):
    found, documents, _ = plugin
    whole = ours[0][1]["answer"]
    stop = whole[len(whole) // 2]
    cut, short = (
        requests_of(documents[:1], GREEDY | {"until": [stop]}),
        requests_of(documents[:1], {"max_new_tokens": 2}),
    )
    found_cut, found_short = found.generate_until([*cut, *short])
    assert found_cut == whole.split(stop)[0]
    assert len(found_short) < len(whole) and whole.startswith(found_short.rstrip("\ufffd"))


@pytest.mark.parametrize("settings", [{"do_sample": True}, {"temperature": 0.7}, {"num_beams": 3}])
def test_what_is_not_greedy_is_refused(plugin, settings):
    found, documents, _ = plugin
    with pytest.raises(UserError, match="answers greedily"):
        found.generate_until(requests_of(documents, settings))


def test_pictures_are_refused_by_the_name_of_the_task(plugin):
    found, documents, _ = plugin
    request = requests_of(documents)[0]
    request.arguments = (*request.args[:2], lambda _: [object()], *request.args[3:])
    with pytest.raises(UserError, match="task t: "):
        found.generate_until([request])


def test_missing_videos_are_left_out_and_damaged_ones_get_empty_answers(plugged, tmp_path):
    bench = write_benchmark(tmp_path / "data", 3)
    shutil.rmtree(bench.parent / "scene0" / "video")
    (bench.parent / "scene1" / "video" / "000.png").write_bytes(b"no picture")
    documents = read_documents(read_benchmark(bench), [bench.parent])
    assert {document["line"] for document in documents} == set(range(6, 16))
    found = model.VLM3R(device="cpu", batch_size=3, workers=1)
    found.task_dict["t"] = {"test": documents}
    answers = found.generate_until(requests_of(documents))
    assert answers[:5] == [""] * 5
    assert all(answers[5:])


def test_the_entry_point_names_the_model():
    assert get_model_manifest("vlm3r").simple_class_path == f"{model.__name__}.VLM3R"


def test_a_benchmark_must_be_named(plugged, monkeypatch):
    monkeypatch.delenv("VLM3R_BENCHMARK", raising=False)
    with pytest.raises(UserError, match="VLM3R_BENCHMARK"):
        run_task("vlm3r_questions")
