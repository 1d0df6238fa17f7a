"""The doctor's checks: each looks at one part of the machine and names the command that mends what is broken there.

Heavy packages are imported in processes of their own, so that a broken one is a finding and not a crash.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "absent", "warning", "error"]

TESTED_PYTHON = ((3, 10), (3, 13))
REPOSITORY = Path(__file__).resolve().parent.parent
SHOWN_OPTIONAL = ("torchvision", "deepspeed", "bitsandbytes", "flash-attn")


@dataclass(frozen=True)
class Check:
    """One finding."""

    section: str
    name: str
    status: Status
    """`absent` is optional and not there; `warning` works but could be better; `error` makes the exit status 1."""
    value: str
    """What was found, in one line."""
    remedy: str = ""
    """The command or step that mends it."""


@dataclass(frozen=True)
class ProbeResult:
    """What a snippet of Python printed in a process of its own."""

    ok: bool
    output: str
    error: str = ""
    """The last line of the traceback, or why there was none."""


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    return importlib.metadata.requires("vlm3r") or []


@dataclass(frozen=True)
class Machine:
    """Everything the doctor asks of the machine; tests replace parts of it."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = REPOSITORY
    python: tuple[int, int, int] = sys.version_info[:3]
    installed: Callable[[str], str | None] = _installed
    """The version of an installed distribution."""
    requirements: Callable[[], list[str]] = _requirements
    """The project's own requirements, extras included."""
    timeout: float = 120.0
    """Seconds after which an import counts as broken."""

    def run(self, command: Sequence[str]) -> ProbeResult:
        """The output of a command."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=self.timeout, env=dict(self.environment), check=False
            )
        except subprocess.TimeoutExpired:
            return ProbeResult(False, "", f"no answer within {self.timeout:.0f} s")
        except OSError as error:
            return ProbeResult(False, "", str(error))
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"ended with status {done.returncode} and no message"
        return ProbeResult(done.returncode == 0, done.stdout.strip(), "" if done.returncode == 0 else reason)

    def run_python(self, code: str) -> ProbeResult:
        """The output of a snippet of Python in a process of its own; `code` prints one line of JSON last."""
        return self.run([sys.executable, "-c", code])

    def nvidia(self) -> str:
        """The first NVIDIA GPU as the driver names it, or an empty string."""
        listing = self.run(["nvidia-smi", "-L"])
        return listing.output.splitlines()[0] if listing.ok and listing.output else ""

    def install(self, *arguments: str) -> str:
        """The command that installs into this Python, by pip or, in an environment without pip, by uv."""
        if self.installed("pip"):
            return shlex.join([sys.executable, "-m", "pip", "install", *arguments])
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *arguments])

    def uninstall(self, name: str) -> str:
        """The command that removes a distribution from this Python."""
        if self.installed("pip"):
            return shlex.join([sys.executable, "-m", "pip", "uninstall", "-y", name])
        return shlex.join(["uv", "pip", "uninstall", "--python", sys.executable, name])

    def install_torch(self, specifier: str = "") -> str:
        """The command that installs the build of torch that belongs to this machine."""
        install = ["uv", "pip", "install", "--python", sys.executable, "--reinstall", "--torch-backend=auto"]
        command = shlex.join([*install, f"torch{specifier}"])
        if not self.installed("pip"):
            return command
        return f"{self.install('uv')} && {shlex.quote(sys.executable)} -m {command}"


# ---- snippets that run in processes of their own

TORCH_CODE = """
import json, torch
found = {"version": torch.__version__, "cuda_build": torch.version.cuda or torch.version.hip, "gpus": [], "mps": False}
found["mps"] = bool(getattr(torch.backends, "mps", None) and torch.backends.mps.is_available())
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found["gpus"].append({"name": card.name, "free_gib": free / 2**30, "total_gib": total / 2**30,
                              "capability": f"{card.major}.{card.minor}", "bf16": torch.cuda.is_bf16_supported()})
query = torch.ones(1, 1, 2, 8)
torch.nn.functional.scaled_dot_product_attention(query, query, query)
try:
    from torch.nn.attention.flex_attention import flex_attention
    found["flex"] = True
except ImportError:
    found["flex"] = False
print(json.dumps(found))
"""

CLASSES_CODE = """
from transformers import Qwen2ForCausalLM, SiglipImageProcessor, SiglipVisionModel
print("{}")
"""

DECODER_CODE = """
import json, sys, av
codecs = {}
for name in ("h264", "hevc", "vp9", "av1"):
    try:
        av.Codec(name, "r")
        codecs[name] = True
    except ValueError:  # av's UnknownCodecError
        codecs[name] = False
found = {"version": av.__version__, "codecs": codecs,
         "libavcodec": ".".join(map(str, av.library_versions.get("libavcodec", ())))}
print(json.dumps(found))
"""


def _import_code(module: str) -> str:
    extra = "; torchvision.ops.nms" if module == "torchvision" else ""
    return f"import {module}{extra}; print('{{}}')"


# ---- groups of checks


def _python_checks(machine: Machine) -> list[Check]:
    section = "Python"
    version = ".".join(map(str, machine.python))
    low, high = TESTED_PYTHON
    if low <= machine.python[:2] <= high:
        python = Check(section, "Python", "ok", f"{version} ({sys.executable})")
    else:
        remedy = "rm -rf .venv && VLM3R_PYTHON=python3.12 bash scripts/video/demo/video_demo.sh"
        wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
        python = Check(section, "Python", "error", f"{version} is outside the tested range {wanted}", remedy)
    return [python, Check(section, "system", "ok", f"{platform.platform()}, {platform.machine()}")]


def _package_checks(machine: Machine) -> list[Check]:
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in machine.requirements()]
    except importlib.metadata.PackageNotFoundError:
        remedy = machine.install("-e", str(machine.root))
        return [Check("Packages", "vlm3r", "error", "not installed in this Python", remedy)]
    checks = [Check("Packages", "vlm3r", "ok", machine.installed("vlm3r") or "?")]
    for requirement in requirements:
        needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        shown = any(check.name == requirement.name for check in checks)  # several extras may want the same package
        if needed or (requirement.name in SHOWN_OPTIONAL and not shown):
            checks.append(_package_check(machine, requirement.name, str(requirement.specifier), bool(needed)))
    return checks


def _package_check(machine: Machine, name: str, specifier: str, needed: bool) -> Check:
    from packaging.specifiers import SpecifierSet

    if name == "torch":
        install = machine.install_torch(specifier)
    else:
        install = machine.install(*["--no-build-isolation"] * (name == "flash-attn"), f"{name}{specifier}")
    version = machine.installed(name)
    if version is None and not needed:
        # All of these but deepspeed are for CUDA; torchvision beside a CPU torch can even break transformers.
        useful = name == "deepspeed" or bool(machine.nvidia())
        return Check("Packages", name, "absent", "optional" if useful else "for NVIDIA GPUs", install if useful else "")
    if version is None:
        # PyAV reads every video that decord reads.
        return Check("Packages", name, "warning" if name == "decord2" else "error", "not installed", install)
    if version not in SpecifierSet(specifier, prereleases=True):
        value = f"{version} is outside the tested range {specifier}"
        return Check("Packages", name, "warning", value, install)
    return Check("Packages", name, "ok", version)


def _processor_check(machine: Machine) -> Check:
    cores, memory = os.cpu_count() or 1, None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    value = f"{cores} cores" + (f", {memory:.0f} GiB of memory" if memory else "")
    return Check("Devices", "CPU", "ok", value)


def _torch_checks(machine: Machine) -> list[Check]:
    checks = [_processor_check(machine)]
    probe = machine.run_python(TORCH_CODE)
    if not probe.ok:
        return [
            *checks,
            Check("Devices", "torch import", "error", f"does not work: {probe.error}", machine.install_torch()),
        ]
    found: dict[str, Any] = json.loads(probe.output.splitlines()[-1])
    driver = machine.nvidia()
    for index, card in enumerate(found["gpus"]):
        memory = f"{card['free_gib']:.1f} of {card['total_gib']:.1f} GiB free"
        bf16 = "bf16" if card["bf16"] else "no bf16: use --dtype float16"
        value = f"{card['name']}, {memory}, capability {card['capability']}, {bf16}"
        checks.append(Check("Devices", f"GPU {index}", "ok", value))
    if driver and not found["gpus"]:
        if not found["cuda_build"]:
            value = f"torch {found['version']} is a CPU build, but the machine has {driver}"
        else:
            value = (
                f"torch {found['version']} (CUDA {found['cuda_build']}) cannot use {driver}: the driver may be too old"
            )
        checks.append(Check("Devices", "CUDA", "warning", value, machine.install_torch()))
    elif not found["gpus"]:
        checks.append(Check("Devices", "CUDA", "absent", "no NVIDIA GPU"))
    checks.append(
        Check("Devices", "MPS", "ok" if found["mps"] else "absent", "available" if found["mps"] else "not here")
    )
    checks.append(Check("Attention", "sdpa", "ok", "the default"))
    flex = "with a compiler" if found["flex"] else "not in this torch"
    checks.append(Check("Attention", "flex_attention", "ok" if found["flex"] else "absent", flex))
    return checks


def _flash_checks(machine: Machine) -> list[Check]:
    if machine.installed("flash-attn") is None:
        return [Check("Attention", "flash-attn import", "absent", "not installed; sdpa is used")]
    probe = machine.run_python(_import_code("flash_attn"))
    if probe.ok:
        return [Check("Attention", "flash-attn import", "ok", "works")]
    rebuild = machine.install("--force-reinstall", "--no-deps", "--no-build-isolation", "--no-cache-dir", "flash-attn")
    remedy = f"{machine.uninstall('flash-attn')}   (sdpa is used instead), or rebuild it for this torch: {rebuild}"
    return [Check("Attention", "flash-attn import", "warning", f"fails: {probe.error}", remedy)]


def _import_checks(machine: Machine) -> list[Check]:
    with ThreadPoolExecutor(2) as pool:
        vision = pool.submit(machine.run_python, _import_code("torchvision"))
        classes = pool.submit(machine.run_python, CLASSES_CODE).result()
        torchvision = vision.result() if machine.installed("torchvision") else None
    checks: list[Check] = []
    uninstall = machine.uninstall("torchvision")
    broken = torchvision is not None and not torchvision.ok
    if torchvision is not None and broken:
        value = f"fails: {torchvision.error}"
        if "torchvision::nms" in torchvision.error:
            value += " (its build does not belong to this torch, e.g. a CUDA build beside a CPU torch)"
        remedy = f"{uninstall}   (it is optional; while it is broken no image processor can be imported)"
        checks.append(Check("Imports", "torchvision import", "error", value, remedy))
    elif torchvision is not None:
        checks.append(Check("Imports", "torchvision import", "ok", "works"))
    if classes.ok:
        checks.append(Check("Imports", "model classes", "ok", "SigLIP and Qwen2 can be imported from transformers"))
    else:
        remedy = uninstall if broken else machine.install("--force-reinstall", "transformers>=5.20,<6")
        checks.append(Check("Imports", "model classes", "error", f"fail: {classes.error}", remedy))
    return checks


def _decoder_checks(machine: Machine) -> list[Check]:
    reinstall = machine.install("--force-reinstall", "--only-binary=:all:", "av>=15")
    probe = machine.run_python(DECODER_CODE)
    checks: list[Check] = []
    if not probe.ok:
        checks.append(Check("Video", "PyAV", "error", f"does not work: {probe.error}", reinstall))
    else:
        found: dict[str, Any] = json.loads(probe.output.splitlines()[-1])
        codecs = [name for name, there in found["codecs"].items() if there]
        value = f"{found['version']}, libavcodec {found['libavcodec']}, decodes {', '.join(codecs) or 'nothing usual'}"
        checks.append(
            Check("Video", "PyAV", "ok" if "h264" in codecs else "error", value, "" if "h264" in codecs else reinstall)
        )
    decord = machine.run_python(_import_code("decord"))
    if decord.ok:
        return [*checks, Check("Video", "decord", "ok", "works")]
    missing = "No module named 'decord'" in decord.error
    value = "not installed; PyAV is used" if missing else f"fails: {decord.error}; PyAV is used"
    remedy = machine.install(*["--force-reinstall"] * (not missing), "decord2>=3.3")
    return [*checks, Check("Video", "decord", "warning", value, remedy)]


def _file_checks(machine: Machine) -> list[Check]:
    section = "Files"
    if not (machine.root / "pyproject.toml").is_file():
        checks = [Check(section, "embedded model", "absent", "comes with a clone of the repository")]
    else:
        model, video = Path("playground/models/vlm3r-tiny"), Path("playground/demo/room_walk.mp4")
        checks = [
            _file_check(machine, "embedded model", model, model / "config.json"),
            _file_check(machine, "demo video", video, video),
        ]
    free = shutil.disk_usage(machine.root).free / 2**30
    status: Status = "ok" if free >= 2 else "warning"
    remedy = "" if free >= 2 else f"free space on the disk of {machine.root}"
    return [*checks, Check(section, "disk", status, f"{free:.1f} GiB free at {machine.root}", remedy)]


def _file_check(machine: Machine, name: str, shown: Path, needed: Path) -> Check:
    if (machine.root / needed).is_file() and (machine.root / needed).stat().st_size:
        return Check("Files", name, "ok", str(shown))
    return Check("Files", name, "error", f"{shown} is missing", f'git -C "{machine.root}" checkout -- {shown}')


def _hub_checks(machine: Machine) -> list[Check]:
    env = machine.environment
    home = Path(env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")
    cache = Path(env.get("HF_HUB_CACHE") or home / "hub").expanduser()
    models = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    checks = [Check("Hugging Face", "cache", "ok", f"{cache} ({models} models)")]
    existing = next((folder for folder in (cache, *cache.parents) if folder.exists()), cache)
    if not os.access(existing, os.W_OK):
        checks = [
            Check("Hugging Face", "cache", "warning", f"{cache} cannot be written", "export HF_HOME=/a/folder/of/yours")
        ]
    else:
        free = shutil.disk_usage(existing).free / 2**30
        if free < 20:
            remedy = "free space, or export HF_HOME=/a/folder/on/a/larger/disk"
            value = f"{free:.1f} GiB free at {cache}; the published 7B model takes about 20 GiB"
            checks.append(Check("Hugging Face", "cache space", "warning", value, remedy))
    offline = [
        name
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        if env.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
    ]
    if offline:
        value = f"{' and '.join(offline)} set: only models in the cache can be loaded"
        checks.append(Check("Hugging Face", "offline", "warning", value, f"unset {' '.join(offline)}"))
    else:
        checks.append(Check("Hugging Face", "offline", "ok", "no"))
    return checks


GROUPS: tuple[tuple[str, Callable[[Machine], list[Check]]], ...] = (
    ("Python", _python_checks),
    ("Packages", _package_checks),
    ("Devices", _torch_checks),
    ("Attention", _flash_checks),
    ("Imports", _import_checks),
    ("Video", _decoder_checks),
    ("Files", _file_checks),
    ("Hugging Face", _hub_checks),
)
