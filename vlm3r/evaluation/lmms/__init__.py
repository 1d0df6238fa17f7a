"""VLM-3R and its benchmarks in lmms-eval, which finds the model by an entry point, the tasks by `--include_path`."""

from pathlib import Path

TASKS = Path(__file__).parent / "tasks"
"""Folder of the task files."""
