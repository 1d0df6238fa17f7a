"""The bash entry points: what they pass on, and the set-up that they share, with stand-ins for uv, pip and vlm3r."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BASH = shutil.which("bash") or "bash"
SCRIPTS = sorted([*REPOSITORY.glob("scripts/**/*.sh"), REPOSITORY / ".ci/run"])
ENTRIES = ["video/demo/video_demo.sh", "image/demo/image_demo.sh", "reconstruct/reconstruct_demo.sh", "test.sh"]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the choice of torch build is made on Linux only")

RECORD = 'printf "%s\\n" "$@" >"$CALLS"\n'
PYTHON = f"""
case "$*" in
  *"print(sys.executable)"*) printf '%s\\n' "$0" ;;
  "-m venv "*) make_venv "$3" ;;
  "-m pip config"*) printf '%s\\n' "${{STUB_PIP_CONFIG:-}}" ;;
  "-m pip install"*uv) record "pip install uv"; cp "$STUBS/uv.stub" "$(dirname "$0")/uv" ;;
  "-m pip install"*) record "pip ${{*: -2}}"; pip_result ;;
  "-m pip --version" | *ensurepip*) ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
UV = """
case "$1" in
  venv) for last; do :; done; make_venv "$last" ;;
  pip)
    record "uv $* find_links=${UV_FIND_LINKS:-} index=${UV_DEFAULT_INDEX:-} extra=${UV_INDEX:-} cert=${SSL_CERT_FILE:-}"
    case "$*" in *torch-backend*) [ -z "${STUB_NO_BACKEND:-}" ] || { echo "no such index" >&2; exit 2; } ;; esac
    pip_result
    ;;
esac
"""
COMMON = f"""#!{BASH}
record() {{ printf '%s\\n' "$*" >>"$CALLS"; }}
make_venv() {{
  mkdir -p "$1/bin"
  cp "$STUBS/python3" "$1/bin/python"
  printf 'version = {sys.version_info[0]}.{sys.version_info[1]}.0\\n' >"$1/pyvenv.cfg"
}}
pip_result() {{
  sleep "${{STUB_SECONDS:-0}}"
  [ -z "${{STUB_FAILURE:-}}" ] || {{ echo "$STUB_FAILURE" >&2; exit 1; }}
}}
"""


@dataclass
class Tree:
    """A copy of the scripts in a folder whose name has spaces, and the stand-ins on PATH."""

    root: Path
    stubs: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[str]:
        """What the stand-ins were called with."""
        log = self.stubs / "calls"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def stub(self, name: str, body: str) -> None:
        (self.stubs / name).write_text(COMMON + body)
        (self.stubs / name).chmod(0o755)

    def env(self, **more: str) -> dict[str, str]:
        # Without folders that hold a uv or an nvidia-smi of this machine: the stand-ins alone shall be found.
        folders = [
            folder
            for folder in os.environ["PATH"].split(os.pathsep)
            if not any((Path(folder) / name).exists() for name in ("uv", "nvidia-smi", "vlm3r"))
        ]
        path = os.pathsep.join([str(self.stubs), *folders])
        base = {"PATH": path, "HOME": str(self.root), "STUBS": str(self.stubs), "CALLS": str(self.stubs / "calls")}
        return {**base, **self.environment, **more}

    def run(
        self, script: str, *arguments: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        command = [BASH, str(self.root / "scripts" / script), *arguments]
        return subprocess.run(command, cwd=cwd or self.root, env=self.env(**env), capture_output=True, text=True)

    def setup_process(self, *extras: str, **env: str) -> subprocess.Popen[str]:
        code = 'set -euo pipefail; source "$0/scripts/lib/setup.sh"; vlm3r_setup "$@"; command -v python'
        command = [BASH, "-c", code, str(self.root), *extras]
        return subprocess.Popen(command, env=self.env(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def setup(self, *extras: str, **env: str) -> tuple[int, str]:
        """The exit status and the messages of one set-up."""
        process = self.setup_process(*extras, **env)
        out, messages = process.communicate(timeout=60)
        if process.returncode == 0 and "VLM3R_SKIP_SETUP" not in env:
            assert out.strip() == str(self.venv / "bin/python")
        return process.returncode, messages

    def installs(self) -> list[str]:
        """The targets that were installed, in order."""
        return [call.split(" -e ")[1].split(" find_links")[0] for call in self.calls if " -e " in call]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root, stubs = tmp_path / "a folder", tmp_path / "stubs"
    shutil.copytree(REPOSITORY / "scripts", root / "scripts")
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    stubs.mkdir()
    return Tree(root.resolve(), stubs)


@pytest.fixture
def demo(tree: Tree) -> Tree:
    tree.stub("vlm3r", RECORD)
    tree.environment["VLM3R_SKIP_SETUP"] = "1"
    return tree


@pytest.fixture
def fresh(tree: Tree) -> Tree:
    tree.stub("uv", UV)
    tree.stub("python3", PYTHON)
    return tree


# ---- what the entry points pass on


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_script_is_valid_bash(script: Path) -> None:
    subprocess.run([BASH, "-n", str(script)], check=True)


@pytest.mark.parametrize("script", ENTRIES)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_shows_the_header_and_sets_nothing_up(tree: Tree, script: str, option: str) -> None:
    done = tree.run(script, option)
    assert done.returncode == 0
    assert f"bash scripts/{script}" in done.stdout
    assert "set -euo" not in done.stdout
    assert not tree.venv.exists()


PUBLISHED = (
    "Journey9ni/vlm-3r-llava-qwen2-lora qwen_1_5 32 2 average grid True a.mp4 lmms-lab/LLaVA-NeXT-Video-7B-Qwen2"
)
MODEL = "ask --model Journey9ni/vlm-3r-llava-qwen2-lora --conv-template qwen_1_5"
BASE = "--base lmms-lab/LLaVA-NeXT-Video-7B-Qwen2"


def test_the_published_video_arguments_keep_their_meaning(demo: Tree) -> None:
    assert demo.run("video/demo/video_demo.sh", *PUBLISHED.split()).returncode == 0
    expected = f"{MODEL} --video a.mp4 --frames 32 --pool-mode average --newline-position grid {BASE}"
    assert demo.calls == expected.split()


def test_a_question_stays_one_argument_and_base_may_be_none(demo: Tree) -> None:
    arguments = [*PUBLISHED.split()[:8], "none", "How many chairs are there?"]
    assert demo.run("video/demo/video_demo.sh", *arguments).returncode == 0
    assert demo.calls[-2:] == ["--question", "How many chairs are there?"]
    assert "--base" not in demo.calls


def test_overwrite_false_leaves_the_checkpoints_settings_and_says_so(demo: Tree) -> None:
    done = demo.run("video/demo/video_demo.sh", *PUBLISHED.replace("True", "False").split())
    assert "come from the checkpoint" in done.stderr
    assert demo.calls == f"{MODEL} --video a.mp4 --frames 32 {BASE}".split()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" 2 ", " 4 ", "pool stride '4'"),
        ("average", "mean", "pool mode 'mean'"),
        (" grid ", " line ", "newline position 'line'"),
        ("True", "yes", "overwrite 'yes'"),
        (" lmms-lab/LLaVA-NeXT-Video-7B-Qwen2", "", "not 8"),
    ],
)
def test_arguments_without_a_meaning_are_errors(demo: Tree, old: str, new: str, message: str) -> None:
    done = demo.run("video/demo/video_demo.sh", *PUBLISHED.replace(old, new).split())
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert demo.calls == []


def test_the_video_demo_without_arguments_asks_the_embedded_model(demo: Tree, tmp_path: Path) -> None:
    assert demo.run("video/demo/video_demo.sh", cwd=tmp_path).returncode == 0
    assert demo.calls == ["ask"]


def test_the_video_demo_passes_options_on(demo: Tree) -> None:
    assert demo.run("video/demo/video_demo.sh", "--question", "How big is it?").returncode == 0
    assert demo.calls == ["ask", "--question", "How big is it?"]


def test_files_of_the_repository_are_found_from_any_folder(demo: Tree, tmp_path: Path) -> None:
    (demo.root / "playground/demo").mkdir(parents=True)
    (demo.root / "playground/demo/x.mp4").touch()
    arguments = PUBLISHED.replace("a.mp4", "playground/demo/x.mp4").split()
    assert demo.run("video/demo/video_demo.sh", *arguments, cwd=tmp_path).returncode == 0
    assert str(demo.root / "playground/demo/x.mp4") in demo.calls


def test_the_image_demo_maps_its_arguments(demo: Tree) -> None:
    arguments = "Journey9ni/vlm-3r-llava-qwen2-lora qwen_1_5 2 max frame true views lmms-lab/LLaVA-NeXT-Video-7B-Qwen2"
    assert demo.run("image/demo/image_demo.sh", *arguments.split()).returncode == 0
    assert demo.calls == f"{MODEL} --images views --pool-mode max --newline-position frame {BASE}".split()


def test_the_reconstruction_names_its_folder_after_the_video(demo: Tree) -> None:
    assert demo.run("reconstruct/reconstruct_demo.sh", "my walk.mp4", "--frames", "8").returncode == 0
    out = str(demo.root / "outputs/reconstruct/my walk")
    assert demo.calls == ["reconstruct", "my walk.mp4", "--out", out, "--frames", "8"]
    assert demo.run("reconstruct/reconstruct_demo.sh", "a.mp4", "here").returncode == 0
    assert demo.calls == ["reconstruct", "a.mp4", "--out", "here"]
    assert demo.run("reconstruct/reconstruct_demo.sh").returncode == 0
    video, out = demo.root / "playground/demo/room_walk.mp4", demo.root / "outputs/reconstruct/room_walk"
    assert demo.calls == ["reconstruct", str(video), "--out", str(out), "--every", "20", "--overwrite"]


@pytest.mark.parametrize("failing", ["", "ruff format", "pytest"])
def test_the_test_script_runs_every_check_and_fails_if_one_does(demo: Tree, failing: str) -> None:
    demo.stub("python", 'record "$*"\ncase "$*" in "-m ${FAILING:-none}"*) exit 1 ;; esac\n')
    done = demo.run("test.sh", "-k", "fusion or pool", FAILING=failing)
    assert done.returncode == (1 if failing else 0)
    assert [call.split()[1] for call in demo.calls] == ["ruff", "ruff", "basedpyright", "pytest"]
    assert demo.calls[-1].endswith("-k fusion or pool")
    assert ("failed: " in done.stderr) == bool(failing)


# ---- the set-up


def test_a_second_setup_does_nothing_and_is_fast(fresh: Tree) -> None:
    assert fresh.setup("dev")[0] == 0
    assert fresh.installs() == [".[dev]"]
    start = time.perf_counter()
    assert fresh.setup("dev") == (0, "")
    assert fresh.setup() == (0, "")
    assert time.perf_counter() - start < 2
    assert fresh.installs() == [".[dev]"]


def test_extras_add_up(fresh: Tree) -> None:
    for extras in ([], ["dev"], ["eval"]):
        assert fresh.setup(*extras)[0] == 0
    assert fresh.installs() == [".", ".[dev]", ".[dev,eval]"]


def test_changed_requirements_are_installed_into_the_same_environment(fresh: Tree) -> None:
    fresh.setup("dev")
    (fresh.venv / "kept").touch()
    with (fresh.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert fresh.setup()[0] == 0
    assert fresh.installs() == [".[dev]", ".[dev]"]
    assert (fresh.venv / "kept").exists()


def test_a_moved_folder_gets_a_new_environment(fresh: Tree) -> None:
    fresh.setup()
    (fresh.venv / "old").touch()
    fresh.root = fresh.root.rename(fresh.root.parent / "another place")
    assert fresh.setup()[0] == 0
    assert not (fresh.venv / "old").exists()


def test_what_a_killed_setup_left_is_made_anew(fresh: Tree) -> None:
    process = fresh.setup_process(STUB_SECONDS="30")
    while not fresh.installs():
        time.sleep(0.05)
    (fresh.venv / "half").touch()
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert not (fresh.venv / "vlm3r-setup.lock").exists()
    assert fresh.setup()[0] == 0
    assert not (fresh.venv / "half").exists()


def test_an_environment_that_the_user_made_is_not_emptied(fresh: Tree) -> None:
    (fresh.venv / "bin").mkdir(parents=True)
    shutil.copy(fresh.stubs / "python3", fresh.venv / "bin/python")
    (fresh.venv / "pyvenv.cfg").write_text("version = 3.12.0\n")
    (fresh.venv / "mine").touch()
    assert fresh.setup(STUB_FAILURE="No space left on device")[0] == 1
    assert fresh.setup()[0] == 0
    assert (fresh.venv / "mine").exists()


def test_two_setups_at_once_install_once(fresh: Tree) -> None:
    first, second = (fresh.setup_process(STUB_SECONDS="1") for _ in range(2))
    messages = first.communicate(timeout=60)[1] + second.communicate(timeout=60)[1]
    assert first.returncode == second.returncode == 0
    assert "another set-up is running" in messages
    assert fresh.installs() == ["."]


def test_the_lock_of_a_dead_process_is_dropped(fresh: Tree) -> None:
    lock = fresh.venv / "vlm3r-setup.lock"
    lock.mkdir(parents=True)
    dead = subprocess.Popen([BASH, "-c", "true"])
    dead.wait()
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    (lock / "owner").write_text(f"{host} {dead.pid}\n")
    status, messages = fresh.setup()
    assert status == 0
    assert "another set-up" not in messages
    assert not lock.exists()


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        ("error: No space left on device (os error 28)", "the disk is full"),
        ("error: dns error: failed to lookup address", "no connection to the package index"),
        ("ERROR: SSL: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("ERROR: No matching distribution found for torch", "VLM3R_PYTHON"),
        ("ERROR: strange", "the whole log is in"),
    ],
)
def test_a_failure_shows_the_last_lines_and_a_remedy(fresh: Tree, failure: str, remedy: str) -> None:
    status, messages = fresh.setup(STUB_FAILURE=failure)
    assert status == 1
    assert f"  | {failure}" in messages
    assert remedy in messages.splitlines()[-1]
    assert not (fresh.venv / "vlm3r-setup.stamp").exists()


def test_a_python_that_does_not_fit_is_named(fresh: Tree) -> None:
    status, messages = fresh.setup(VLM3R_PYTHON="/no/such/python")
    assert status == 1
    assert "/no/such/python is not running" in messages
    assert len(messages.splitlines()) == 1


def test_without_a_venv_module_the_package_is_named(fresh: Tree) -> None:
    (fresh.stubs / "uv").unlink()
    fresh.stub("old", 'case "$*" in *ensurepip*) exit 1 ;; esac\n' + PYTHON)
    status, messages = fresh.setup(VLM3R_PYTHON=str(fresh.stubs / "old"))
    assert status == 1
    assert "no venv module" in messages


@on_linux
def test_torch_without_cuda_is_chosen_where_there_is_no_gpu(fresh: Tree) -> None:
    assert fresh.setup()[0] == 0
    assert "--torch-backend cpu -e ." in fresh.calls[0]


@on_linux
def test_torch_for_the_driver_is_chosen_where_there_is_a_gpu(fresh: Tree) -> None:
    fresh.stub("nvidia-smi", "echo 'GPU 0: NVIDIA A100'")
    assert fresh.setup()[0] == 0
    assert "--torch-backend auto -e ." in fresh.calls[0]


@on_linux
def test_a_choice_of_torch_that_fails_is_dropped(fresh: Tree) -> None:
    status, messages = fresh.setup(STUB_NO_BACKEND="1")
    assert status == 0
    assert "no such index" in messages
    assert ["torch-backend" in call for call in fresh.calls] == [True, False]


@on_linux
def test_with_pip_alone_uv_is_fetched_for_torch(fresh: Tree) -> None:
    (fresh.stubs / "uv").rename(fresh.stubs / "uv.stub")
    assert fresh.setup()[0] == 0
    assert fresh.calls[0] == "pip install uv"
    assert fresh.calls[1].startswith("uv pip install")
    assert "--torch-backend cpu -e ." in fresh.calls[1]


def test_with_pip_and_find_links_pip_does_it_all(fresh: Tree) -> None:
    (fresh.stubs / "uv").unlink()
    assert fresh.setup("dev", PIP_FIND_LINKS="/wheels")[0] == 0
    assert fresh.calls == ["pip -e .[dev]"]


def test_uv_is_told_what_pip_is_configured_with(fresh: Tree) -> None:
    config = ":env:.cert='/a.pem'\nglobal.extra-index-url='file:///x file:///y'\nglobal.find-links='/one /two'"
    assert fresh.setup(PIP_INDEX_URL="file:///index", STUB_PIP_CONFIG=config)[0] == 0
    expected = " find_links=/one,/two index=file:///index extra=file:///x file:///y cert=/a.pem"
    assert fresh.calls[0].endswith(expected)
    assert "torch-backend" not in fresh.calls[0]


def test_settings_of_uv_win_over_those_of_pip(fresh: Tree) -> None:
    assert fresh.setup(PIP_FIND_LINKS="/pip", UV_FIND_LINKS="/uv", UV_TORCH_BACKEND="cu128")[0] == 0
    assert "find_links=/uv " in fresh.calls[0]


def test_setup_can_be_skipped(fresh: Tree) -> None:
    assert fresh.setup(VLM3R_SKIP_SETUP="1") == (0, "")
    assert not fresh.venv.exists()
