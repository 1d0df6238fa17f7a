"""The bash entry points of the published benchmarks, with a stand-in for vlm3r."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "bash"
LORA = "Journey9ni/vlm-3r-llava-qwen2-lora"
NAMES = ("vsibench", "vstibench")


@pytest.fixture
def launch(tmp_path):
    """Runs a script; gives its exit status, what it said, and the arguments of vlm3r."""
    calls, stub = tmp_path / "calls", tmp_path / "vlm3r"
    stub.write_text(f'#!{BASH}\nprintf "%s\\n" "$@" >"{calls}"\n')
    stub.chmod(0o755)
    shutil.copy(stub, tmp_path / "torchrun")
    (tmp_path / "a data set").mkdir()

    def run(script: str, *arguments: str, **environment: str) -> tuple[int, str, list[str]]:
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VLM3R_SKIP_SETUP": "1"} | environment
        command = [BASH, str(REPOSITORY / "scripts" / "eval" / f"{script}.sh"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def options(call: list[str]) -> dict[str, str]:
    """The options of a call, the last one of a name counting, as the command takes them."""
    return dict(zip(call[1::2], call[2::2], strict=True))


@pytest.mark.parametrize(("name", "model"), [("vsibench", LORA), ("vstibench", f"{LORA}-vstibench")])
def test_the_published_model_is_asked_as_published(launch, name, model):
    status, output, call = launch(name, "a data set")
    assert status == 0, output
    assert call[0] == "eval"
    assert options(call) == {
        "--benchmark": name,
        "--data": "a data set",
        "--preset": "published-eval",
        "--out": str(REPOSITORY / "outputs" / "eval" / name),
        "--model": model,
        "--base": "lmms-lab/LLaVA-NeXT-Video-7B-Qwen2",
    }


def test_options_that_are_given_win_and_another_model_has_its_own_base(launch):
    given = ["--benchmark", "vsibench-debiased", "--preset", "native", "--model", "mine"]
    found = options(launch("vsibench", "a data set", *given)[2])
    assert (found["--benchmark"], found["--preset"], found["--model"]) == ("vsibench-debiased", "native", "mine")
    assert "--base" not in found
    assert found["--out"].endswith("outputs/eval/vsibench-debiased")
    assert options(launch("vsibench", "a data set", "--out", "here")[2])["--out"] == "here"


def test_several_processes_are_started_by_torchrun_with_the_same_options(launch):
    alone = launch("vsibench", "a data set", "--frames", "8", "--nproc", "1")[2]
    for given in (["--nproc", "4"], ["--nproc=4"]):
        call = launch("vsibench", "a data set", *given, "--frames", "8")[2]
        assert call == ["--standalone", "--nproc-per-node", "4", "-m", "vlm3r.cli", *alone]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the folder"),
        (["none"], "none: no such folder"),
        (["a data set", "--nproc"], "--nproc: give the number"),
        (["a data set", "--nproc", "0"], "use a number above 0"),
    ],
)
def test_a_wrong_call_gets_one_line(launch, name, arguments, message):
    status, output, call = launch(name, *arguments)
    assert (status, call) == (2, [])
    assert message in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_no_set_up(launch, name):
    status, output, call = launch(name, "--help", VLM3R_SKIP_SETUP="")
    assert (status, call) == (0, [])
    assert f"bash scripts/eval/{name}.sh DATA" in output
