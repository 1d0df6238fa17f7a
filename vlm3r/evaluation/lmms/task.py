"""The tasks `vlm3r_...` of lmms-eval: benchmarks in any form that `vlm3r eval` reads, worded and scored as it does.

A task file names a benchmark, or leaves it to `VLM3R_BENCHMARK`; `VLM3R_DATA` is the folder that `--data` names there:

    task: my_rooms
    class: !function vlm3r.evaluation.lmms.task.QuestionsTask
    dataset_kwargs: {benchmark: questions.jsonl, data: rooms}
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict  # pyright: ignore[reportMissingImports]
from lmms_eval.api.task import ConfigurableTask  # pyright: ignore[reportMissingImports]
from loguru import logger  # pyright: ignore[reportMissingImports]

from vlm3r.errors import UserError
from vlm3r.evaluation.aggregate import aggregate
from vlm3r.evaluation.metrics import PROTOCOLS, score
from vlm3r.evaluation.run.benchmark import Benchmark, Question, find_video, locate_benchmark
from vlm3r.evaluation.run.presets import LONGEST
from vlm3r.qa.types import QUESTION_TYPES, VSTI_FIVE_TASKS, question_type

Document = dict[str, Any]
FIVE = "vstibench_five_tasks"
OVERALL = ("vsibench", "vstibench")


class QuestionsTask(ConfigurableTask):
    """The questions of a benchmark whose videos are there, each scored under both protocols."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        own = {name: value for name, value in (config or {}).items() if name != "class"}
        super().__init__(config=_settings() | own)

    def download(self, dataset_kwargs: Mapping[str, Any] | None = None) -> None:
        """Read the questions from disk.

        Raises:
            UserError: no benchmark is named, or none of its questions can be asked.
        """
        named = dataset_kwargs or {}
        benchmark = named.get("benchmark") or os.environ.get("VLM3R_BENCHMARK")
        data = named.get("data") or os.environ.get("VLM3R_DATA")
        if not benchmark:
            raise UserError("VLM3R_BENCHMARK is not set: name a file of questions there")
        documents = read_documents(*locate_benchmark(str(benchmark), None if not data else Path(data)))
        self.dataset = self.dataset_no_image = DatasetDict({"test": Dataset.from_list(documents)})


def read_documents(benchmark: Benchmark, roots: Sequence[Path]) -> list[Document]:
    """The questions as lmms-eval passes them around; those whose video is missing are left out, and the log says so.

    Raises:
        UserError: none is left.
    """
    documents, missing = [], {}
    for group in benchmark.videos:
        try:
            path = find_video(group.video, roots)
        except UserError as error:
            missing[group.video] = str(error)
        else:
            documents += [_document(question, path) for question in group.questions]
    for reason in missing.values():
        logger.warning(f"{benchmark.title}: left out: {reason}")
    if benchmark.bad_lines:
        logger.warning(f"{benchmark.title}: {len(benchmark.bad_lines)} lines hold no question that can be scored")
    if not documents:
        raise UserError(next(iter(missing.values())))
    return documents


def score_document(document: Document, results: Sequence[str]) -> dict[str, Document]:
    """What an answer adds to each metric that it counts for."""
    kind = question_type(document["question_type"])
    names = ["micro", kind.benchmark, kind.task, *([FIVE] if kind.task in VSTI_FIVE_TASKS else [])]
    found = {}
    for protocol in PROTOCOLS:
        value = score(results[0], document["target"], kind.name, protocol, document["options"])
        scored = {"question_type": kind.name, "scene": document["scene_name"], "score": value}
        found |= {_metric(name, protocol): scored for name in names}
    return found


def average(name: str, scored: Sequence[Document]) -> float:
    """The average of that name over what `score_document` gave for it; fractions of 1."""
    if name == "micro":
        return math.fsum(row["score"] for row in scored) / len(scored)
    benchmark = question_type(scored[0]["question_type"]).benchmark
    found = aggregate(scored, benchmark)
    if name == FIVE:
        return found.get("overall_five_tasks", math.nan)
    return found.get("overall", math.nan) if name in OVERALL else found.get("per_task", {})[name]


def _document(question: Question, path: Path) -> Document:
    row, options = question.row, question.row["options"]
    return {
        "line": question.line,
        "id": str(row["id"]),
        "scene_name": row["scene_name"],
        "question_type": row["question_type"],
        "options": None if options is None else [str(option) for option in options],
        "video": str(path),
        "text": question.text,
        "target": question.target,
    }


def _settings() -> dict[str, Any]:
    """What all task files share."""
    names = ["micro", *OVERALL, FIVE, *dict.fromkeys(kind.task for kind in QUESTION_TYPES)]
    return {
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_visual": "video",
        "doc_to_text": "text",
        "doc_to_target": "target",
        "generation_kwargs": {"max_new_tokens": LONGEST, "do_sample": False, "temperature": 0, "until": []},
        "process_results": score_document,
        "metric_list": [
            {"metric": _metric(name, protocol), "aggregation": partial(average, name), "higher_is_better": True}
            for name in names
            for protocol in PROTOCOLS
        ],
        "cluster_key": "scene",
        "metadata": {"version": 1},
    }


def _metric(name: str, protocol: str) -> str:
    return name if protocol == "published" else f"{name}_{protocol}"
