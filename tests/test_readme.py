"""What the README shows runs, and what it points to exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    [line for line in text.splitlines() if line.startswith("vlm3r ")] for kind, text in BLOCKS if kind == "bash"
]
SCRIPTS = sorted(set(re.findall(r"(?:bash|python) (scripts/[\w./-]+)", README)))


@pytest.fixture
def clone_like(tmp_path):
    """A folder that looks like the clone but keeps what commands write out of it."""
    for name in ("playground", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("commands", [block for block in COMMANDS if block], ids=lambda block: block[0].split(" --")[0])
def test_commands_of_one_block_run_one_after_the_other(commands, clone_like):
    for command in commands:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
        done = subprocess.run(
            [sys.executable, "-m", "vlm3r.cli", *words[1:]], cwd=clone_like, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("example", [text for kind, text in BLOCKS if kind == "python"])
def test_python_example(example, clone_like):
    done = subprocess.run([sys.executable, "-c", example], cwd=clone_like, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_there(script):
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))])
def test_local_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]
    missing = [t for t in targets if t and not (ROOT / page).parent.joinpath(t).exists()]
    assert not missing
