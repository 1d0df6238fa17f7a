"""The page about inference: its examples run, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import vlm3r  # noqa: F401 (a fixture)
from vlm3r.checkpoints.loading import EMBEDDED_MODEL

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "playground").symlink_to(ROOT / "playground")
    monkeypatch.chdir(tmp_path)


def test_the_examples_run_one_after_another(tmp_path, capsys):
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/inference.md", "exec"), names)
    (expected,) = names["opened"].ask(["Is the sofa left of the stove?"], 64)
    assert capsys.readouterr().out == expected.text
    assert len(names["answers"]) == 2
    assert len(names["live"].frame_indices) <= 16
    assert (tmp_path / "outputs" / "room").is_dir()


COMMANDS = re.findall(r"```bash\nvlm3r (.*?)\n```", PAGE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(vlm3r, tmp_path, command):  # noqa: F811
    if "--quantization" in command:
        pytest.importorskip("bitsandbytes")
    (tmp_path / "questions.txt").write_text("How many chairs are there?\nHow large is this room?\n")
    run = vlm3r(*shlex.split(command), "--max-new-tokens", 2, "--device", "cpu")
    assert (run.status, run.out.count("Q: ")) == (0, 2 if "--questions" in command else 1)
    assert (tmp_path / "answers.json").is_file() == ("--json" in command)


def test_there_are_commands():
    assert len(COMMANDS) == 2
