"""The doctor's findings on machines made of fake packages and commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from vlm3r import doctor
from vlm3r.doctor_checks import GROUPS, Check, Machine

REQUIREMENTS = [
    "torch<2.14,>=2.6",
    "transformers<6,>=5.20",
    "decord2>=3.3",
    'torchvision>=0.21; extra == "gpu"',
    'flash-attn>=2.7; extra == "flash"',
]
VERSIONS = {"vlm3r": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "decord2": "3.4.0", "pip": "23.2.1"}

TORCH = """
from types import SimpleNamespace as N
__version__ = "2.13.0"
version = N(cuda={build!r}, hip=None)
backends = N(mps=None)
cards = {cards!r}
cuda = N(
    is_available=lambda: bool(cards),
    device_count=lambda: len(cards),
    get_device_properties=lambda index: N(name=cards[index], major=9, minor=0),
    mem_get_info=lambda index: (70 * 2**30, 80 * 2**30),
    is_bf16_supported=lambda: True,
)
def ones(*shape): return None
nn = N(functional=N(scaled_dot_product_attention=lambda *tensors: None))
"""
AV = """
__version__ = "18.1.0"
library_versions = {{"libavcodec": (62, 1, 0)}}
def Codec(name, mode):
    if name not in {codecs!r}:
        raise ValueError(name)
"""
PACKAGES = {
    "torch": TORCH.format(build=None, cards=[]),
    "transformers": "Qwen2ForCausalLM = SiglipImageProcessor = SiglipVisionModel = None",
    "av": AV.format(codecs=["h264", "hevc"]),
    "decord": "",
}
BROKEN_TORCHVISION = "raise RuntimeError('operator torchvision::nms does not exist')"

MakeMachine = Callable[..., Machine]


@pytest.fixture
def make_machine(tmp_path: Path) -> MakeMachine:
    """A healthy machine of fake packages; keywords put something else in its place, None takes it away."""

    def make(
        packages: dict[str, str | None] | None = None,
        versions: dict[str, str | None] | None = None,
        commands: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        python: tuple[int, int, int] = (3, 12, 1),
        timeout: float = 60.0,
    ) -> Machine:
        root, site, commands_folder = tmp_path / "root", tmp_path / "site", tmp_path / "bin"
        for file in ("pyproject.toml", "playground/demo/room_walk.mp4", "playground/models/vlm3r-tiny/config.json"):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text("there")
        for name, code in {**PACKAGES, **(packages or {})}.items():
            (site / name).mkdir(parents=True)
            # A missing package is one that says so: this Python has the real ones.
            missing = f"raise ModuleNotFoundError(\"No module named '{name}'\")"
            (site / name / "__init__.py").write_text(missing if code is None else code)
        commands_folder.mkdir()
        for name, body in {"nvidia-smi": "exit 9", **(commands or {})}.items():
            (commands_folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (commands_folder / name).chmod(0o755)
        there = {**VERSIONS, **(versions or {})}
        base = {
            "PATH": f"{commands_folder}{os.pathsep}/usr/bin:/bin",
            "PYTHONPATH": str(site),
            "HF_HOME": str(tmp_path),
        }
        return Machine({**base, **(environment or {})}, root, python, there.get, lambda: REQUIREMENTS, timeout)

    return make


def found(machine: Machine, name: str) -> Check:
    return doctor.collect(machine).named(name)


def test_a_healthy_machine_without_a_gpu_passes(make_machine: MakeMachine) -> None:
    report = doctor.collect(make_machine())
    assert report.exit_status == 0, doctor.render(report)
    assert {check.section for check in report.checks} == {section for section, _ in GROUPS}
    assert "Everything required works." in doctor.render(report)
    # torchvision beside a CPU torch does harm, so the doctor doesn't offer it here
    assert report.named("torchvision").remedy == ""


def test_torchvision_of_another_torch_is_recognised(make_machine: MakeMachine) -> None:
    transformers = "import torchvision"
    machine = make_machine(
        {"torchvision": BROKEN_TORCHVISION, "transformers": transformers}, versions={"torchvision": "0.28.0"}
    )
    report = doctor.collect(machine)
    check = report.named("torchvision import")
    assert report.exit_status == 1
    assert check.status == "error"
    assert "does not belong to this torch" in check.value
    assert "pip uninstall -y torchvision" in check.remedy
    assert report.named("model classes").remedy == f"{sys.executable} -m pip uninstall -y torchvision"
    assert check.remedy in doctor.render(report)


def test_a_torchvision_that_is_not_installed_is_not_imported(make_machine: MakeMachine) -> None:
    report = doctor.collect(make_machine({"torchvision": BROKEN_TORCHVISION}))
    assert report.exit_status == 0
    assert not [check for check in report.checks if check.name == "torchvision import"]


def test_cpu_torch_on_a_machine_with_a_gpu_is_a_warning(make_machine: MakeMachine) -> None:
    check = found(make_machine(commands={"nvidia-smi": "echo 'GPU 0: NVIDIA A100'"}), "CUDA")
    assert check.status == "warning"
    assert "CPU build" in check.value
    assert "GPU 0: NVIDIA A100" in check.value
    assert "--torch-backend=auto" in check.remedy


def test_a_cuda_torch_that_sees_no_gpu_names_the_driver(make_machine: MakeMachine) -> None:
    torch = TORCH.format(build="13.0", cards=[])
    check = found(make_machine({"torch": torch}, commands={"nvidia-smi": "echo 'GPU 0: NVIDIA A100'"}), "CUDA")
    assert check.status == "warning"
    assert "driver may be too old" in check.value


def test_each_gpu_is_listed_with_memory_and_capability(make_machine: MakeMachine) -> None:
    torch = TORCH.format(build="13.0", cards=["NVIDIA H100", "NVIDIA L4"])
    machine = make_machine({"torch": torch}, commands={"nvidia-smi": "echo 'GPU 0: NVIDIA H100'"})
    report = doctor.collect(machine)
    assert report.named("GPU 0").value == "NVIDIA H100, 70.0 of 80.0 GiB free, capability 9.0, bf16"
    assert report.named("GPU 1").value.startswith("NVIDIA L4")
    assert "--no-build-isolation" in report.named("flash-attn").remedy


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("raise OSError('libtorch.so: cannot open shared object file')", "libtorch.so"),
        ("import os; os._exit(139)", "ended with status 139"),
    ],
)
def test_a_broken_torch_does_not_hide_the_other_findings(make_machine: MakeMachine, code: str, value: str) -> None:
    report = doctor.collect(make_machine({"torch": code}))
    assert report.exit_status == 1
    assert value in report.named("torch import").value
    assert report.named("PyAV").status == "ok"


def test_an_import_that_hangs_is_given_up(make_machine: MakeMachine) -> None:
    machine = make_machine({"decord": "import time; time.sleep(60)"}, timeout=3)
    assert "no answer within 3 s" in found(machine, "decord").value


def test_a_missing_decord_is_a_warning_with_its_command(make_machine: MakeMachine) -> None:
    report = doctor.collect(make_machine({"decord": None}, versions={"decord2": None}))
    assert report.exit_status == 0
    assert report.named("decord").status == "warning"
    assert report.named("decord").remedy == f"{sys.executable} -m pip install 'decord2>=3.3'"


def test_an_ffmpeg_without_h264_is_an_error(make_machine: MakeMachine) -> None:
    check = found(make_machine({"av": AV.format(codecs=["av1"])}), "PyAV")
    assert check.status == "error"
    assert "--force-reinstall" in check.remedy


def test_a_failing_flash_attn_is_a_warning_because_sdpa_remains(make_machine: MakeMachine) -> None:
    code = "raise ImportError('undefined symbol: _ZN3c10')"
    report = doctor.collect(make_machine({"flash_attn": code}, versions={"flash-attn": "2.8.1"}))
    check = report.named("flash-attn import")
    assert report.exit_status == 0
    assert check.status == "warning"
    assert "undefined symbol" in check.value
    assert "uninstall" in check.remedy


def test_versions_outside_the_tested_range_are_named(make_machine: MakeMachine) -> None:
    report = doctor.collect(make_machine(versions={"torch": "2.5.1", "transformers": None}, python=(3, 9, 18)))
    assert report.exit_status == 1
    assert report.named("Python").status == "error"
    assert report.named("torch").value == "2.5.1 is outside the tested range <2.14,>=2.6"
    assert report.named("transformers").remedy == f"{sys.executable} -m pip install 'transformers<6,>=5.20'"


def test_remedies_use_uv_where_there_is_no_pip(make_machine: MakeMachine) -> None:
    report = doctor.collect(make_machine(versions={"pip": None, "transformers": None}))
    assert report.named("transformers").remedy.startswith(f"uv pip install --python {sys.executable} ")


def test_a_project_that_is_not_installed_says_how_to_install_it(make_machine: MakeMachine) -> None:
    def absent() -> list[str]:
        raise PackageNotFoundError("vlm3r")

    healthy = make_machine()
    machine = Machine(healthy.environment, healthy.root, (3, 12, 1), healthy.installed, absent)
    assert found(machine, "vlm3r").remedy == f"{sys.executable} -m pip install -e {machine.root}"


def test_missing_shipped_files_are_errors_in_a_clone_only(make_machine: MakeMachine) -> None:
    machine = make_machine()
    (machine.root / "playground/demo/room_walk.mp4").write_text("")
    check = found(machine, "demo video")
    assert check.status == "error"
    assert "checkout -- playground/demo/room_walk.mp4" in check.remedy
    (machine.root / "pyproject.toml").unlink()
    assert found(machine, "embedded model").status == "absent"


def test_offline_flags_are_reported(make_machine: MakeMachine) -> None:
    check = found(make_machine(environment={"HF_HUB_OFFLINE": "1"}), "offline")
    assert check.status == "warning"
    assert check.remedy == "unset HF_HUB_OFFLINE"


def test_a_check_that_fails_itself_is_a_finding(make_machine: MakeMachine) -> None:
    def broken(name: str) -> str | None:
        if name == "transformers":
            raise ValueError(f"metadata of {name} is damaged")
        return VERSIONS.get(name)

    healthy = make_machine()
    report = doctor.collect(Machine(healthy.environment, healthy.root, (3, 12, 1), broken, lambda: REQUIREMENTS))
    assert report.exit_status == 1
    assert "metadata of" in report.named("Packages").value
    assert report.named("PyAV").status == "ok"


def test_the_real_machine_gets_a_report_as_json() -> None:
    done = subprocess.run([sys.executable, "-m", "vlm3r.doctor", "--json"], capture_output=True, text=True, check=False)
    record = json.loads(done.stdout)
    assert done.returncode == record["exit_status"], done.stderr
    assert {"Python", "torch", "sdpa", "PyAV", "model classes"} <= {check["name"] for check in record["checks"]}
