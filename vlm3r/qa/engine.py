"""From scenes to a file of questions: propose in parallel, choose over the whole data set, then word and letter.

The file depends on the scenes, their order and the options only; not on the number of workers or their kind. Only
counts stay in memory: what is proposed waits in a folder beside the file, from which an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vlm3r import __version__
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.qa.balance import BalanceSettings, count, select, trim
from vlm3r.qa.debias import DebiasSettings, debias
from vlm3r.qa.proposals import ProposeSettings, propose, question_types, to_line
from vlm3r.qa.rows import FORMATS, Format, LetterBalance, RowSettings, make_row
from vlm3r.qa.rules import Rules
from vlm3r.qa.sources import SceneSource
from vlm3r.qa.splits import SHARES, Splits
from vlm3r.qa.spool import Record, Spool
from vlm3r.qa.wording import STYLES, Style
from vlm3r.workers import Engine, run

META_SUFFIX = ".meta.json"


@dataclass(frozen=True)
class GenerateOptions:
    """What questions to make of the scenes."""

    tasks: tuple[str, ...] = ()
    """Names of tasks or question types; all if empty."""
    per_scene: int = 6
    """Most questions of each type in one scene."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """The same for single tasks or question types."""
    split: str | None = None
    """Only scenes of this part."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Shares of the scenes by part."""
    least_frames: int = 0
    """Only scenes with this many frames."""
    format: Format = "benchmark"
    style: Style = "ours"
    seed: int = 0
    balance: bool = True
    """Even out answers and ranges of numbers over the data set."""
    over: int = 4
    """How many times more questions to propose than to keep, so that there is a choice."""
    debias: bool = False
    """Leave out what the categories alone give away."""
    rules: Rules = field(default_factory=Rules.strict)

    def __post_init__(self) -> None:
        for name, value, known in (("format", self.format, FORMATS), ("style", self.style, STYLES)):
            if value not in known:
                raise UserError(f"unknown {name} {value!r}: give {' or '.join(known)}")
        if self.per_scene < 1 or self.over < 1 or any(cap < 0 for cap in self.caps.values()):
            raise UserError("--per-scene must be 1 or more, and no cap below 0")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")
        if self.split is not None and self.split not in self.shares:
            raise UserError(f"unknown split {self.split!r}: give {', '.join(self.shares)}")
        self.limits()

    def limits(self) -> dict[str, int]:
        """Most questions per scene by question type.

        Raises:
            UserError: an unknown name of a task or type.
        """
        limits = dict.fromkeys(question_types(self.tasks), self.per_scene)
        for name, cap in self.caps.items():
            limits.update((kind, cap) for kind in question_types([name]) if kind in limits)
        return limits

    def proposals(self) -> ProposeSettings:
        """Settings of the first pass."""
        factor = self.over if self.balance or self.debias else 1
        limits = {kind: cap * factor for kind, cap in self.limits().items()}
        splits = Splits(self.seed, self.shares)
        return ProposeSettings(limits, self.seed, splits, self.split, self.least_frames, self.rules)


@dataclass
class Summary:
    """What a run did."""

    scenes: int = 0
    """Scenes looked at, those of other parts of the split and those with too few frames excepted."""
    failed: dict[str, str] = field(default_factory=dict)
    """Scenes that could not be used, with the reason."""
    warned: dict[str, list[str]] = field(default_factory=dict)
    """Scenes of which something was left out, and what."""
    proposed: Counter[str] = field(default_factory=Counter)
    """Questions before balancing, by type."""
    written: Counter[str] = field(default_factory=Counter)
    """Rows by type."""


Report = Callable[[str, list[str]], None]


def generate(
    sources: Iterable[SceneSource],
    out: Path,
    options: GenerateOptions,
    *,
    workers: int = 1,
    engine: Engine = "local",
    overwrite: bool = False,
    report: Report = lambda key, problems: None,
    about: Mapping[str, Any] | None = None,
) -> Summary:
    """Write the questions about the scenes to `out`, and what was done to `out` + `.meta.json`.

    Args:
        sources: scenes in a fixed order.
        out: JSON Lines file to write.
        options: what to ask.
        workers: processes.
        engine: "local" or "ray".
        overwrite: replace an existing file.
        report: called once for each scene with problems.
        about: further facts for the sidecar, such as the folder of scenes.

    Raises:
        UserError: the file exists or cannot be written, or no scene gave a question.
    """
    try:
        _check_place(out, overwrite)
        return _generate(sources, out, options, workers, engine, report, about or {})
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({first_line(error)}); mend that or choose another --out") from error


def _check_place(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UserError(f"{out}: exists already; give another --out, or --overwrite")
    if out.is_dir():
        raise UserError(f"{out}: is a folder; give --out the name of a file")


def _generate(
    sources: Iterable[SceneSource],
    out: Path,
    options: GenerateOptions,
    workers: int,
    engine: Engine,
    report: Report,
    about: Mapping[str, Any],
) -> Summary:
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.{_fingerprint(options)}.partial")
    work.mkdir(exist_ok=True)
    spool = Spool(work / "proposals.jsonl")
    summary = Summary()
    try:
        _propose_all(sources, spool, options, workers, engine, summary, report)
    except UserError:
        if not next(spool.intact_lines(), None):
            shutil.rmtree(work)  # nothing to go on from
        raise
    if not summary.proposed:
        shutil.rmtree(work)
        raise UserError(f"{out}: not written, because no scene gave a question ({_first_reason(summary, options)})")
    chosen = Spool(work / "chosen.jsonl")
    _choose(spool, chosen, options)
    _write(chosen, out, work, options, summary, about)
    shutil.rmtree(work)
    return summary


def _fingerprint(options: GenerateOptions) -> str:
    """Names the settings that proposals depend on, so that only proposals of the same run are taken up again."""
    text = json.dumps([__version__, asdict(options)], sort_keys=True, default=dict)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _propose_all(
    sources: Iterable[SceneSource],
    spool: Spool,
    options: GenerateOptions,
    workers: int,
    engine: Engine,
    summary: Summary,
    report: Report,
) -> None:
    """Fill the spool with the proposals of all scenes, beginning after those that it has."""
    remaining = iter(sources)
    names: set[str] = set()
    for record in spool.intact_lines():
        source = next(remaining, None)
        if source is None or (source.key, source.stamp) != (record["key"], record["stamp"]):
            raise UserError(f"{spool.path.parent}: is of other scenes; delete it and start again")
        _account(record, summary, names, report)
    work = partial(propose, options.proposals())
    with spool.path.open("a", encoding="utf-8") as file:
        for outcome in run(work, remaining, workers=workers, engine=engine):
            record = outcome.value or _failure(outcome.item, outcome.error)
            if not record.get("error") and record["scene"] in names:
                record = _failure(outcome.item, f"scene {record['scene']} was read before from another file; left out")
            _account(record, summary, names, report)
            file.write(to_line(record))


def _failure(source: SceneSource, error: str | None) -> Record:
    return {"key": source.key, "stamp": source.stamp, "error": error, "problems": [], "questions": []}


def _account(record: Record, summary: Summary, names: set[str], report: Report) -> None:
    if record.get("skipped"):
        return
    summary.scenes += 1
    if error := record.get("error"):
        summary.failed[record["key"]] = error
        report(record["key"], [error])
        return
    names.add(record["scene"])
    if record["problems"]:
        summary.warned[record["key"]] = record["problems"]
        report(record["key"], record["problems"])
    summary.proposed.update(question["question_type"] for question in record["questions"])


def _first_reason(summary: Summary, options: GenerateOptions) -> str:
    if not summary.scenes:
        part = f" of the part {options.split}" if options.split else ""
        length = f" with {options.least_frames} frames" if options.least_frames else ""
        return f"there are no scenes{part}{length}"
    reasons = [*summary.failed.values(), *(problems[0] for problems in summary.warned.values())]
    return reasons[0] if reasons else "none has enough objects or frames for the tasks asked"


def _choose(proposals: Spool, chosen: Spool, options: GenerateOptions) -> None:
    """Debias, balance and cap."""
    records: Iterable[Record] = proposals
    if options.debias:
        debias(proposals, chosen, DebiasSettings(), options.seed)
        records = chosen
    chosen.write(select(records, options.limits(), options.seed, options.balance))
    if options.balance:
        chosen.write(trim(chosen, count(chosen), options.seed, BalanceSettings()))


def _write(
    chosen: Spool, out: Path, work: Path, options: GenerateOptions, summary: Summary, about: Mapping[str, Any]
) -> None:
    """Word and letter what was chosen; both files appear whole or not at all."""
    rows = work / "rows.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for row in _rows(chosen, options):
            summary.written[row["question_type"]] += 1
            file.write(to_line(row))
    meta = work / "meta.json"
    meta.write_text(json.dumps(_meta(options, summary, about), indent=2) + "\n", encoding="utf-8")
    meta.replace(meta_path(out))
    rows.replace(out)


def _rows(chosen: Spool, options: GenerateOptions) -> Iterator[dict[str, Any]]:
    letters = LetterBalance(options.seed)
    settings = RowSettings(options.format, options.style, options.seed)
    for scene in chosen:
        for question in scene["questions"]:
            yield make_row(scene, question, letters, settings)


def meta_path(out: Path) -> Path:
    """The sidecar of a file of questions."""
    return out.with_name(out.name + META_SUFFIX)


def _meta(options: GenerateOptions, summary: Summary, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "generator": f"vlm3r {__version__}",
        **about,
        "options": {**asdict(options), "caps": dict(options.caps), "shares": dict(options.shares)},
        "scenes": summary.scenes,
        "rows": sum(summary.written.values()),
        "rows_by_type": dict(sorted(summary.written.items())),
        "proposed_by_type": dict(sorted(summary.proposed.items())),
        "failed": summary.failed,
        "warned": summary.warned,
    }
