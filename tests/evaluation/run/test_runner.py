"""A benchmark from its file to its report."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from tests.evaluation.run.small import FRAMES, rows_about, write_benchmark
from vlm3r.commands import evaluate as command
from vlm3r.commands.eval_cli import compare
from vlm3r.commands.eval_cli import evaluate as evaluate_command
from vlm3r.errors import UserError
from vlm3r.evaluation.metrics import score
from vlm3r.evaluation.run import runner
from vlm3r.evaluation.run.benchmark import read_benchmark
from vlm3r.evaluation.run.compare import compare_runs
from vlm3r.evaluation.run.journal import ANSWERS, read_run
from vlm3r.evaluation.run.presets import PRESETS, choose
from vlm3r.evaluation.run.report import make_report
from vlm3r.evaluation.run.runner import RunOptions, evaluate, score_answer
from vlm3r.inference.ask import ask

ROOT = Path(__file__).parents[3]
VSI = ("object_counting", "object_abs_distance", "object_rel_direction_easy")


def run(loaded, bench, out, **options):
    return evaluate(*loaded, read_benchmark(bench), [bench.parent], out, RunOptions(**options))


@pytest.fixture(scope="module")
def whole(loaded, bench, tmp_path_factory):
    """A run of everything: its folder and its state."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, run(loaded, bench, out)


def test_answers_are_those_of_ask_scored_as_the_metrics_do(loaded, bench, whole):
    processor = loaded[1]
    records = [json.loads(line) for line in (whole[0] / ANSWERS).read_text().splitlines()]
    assert [record["line"] for record in records] == list(range(1, 21))
    assert len({record["answer"] for record in records}) > 5
    for group in read_benchmark(bench).videos:
        video = processor.load_video(bench.parent / group.video)
        texts = [question.text for question in group.questions]
        for question, answer in zip(group.questions, ask(*loaded, texts, video, max_new_tokens=16), strict=True):
            record = records[question.line - 1]
            assert (record["answer"], record["prompt"]) == (answer.text, answer.prompt)
            for protocol in ("published", "robust"):
                kind, options = question.row["question_type"], question.row["options"]
                assert record[protocol] == score(answer.text, question.target, kind, protocol, options)


def test_a_run_in_pieces_is_the_run_in_one(loaded, bench, whole, tmp_path, monkeypatch):
    asked = []
    original = runner._answer
    monkeypatch.setattr(runner, "_answer", lambda *a: asked.append(a[2].video) or original(*a))
    for limit in (1, 3, 3, None):
        state = run(loaded, bench, tmp_path, limit_videos=limit, batch_size=2 if limit else 32)
    assert asked == [group.video for group in read_benchmark(bench).videos]
    assert (tmp_path / ANSWERS).read_bytes() == (whole[0] / ANSWERS).read_bytes()
    assert (state.done, state.total, state.asked) == (20, 20, 5)
    assert state.answers == whole[1].answers


def test_decoding_in_other_processes_changes_nothing(loaded, bench, whole, tmp_path):
    run(loaded, bench, tmp_path, workers=2)
    assert (tmp_path / ANSWERS).read_bytes() == (whole[0] / ANSWERS).read_bytes()


def test_another_run_in_the_same_folder_is_refused_by_what_differs(loaded, bench, whole, tmp_path):
    with pytest.raises(UserError, match="probe: none and zero"):
        run(loaded, bench, whole[0], probe="zero")
    other = copy.deepcopy(loaded[0])
    other.projector.linear_1.bias.data[0] += 1
    with pytest.raises(UserError, match=r"weights\.projector: "):
        run((other, loaded[1]), bench, whole[0])
    changed = tmp_path / "bench.jsonl"
    changed.write_text(bench.read_text() + "\n")
    with pytest.raises(UserError, match=r"benchmark\.sha256"):
        run(loaded, changed, whole[0])


def test_probes_change_answers_and_blind_prompts_hold_no_video(loaded, bench, whole, tmp_path):
    before = [record["answer"] for record in read_run(whole[0])[1]]
    for probe in ("zero", "shuffle", "swap", "blind"):
        run(loaded, bench, tmp_path / probe, probe=probe, limit_videos=2)
        records = read_run(tmp_path / probe)[1]
        assert len(records) == 10
        assert [record["answer"] for record in records] != before[:10]
        assert all(("<image>" in record["prompt"]) == (probe != "blind") for record in records)


def test_a_dummy_video_leaves_prompts_as_they_are_and_makes_equal_questions_equal(loaded, bench, whole, tmp_path):
    run(loaded, bench, tmp_path, probe="dummy-video")
    before, after = read_run(whole[0])[1], read_run(tmp_path)[1]
    assert [record["prompt"] for record in after] == [record["prompt"] for record in before]
    said = [[record["answer"] for record in after[start : start + 5]] for start in range(0, 20, 5)]
    assert said[0] == said[1] == said[2] == said[3]
    assert said[0] != [record["answer"] for record in before[:5]]


def test_permuted_options_are_shown_and_scored_and_pair_with_the_questions_they_were(loaded, bench, whole, tmp_path):
    state = run(loaded, bench, tmp_path / "run", probe="permute-options")
    before, after = read_run(whole[0])[1], read_run(tmp_path / "run")[1]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if new["target"] != old["target"]]
    assert len(moved) == 4  # of two types with four questions each, one letter for all: half of them move
    for old, new in moved:
        right = {"A": "left", "B": "right"}[old["target"]]
        assert f"\n{new['target']}. {right}\n" in new["prompt"]
        assert new["file_target"] == old["target"]
        assert new["published"] == score(new["answer"], new["target"], new["question_type"])
    for old, new in zip(before, after, strict=True):
        assert (old["answer"] == new["answer"]) or (old["prompt"] != new["prompt"])
    assert compare_runs(whole[0], tmp_path / "run", resamples=20)["questions"] == 20
    report = make_report(read_benchmark(bench), state, read_run(tmp_path / "run")[0], resamples=20)
    assert report["questions"]["scored"] == 20


def test_choices_are_recorded_and_another_preset_is_another_run(loaded, bench, tmp_path):
    choices, preset = choose("published-eval", {"num_frames": FRAMES})
    run(loaded, bench, tmp_path, choices=choices, preset=preset, limit_videos=1)
    fingerprint = read_run(tmp_path)[0]
    assert (fingerprint["sampling"], fingerprint["time_style"]) == ("eval_pyav", "demo")
    assert fingerprint["decoder"].startswith("PyAV")
    assert fingerprint["preset"] == {"name": "published-eval", "changed": {"num_frames": FRAMES}}
    with pytest.raises(UserError, match="sampling: eval_pyav and fps"):
        run(loaded, bench, tmp_path)


def test_stored_features_are_refused_where_frames_are_taken_in_another_way(loaded, bench, tmp_path):
    store = SimpleNamespace(parts=("vision",), read=None)
    options = RunOptions(choices=PRESETS["published-eval"])
    with pytest.raises(UserError, match=r"frames chosen by fps.*eval_pyav; leave --features out"):
        evaluate(*loaded, read_benchmark(bench), [bench.parent], tmp_path, options, store)


@pytest.mark.parametrize("problem", [UserError("no"), KeyError("no"), IndexError("no"), OSError("no")])
def test_an_error_about_one_video_is_named_and_the_others_are_asked(loaded, bench, tmp_path, monkeypatch, problem):
    original = runner._answer

    def answer(*arguments):
        if arguments[2].video == "scene1/video":
            raise problem
        return original(*arguments)

    monkeypatch.setattr(runner, "_answer", answer)
    state = run(loaded, bench, tmp_path)
    assert list(state.answers) == ["scene0/video", "scene2/video", "scene3/video"]
    assert "no" in state.failures["scene1/video"]


def test_a_blind_run_needs_no_videos(loaded, bench, tmp_path):
    moved = shutil.copy(bench, tmp_path / "bench.jsonl")
    state = run(loaded, Path(moved), tmp_path / "run", probe="blind")
    assert (state.asked, state.failures) == (20, {})


def test_camera_and_patch_only_are_settings_of_the_model(loaded, bench, tmp_path):
    with pytest.raises(ValueError, match="geometry_features='camera_tokens'"):
        run(loaded, bench, tmp_path, probe="camera-only")
    without = copy.deepcopy(loaded[0])
    without.config.geometry = "none"
    with pytest.raises(UserError, match="needs a model with geometry"):
        run((without, loaded[1]), bench, tmp_path, probe="patch-only")


def zero_target(scene: str) -> str:
    return json.dumps(rows_about(scene)[4] | {"ground_truth": "0", "id": "zero"})


@pytest.fixture
def spoilt(tmp_path):
    """Four videos, of which one is missing and one is damaged; two bad lines, and a target of 0."""
    unknown = json.dumps(rows_about("scene0")[0] | {"question_type": "object_colour"})
    bench = write_benchmark(tmp_path / "spoilt", 4, ["{torn", unknown, zero_target("scene0")])
    shutil.rmtree(bench.parent / "scene1" / "video")
    (bench.parent / "scene2" / "video" / "000.png").write_bytes(b"no picture")
    return bench


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_asked_is_counted_and_named_and_the_rest_is_scored(loaded, spoilt, tmp_path, workers):
    benchmark = read_benchmark(spoilt)
    state = run(loaded, spoilt, tmp_path / "run", workers=workers)
    assert list(state.answers) == ["scene0/video", "scene3/video"]
    assert list(state.failures) == ["scene1/video", "scene2/video"]
    assert "in none of" in state.failures["scene1/video"]
    assert "000.png" in state.failures["scene2/video"]
    report = make_report(benchmark, state, read_run(tmp_path / "run")[0], resamples=50)
    problems = report["problems"]
    assert [bad["line"] for bad in problems["bad_lines"]] == [21, 22]
    assert [(entry["video"], entry["questions"]) for entry in problems["videos"]] == [
        ("scene1/video", 5),
        ("scene2/video", 5),
    ]
    assert report["questions"] == {"in_file": 21, "chosen": 21, "scored": 11}
    json.dumps(report, allow_nan=False)


def test_a_mended_video_is_asked_about_the_next_time(loaded, spoilt, tmp_path):
    first = run(loaded, spoilt, tmp_path / "run")
    write_benchmark(tmp_path / "again", 4)
    shutil.copytree(tmp_path / "again" / "scene1" / "video", spoilt.parent / "scene1" / "video")
    second = run(loaded, spoilt, tmp_path / "run")
    assert (first.asked, second.asked) == (11, 5)
    assert list(second.failures) == ["scene2/video"]
    assert list(second.answers) == ["scene0/video", "scene1/video", "scene3/video"]


def test_a_target_of_zero_and_an_answer_without_text_are_scored_and_explained(bench):
    question = read_benchmark(bench).videos[0].questions[4]
    zero = type(question)(99, question.row, question.text, "0")
    record = score_answer("v", zero, "p", "1.5")
    assert (record["published"], record["published_problem"]) == (0.0, "the target is 0: the published scorer raises")
    silent = score_answer("v", question, "p", "")
    assert (silent["published"], silent["robust"], silent["parsed"]) == (0.0, 0.0, None)
    assert silent["robust_problem"]


def test_an_answer_is_read_as_letter_or_number(bench):
    questions = read_benchmark(bench).videos[0].questions
    assert score_answer("v", questions[2], "p", "The answer is (A).")["parsed"] == "A"
    said = score_answer("v", questions[1], "p", "about 250 cm")
    assert (said["parsed"], said["published"], said["robust"]) == (2.5, 0.0, 1.0)


def test_the_report_of_known_answers_is_known(bench):
    benchmark = read_benchmark(bench)
    said = ["3", "2.5", "A", "A", "3"]  # right, right, right, wrong, error of 100 %
    answers = {
        group.video: [
            score_answer(group.video, question, "p", text) for question, text in zip(group.questions, said, strict=True)
        ]
        for group in benchmark.videos
    }
    state = runner.RunState(20, 20, 20, answers)
    report = make_report(benchmark, state, {"probe": "none"}, resamples=50)
    scores = {(row["benchmark"], row["level"], row["name"]): row for row in report["scores"]}
    assert scores["vsibench", "overall", "overall"]["published"] == {"score": 1.0, "interval": (1.0, 1.0)}
    assert scores["vstibench", "overall", "micro"]["robust"]["score"] == 0.0
    whole = scores["", "overall", "micro"]
    assert (whole["published"]["score"], whole["questions"]) == (0.6, 20)
    assert whole["most_frequent"] == 1.0
    assert whole["chance"] == pytest.approx((0.5 + 0.5) / 5)
    assert scores["vsibench", "task", "object_counting"]["chance"] is None
    assert scores["vsibench", "type", "object_rel_direction_easy"]["chance"] == 0.5


@pytest.fixture
def cli(loaded, monkeypatch):
    monkeypatch.setattr(command, "load", lambda *_, **__: loaded)
    app = typer.Typer()
    app.command("eval")(evaluate_command)
    app.command()(compare)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_warns_reports_and_ends_well(cli, spoilt, tmp_path):
    found = cli("eval", "--benchmark", spoilt, "--out", tmp_path / "run", "--workers", 1)
    assert found.exit_code == 0, found.output
    assert "11 of 21 questions, 2 of 4 videos" in found.stdout
    assert "warning: 2 lines of the file" in found.stderr
    assert found.stderr.count("warning: scene1/video: is in none of") == 1
    assert "21 of 21 questions" in found.stderr
    page = (tmp_path / "run" / "report.md").read_text()
    assert page in found.stdout
    assert "- line 22: unknown question type 'object_colour'" in page
    assert json.loads((tmp_path / "run" / "report.json").read_text())["problems"]["videos"]
    assert "unknown question type" in (tmp_path / "run" / "report.html").read_text()
    again = cli("compare", tmp_path / "run", tmp_path / "run", "--out", tmp_path / "flips.json")
    assert again.exit_code == 0
    assert json.loads((tmp_path / "flips.json").read_text())["flips"] == {"better": [], "worse": []}


@pytest.mark.parametrize("change", [{"published": None}, {"question_type": ["a"]}, {"scene": 7}, {"robust": 1e308}])
def test_damaged_answers_of_an_earlier_start_are_named_before_anything_is_asked(loaded, bench, whole, tmp_path, change):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    lines = (folder / ANSWERS).read_text().splitlines(keepends=True)
    lines[1] = json.dumps(json.loads(lines[1]) | change) + "\n"
    (folder / ANSWERS).write_text("".join(lines))
    with pytest.raises(
        UserError, match=f"{ANSWERS}: line 2 has no valid {next(iter(change))}; run the evaluation again"
    ):
        run(loaded, bench, folder)
    assert (folder / ANSWERS).read_text() == "".join(lines)


def test_a_benchmark_whose_name_is_no_unicode_is_reported(cli, bench, tmp_path):
    odd = Path(shutil.copy(bench, os.fsdecode(os.fsencode(bench.parent / "odd") + b"\xff.jsonl")))
    found = cli("eval", "--benchmark", odd, "--out", tmp_path / "run", "--workers", 1, "--limit-videos", 1)
    assert found.exit_code == 0, found.output
    assert json.loads((tmp_path / "run" / "report.json").read_text())["benchmark"] == odd.name


def test_the_status_is_1_where_nothing_could_be_scored(cli, bench, tmp_path):
    arguments = ("--out", tmp_path / "run", "--workers", 1, "--video-root", tmp_path)
    found = cli("eval", "--benchmark", bench, *arguments)
    assert found.exit_code == 1
    assert "no question could be scored" in found.stderr


def test_a_published_data_set_is_run_by_its_name_as_published(loaded, monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(command, "load", lambda *_, **given: seen.update(given) or loaded)
    app = typer.Typer()
    app.command()(evaluate_command)
    folder = write_benchmark(tmp_path / "data" / "videos", 2).parent
    rows = [row | {"video_path": None, "dataset": name} for name in ("scene0", "scene1") for row in rows_about(name)]
    rows = [row | {"scene_name": "video"} for row in rows if row["question_type"] in VSI]
    (tmp_path / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for scene in ("scene0", "scene1"):
        (folder / scene / "video").rename(folder / scene / "video.mp4")
    arguments = ["--benchmark", "vsibench", "--data", tmp_path / "data", "--out", tmp_path / "run", "--workers", 1]
    given = ["--preset", "published-eval", "--frames", FRAMES, "--pool-mode", "average"]
    found = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *given)])
    assert found.exit_code == 0, found.output
    assert seen["config_overrides"] == {
        "num_frames": FRAMES,
        "force_sample": True,
        "add_time_instruction": False,
        "pool_mode": "average",
        "newline_position": "grid",
    }
    assert "6 of 6 questions, 2 of 2 videos" in found.stdout
    assert "Given instead: " not in found.stdout
    assert "given instead: num_frames 4, pool_mode average" in found.stdout
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_what_can_be_known_before_the_weights_are_loaded_is_said_before(cli, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load", lambda *_, **__: pytest.fail("weights were loaded"))
    for arguments, message in (
        (["--benchmark", "vsibench"], "needs --data DIR"),
        (["--benchmark", "vsibenhc"], "did you mean vsibench"),
        (["--benchmark", bench, "--decoder", "pyva"], "unknown video decoder 'pyva'"),
        (["--benchmark", bench, "--blind", tmp_path], "no record of a run"),
    ):
        found = cli("eval", *arguments, "--out", tmp_path / "run")
        assert isinstance(found.exception, UserError)
        assert message in str(found.exception)


def test_a_run_killed_at_any_time_continues_to_the_same_answers_and_report(tmp_path):
    bench = write_benchmark(tmp_path / "data", 10)
    command_line = [sys.executable, "-m", "tests.evaluation.run.small", "--benchmark", bench, "--frames", FRAMES]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(out):
        arguments = [str(argument) for argument in (*command_line, "--workers", 1, "--out", out)]
        return subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    killed = tmp_path / "killed"
    process = start(killed)
    answers = killed / ANSWERS
    while process.poll() is None and not (answers.exists() and answers.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = answers.read_bytes()
    assert 0 < left.count(b"\n") < 50
    assert start(killed).wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    for name in (ANSWERS, "report.json", "report.md", "report.html", "run.json"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert answers.read_bytes().startswith(left[: left.rindex(b"\n") + 1])
