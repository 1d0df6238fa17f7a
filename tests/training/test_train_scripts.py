"""The bash entry points of training, with stand-ins for the launchers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "bash"
TRAIN, PUBLISHED = "train/train_vlm3r.sh", "VLM_3R/train_vsibench.sh"
SMOKE = "configs/recipes/tiny/smoke.yaml"


@pytest.fixture
def launch(tmp_path):
    """Runs a script; gives its exit status, what it said, and the arguments of the launcher."""
    calls = tmp_path / "calls"
    for name in ("torchrun", "deepspeed"):
        stub = tmp_path / name
        stub.write_text(f'#!{BASH}\nprintf "%s\\n" {name} "$@" >"{calls}"\n')
        stub.chmod(0o755)

    def run(script: str, *arguments: str, **environment: str) -> tuple[int, str, list[str]]:
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VLM3R_SKIP_SETUP": "1"} | environment
        command = [BASH, str(REPOSITORY / "scripts" / script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def zero(stage: int) -> str:
    return f"run.deepspeed={REPOSITORY}/configs/deepspeed/zero{stage}.json"


@pytest.mark.parametrize(
    ("options", "key"), [([], zero(2)), (["--zero", "3"], zero(3)), (["--no-deepspeed"], "run.deepspeed=null")]
)
def test_the_sharding_is_an_override_of_the_recipe_and_the_users_keys_come_last(launch, options, key):
    status, output, call = launch(TRAIN, SMOKE, *options, "--nproc", "2", "optimiser.steps=3")
    assert status == 0, output
    recipe = str(REPOSITORY / SMOKE)
    launcher = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "vlm3r.cli", "train"]
    assert call == [*launcher, recipe, key, "optimiser.steps=3"]


def test_several_machines_are_named_by_the_usual_variables(launch):
    where = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "1234"}
    status, _, call = launch(TRAIN, SMOKE, "--nproc", "8", **where)
    assert status == 0
    assert " ".join(call).startswith(
        "torchrun --nnodes 2 --node-rank 1 --master-addr node0 --master-port 1234 --nproc-per-node 8 -m vlm3r.cli train"
    )
    assert launch(TRAIN, SMOKE, NNODES="2")[0] != 0


def test_a_hostfile_goes_to_the_deepspeed_launcher(launch, tmp_path):
    (tmp_path / "hosts").write_text("node0 slots=8\n")
    status, _, call = launch(TRAIN, SMOKE, "--hostfile", "hosts")
    assert status == 0
    assert call[:5] == ["deepspeed", "--hostfile", "hosts", "--module", "vlm3r.cli"]
    assert launch(TRAIN, SMOKE, "--hostfile", "none")[:1] == (2,)


def test_the_published_training_takes_rows_and_videos(launch):
    status, output, call = launch(PUBLISHED, "rows.json", "videos", "--zero", "3", "optimiser.epochs=5")
    assert status == 0, output
    assert call[-5:] == [
        str(REPOSITORY / "configs/recipes/vlm3r_vsibench.yaml"),
        zero(3),
        "data.sources.0.path=rows.json",
        "data.sources.0.root=videos",
        "optimiser.epochs=5",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a recipe"),
        (["none.yaml"], "no such recipe"),
        ([SMOKE, "--zero", "1"], "use 2 or 3"),
        ([SMOKE, "--zero"], "needs a value"),
        ([SMOKE, "--nproc", "many"], "use a number above 0"),
    ],
)
def test_a_wrong_call_gets_one_line(launch, arguments, message):
    status, output, call = launch(TRAIN, *arguments)
    assert status == 2
    assert message in output
    assert len(output.splitlines()) == 1
    assert not call


@pytest.mark.parametrize("script", [TRAIN, PUBLISHED])
def test_help_needs_no_set_up(launch, script):
    status, output, _ = launch(script, "--help", VLM3R_SKIP_SETUP="")
    assert status == 0
    assert "bash scripts/" in output
