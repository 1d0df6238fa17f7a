"""Every bad input becomes one line on standard error and status 2, never a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.conftest import write_video
from tests.published import write_published
from vlm3r import cli
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.commands import ask as ask_command

REPOSITORY = Path(__file__).resolve().parents[2]
ASK = ("ask", "--device", "cpu", "-q", "Where?", "--max-new-tokens", 1)


def assert_refused(run, *expected: object) -> None:
    assert run.status == 2, run
    assert len(run.errors) == 1, run.err
    assert run.err.splitlines()[-1] == run.errors[0]
    assert "Traceback" not in run.err
    assert "Usage:" not in run.err
    for text in expected:
        assert str(text) in run.errors[0], run.errors


@pytest.fixture
def bad(tmp_path, video):
    """Files that are no videos or images, by name."""
    whole = video.read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("hello " * 99)
    (tmp_path / "text.png").write_text("hello " * 99)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("hello")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    write_video(tmp_path / "none.mp4", 0)
    return tmp_path


VIDEOS = ["absent.mp4", "empty.mp4", "cut.mp4", "text.mp4", "text.png", "folder", "pictures", "none.mp4"]


@pytest.mark.parametrize("name", VIDEOS)
def test_a_bad_video_is_refused(vlm3r, bad, name):
    assert_refused(vlm3r(*ASK, "--video", bad / name), bad / name)


@pytest.mark.parametrize("name", ["absent.png", "text.png", "folder", "pictures", "empty.mp4"])
def test_a_bad_image_is_refused(vlm3r, bad, name):
    assert_refused(vlm3r(*ASK, "--images", bad / name), bad / name)


@pytest.mark.parametrize("name", VIDEOS)
def test_a_bad_video_is_not_reconstructed(vlm3r, bad, name):
    assert_refused(vlm3r("reconstruct", bad / name, "--out", bad / "out", "--device", "cpu"), bad / name)
    assert not (bad / "out").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--pool-mode", "avg"), "average"),
        (("--newline-position", "girds"), "grid"),
        (("--device", "gpu"), "device 'gpu'"),
        (("--device", "cuda:77"), "cuda:77"),
        (("--dtype", "fp16"), "float16"),
        (("--decoder", "ffmpeg"), "ffmpeg"),
        (("--conv-template", "llama_3"), "qwen_1_5"),
        (("--frames", 0), "num_frames is 0"),
        (("--frames", "many"), "--frames"),
        (("--max-new-tokens", 0), "at least 1"),
        (("--quantization", "2bit"), "2bit"),
        (("--unknown", 1), "--unknown"),
        (("--images", "x.png"), "one of --video"),
        (("--text-only",), "one of --video"),
        (("--base", "x/y"), "leave --base out"),
        (("--geometry", "x.pth"), "can only be none"),
        (("--model", "nobody/nothing"), "nobody/nothing"),
        (("--model", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_a_bad_option_is_refused(vlm3r, video, flags, expected):
    assert_refused(vlm3r(*ASK, "--video", video, *flags), expected)


def test_a_wrong_checkpoint_folder_is_refused(vlm3r, tmp_path):
    assert_refused(vlm3r(*ASK, "--text-only", "--model", tmp_path), tmp_path)
    broken = shutil.copytree(EMBEDDED_MODEL, tmp_path / "broken")
    os.truncate(broken / "model.safetensors", 1000)
    assert_refused(vlm3r(*ASK, "--text-only", "--model", broken), broken / "model.safetensors")


def test_a_lora_repository_without_its_base_is_refused(vlm3r, tmp_path):
    parts = write_published(tmp_path)
    shutil.rmtree(parts.base)
    assert_refused(vlm3r(*ASK, "--text-only", "--model", parts.lora), "--base")


def test_a_published_checkpoint_of_another_size_says_so(vlm3r, tmp_path):
    parts = write_published(tmp_path)
    assert_refused(vlm3r("convert", parts.lora, "--out", tmp_path / "out"), "weights do not match the model")


def test_converting_there_and_back(vlm3r, tmp_path):
    assert vlm3r("convert", EMBEDDED_MODEL, "--out", tmp_path / "published", "--to", "published").status == 0
    run = vlm3r("convert", tmp_path / "published" / "lora", "--out", tmp_path / "native", "--merge-lora")
    assert run.status == 0
    assert "tensors in the native layout" in run.err
    assert vlm3r(*ASK, "--text-only", "--model", tmp_path / "native").status == 0
    again = vlm3r("convert", EMBEDDED_MODEL, "--out", tmp_path / "native")
    assert_refused(again, tmp_path / "native", "--overwrite")
    assert vlm3r("convert", EMBEDDED_MODEL, "--out", tmp_path / "native", "--overwrite").status == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["native", "published"]


def test_a_conversion_can_change_the_number_format(vlm3r, tmp_path):
    assert vlm3r("convert", EMBEDDED_MODEL, "--out", tmp_path / "full", "--dtype", "float32").status == 0
    assert vlm3r("convert", tmp_path / "full", "--out", tmp_path / "half", "--dtype", "bfloat16").status == 0
    full, half = (load_file(tmp_path / name / "model.safetensors") for name in ("full", "half"))
    assert {tensor.dtype for tensor in full.values()} == {torch.float32}
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], tensor.bfloat16()) for name, tensor in full.items())


def test_what_is_no_checkpoint_is_not_overwritten_by_a_conversion(vlm3r, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    assert_refused(vlm3r("convert", EMBEDDED_MODEL, "--out", tmp_path, "--overwrite"), "no checkpoint folder")
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--every", 0), "--every"),
        (("--max-frames", 0), "--max-frames"),
        (("--image-size", 3), "image_size=3"),
        (("--confidence-percentile", 101), "confidence_percentile"),
        (("--voxel-size", -1), "voxel_size"),
        (("--dtype", "auto"), "unknown dtype"),
        (("--device", "gpu"), "device 'gpu'"),
        (("--model", "/nowhere.pth"), "/nowhere.pth"),
    ],
)
def test_a_bad_option_of_a_reconstruction_is_refused(vlm3r, video, tmp_path, flags, expected):
    assert_refused(vlm3r("reconstruct", video, "--out", tmp_path / "out", "--device", "cpu", *flags), expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("reconstruct",), ("convert", "x"), ("nonsense",), ("ask", "extra")])
def test_missing_and_surplus_arguments_are_one_line(vlm3r, arguments):
    if arguments:
        assert_refused(vlm3r(*arguments), "--help")
    else:
        assert "reconstruct" in vlm3r().out


def test_an_interrupt_gives_status_130_and_no_traceback(vlm3r, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ask_command, "run", interrupted)
    run = vlm3r("ask", "--text-only", "-q", "Hello?")
    assert (run.status, run.err.splitlines()) == (130, ["vlm3r: interrupted"])


def test_a_message_of_several_lines_becomes_one(vlm3r, monkeypatch):
    from vlm3r.errors import UserError

    def failing(options):
        raise UserError("first\n  second")

    monkeypatch.setattr(ask_command, "run", failing)
    assert vlm3r("ask", "--text-only", "-q", "?").err == "vlm3r: error: first second\n"


HELP = """
import sys
sys.argv = ["vlm3r", "--help"]
from vlm3r.cli import main
try:
    main()
except SystemExit as leaving:
    assert leaving.code == 0
print("loaded", sorted({"torch", "transformers", "numpy", "av"} & sys.modules.keys()))
"""


def test_help_is_quick_because_torch_is_not_imported():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert "reconstruct" in done.stdout


def test_a_signal_in_the_middle_of_a_run_gives_130(tmp_path):
    code = "from vlm3r.commands import ask\nimport time, sys\nfrom vlm3r import cli\n"
    code += "ask.run = lambda options: (print('ready', flush=True), time.sleep(60))\n"
    code += "sys.argv = ['vlm3r', 'ask', '--text-only', '-q', '?']\ncli.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err.strip()) == (130, "vlm3r: interrupted")


@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(buffering):
    code = "import sys, time; time.sleep(0.2); sys.argv = ['vlm3r', 'version']; from vlm3r.cli import main; main()"
    command = f'"{sys.executable}" -c "{code}" | true; exit ${{PIPESTATUS[0]}}'
    environment = os.environ | {"PYTHONUNBUFFERED": buffering}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_entry_point_is_the_tested_function():
    assert 'vlm3r = "vlm3r.cli:main"' in (REPOSITORY / "pyproject.toml").read_text()
    assert callable(cli.main)
